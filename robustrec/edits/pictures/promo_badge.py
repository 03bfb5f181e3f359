"""Edit `promo_badge`: a sale badge in a corner."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from robustrec.edits.content import Content
from robustrec.edits.contract import changes
from robustrec.edits.pictures.canvas import LOUD, WHITE, Colour, share
from robustrec.edits.pictures.lettering import letters
from robustrec.edits.view import CatalogueView

SIDES = (18, 25, 33, 42, 52)  # % of the shorter side of the picture
_MARGIN = 3.0
_SMOOTH = 4  # shapes are drawn larger and scaled down, up to _SMOOTH_SIDE pixels
_SMOOTH_SIDE = 1024

Shape = Callable[[ImageDraw.ImageDraw, int, Colour], None]


@changes("image", scale="side of the badge, relative to the shorter side", steps=(f"{percent} %" for percent in SIDES))
def promo_badge(content: Content, severity: int, generator: np.random.Generator, view: CatalogueView) -> Content:
    """Add a sale badge to a corner of the picture."""
    pack = view.languages.lettering(content)
    words = pack.badges
    word, colour, shape, corner = (int(generator.integers(0, n)) for n in (len(words), len(LOUD), len(SHAPES), 4))
    picture = content.picture
    if picture is None:
        return content
    side = share(min(picture.size), SIDES[severity - 1])
    badge = _badge(SHAPES[shape], words[word], LOUD[colour], side, pack.face)
    margin = min(int(min(picture.size) * _MARGIN / 100), min(picture.size) - side)
    across, down = picture.width - side - margin, picture.height - side - margin
    # Twice as often at the top, where shops put them.
    place = ((margin, margin), (across, margin), (across, margin), (across, down))[corner]
    after = picture.copy()
    after.paste(badge, place, badge.getchannel("A"))
    return replace(content, picture=after)


def _badge(shape: Shape, word: str, colour: Colour, side: int, font: Path | None) -> Image.Image:
    """Return a badge, RGBA, with a word that fills its middle."""
    smooth = _SMOOTH if side * _SMOOTH <= _SMOOTH_SIDE else 1
    large = side * smooth
    face = Image.new("L", (large, large), 0)
    badge = Image.new("RGB", (large, large), colour)
    shape(ImageDraw.Draw(face), large, colour)
    ink = letters(word, max(1, int(large * 0.74)), max(1, int(large * 0.36)), own=font)
    badge.paste(WHITE, ((large - ink.width) // 2, (large - ink.height) // 2), ink)
    badge.putalpha(face)
    return badge if smooth == 1 else badge.resize((side, side), Image.Resampling.BOX)


def _disc(draw: ImageDraw.ImageDraw, side: int, colour: Colour) -> None:
    draw.ellipse((0, 0, side - 1, side - 1), fill=255)


def _burst(draw: ImageDraw.ImageDraw, side: int, colour: Colour) -> None:
    """Draw a star of many short points."""
    points = []
    for step in range(32):
        radius = side / 2 * (1.0 if step % 2 else 0.86)
        angle = math.pi * step / 16
        points.append((side / 2 + radius * math.cos(angle), side / 2 + radius * math.sin(angle)))
    draw.polygon(points, fill=255)


def _plate(draw: ImageDraw.ImageDraw, side: int, colour: Colour) -> None:
    draw.rounded_rectangle((0, side * 0.22, side - 1, side * 0.78), radius=side * 0.08, fill=255)


SHAPES: tuple[Shape, ...] = (_disc, _burst, _plate)
