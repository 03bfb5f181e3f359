"""Imported features with the encoder that made them: the files as they are, and edited items encoded again.

Before any work, a sample of unedited items is encoded again and compared with the imported rows; another encoder is
refused. Content that an edit does not change keeps the imported row, to the bit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from robustrec.encoders import imported
from robustrec.encoders.frozen import FrozenEncoder, joined
from robustrec.encoders.matching import Compared, Fault, fault_of_rows, summary_of
from robustrec.encoders.notes import items
from robustrec.encoders.rows import EncodedRows, RowContent, has_picture_file, row_key
from robustrec.encoders.store import Encoded
from robustrec.encoders.visibility import PictureView
from robustrec.encoders.weights import UsedWeights
from robustrec.errors import RobustrecError
from robustrec.files import digest_sources
from robustrec.progress import Progress

if TYPE_CHECKING:
    from robustrec.datasets.registry import Dataset

SAMPLE = 64
"""Number of unedited items that are encoded again."""
_SWAPPED = 8  # rows that show which modalities follow the text, and which the picture


class _Known(NamedTuple):
    """What the imported rows say about content that an edit does not change.

    Attributes:
        parts: what the vector depends on, of "text" and "picture".
        items: digest of this content -> an item with it.
        missing: float32 [D], the row for missing content.
        rule: what it is, for notes.
    """

    parts: tuple[str, ...]
    items: Mapping[str, int]
    missing: Tensor
    rule: str


class ReencodedImport:
    """Feature files of a data set, with the encoder that made them; see `robustrec.encoders.rows.Encoder`.

    Args:
        dataset: data set with feature files and a catalog.
        inner: the encoder.

    Attributes:
        from_files: modalities of the files that the encoder does not make; no edit changes them.

    Raises:
        RobustrecError: the encoder makes no modality of the files.
    """

    name = "imported"

    def __init__(self, dataset: Dataset, inner: FrozenEncoder) -> None:
        self.dataset = dataset
        self.inner = inner
        self.from_files = tuple(name for name in dataset.feature_files if name not in inner.recipe)
        self.kept = inner.kept
        if dataset.feature_files and len(self.from_files) == len(dataset.feature_files):
            raise RobustrecError(
                f"the encoder {inner.name!r} makes {' and '.join(inner.recipe)}, but the imported features are "
                f"{' and '.join(self.from_files)}",
                where=f"--encoder {inner.name}, dataset {dataset.name}",
                fix="name the encoder that made them, or omit --encoder",
            )

    @property
    def weights(self) -> tuple[UsedWeights, ...]:
        """Return the weights of the encoder."""
        return self.inner.weights

    @property
    def picture_views(self) -> tuple[PictureView, ...]:
        """Return what the networks of the encoder see of a picture."""
        return self.inner.picture_views

    @property
    def identity(self) -> dict[str, Any]:
        """Return the inputs of edited rows besides the files and the rows."""
        own = {"encoder": self.inner.name, "rows": self.inner.identity, "again": digest_sources(Path(__file__))}
        return {**imported.identity(), **own}

    @cached_property
    def tables(self) -> dict[str, Tensor]:
        """The imported tables."""
        return imported.encode(self.dataset, None).tables

    def catalog_features(self, progress: Progress | None) -> Encoded:
        """Return the tables of the files, after a comparison with the encoder.

        Raises:
            RobustrecError: the encoder did not make these features.
        """
        del progress
        return Encoded(self.tables, tuple(self._compared()), {})

    def encode(self, rows: Sequence[RowContent], progress: Progress | None = None) -> EncodedRows:
        """Return the vectors of rows of the modalities that the encoder makes.

        Rows with the content of a catalog item have its imported row; rows without content have the row that the
        files have for missing content, or the mean of the others.
        """
        if not rows:
            return EncodedRows({}, ())
        found = self.inner.read(rows, progress)
        tables: dict[str, Tensor] = {}
        notes: dict[str, None] = {}
        for modality, known in self._known.items():
            pieces = found[modality]
            read = torch.stack([each for _, each in pieces]).all(dim=0)
            missing = torch.split(known.missing, [piece.shape[1] for piece, _ in pieces])
            table = joined(pieces, missing)
            for place, row in enumerate(rows):
                item = known.items.get(row_key(row, known.parts) or "")
                if item is not None and read[place]:
                    table[place] = self.tables[modality][item]
            tables[modality] = table
            if count := int((~read).sum()):
                notes[f"{items(count, 'edited item')} without content for {modality}: {known.rule}"] = None
        return EncodedRows(tables, tuple(notes))

    def _compared(self) -> list[str]:
        """Encode a sample of items again, compare it with the imported rows and return notes.

        Raises:
            RobustrecError: they differ.
        """
        rows = self.inner.rows
        having = [
            item for item, row in enumerate(rows) if any(self.inner.has_content(name, row) for name in self._made)
        ]
        places = np.unique(np.linspace(0, len(having) - 1, min(SAMPLE, len(having)), dtype=int)).tolist()
        sample = [having[place] for place in places]
        compared: list[Compared] = []
        if sample:
            for name, pieces in self.inner.read([rows[item] for item in sample], store=True).items():
                table, read = (
                    torch.cat([each for each, _ in pieces], dim=1),
                    torch.stack([has for _, has in pieces]).all(0),
                )
                if name in self._made and bool(read.any()):
                    chosen = [sample[place] for place in read.nonzero().flatten().tolist()]
                    compared.append(Compared(name, chosen, self.tables[name], table[read]))
        if not compared:
            raise self._refused([Fault("no item has a text or picture that it reads", "import a catalog with them")])
        faults = [fault for each in compared if (fault := fault_of_rows(each))]
        if faults:
            raise self._refused(faults)
        unseen = [name for name in self._made if name not in {each.modality for each in compared}]
        return [
            *(summary_of(each, self.inner.name) for each in compared),
            *(f"{name}: no item has content that {self.inner.name} reads for it" for name in unseen),
            *(f"{name}: {self.inner.name} does not make it; no edit changes it" for name in self.from_files),
        ]

    @property
    def _made(self) -> list[str]:
        return [name for name in self.tables if name not in self.from_files]

    @cached_property
    def _known(self) -> dict[str, _Known]:
        rows = self.inner.rows
        both = [row for row in rows if row.text.strip() and has_picture_file(row)]
        moved_by = self.inner.moved_by(both[:_SWAPPED])
        found: dict[str, _Known] = {}
        for modality in self._made:
            parts = moved_by.get(modality) or self.inner.parts_of(modality)
            has = [self.inner.has_content(modality, row) for row in rows]
            known: dict[str, int] = {}
            for item, row in enumerate(rows):
                if has[item]:
                    known.setdefault(str(row_key(row, parts)), item)
            found[modality] = _Known(parts, known, *_missing(self.tables[modality], torch.tensor(has)))
        return found

    def _refused(self, faults: Sequence[Fault]) -> RobustrecError:
        checks = "; ".join(dict.fromkeys(fault.check for fault in faults))
        return RobustrecError(
            f"this encoder did not make these features: {'; '.join(fault.what for fault in faults)}",
            where=f"--encoder {self.inner.name}, dataset {self.dataset.name}",
            fix=f"{checks}; or encode the catalog with it: --features {self.inner.name}",
        )


def _missing(table: Tensor, has: Tensor) -> tuple[Tensor, str]:
    """Return the row of items without content, and what it is: the one that they share, or the mean of the others."""
    others = table[~has]
    if len(others) and bool((others == others[0]).all()):
        return others[0], "the imported row of items without content"
    present = table[has] if bool(has.any()) else table
    return present.double().mean(dim=0).float(), "mean of the imported rows"
