"""The edits of an audit, one or several on an item, and an item before and after."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from robustrec.datasets.catalog import Catalog
from robustrec.datasets.registry import Dataset
from robustrec.edits import ALL, EDITS, JOIN, edit
from robustrec.edits.content import Content, content_of, text_of
from robustrec.edits.contract import Edit, apply_edit
from robustrec.edits.languages import Languages
from robustrec.edits.view import CatalogueView, view_of
from robustrec.encoders.rows import RowContent, StoredPicture, catalog_rows
from robustrec.encoders.visibility import PictureView, hidden_share
from robustrec.errors import RobustrecError
from robustrec.files import digest_bytes
from robustrec.seeds import numpy_generator

MOST_DECODED = 2**27
"""Memory limit of the unedited pictures that are kept decoded, in bytes."""

AUDITED = "edit"
"""Name of the random stream of audited edits; training on edited content draws from another."""

COMBINATIONS = (
    "promo_phrase+promo_badge",
    "attribute_contradiction+recolour",
    "truncation+low_resolution",
)
"""Combinations of text and picture edits; "all" includes them."""


@dataclass(frozen=True)
class Treatment:
    """An edit of an item, or several edits in order.

    Attributes:
        name: name in the suite.
        parts: the edits.
    """

    name: str
    parts: tuple[Edit, ...]

    @property
    def modality(self) -> str:
        """Modality of the edit: "text", "image" or "both"."""
        touched = {part.modality for part in self.parts}
        return touched.pop() if len(touched) == 1 else "both"

    @property
    def fault(self) -> bool:
        """Whether a part of it is an upload fault, which means over edits leave out."""
        return any(part.fault for part in self.parts)

    def apply(
        self,
        content: Content,
        severity: int,
        view: CatalogueView,
        *,
        seed: int,
        draw: int,
        item: int,
        stream: str = AUDITED,
    ) -> Content:
        """Return the edited item, or the object `content` itself if nothing changed.

        What is drawn depends on seed, stream, draw, item and the part's name: not on the severity, nor on the other
        parts.
        """
        for part in self.parts:
            content = apply_edit(part, content, severity, numpy_generator(seed, stream, part.name, draw, item), view)
        return content


def treatments_of(edits: Sequence[str], *, where: str = "suite, audits.edits") -> tuple[Treatment, ...]:
    """Return the treatments of names of edits in a suite; user-defined edits are checked.

    Raises:
        RobustrecError: the edit was not found, or is not an edit.
    """
    names = [each for name in edits for each in ((*EDITS, *COMBINATIONS) if name == ALL else (name,))]
    return tuple(
        Treatment(name, tuple(edit(part, where=where) for part in name.split(JOIN))) for name in dict.fromkeys(names)
    )


def has_user_edits(edits: Sequence[str]) -> bool:
    """Return whether any edit of a suite is user-defined."""
    return any(not part.own for treatment in treatments_of(edits) for part in treatment.parts)


@dataclass(frozen=True)
class Shown:
    """Opens an edited picture, and knows the digest of its pixels; None where the edit took the picture away."""

    image: Image.Image | None = field(repr=False)

    def __call__(self) -> Image.Image | None:
        """Return the picture."""
        return self.image

    @property
    def digest(self) -> str:
        """The sha256 of mode, size and pixels."""
        if self.image is None:
            return "none"
        return digest_bytes([f"{self.image.mode} {self.image.size}".encode(), self.image.tobytes()])


def picture_bytes(picture: Image.Image | None) -> int:
    """Return what a decoded RGB picture takes in memory."""
    return 0 if picture is None else 3 * picture.width * picture.height


class Row(NamedTuple):
    """An edited row to encode.

    Attributes:
        content: text and picture.
        key: digest of all that can be read of them.
        hidden: share of the changed pixels that the encoder does not see; None if not known, or if none changed.
    """

    content: RowContent
    key: str
    hidden: float | None = None

    @property
    def held_bytes(self) -> int:
        """What its edited picture takes in memory; one that is only named by its place in a store takes nothing."""
        picture = self.content.picture
        return picture_bytes(picture.image) if isinstance(picture, Shown) else 0


def row_of(text: str, picture: StoredPicture | Shown) -> Row:
    """Return a row with its key: the digest of the text, and of the picture's file or, edited, its pixels."""
    kind = b"pixels" if isinstance(picture, Shown) else b"file"
    parts = [text.encode("utf-8", "surrogatepass"), kind, picture.digest.encode("utf-8", "surrogatepass")]
    return Row(RowContent(text, picture), digest_bytes(parts))


@dataclass(frozen=True, eq=False)
class EditApplier:
    """Applies edits to the items of a catalogue.

    Attributes:
        catalog: the items.
        rows: their rows as the encoder reads them.
        view: the rest of the catalogue.
        seed: seed of the audits.
        seen: what the encoder sees of a picture; () if not known.
        stream: name of the random stream of the edits.
    """

    catalog: Catalog
    rows: Sequence[RowContent]
    view: CatalogueView
    seed: int
    seen: Sequence[PictureView] = ()
    stream: str = AUDITED
    _decoded: dict[int, Content] = field(default_factory=dict, init=False, repr=False)
    _left: list[int] = field(default_factory=lambda: [MOST_DECODED], init=False, repr=False)

    def before(self, treatment: Treatment, item: int) -> Content:
        """Return an unedited item; a picture that is not edited or not readable is None.

        Items with decoded pictures are kept up to MOST_DECODED: every edit and draw asks for them again.
        """
        if treatment.modality == "text":
            return content_of(self.catalog, item, picture=False)
        if (known := self._decoded.get(item)) is not None:
            return known
        try:
            content = content_of(self.catalog, item)
        except RobustrecError:
            return content_of(self.catalog, item, picture=False)
        if (size := picture_bytes(content.picture)) <= self._left[0]:
            self._left[0] -= size
            self._decoded[item] = content
        return content

    def after(self, treatment: Treatment, before: Content, item: int, severity: int, draw: int) -> Content:
        """Return the edited item, or the object `before` itself if nothing changed."""
        return treatment.apply(before, severity, self.view, seed=self.seed, draw=draw, item=item, stream=self.stream)

    def edited(
        self, treatment: Treatment, item: int, severities: Sequence[int], draw: int
    ) -> Iterator[tuple[int, Row]]:
        """Yield (severity, row) of an edited item, without the severities at which nothing of it is changed."""
        before = self.before(treatment, item)
        own = self.rows[item].picture
        assert isinstance(own, StoredPicture)  # as `catalog_rows` makes them
        for severity in severities:
            after = self.after(treatment, before, item, severity, draw)
            if after is not before:
                picture = own if after.picture is before.picture else Shown(after.picture)
                row = row_of(text_of(after), picture)
                yield severity, row._replace(hidden=hidden_share(before.picture, after.picture, self.seen))


def applier_of(
    dataset: Dataset,
    home: Path,
    seed: int,
    languages: Languages | None = None,
    *,
    seen: Sequence[PictureView] = (),
    stream: str = AUDITED,
) -> EditApplier:
    """Return what applies edits to the items of a data set.

    Args:
        dataset: with a catalog, see `runs.editable.not_editable`.
        home: folder whose `digests/` remembers the content of pictures.
        seed: seed of the audits.
        languages: the language packs; by default the shipped ones.
        seen: what the encoder sees of a picture; () if that is not wanted.
        stream: name of the random stream of the edits.
    """
    assert dataset.catalog is not None
    rows = catalog_rows(dataset.catalog, home / "digests")
    return EditApplier(dataset.catalog, rows, view_of(dataset, languages), seed, seen, stream)
