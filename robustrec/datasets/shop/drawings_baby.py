"""How products for babies look, in coordinates 0..100, y down."""

from __future__ import annotations

from robustrec.datasets.shop.canvas import DARK, METAL, OUTLINE, WHITE, Canvas
from robustrec.datasets.shop.shapes import arc, smooth

TEAT = (236, 196, 140)


def bottle(canvas: Canvas) -> None:
    """Draw a feeding bottle with its teat."""
    canvas.polygon(smooth([(44, 22), (43, 10), (46, 3), (54, 3), (57, 10), (56, 22)], 2), TEAT)
    canvas.box(34, 20, 66, 32, "shade", r=3)
    canvas.box(28, 34, 72, 96, r=8)
    for y in (50, 62, 74, 86):
        canvas.line([(60, y), (70, y)], 2, WHITE, 1)


def stroller(canvas: Canvas) -> None:
    """Draw a stroller from the side."""
    canvas.line([(22, 50), (70, 80)], 3, METAL)
    canvas.line([(70, 50), (28, 80)], 3, METAL)
    canvas.line([(74, 48), (90, 24), (97, 24)], 3.5, METAL)
    canvas.polygon([*arc(46, 46, 36, 38, 180, 270), (46, 46)], "shade")
    canvas.polygon([(10, 46), (78, 46), (72, 62), (58, 70), (28, 70), (14, 60)])
    canvas.line([(46, 46), (46, 8)], 1.2, OUTLINE, 0)
    canvas.line([(46, 46), (20, 20)], 1.2, OUTLINE, 0)
    for x in (26, 70):
        canvas.ellipse(x, 84, 12, 12, DARK)
        canvas.ellipse(x, 84, 5, 5, WHITE, 0)


def rattle(canvas: Canvas) -> None:
    """Draw a rattle: a big bead on a handle, a ring to grasp at its end."""
    canvas.line([(46, 54), (28, 76)], 8, WHITE)
    canvas.ring(21, 83, 11, 11, 6, "shade")
    canvas.ellipse(62, 34, 30, 30)
    canvas.line([(40, 14), (84, 54)], 7, WHITE, 2)
    for x, y in ((74, 24), (66, 16), (50, 46), (58, 54)):
        canvas.ellipse(x, y, 2.6, 2.6, WHITE, 1)


def bib(canvas: Canvas) -> None:
    """Draw a bib."""
    canvas.polygon(
        smooth(
            [(24, 4), (12, 30), (10, 70), (26, 94), (50, 97), (74, 94), (90, 70), (88, 30), (76, 4), (64, 6), (36, 6)],
            2,
        )
    )
    canvas.polygon(smooth([(34, -4), (30, 22), (42, 38), (58, 38), (70, 22), (66, -4)], 2), WHITE)
    canvas.ellipse(28, 10, 3, 3, METAL, 1)
    canvas.ellipse(72, 10, 3, 3, METAL, 1)
    canvas.line(arc(50, 62, 16, 14, 20, 160), 2.4, OUTLINE, 0)
    canvas.ellipse(42, 58, 3, 3, OUTLINE, 0)
    canvas.ellipse(58, 58, 3, 3, OUTLINE, 0)


def teddy_bear(canvas: Canvas) -> None:
    """Draw a sitting teddy bear."""
    for x in (30, 70):
        canvas.ellipse(x, 12, 10, 10, "shade")
    canvas.ellipse(22, 58, 10, 15, "shade")
    canvas.ellipse(78, 58, 10, 15, "shade")
    canvas.ellipse(50, 68, 26, 26)
    canvas.ellipse(28, 88, 15, 10, "shade")
    canvas.ellipse(72, 88, 15, 10, "shade")
    canvas.ellipse(50, 28, 27, 24)
    canvas.ellipse(50, 36, 12, 9, (244, 226, 196), 2)
    canvas.ellipse(50, 32, 4, 3, DARK, 0)
    for x in (38, 62):
        canvas.ellipse(x, 23, 3.4, 3.4, DARK, 0)


def crib(canvas: Canvas) -> None:
    """Draw a crib with bars and a mattress."""
    canvas.box(12, 56, 88, 74, WHITE)
    for x in (22, 33, 44, 56, 67, 78):
        canvas.line([(x, 30), (x, 74)], 3.4, "shade", 2)
    canvas.box(6, 24, 94, 34, r=3)
    canvas.box(6, 70, 94, 82, r=3)
    for x in (4, 87):
        canvas.box(x, 12, x + 9, 92, r=3)
        canvas.ellipse(x + 4.5, 94, 5, 5, DARK)


def pacifier(canvas: Canvas) -> None:
    """Draw a pacifier."""
    canvas.ring(50, 80, 15, 15, 6, "shade")
    canvas.polygon(smooth([(43, 46), (36, 20), (40, 4), (60, 4), (64, 20), (57, 46)], 2), TEAT)
    canvas.polygon(
        smooth([(8, 44), (26, 40), (50, 44), (74, 40), (92, 44), (92, 62), (72, 70), (50, 66), (28, 70), (8, 62)], 2)
    )
    canvas.ellipse(50, 56, 9, 9, WHITE)
    canvas.ellipse(22, 54, 4, 4, DARK, 0)
    canvas.ellipse(78, 54, 4, 4, DARK, 0)


def romper(canvas: Canvas) -> None:
    """Draw a romper with short arms and legs."""
    canvas.polygon(
        [
            (34, 10),
            (66, 10),
            (94, 28),
            (84, 46),
            (72, 38),
            (74, 66),
            (84, 92),
            (62, 94),
            (50, 76),
            (38, 94),
            (16, 92),
            (26, 66),
            (28, 38),
            (16, 46),
            (6, 28),
        ]
    )
    canvas.polygon(arc(50, 10, 14, 14, 0, 180), WHITE)
    for x in (42, 50, 58):
        canvas.ellipse(x, 70 + abs(x - 50) * 0.4, 2.4, 2.4, WHITE, 1)
    canvas.ellipse(50, 44, 10, 9, WHITE, 2)


def building_blocks(canvas: Canvas) -> None:
    """Draw three cubes, one upon two."""
    for x, y in ((6, 54), (52, 54), (29, 12)):
        canvas.polygon([(x, y + 8), (x + 8, y), (x + 44, y), (x + 36, y + 8)], "shade")
        canvas.polygon([(x + 36, y + 8), (x + 44, y), (x + 44, y + 34), (x + 36, y + 42)], "shade")
        canvas.box(x, y + 8, x + 36, y + 42)
    canvas.polygon([(17, 88), (24, 70), (31, 88)], WHITE, 2)
    canvas.ellipse(70, 79, 8, 8, WHITE, 2)
    canvas.box(39, 30, 55, 46, WHITE, 2)


def high_chair(canvas: Canvas) -> None:
    """Draw a high chair from the side."""
    canvas.line([(34, 50), (20, 95)], 4, METAL)
    canvas.line([(66, 50), (80, 95)], 4, METAL)
    canvas.line([(27, 76), (73, 76)], 3.5, METAL)
    canvas.box(26, 4, 40, 56, r=5)
    canvas.box(26, 46, 74, 60, r=4)
    canvas.box(44, 30, 94, 37, WHITE, r=3)
    canvas.line([(60, 38), (60, 46)], 3, METAL)


DRAWINGS = {
    drawing.__name__: drawing
    for drawing in (bottle, stroller, rattle, bib, teddy_bear, crib, pacifier, romper, building_blocks, high_chair)
}
