"""How clothes look, in coordinates 0..100, y down."""

from __future__ import annotations

from robustrec.datasets.shop.canvas import DARK, METAL, OUTLINE, WHITE, Canvas
from robustrec.datasets.shop.shapes import arc, smooth


def t_shirt(canvas: Canvas) -> None:
    """Draw a t-shirt."""
    body = [(34, 12), (66, 12), (96, 30), (86, 48), (74, 41), (74, 90), (26, 90), (26, 41), (14, 48), (4, 30)]
    canvas.polygon(body)
    canvas.polygon(arc(50, 12, 13, 12, 0, 180), WHITE)
    canvas.line([(26, 41), (27, 32)], 1, OUTLINE, 0)
    canvas.line([(74, 41), (73, 32)], 1, OUTLINE, 0)


def dress(canvas: Canvas) -> None:
    """Draw a sleeveless dress."""
    canvas.polygon(
        [
            (36, 6),
            (42, 6),
            (44, 20),
            (56, 20),
            (58, 6),
            (64, 6),
            (68, 26),
            (62, 44),
            (84, 94),
            (16, 94),
            (38, 44),
            (32, 26),
        ]
    )
    canvas.polygon([(38, 42), (62, 42), (63, 48), (37, 48)], DARK, 0)


def trousers(canvas: Canvas) -> None:
    """Draw trousers."""
    canvas.polygon([(28, 6), (72, 6), (80, 95), (57, 95), (50, 36), (43, 95), (20, 95)])
    canvas.polygon([(28, 6), (72, 6), (73, 14), (27, 14)], "shade")
    canvas.ellipse(50, 10, 2, 2, METAL, 0)
    canvas.line([(50, 14), (50, 36)], 1, OUTLINE, 0)


def skirt(canvas: Canvas) -> None:
    """Draw a pleated skirt."""
    canvas.polygon([(34, 18), (66, 18), (92, 82), (78, 86), (64, 83), (50, 87), (36, 83), (22, 86), (8, 82)])
    canvas.polygon([(34, 14), (66, 14), (68, 24), (32, 24)], "shade")
    for top, foot in ((42, 30), (50, 50), (58, 70)):
        canvas.line([(top, 26), (foot, 84)], 1, OUTLINE, 0)


def jacket(canvas: Canvas) -> None:
    """Draw a jacket with long sleeves, a collar and a zip."""
    canvas.polygon([(32, 14), (16, 22), (4, 82), (18, 86), (27, 46)], "shade")
    canvas.polygon([(68, 14), (84, 22), (96, 82), (82, 86), (73, 46)], "shade")
    canvas.polygon([(34, 10), (66, 10), (76, 20), (76, 92), (24, 92), (24, 20)])
    canvas.polygon([(34, 8), (50, 14), (48, 32)], "shade")
    canvas.polygon([(66, 8), (50, 14), (52, 32)], "shade")
    canvas.line([(50, 18), (50, 92)], 3, METAL, 2)
    canvas.line([(31, 64), (42, 60)], 1.5, OUTLINE, 0)
    canvas.line([(69, 64), (58, 60)], 1.5, OUTLINE, 0)


def sneaker(canvas: Canvas) -> None:
    """Draw a sneaker from the side."""
    upper = [(8, 30), (20, 36), (34, 26), (44, 28), (56, 48), (80, 54), (96, 64), (96, 74), (6, 74)]
    canvas.polygon(smooth(upper, 2))
    canvas.polygon(smooth([(4, 68), (97, 68), (99, 80), (90, 84), (8, 84), (3, 80)], 2), WHITE)
    for x, y in ((40, 36), (47, 43), (54, 50)):
        canvas.line([(x - 1, y + 3), (x + 8, y - 4)], 2.4, WHITE, 2)
    canvas.line([(12, 58), (30, 52)], 3, WHITE, 2)


def boot(canvas: Canvas) -> None:
    """Draw a boot from the side."""
    canvas.polygon(smooth([(24, 6), (60, 6), (59, 50), (70, 60), (92, 66), (96, 84), (24, 84)], 1))
    canvas.polygon([(22, 6), (62, 6), (62, 17), (22, 17)], "shade")
    canvas.polygon([(22, 83), (97, 83), (96, 91), (52, 91), (48, 88), (46, 95), (22, 95)], DARK)
    canvas.line([(58, 24), (48, 27)], 2, WHITE, 2)
    canvas.line([(58, 34), (48, 37)], 2, WHITE, 2)
    canvas.line([(58, 44), (48, 47)], 2, WHITE, 2)


def handbag(canvas: Canvas) -> None:
    """Draw a handbag."""
    canvas.line(arc(50, 44, 21, 32, 180, 360), 5, "shade")
    canvas.polygon(smooth([(16, 40), (84, 40), (94, 90), (90, 93), (10, 93), (6, 90)], 1))
    canvas.polygon(smooth([(16, 38), (84, 38), (87, 58), (50, 68), (13, 58)], 1), "shade")
    canvas.ellipse(50, 64, 5, 5, (226, 190, 90))


def cap(canvas: Canvas) -> None:
    """Draw a baseball cap from the side."""
    canvas.polygon([*arc(42, 62, 36, 42, 180, 360), (78, 66), (6, 66)])
    canvas.polygon(smooth([(62, 58), (78, 60), (98, 66), (99, 74), (84, 74), (50, 70)], 2), "shade")
    canvas.ellipse(42, 20, 4, 3, "shade")
    canvas.line([*arc(42, 62, 18, 40, 270, 360)], 1, OUTLINE, 0)
    canvas.line([*arc(42, 62, 16, 40, 180, 270)], 1, OUTLINE, 0)


def sock(canvas: Canvas) -> None:
    """Draw a sock."""
    leg = [(30, 6), (60, 6), (60, 52), (88, 68), (94, 80), (86, 92), (66, 92), (34, 74), (28, 58)]
    canvas.polygon(smooth(leg, 2))
    canvas.box(27, 5, 63, 20, WHITE, r=2)
    canvas.polygon(smooth([(80, 64), (95, 76), (88, 93), (70, 92)], 2), WHITE, 2)
    canvas.polygon(smooth([(29, 50), (42, 58), (38, 74), (30, 72)], 2), WHITE, 2)


DRAWINGS = {
    drawing.__name__: drawing
    for drawing in (t_shirt, dress, trousers, skirt, jacket, sneaker, boot, handbag, cap, sock)
}
