"""The clean picture of an item: backdrop, product, brand mark."""

from __future__ import annotations

from collections.abc import Callable

from robustrec.datasets.shop import drawings_baby, drawings_clothing, drawings_electronics, drawings_sports
from robustrec.datasets.shop.canvas import Canvas, Pose
from robustrec.datasets.shop.draws import Draws
from robustrec.datasets.shop.surfaces import BACKDROPS, Pixels, surface
from robustrec.datasets.shop.vocabulary import Vocabulary

DRAWINGS: dict[str, Callable[[Canvas], None]] = {
    **drawings_baby.DRAWINGS,
    **drawings_sports.DRAWINGS,
    **drawings_clothing.DRAWINGS,
    **drawings_electronics.DRAWINGS,
}


def drawn_pose(draws: Draws) -> Pose:
    """Return a small variation of how a product stands: size, tilt, place, and which way it looks."""
    return Pose(
        mirrored=draws.chance(0.5),
        scale=draws.integer(196, 220) / 100,
        tilt=draws.integer(-7, 7),
        shift=(draws.integer(-8, 8), draws.integer(-8, 4)),
    )


def clean_picture(words: Vocabulary, attributes: dict[str, str], draws: Draws) -> Pixels:
    """Return the clean picture of an item, [128, 128, 3].

    Args:
        words: the shop's vocabulary.
        attributes: the item's value of each of ATTRIBUTES; all but the price are seen on the picture.
        draws: stream for the pose and the backdrop.
    """
    pose = drawn_pose(draws)
    texture = words.materials[attributes["material"]]
    body = surface(words.colours[attributes["colour"]], attributes["pattern"], texture)
    canvas = Canvas(BACKDROPS[words.styles[attributes["style"]]](draws), body, pose)
    DRAWINGS[words.kinds[attributes["kind"]].drawing](canvas)
    canvas.mark(words.brands[attributes["brand"]])
    return canvas.picture()
