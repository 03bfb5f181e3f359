"""Encoder `imported`: the feature files of a data set, used without changes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from robustrec.encoders.options import EncoderOptions, check_no_weights
from robustrec.encoders.rows import EncodedRows, RowContent
from robustrec.encoders.store import Encoded
from robustrec.encoders.weights import UsedWeights
from robustrec.errors import RobustrecError
from robustrec.files import digest_sources
from robustrec.modalities import in_order
from robustrec.progress import Progress
from robustrec.untrusted import UnreadableError, open_npy
from robustrec.untrusted.arrays import MAPPED_BYTES

if TYPE_CHECKING:
    from robustrec.datasets.registry import Dataset

_CHUNK = 1024  # rows converted and checked at a time, to limit memory


class ImportedEncoder:
    """Feature files of a data set; see `robustrec.encoders.rows.Encoder`.

    Args:
        name: "imported".
        dataset: data set with feature files.
        home: not used, since the files are not copied to the store.
        options: must have no weights and no denoising.
    """

    weights: tuple[UsedWeights, ...] = ()

    def __init__(self, name: str, dataset: Dataset, home: Path, options: EncoderOptions) -> None:
        del home
        self.name = name
        self.dataset = dataset
        check_no_weights(name, options)

    @property
    def identity(self) -> dict[str, Any]:
        """Return the digest of the sources; the digest of the tables covers the files."""
        return identity()

    def catalog_features(self, progress: Progress | None) -> Encoded:
        """Return the tables of the files."""
        return encode(self.dataset, progress)

    def encode(self, rows: Sequence[RowContent], progress: Progress | None = None) -> EncodedRows:
        """Raise an error, since the encoder of the files is not known.

        Raises:
            RobustrecError: always.
        """
        del rows, progress
        raise RobustrecError(
            "imported features cannot be computed again for an edited text or picture",
            where=f"--features {self.name}, dataset {self.dataset.name}",
            fix="audit edits with an encoder that reads texts and pictures: --features basic, or --features blip "
            "--weights FOLDER",
        )


def identity() -> dict[str, Any]:
    """Return the inputs of the output besides the files: this module."""
    return {"code": digest_sources(Path(__file__))}


def encode(dataset: Dataset, progress: Progress | None) -> Encoded:
    """Return the feature files of a data set as float32 tables, without scaling or normalization.

    Raises:
        RobustrecError: there are no feature files, or a file is not a numeric [I, D] array, has another number of rows
            than items, or has a value that is NaN, infinite or too large for float32.
    """
    if not dataset.feature_files:
        raise RobustrecError(
            f"data set {dataset.name!r} has no feature files",
            where="--features imported",
            fix="use --features basic, or import a folder with feature files: image_feat.npy, text_feat.npy or "
            "NAME_feat.npy for any other modality",
        )
    tables = {
        modality: read_table(dataset.feature_files[modality], dataset.interactions.n_items, modality, progress)
        for modality in in_order(dataset.feature_files)
    }
    return Encoded(tables, (), {})


def read_table(path: Path, n_items: int, modality: str, progress: Progress | None = None) -> torch.Tensor:
    """Return a feature file as a float32 tensor [I, D], checked for finite values.

    Large files of float32 are mapped into memory: the system reads rows when they are needed, and can drop them again.

    Raises:
        RobustrecError: see `encode`.
    """
    values = _open(path)
    mapped = values.nbytes >= MAPPED_BYTES and values.dtype == np.float32 and values.flags.c_contiguous
    if values.ndim != 2 or values.shape[1] == 0 or values.dtype.kind not in "fiu":
        raise _wrong(path, f"must be a numeric table [items, width], but got {values.dtype} of shape {values.shape}")
    if len(values) != n_items:
        raise _wrong(path, f"has {len(values)} rows, but the data set has {n_items} items")
    table: NDArray[np.float32] = open_npy(path, own_pages=True) if mapped else np.empty(values.shape, np.float32)
    for start in range(0, n_items, _CHUNK):
        rows = slice(start, start + _CHUNK)
        if not mapped:
            with np.errstate(over="ignore"):
                table[rows] = values[rows]
        bad = np.flatnonzero(~np.isfinite(table[rows]).all(axis=1))
        if bad.size:
            row = start + int(bad[0])
            column = int(np.flatnonzero(~np.isfinite(table[row]))[0])
            raise _wrong(
                path,
                f"row {row} (item {row}), column {column} is {values[row, column]}, not a finite float32",
            )
        if progress is not None:
            progress(f"reading {modality} features", min(start + _CHUNK, n_items), n_items)
    return torch.from_numpy(table)


def _open(path: Path) -> NDArray[Any]:
    try:
        return open_npy(path)
    except UnreadableError as error:
        raise _wrong(path, f"cannot be read as a numpy array: {error}") from error


def _wrong(path: Path, what: str) -> RobustrecError:
    return RobustrecError(
        f"feature file {path.name} {what}",
        where=str(path),
        fix="save a float32 array [items, width] with numpy.save, row i for item i; or use --features basic",
    )
