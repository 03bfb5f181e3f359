"""Edit `lifestyle_background`: the product in a scene."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageOps

from robustrec.edits.content import Content
from robustrec.edits.contract import changes
from robustrec.edits.pictures.background_swap import crowd, table
from robustrec.edits.pictures.canvas import border_colour, hue, thumbnail
from robustrec.edits.pictures.cutout import cutout
from robustrec.edits.view import CatalogueView

_SIDE = 384  # scenes are drawn no larger than this and scaled up


@changes(
    "image",
    scale="kind of scene behind the product",
    steps=("studio", "wooden table", "room with a window", "garden", "party with lights"),
)
def lifestyle_background(
    content: Content, severity: int, generator: np.random.Generator, view: CatalogueView
) -> Content:
    """Put the product into a scene: a studio, a table, a room, a garden or a party."""
    seed = int(generator.integers(0, 2**32))
    picture = content.picture
    if picture is None:
        return content
    dark = sum(border_colour(picture)) > 3 * 128
    # One stream for each scene, so that no scene depends on what another one draws.
    scene = SCENES[severity - 1](thumbnail(picture, _SIDE).size, dark, np.random.default_rng([seed, severity]))
    scene = scene.filter(ImageFilter.GaussianBlur(max(scene.size) / 200))
    if scene.size != picture.size:
        scene = scene.resize(picture.size, Image.Resampling.BICUBIC)
    return replace(content, picture=Image.composite(picture, scene, cutout(picture)))


def _studio(size: tuple[int, int], dark: bool, generator: np.random.Generator) -> Image.Image:
    """Draw a grey backdrop, brighter in its middle."""
    glow = ImageOps.invert(Image.radial_gradient("L")).resize(size, Image.Resampling.BICUBIC)
    low, high = (200, 238) if dark else (214, 246)
    tint = generator.integers(-6, 7, 3).tolist()
    edge, middle = (Image.new("RGB", size, tuple(level + each for each in tint)) for level in (low, high))
    return Image.composite(middle, edge, glow)


def _room(size: tuple[int, int], dark: bool, generator: np.random.Generator) -> Image.Image:
    """Draw a wall with a window and a picture, a floor, a carpet and a plant."""
    width, height = size
    image = Image.new("RGB", size, hue(generator.random(), 0.35, 0.55 if dark else 0.85))
    draw = ImageDraw.Draw(image)
    floor = height * 7 // 10
    draw.rectangle((0, floor, width, height), fill=hue(0.08, 0.55, 0.42))
    draw.ellipse(
        (width * 0.15, floor + height * 0.08, width * 0.85, height * 1.1), fill=hue(generator.random(), 0.6, 0.6)
    )
    left = width * (0.06 if generator.random() < 0.5 else 0.6)
    draw.rectangle((left, height * 0.08, left + width * 0.32, height * 0.5), fill=(250, 250, 250))
    for across in range(2):
        for down in range(2):
            x, y = left + width * (0.02 + 0.145 * across), height * (0.1 + 0.195 * down)
            draw.rectangle((x, y, x + width * 0.135, y + height * 0.185), fill=(150, 200, 236))
    x = width * (0.86 if left < width / 2 else 0.12)
    for leaf in range(9):
        y = floor - height * (0.02 + 0.045 * leaf)
        reach = width * (0.03 + 0.012 * (leaf % 4))
        draw.ellipse((x - reach, y - reach / 2, x + reach, y + reach / 2), fill=hue(0.33, 0.7, 0.3 + 0.04 * leaf))
    draw.rectangle(
        (x - width * 0.04, floor - height * 0.02, x + width * 0.04, floor + height * 0.09), fill=hue(0.05, 0.6, 0.6)
    )
    return image


def _garden(size: tuple[int, int], dark: bool, generator: np.random.Generator) -> Image.Image:
    """Draw a sky with clouds, trees, and grass with flowers."""
    width, height = size
    image = Image.new("RGB", size, (96, 160, 222) if dark else (150, 205, 250))
    draw = ImageDraw.Draw(image)
    for across, down, wide in generator.random((4, 3)).tolist():
        x, y, reach = across * width, down * height * 0.3, width * (0.08 + 0.1 * wide)
        draw.ellipse((x - reach, y - reach / 3, x + reach, y + reach / 3), fill=(244, 247, 252))
    ground = height * 0.55
    for across, tall, tone in generator.random((9, 3)).tolist():
        x, reach = across * width, width * (0.07 + 0.07 * tall)
        draw.rectangle((x - reach / 7, ground - reach, x + reach / 7, ground + height * 0.05), fill=(96, 66, 40))
        draw.ellipse(
            (x - reach, ground - 2.6 * reach, x + reach, ground - 0.4 * reach), fill=hue(0.3, 0.7, 0.25 + 0.3 * tone)
        )
    draw.rectangle((0, ground, width, height), fill=(70, 140, 52))
    for across, down, turn in generator.random((160, 3)).tolist():
        x, y = across * width, ground + down * (height - ground)
        blade = height * (0.01 + 0.02 * down)
        if turn > 0.7:
            draw.ellipse((x - blade / 2, y - blade / 2, x + blade / 2, y + blade / 2), fill=hue(turn * 7, 0.75, 0.95))
        else:
            draw.line((x, y, x + blade * (turn - 0.35), y - 2 * blade), fill=hue(0.28, 0.75, 0.35 + turn / 2))
    return image


def _party(size: tuple[int, int], dark: bool, generator: np.random.Generator) -> Image.Image:
    """Draw lights, and guests before them."""
    image = crowd(size, True, generator)
    draw = ImageDraw.Draw(image)
    width, height = size
    for across, tall, turn in generator.random((11, 3)).tolist():
        x, head, top = across * width, width * 0.055, height * (0.34 + 0.2 * tall)
        skin, cloth = hue(0.07, 0.3 + 0.4 * turn, 0.9 - 0.5 * turn), hue(turn * 5, 0.75, 0.75)
        bottom = max(height, top + 3 * head)
        draw.rectangle((x - 1.9 * head, top + head, x + 1.9 * head, bottom), fill=cloth)
        draw.ellipse((x - head, top - head, x + head, top + 1.2 * head), fill=skin)
    return image


SCENES: tuple[Callable[[tuple[int, int], bool, np.random.Generator], Image.Image], ...] = (
    _studio,
    table,
    _room,
    _garden,
    _party,
)
