"""How sports products look, in coordinates 0..100, y down."""

from __future__ import annotations

from robustrec.datasets.shop.canvas import DARK, METAL, OUTLINE, WHITE, Canvas
from robustrec.datasets.shop.shapes import arc, cosine, sine, smooth


def ball(canvas: Canvas) -> None:
    """Draw a ball with pentagons, as in football."""
    canvas.ellipse(50, 50, 45, 45)
    spokes = [(cosine(turn), sine(turn)) for turn in range(-90, 270, 72)]
    canvas.polygon([(50 + 15 * x, 50 + 15 * y) for x, y in spokes], DARK, 0)
    for x, y in spokes:
        canvas.line([(50 + 15 * x, 50 + 15 * y), (50 + 33 * x, 50 + 33 * y)], 2, DARK, 0)
        side_x, side_y = -y, x
        near = [(50 + 33 * x + 1 * side_x, 50 + 33 * y + 1 * side_y)]
        rim = [(50 + 44 * x + t * side_x, 50 + 44 * y + t * side_y) for t in (11, -11)]
        canvas.polygon([*near, *rim], DARK, 0)


def racket(canvas: Canvas) -> None:
    """Draw a tennis racket: an oval head with strings, a forked throat, a long grip."""
    canvas.ellipse(50, 30, 23, 27, WHITE)
    for step in range(-16, 17, 8):
        canvas.line([(50 + step, 5), (50 + step, 55)], 1.6, (120, 124, 130), 0)
    for step in range(-20, 21, 8):
        canvas.line([(28, 30 + step), (72, 30 + step)], 1.6, (120, 124, 130), 0)
    canvas.line([(33, 50), (50, 72)], 6)
    canvas.line([(67, 50), (50, 72)], 6)
    canvas.ring(50, 30, 25, 29, 9)
    canvas.line([(50, 70), (50, 76)], 8, "shade")
    canvas.line([(50, 77), (50, 96)], 9, DARK)


def dumbbell(canvas: Canvas) -> None:
    """Draw a dumbbell."""
    canvas.box(30, 44, 70, 56, METAL)
    for x in (39, 45, 51, 57):
        canvas.line([(x, 46), (x + 3, 54)], 1, OUTLINE, 0)
    canvas.box(2, 36, 12, 64, "shade", r=3)
    canvas.box(88, 36, 98, 64, "shade", r=3)
    canvas.box(10, 22, 32, 78, r=5)
    canvas.box(68, 22, 90, 78, r=5)


def bicycle(canvas: Canvas) -> None:
    """Draw a bicycle."""
    for x in (23, 77):
        canvas.ring(x, 66, 19, 19, 4, DARK, 0)
        for turn in range(0, 180, 45):
            dx, dy = 18 * cosine(turn), 18 * sine(turn)
            canvas.line([(x - dx, 66 - dy), (x + dx, 66 + dy)], 0.7, METAL, 0)
    canvas.line([(23, 66), (36, 36), (67, 36), (48, 66), (23, 66)], 5.5, outline=2)
    canvas.line([(36, 36), (48, 66)], 5.5, outline=2)
    canvas.line([(77, 66), (65, 28)], 5.5, outline=2)
    canvas.line([(36, 36), (34, 28)], 3, METAL, 2)
    canvas.polygon(smooth([(24, 24), (44, 24), (44, 28), (30, 31)], 2), DARK)
    canvas.line([(65, 28), (64, 20), (76, 18), (80, 24)], 3, DARK, 0)
    canvas.ellipse(48, 66, 6, 6, METAL)


def skateboard(canvas: Canvas) -> None:
    """Draw a skateboard from the side, nose and tail bent up, on two trucks."""
    for x in (27, 73):
        canvas.polygon([(x - 8, 54), (x + 8, 54), (x + 4, 66), (x - 4, 66)], METAL)
        canvas.ellipse(x, 72, 11, 11, WHITE)
        canvas.ellipse(x, 72, 4, 4, DARK, 0)
    canvas.line([(4, 32), (18, 46), (82, 46), (96, 32)], 15)
    canvas.line([(4, 27), (18, 40), (82, 40), (96, 27)], 2.4, DARK, 0)


def helmet(canvas: Canvas) -> None:
    """Draw a bicycle helmet from the side."""
    canvas.line([(26, 62), (44, 90), (52, 62)], 2.6, DARK, 0)
    canvas.line([(72, 62), (44, 90)], 2.6, DARK, 0)
    canvas.polygon([*arc(50, 60, 45, 46, 180, 360), (92, 66), (70, 62), (40, 64), (20, 72), (8, 70)])
    for points in (
        [(20, 44), (36, 26), (40, 34), (28, 52)],
        [(42, 24), (58, 22), (56, 34), (46, 36)],
        [(66, 25), (82, 40), (74, 48), (62, 34)],
    ):
        canvas.polygon(smooth(points, 1), DARK, 0)


def yoga_mat(canvas: Canvas) -> None:
    """Draw a yoga mat, half rolled up."""
    canvas.polygon([(22, 50), (60, 50), (98, 88), (60, 92)])
    canvas.polygon([(10, 26), (62, 26), (62, 58), (10, 58)], outline=3)
    canvas.ellipse(62, 42, 9, 16, WHITE)
    canvas.ring(62, 42, 5, 10, 2.4, "shade", 0)
    canvas.ellipse(62, 42, 1.6, 4, "shade", 0)
    canvas.polygon(arc(10, 42, 7, 16, 90, 270), "body", 3)
    canvas.polygon([(9, 27), (20, 27), (20, 57), (9, 57)], "body", 0)
    canvas.line([(28, 26), (28, 58)], 4, DARK, 0)


def goggles(canvas: Canvas) -> None:
    """Draw swimming goggles: two lenses, the bridge between them, and a strap that leaves on both sides."""
    canvas.polygon(smooth([(24, 34), (-2, 40), (-2, 56), (24, 66)], 1), "shade")
    canvas.polygon(smooth([(76, 34), (102, 40), (102, 56), (76, 66)], 1), "shade")
    canvas.line(arc(50, 56, 9, 8, 200, 340), 5, DARK, 1)
    for side in (-1, 1):
        rim = [(8, 42), (14, 30), (34, 28), (41, 40), (38, 62), (26, 72), (12, 68)]
        lens = [(13, 43), (18, 36), (32, 35), (35, 43), (33, 59), (25, 65), (16, 62)]
        canvas.polygon(smooth([(50 + side * x, y) for x, y in rim], 2))
        canvas.polygon(smooth([(50 + side * x, y) for x, y in lens], 2), (104, 168, 206), 2)
        canvas.line([(50 + side * 24 - 5, 54), (50 + side * 24 + 4, 43)], 3, WHITE, 0)


def tent(canvas: Canvas) -> None:
    """Draw a ridge tent: its long side, and its front with the entrance open."""
    canvas.line([(8, 78), (-2, 88)], 1.4, OUTLINE, 0)
    canvas.line([(94, 80), (102, 88)], 1.4, OUTLINE, 0)
    canvas.polygon([(38, 18), (82, 22), (100, 80), (66, 88)])
    canvas.polygon([(38, 18), (66, 88), (4, 84)], "shade")
    canvas.polygon([(37, 38), (50, 87), (24, 86)], (60, 52, 48))
    canvas.polygon([(37, 38), (24, 86), (18, 85)], WHITE, 2)
    canvas.line([(38, 18), (38, 8)], 2, OUTLINE, 0)
    canvas.polygon([(38, 6), (50, 10), (38, 14)], (220, 60, 60), 1)


def surfboard(canvas: Canvas) -> None:
    """Draw a surfboard: long, narrow, pointed at the nose, with three fins at its tail."""
    tail = [(40, 80), (29, 99), (44, 93), (46, 90)]
    canvas.polygon(tail, DARK)
    canvas.polygon([(100 - x, y) for x, y in tail], DARK)
    right = [(50, -6), (54, 2), (66, 26), (69, 52), (64, 80), (56, 96)]
    canvas.polygon(smooth([*right, *[(100 - x, y) for x, y in reversed(right[1:])]], 3))
    canvas.line([(50, 3), (50, 91)], 2.2, WHITE, 0)
    canvas.polygon([(33, 62), (67, 62), (66, 69), (34, 69)], WHITE, 0)
    canvas.polygon([(48, 78), (52, 78), (52, 92), (48, 92)], DARK, 0)


DRAWINGS = {
    drawing.__name__: drawing
    for drawing in (ball, racket, dumbbell, bicycle, skateboard, helmet, yoga_mat, goggles, tent, surfboard)
}
