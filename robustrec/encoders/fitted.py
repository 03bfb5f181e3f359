"""Encoder `basic` for a data set: it is fitted once on the catalog, and encodes each row separately."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from robustrec.encoders import basic, pictures
from robustrec.encoders.content import catalog_digest
from robustrec.encoders.notes import items, picture_notes
from robustrec.encoders.options import EncoderOptions, check_no_weights
from robustrec.encoders.rows import EncodedRows, RowContent
from robustrec.encoders.store import Encoded, stored
from robustrec.encoders.visibility import WholePicture
from robustrec.encoders.weights import UsedWeights
from robustrec.errors import RobustrecError
from robustrec.progress import Progress

if TYPE_CHECKING:
    from robustrec.datasets.registry import Dataset

_THREADS = 4


class BasicEncoder:
    """`basic`, fitted on the catalog of a data set; see `robustrec.encoders.rows.Encoder`.

    Args:
        name: "basic".
        dataset: data set with the catalog.
        home: folder of the store.
        options: must have no weights and no denoising.
    """

    weights: tuple[UsedWeights, ...] = ()
    picture_views = (WholePicture(),)

    def __init__(self, name: str, dataset: Dataset, home: Path, options: EncoderOptions) -> None:
        self.name = name
        self.dataset = dataset
        self.home = home
        check_no_weights(name, options)

    @cached_property
    def identity(self) -> Mapping[str, Any]:
        """Return the digests of catalog and sources, and the library versions."""
        content = catalog_digest(self.dataset, self.home / "digests")
        return {"encoder": self.name, "content": content, **basic.identity()}

    def catalog_features(self, progress: Progress | None) -> Encoded:
        """Return the features of the items of the catalog."""
        return stored(self.home, self.identity, lambda: basic.encode(self.dataset, progress))

    def encode(self, rows: Sequence[RowContent], progress: Progress | None = None) -> EncodedRows:
        """Return the vectors of rows; missing texts and missing or unreadable pictures get the mean vector."""
        tables: dict[str, torch.Tensor] = {}
        notes: tuple[str, ...] = ()
        if self._state.image is not None:
            described = self._describe(rows, progress)
            tables["image"] = basic.encode_descriptors(self._state, [picture.descriptor for picture in described])
            broken = [(row, picture.message) for row, picture in enumerate(described) if picture.message]
            missing = sum(picture.descriptor is None for picture in described) - len(broken)
            notes += picture_notes(missing, broken, "mean vector")
        if self._state.text is not None:
            tables["text"] = basic.encode_texts(self._state, [row.text for row in rows])
            missing = sum(not row.text.strip() for row in rows)
            notes += (f"{items(missing)} without a text: mean vector",) if missing else ()
        return EncodedRows(tables, notes)

    @cached_property
    def _state(self) -> basic.BasicState:
        return basic.state_from_tensors(self.catalog_features(None).state)

    @staticmethod
    def _describe(rows: Sequence[RowContent], progress: Progress | None) -> list[_Described]:
        found: list[_Described] = []
        with ThreadPoolExecutor(_THREADS) as pool:
            for described in pool.map(_describe, rows):
                found.append(described)
                if progress is not None:
                    progress("encoding pictures", len(found), len(rows))
        return found


class _Described(NamedTuple):
    descriptor: NDArray[np.float32] | None
    message: str


def _describe(row: RowContent) -> _Described:
    try:
        image = row.picture()
    except RobustrecError as error:
        return _Described(None, error.what)
    return _Described(None if image is None else pictures.describe_picture(image), "")
