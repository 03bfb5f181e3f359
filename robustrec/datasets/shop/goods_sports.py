"""How sports goods look, in coordinates 0..100, y down."""

from __future__ import annotations

from robustrec.datasets.shop.easel import DARK, METAL, OUTLINE, WHITE, Easel
from robustrec.datasets.shop.shapes import arc, cosine, sine, smooth


def ball(easel: Easel) -> None:
    """Draw a ball with pentagons, as in football."""
    easel.ellipse(50, 50, 45, 45)
    spokes = [(cosine(turn), sine(turn)) for turn in range(-90, 270, 72)]
    easel.polygon([(50 + 15 * x, 50 + 15 * y) for x, y in spokes], DARK, 0)
    for x, y in spokes:
        easel.line([(50 + 15 * x, 50 + 15 * y), (50 + 33 * x, 50 + 33 * y)], 2, DARK, 0)
        side_x, side_y = -y, x
        near = [(50 + 33 * x + 1 * side_x, 50 + 33 * y + 1 * side_y)]
        rim = [(50 + 44 * x + t * side_x, 50 + 44 * y + t * side_y) for t in (11, -11)]
        easel.polygon([*near, *rim], DARK, 0)


def racket(easel: Easel) -> None:
    """Draw a tennis racket."""
    for step in range(-18, 19, 9):
        easel.line([(62 + step, 8), (62 + step, 60)], 1, (150, 150, 150), 0)
        easel.line([(36, 34 + step), (88, 34 + step)], 1, (150, 150, 150), 0)
    easel.line([(46, 56), (36, 72)], 5)
    easel.line([(36, 72), (18, 97)], 8, DARK)
    easel.ring(62, 34, 27, 29, 8)


def dumbbell(easel: Easel) -> None:
    """Draw a dumbbell."""
    easel.box(30, 44, 70, 56, METAL)
    for x in (39, 45, 51, 57):
        easel.line([(x, 46), (x + 3, 54)], 1, OUTLINE, 0)
    easel.box(2, 36, 12, 64, "shade", r=3)
    easel.box(88, 36, 98, 64, "shade", r=3)
    easel.box(10, 22, 32, 78, r=5)
    easel.box(68, 22, 90, 78, r=5)


def bicycle(easel: Easel) -> None:
    """Draw a bicycle."""
    for x in (23, 77):
        easel.ring(x, 66, 19, 19, 4, DARK, 0)
        for turn in range(0, 180, 45):
            dx, dy = 18 * cosine(turn), 18 * sine(turn)
            easel.line([(x - dx, 66 - dy), (x + dx, 66 + dy)], 0.7, METAL, 0)
    easel.line([(23, 66), (36, 36), (67, 36), (48, 66), (23, 66)], 5.5, outline=2)
    easel.line([(36, 36), (48, 66)], 5.5, outline=2)
    easel.line([(77, 66), (65, 28)], 5.5, outline=2)
    easel.line([(36, 36), (34, 28)], 3, METAL, 2)
    easel.polygon(smooth([(24, 24), (44, 24), (44, 28), (30, 31)], 2), DARK)
    easel.line([(65, 28), (64, 20), (76, 18), (80, 24)], 3, DARK, 0)
    easel.ellipse(48, 66, 6, 6, METAL)


def skateboard(easel: Easel) -> None:
    """Draw a skateboard from the side, its deck turned to the viewer."""
    for x in (26, 74):
        easel.box(x - 5, 56, x + 5, 66, METAL)
        easel.ellipse(x - 8, 72, 8, 8, WHITE)
        easel.ellipse(x + 8, 72, 8, 8, WHITE)
        easel.ellipse(x - 8, 72, 2.6, 2.6, DARK, 0)
        easel.ellipse(x + 8, 72, 2.6, 2.6, DARK, 0)
    easel.polygon(smooth([(2, 28), (14, 32), (26, 38), (74, 38), (86, 32), (98, 28), (99, 38), (88, 52), (78, 60), (22, 60), (12, 52), (1, 38)], 2))


def helmet(easel: Easel) -> None:
    """Draw a bicycle helmet from the side."""
    easel.line([(26, 62), (44, 90), (52, 62)], 2.6, DARK, 0)
    easel.line([(72, 62), (44, 90)], 2.6, DARK, 0)
    easel.polygon([*arc(50, 60, 45, 46, 180, 360), (92, 66), (70, 62), (40, 64), (20, 72), (8, 70)])
    for points in (
        [(20, 44), (36, 26), (40, 34), (28, 52)],
        [(42, 24), (58, 22), (56, 34), (46, 36)],
        [(66, 25), (82, 40), (74, 48), (62, 34)],
    ):
        easel.polygon(smooth(points, 1), DARK, 0)


def yoga_mat(easel: Easel) -> None:
    """Draw a yoga mat, half rolled up."""
    easel.polygon([(22, 50), (60, 50), (98, 88), (60, 92)])
    easel.polygon([(10, 26), (62, 26), (62, 58), (10, 58)], outline=3)
    easel.ellipse(62, 42, 9, 16, WHITE)
    easel.ring(62, 42, 5, 10, 2.4, "shade", 0)
    easel.ellipse(62, 42, 1.6, 4, "shade", 0)
    easel.polygon(arc(10, 42, 7, 16, 90, 270), "body", 3)
    easel.polygon([(9, 27), (20, 27), (20, 57), (9, 57)], "body", 0)
    easel.line([(28, 26), (28, 58)], 4, DARK, 0)


def goggles(easel: Easel) -> None:
    """Draw swimming goggles."""
    easel.line([(8, 46), (20, 26), (50, 18), (80, 26), (92, 46)], 7, "shade")
    for x, far in ((27, 6), (73, 94)):
        near = 100 - (100 - 46 if x < 50 else 46)
        easel.polygon(smooth([(near, 44), (x, 38), (far, 44), (far, 60), (x, 76), (near, 64)], 2))
        inner = [(near + (x - near) * 0.3, 50), (x, 46), (far + (x - far) * 0.3, 50), (x, 67)]
        easel.polygon(smooth(inner, 2), (70, 110, 150), 2)
    easel.line([(45, 54), (55, 54)], 4, DARK, 0)


def tent(easel: Easel) -> None:
    """Draw a tent with its entrance open."""
    easel.line([(50, 10), (50, 4)], 2, OUTLINE, 0)
    easel.line([(14, 78), (2, 90)], 1.4, OUTLINE, 0)
    easel.line([(86, 78), (98, 90)], 1.4, OUTLINE, 0)
    easel.polygon([(50, 10), (96, 86), (4, 86)])
    easel.polygon([(50, 26), (70, 86), (30, 86)], (70, 60, 54))
    easel.polygon([(50, 26), (30, 86), (20, 86)], "shade")
    easel.polygon([(50, 26), (70, 86), (80, 86)], "shade")


def surfboard(easel: Easel) -> None:
    """Draw a surfboard, standing."""
    easel.polygon(smooth([(72, 88), (82, 97), (58, 94)], 1), DARK)
    easel.polygon(smooth([(50, 0), (76, 22), (80, 60), (66, 94), (50, 98), (34, 94), (20, 60), (24, 22)], 3))
    easel.line([(50, 5), (50, 95)], 2, WHITE, 0)
    easel.line([(24, 72), (76, 72)], 4, DARK, 0)


DRAWINGS = {
    drawing.__name__: drawing
    for drawing in (ball, racket, dumbbell, bicycle, skateboard, helmet, yoga_mat, goggles, tent, surfboard)
}
