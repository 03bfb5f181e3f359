"""Edit `background_swap`: another background."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageOps

from robustrec.edits.content import Content
from robustrec.edits.contract import changes
from robustrec.edits.pictures.canvas import Colour, border_colour, hue, thumbnail
from robustrec.edits.pictures.cutout import cutout
from robustrec.edits.view import CatalogueView

WEIGHTS = (20, 40, 60, 80, 100)  # % opacity of the new background
_SIDE = 384  # scenes are drawn no larger than this and scaled up: they are out of focus anyway

EvaluationTargets = Callable[[tuple[int, int], bool, np.random.Generator], Image.Image]
"""`(size, dark, generator) -> RGB`; dark scenes go behind pictures with a bright background, so that they differ."""


@changes("image", scale="opacity of the new background", steps=(f"{percent} %" for percent in WEIGHTS))
def background_swap(content: Content, severity: int, generator: np.random.Generator, view: CatalogueView) -> Content:
    """Replace the background with a backdrop, a table, a party scene or another photo."""
    kind = int(generator.integers(0, len(SCENES) + 1))
    rows = view.pictures(content, generator)
    picture = content.picture
    if picture is None:
        return content
    size = thumbnail(picture, _SIDE).size
    other = next(view.others(content, rows[len(rows) // 2 :]), None) if kind == len(SCENES) else None
    if other is None:
        dark = sum(border_colour(picture)) > 3 * 128
        targets = SCENES[kind % len(SCENES)](size, dark, generator)
    else:
        targets = ImageOps.fit(_close(other), size, Image.Resampling.BICUBIC)
    targets = targets.filter(ImageFilter.GaussianBlur(max(size) / (150 if other is None else 40)))
    if size != picture.size:
        targets = targets.resize(picture.size, Image.Resampling.BICUBIC)
    mixed = Image.blend(picture, targets, WEIGHTS[severity - 1] / 100)
    return replace(content, picture=Image.composite(picture, mixed, cutout(picture)))


def _close(picture: Image.Image) -> Image.Image:
    """Return the middle of a picture, half as wide and high."""
    width, height = picture.size
    return picture.crop((width // 4, height // 4, max(width - width // 4, 1), max(height - height // 4, 1)))


def _backdrop(size: tuple[int, int], dark: bool, generator: np.random.Generator) -> Image.Image:
    """Draw a coloured backdrop, brighter in the middle of its upper half."""
    turn = generator.random()
    glow = ImageOps.invert(Image.radial_gradient("L")).resize(size, Image.Resampling.BICUBIC)
    low, high = ((0.75, 0.38), (0.6, 0.75)) if dark else ((0.35, 0.8), (0.15, 1.0))
    return Image.composite(Image.new("RGB", size, hue(turn, *high)), Image.new("RGB", size, hue(turn, *low)), glow)


def table(size: tuple[int, int], dark: bool, generator: np.random.Generator) -> Image.Image:
    """Draw a wall and the planks of a table before it."""
    turn, wood = generator.random(), 0.05 + 0.05 * generator.random()
    image = Image.new("RGB", size, hue(turn, 0.45, 0.5 if dark else 0.9))
    draw = ImageDraw.Draw(image)
    width, height = size
    edge = height * 3 // 5
    planks = 5
    for plank in range(planks):
        tone = 0.36 + 0.16 * generator.random() + (0.0 if dark else 0.3)
        top, bottom = (edge + (height - edge) * step // planks for step in (plank, plank + 1))
        draw.rectangle((0, top, width, bottom), fill=hue(wood, 0.6, tone))
        draw.line((0, bottom, width, bottom), fill=hue(wood, 0.7, tone * 0.55), width=max(1, height // 100))
    return image


def crowd(size: tuple[int, int], dark: bool, generator: np.random.Generator) -> Image.Image:
    """Draw lights out of focus."""
    image = Image.new("RGB", size, hue(generator.random(), 0.7, 0.22 if dark else 0.85))
    draw = ImageDraw.Draw(image)
    for across, down, radius, turn in generator.random((28, 4)).tolist():
        reach = (0.02 + 0.05 * radius) * max(size)
        x, y = across * size[0], down * size[1]
        lamp: Colour = hue(turn, 0.65, 0.95)
        draw.ellipse((x - reach, y - reach, x + reach, y + reach), fill=lamp)
    return image


SCENES: tuple[EvaluationTargets, ...] = (_backdrop, table, crowd)
