"""Edit `watermark`: a transparent name on the picture."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageChops, ImageFilter

from robustrec.edits.content import Content
from robustrec.edits.contract import changes
from robustrec.edits.pictures.canvas import share, thumbnail
from robustrec.edits.pictures.lettering import face_for, letters, plain
from robustrec.edits.texts.clusters import cut
from robustrec.edits.view import CatalogueView

_LONGEST = 24  # letters of a brand that is written across
_GROUND = 96  # pixels of the long side in which bright and dark areas are distinguished


class Mark(NamedTuple):
    """How a watermark is set: its width and opacity in %, and whether it is repeated or in a corner."""

    width: int
    opacity: int
    repeated: bool
    in_corner: bool = False


MARKS = (Mark(34, 30, False, True), Mark(80, 30, False), Mark(40, 30, True), Mark(36, 45, True), Mark(32, 65, True))


def _said(mark: Mark) -> str:
    place = "all over" if mark.repeated else "in a corner" if mark.in_corner else "across"
    return f"{place}, {mark.opacity} %"


@changes("image", scale="position and opacity", steps=map(_said, MARKS))
def watermark(content: Content, severity: int, generator: np.random.Generator, view: CatalogueView) -> Content:
    """Write the brand or the name of the shop across the picture."""
    pack = view.languages.lettering(content)
    words = pack.watermarks
    word, own, shift = words[generator.integers(0, len(words))], generator.random() < 0.5, generator.random()
    picture = content.picture
    if picture is None:
        return content
    name = _name(content.brand, pack.face) if own else ""
    mark = MARKS[severity - 1]
    stamp = _stamp(name or word, picture.size, mark, pack.face)
    veil = Image.new("L", picture.size, 0)
    if mark.repeated:
        _repeat(veil, stamp, shift)
    elif mark.in_corner:
        gap = min(picture.size) // 40
        veil.paste(stamp, (picture.width - stamp.width - gap, picture.height - stamp.height - gap))
    else:
        veil.paste(stamp, ((picture.width - stamp.width) // 2, (picture.height - stamp.height) // 2))
    after = picture.copy()
    after.paste(_ink(picture), (0, 0), veil.point([level * mark.opacity // 100 for level in range(256)]))
    return replace(content, picture=after)


def _ink(picture: Image.Image) -> Image.Image:
    """Return dark ink where the picture is bright and bright ink where it is dark, so that the mark shows on both."""
    ground = thumbnail(picture, _GROUND).convert("L").filter(ImageFilter.GaussianBlur(1))
    ink = ground.point([30 if level > 128 else 240 for level in range(256)]).convert("RGB")
    return ink.resize(picture.size, Image.Resampling.BILINEAR)


def _name(brand: str, face: Path | None) -> str:
    """Return a brand in capitals, cut, in its own letters if a font has them, else in Latin ones; perhaps empty."""
    name = " ".join(brand.split())
    if not name.isascii() and name.isprintable() and face_for(name.upper(), face) is not None:
        return cut(name.upper(), _LONGEST)
    return plain(brand)[:_LONGEST].upper()


def _stamp(word: str, size: tuple[int, int], mark: Mark, face: Path | None) -> Image.Image:
    """Return the word's coverage, slanted unless it stands in a corner; no larger than the picture."""
    width, height = share(size[0], mark.width), share(size[1], mark.width)
    if mark.in_corner:
        return letters(word, width, max(1, height // 3), own=face)
    # Slanted by 30 degrees, a word fills a box of about 0.87 of its length by half of it.
    length = max(1, min(width, int(height * 1.6)))
    slanted = letters(word, length, max(1, length // 3), own=face).rotate(30, Image.Resampling.BICUBIC, expand=True)
    return slanted.crop((0, 0, min(slanted.width, size[0]), min(slanted.height, size[1])))


def _repeat(veil: Image.Image, stamp: Image.Image, shift: float) -> None:
    """Set the stamp all over the veil, every second line shifted by half."""
    step, line = max(1, int(stamp.width * 1.2)), max(1, int(stamp.height * 0.95))
    for number, top in enumerate(range(-int(shift * line), veil.height, line)):
        for left in range(-int((shift + number % 2 / 2) * step), veil.width, step):
            box = (left, top, left + stamp.width, top + stamp.height)
            veil.paste(ImageChops.lighter(veil.crop(box), stamp), box)
