"""How electronics look, in coordinates 0..100, y down."""

from __future__ import annotations

from robustrec.datasets.shop.canvas import DARK, GLASS, METAL, OUTLINE, WHITE, Canvas
from robustrec.datasets.shop.shapes import arc, smooth

SCREEN = (60, 78, 104)


def phone(canvas: Canvas) -> None:
    """Draw a phone from the front, its case around the screen."""
    canvas.box(26, 3, 74, 97, r=8)
    canvas.box(33, 14, 67, 82, SCREEN, 2)
    canvas.line([(44, 8.5), (56, 8.5)], 2.4, DARK, 0)
    canvas.ellipse(50, 89, 4.4, 4.4, WHITE, 2)
    for row in range(3):
        for column in range(3):
            x, y = 37 + 9.5 * column, 20 + 11 * row
            canvas.box(x, y, x + 6.5, y + 7, ((232, 120, 96), (120, 200, 140), GLASS)[(row + column) % 3], 0)


def headphones(canvas: Canvas) -> None:
    """Draw headphones with their band."""
    canvas.line(arc(50, 54, 36, 44, 180, 360), 9)
    for x in (16, 84):
        canvas.box(x - 12, 48, x + 12, 92, r=9)
    canvas.box(25, 50, 34, 90, DARK, r=4)
    canvas.box(66, 50, 75, 90, DARK, r=4)


def camera(canvas: Canvas) -> None:
    """Draw a camera from the front."""
    canvas.polygon([(34, 26), (40, 14), (60, 14), (66, 26)], "shade")
    canvas.box(12, 19, 26, 28, DARK, r=2)
    canvas.box(4, 26, 96, 84, r=6)
    canvas.ellipse(50, 55, 25, 25, DARK)
    canvas.ellipse(50, 55, 18, 18, METAL, 0)
    canvas.ellipse(50, 55, 13, 13, SCREEN, 0)
    canvas.ellipse(45, 50, 4.4, 4.4, WHITE, 0)
    canvas.box(78, 32, 90, 40, WHITE, 2)


def laptop(canvas: Canvas) -> None:
    """Draw an open laptop."""
    canvas.box(14, 10, 86, 64, r=4)
    canvas.box(21, 17, 79, 57, SCREEN, 2)
    canvas.polygon([(21, 57), (21, 40), (36, 30), (50, 42), (62, 34), (79, 50), (79, 57)], GLASS, 0)
    canvas.polygon([(14, 66), (86, 66), (99, 90), (1, 90)])
    canvas.polygon([(18, 69), (82, 69), (87, 79), (13, 79)], DARK, 0)
    canvas.polygon([(40, 82), (60, 82), (62, 88), (38, 88)], METAL, 0)


def cable(canvas: Canvas) -> None:
    """Draw a coiled cable with a plug at each end."""
    canvas.line(smooth([(24, 44), (10, 64), (18, 78)], 2, closed=False), 8)
    canvas.line(smooth([(76, 44), (90, 64), (82, 78)], 2, closed=False), 8)
    for radius in (29, 19):
        canvas.ring(50, 38, radius, radius, 8)
    for x in (18, 82):
        canvas.box(x - 5, 88, x + 5, 99, METAL, 2)
        canvas.box(x - 9, 72, x + 9, 90, DARK, r=3)


def speaker(canvas: Canvas) -> None:
    """Draw a loudspeaker with two cones."""
    canvas.box(22, 3, 78, 97, r=5)
    for cy, radius in ((25, 14), (66, 22)):
        canvas.ellipse(50, cy, radius, radius, DARK)
        canvas.ellipse(50, cy, radius * 0.72, radius * 0.72, (110, 112, 120), 0)
        canvas.ellipse(50, cy, radius * 0.3, radius * 0.3, DARK, 0)


def smartwatch(canvas: Canvas) -> None:
    """Draw a smartwatch with its strap."""
    canvas.polygon([(34, 2), (66, 2), (70, 34), (30, 34)])
    canvas.polygon([(30, 66), (70, 66), (66, 98), (34, 98)])
    canvas.box(80, 44, 86, 56, METAL)
    canvas.box(20, 24, 80, 76, "shade", r=9)
    canvas.box(27, 31, 73, 69, DARK, 0, r=5)
    canvas.line([(50, 37), (50, 50), (61, 57)], 3, WHITE, 0)


def game_controller(canvas: Canvas) -> None:
    """Draw a game controller."""
    canvas.polygon(
        smooth(
            [
                (22, 22),
                (78, 22),
                (92, 36),
                (99, 72),
                (92, 86),
                (80, 82),
                (68, 64),
                (32, 64),
                (20, 82),
                (8, 86),
                (1, 72),
                (8, 36),
            ],
            2,
        )
    )
    canvas.box(25, 33, 31, 53, DARK, 0)
    canvas.box(18, 40, 38, 46, DARK, 0)
    for x, y, paint in (
        (72, 34, (230, 90, 80)),
        (81, 43, (90, 190, 110)),
        (63, 43, (90, 140, 230)),
        (72, 52, (240, 205, 90)),
    ):
        canvas.ellipse(x, y, 4.4, 4.4, paint, 1)
    canvas.ellipse(42, 56, 6, 6, DARK)
    canvas.ellipse(58, 56, 6, 6, DARK)


def television(canvas: Canvas) -> None:
    """Draw a television on its foot."""
    canvas.polygon([(42, 72), (58, 72), (62, 88), (38, 88)], "shade")
    canvas.box(24, 86, 76, 94, r=3)
    canvas.box(1, 10, 99, 76, r=4)
    canvas.box(10, 18, 90, 68, SCREEN, 2)
    canvas.polygon([(10, 68), (10, 54), (36, 34), (58, 56), (70, 46), (90, 62), (90, 68)], (92, 150, 96), 0)
    canvas.ellipse(74, 30, 6, 6, (246, 220, 120), 0)


def mouse(canvas: Canvas) -> None:
    """Draw a computer mouse from above, with its wire."""
    canvas.line(smooth([(50, 30), (50, 10), (70, 8), (84, 2)], 3, closed=False), 3, DARK, 0)
    canvas.polygon(smooth([(30, 24), (70, 24), (80, 50), (76, 88), (60, 97), (40, 97), (24, 88), (20, 50)], 2))
    canvas.line([(50, 27), (50, 54)], 1.6, OUTLINE, 0)
    canvas.line([(23, 56), (50, 54), (77, 56)], 1.6, OUTLINE, 0)
    canvas.box(46, 34, 54, 48, WHITE, 2, r=3.5)


DRAWINGS = {
    drawing.__name__: drawing
    for drawing in (phone, headphones, camera, laptop, cable, speaker, smartwatch, game_controller, television, mouse)
}
