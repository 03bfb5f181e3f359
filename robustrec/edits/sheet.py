"""A contact sheet with examples of every edit at every severity."""

from __future__ import annotations

import io
import re
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from PIL import Image, ImageDraw

from robustrec.datasets.catalog import Catalog, build_catalog
from robustrec.datasets.items import CatalogItem
from robustrec.datasets.pictures import picture_names
from robustrec.edits.content import Content, content_of
from robustrec.edits.contract import SEVERITIES, Edit, apply_edit, touched
from robustrec.edits.pictures.lettering import font
from robustrec.edits.view import CatalogueView
from robustrec.errors import RobustrecError
from robustrec.progress import Progress, silent
from robustrec.seeds import numpy_generator

CELL = 176  # side of a cell, in pixels
_LABEL = 250  # width of the first column
_HEAD = 30
_FOOT = 20  # below a cell, for its caption
_GAP = 8
_TRIED = 40  # number of items that are tried
_TELLING = 3  # minimum number of different titles over the severities of a text edit
_INK, _PALE, _PAPER, _FRAME = (24, 24, 28), (110, 112, 120), (255, 255, 255), (218, 219, 224)
_LATIN = str.maketrans(
    {"ß": "ss", "ø": "o", "Ø": "O", "æ": "ae", "œ": "oe", "ł": "l", "–": "-", "°": " deg", "—": "-", "’": "'"}
)


def contact_sheet(
    catalog: Catalog,
    view: CatalogueView,
    edits: Sequence[Edit],
    *,
    seed: int,
    heading: str,
    progress: Progress = silent,
) -> Image.Image:
    """Return a picture with a row for each edit: description, original item, and severities 1 to 5.

    Each row has a random item to which the edit applies.

    Args:
        catalog: texts and pictures.
        view: the rest of the catalog.
        edits: edits in the order of the rows.
        seed: seed of items and edits.
        heading: title of the picture.
        progress: reports the number of rows.

    Raises:
        RobustrecError: a user-defined edit failed.
    """
    row_height = CELL + _FOOT + _GAP
    width = _LABEL + (len(SEVERITIES) + 1) * (CELL + _GAP) + _GAP
    sheet = Image.new("RGB", (width, 2 * _HEAD + len(edits) * row_height), _PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.text((_GAP, 8), shown(heading), _INK, font(17))
    for column, name in enumerate(("original", *(f"severity {severity}" for severity in SEVERITIES))):
        draw.text((_LABEL + column * (CELL + _GAP), _HEAD + 8), name, _PALE, font(14))
    for number, edit in enumerate(edits):
        progress("drawing the contact sheet", number + 1, len(edits), edit.name)
        top = 2 * _HEAD + number * row_height
        draw.line((_GAP, top - _GAP // 2, width - _GAP, top - _GAP // 2), fill=_FRAME)
        _label(draw, edit, top)
        found = _item_for(edit, catalog, view, seed)
        if found is None:
            draw.text((_LABEL, top), "does not apply to any item", _PALE, font(14))
            continue
        for column, (content, caption) in enumerate(_row(edit, *found, view, seed)):
            _cell(sheet, content, edit, caption, (_LABEL + column * (CELL + _GAP), top))
    return sheet


def png_bytes(sheet: Image.Image) -> bytes:
    """Return a picture as the bytes of a PNG file."""
    stream = io.BytesIO()
    sheet.save(stream, "PNG")
    return stream.getvalue()


def catalog_of_pictures(pictures: Path) -> Catalog:
    """Return the catalog of a folder or zip of pictures; titles are the file names.

    Raises:
        RobustrecError: it is missing, not a zip file, or has no pictures.
    """
    names = picture_names(pictures)
    if not names:
        raise RobustrecError("no pictures found", where=str(pictures), fix="give a folder or zip of pictures")
    titles = (" ".join(re.split(r"[\W_]+", PurePosixPath(name).stem)).strip() for name in names)
    items = [CatalogItem(title, "", (), "", name, ()) for title, name in zip(titles, names, strict=True)]
    return build_catalog(items, pictures)[0]


def shown(text: str) -> str:
    """Return a text in the characters of the font: without accents, emoji by name, other scripts as "?".

    The font of Pillow has Latin letters only; the edits keep all characters.
    """
    return "".join(_letter(letter) for letter in text.translate(_LATIN))


def _letter(letter: str) -> str:
    latin = unicodedata.normalize("NFKD", letter).encode("ascii", "ignore").decode()
    kind = unicodedata.category(letter)
    if letter.isprintable() and latin:
        return latin
    if kind == "So":
        return f"({' '.join(unicodedata.name(letter, 'sign').lower().split()[:3])})"
    return "?" if kind[0] in "LNPS" else ""


def _item_for(edit: Edit, catalog: Catalog, view: CatalogueView, seed: int) -> tuple[int, Content] | None:
    """Return a random item that the edit changes, preferably differently at each severity; None if none is found."""
    order = numpy_generator(seed, "contact sheet", edit.name).permutation(len(catalog.texts))
    best: tuple[int, Content] | None = None
    for row in order[:_TRIED].tolist():
        try:
            content = content_of(catalog, row, picture=edit.modality == "image")
        except RobustrecError:  # an unreadable picture; the audits count them
            continue
        after = [each for each, _ in _row(edit, row, content, view, seed)][1:]
        if not content.title or not any(touched(content, each) for each in after):
            continue
        if edit.modality == "image" or len({each.title for each in after}) >= _TELLING:
            return row, content
        best = best or (row, content)
    return best


def _row(edit: Edit, row: int, content: Content, view: CatalogueView, seed: int) -> Iterator[tuple[Content, str]]:
    yield content, ""
    for severity in SEVERITIES:
        after = apply_edit(edit, content, severity, numpy_generator(seed, edit.name, row), view)
        yield after, edit.declaration.steps[severity - 1] if touched(content, after) else "no change"


def _label(draw: ImageDraw.ImageDraw, edit: Edit, top: int) -> None:
    draw.text((_GAP, top), edit.name, _INK, font(18))
    lines = _wrapped(draw, edit.behaviour, 13, _LABEL - 3 * _GAP)
    place = top + 26
    for number, line in enumerate([*lines, *_wrapped(draw, edit.declaration.scale, 12, _LABEL - 3 * _GAP)]):
        place += 4 if number == len(lines) else 0
        draw.text((_GAP, place), line, _INK if number < len(lines) else _PALE, font(13 if number < len(lines) else 12))
        place += 17


def _cell(sheet: Image.Image, content: Content, edit: Edit, caption: str, corner: tuple[int, int]) -> None:
    draw = ImageDraw.Draw(sheet)
    left, top = corner
    if edit.modality == "image" and content.picture is not None:
        picture = _fitted(content.picture)
        x, y = left + (CELL - picture.width) // 2, top + (CELL - picture.height) // 2
        sheet.paste(picture, (x, y))
        draw.rectangle((x - 1, y - 1, x + picture.width, y + picture.height), outline=_FRAME)
    else:
        draw.rectangle((left, top, left + CELL - 1, top + CELL - 1), outline=_FRAME)
        _texts(draw, content, left + 6, top + 5)
    line = _wrapped(draw, caption, 12, CELL)[:1]
    draw.text((left, top + CELL + 2), line[0] if line else "", _PALE, font(12))


def _texts(draw: ImageDraw.ImageDraw, content: Content, left: int, top: int) -> None:
    bottom = top + CELL - 16
    maker = f"by {content.brand}" if content.brand else ""
    labels = ", ".join(content.categories)
    small = ((text, 11, _PALE) for text in (maker, labels, content.description) if text)
    for text, size, ink in ((content.title, 13, _INK), *small):
        for line in _wrapped(draw, text, size, CELL - 12):
            if top + size > bottom:
                return
            draw.text((left, top), line, ink, font(size))
            top += size + 3
        top += 3


def _wrapped(draw: ImageDraw.ImageDraw, text: str, size: int, width: int) -> list[str]:
    """Return the lines of a text; words too long for one are cut into several."""
    lines = [""]
    for word in shown(text[:600]).split():
        candidate = f"{lines[-1]} {word}".strip()
        if draw.textlength(candidate, font(size)) <= width:
            lines[-1] = candidate
            continue
        rest = word
        while rest:
            length = len(rest)
            while length > 1 and draw.textlength(rest[:length], font(size)) > width:
                length -= 1
            lines.append(rest[:length])
            rest = rest[length:]
    return [line for line in lines if line]


def _fitted(picture: Image.Image) -> Image.Image:
    """Return a picture scaled to a cell; small pictures are scaled by an integer factor, to show their pixels."""
    scale = CELL / max(picture.size)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    return picture.resize(size, Image.Resampling.NEAREST if scale >= 2 else Image.Resampling.LANCZOS)
