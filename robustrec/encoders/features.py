"""Item features of a data set: one table per modality, row i is item i."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from robustrec.datasets.picture_kinds import kind_notes
from robustrec.encoders import ENCODERS, NETWORKS_ENCODER
from robustrec.encoders.chosen import (
    check_reencoding,
    encoder_name,
    features_label,
    further_files,
    weights_warnings,
)
from robustrec.encoders.content import catalog_digest
from robustrec.encoders.frozen import FrozenEncoder
from robustrec.encoders.imported import read_table
from robustrec.encoders.options import EncoderOptions
from robustrec.encoders.reencoding import ReencodedImport
from robustrec.encoders.rows import EncodedRows, Encoder, RowContent, RowEncoder
from robustrec.encoders.store import tables_digest
from robustrec.encoders.weights import UsedWeights
from robustrec.errors import RobustrecError
from robustrec.hardware import full_precision
from robustrec.modalities import MODALITIES, in_order
from robustrec.progress import Progress

if TYPE_CHECKING:
    from robustrec.datasets.registry import Dataset

__all__ = [
    "MODALITIES",
    "ItemFeatures",
    "Progress",
    "RowContent",
    "catalog_digest",
    "edited_tables",
    "encoder_state",
    "item_features",
    "row_encoder",
]


@dataclass(frozen=True)
class ItemFeatures:
    """Item features of a data set.

    Attributes:
        name: the encoder, as in `--features`.
        tables: available modality -> float32 [I, D], finite, on the CPU, in the order of modalities.
        digest: content hash of the tables.
        notes: notes for the user, such as "3 items without a picture: mean vector".
        identity: inputs of the vectors besides the catalog: weights by digest, settings, versions.
        weights: weights by name and digest; () for encoders without weights.
        warnings: reasons why the features may not be meaningful for this catalog.
        from_files: modalities whose tables are feature files beside those of the encoder; no edit changes them.
    """

    name: str
    tables: dict[str, torch.Tensor]
    digest: str
    notes: tuple[str, ...]
    identity: Mapping[str, Any] = field(default_factory=dict, repr=False)
    weights: tuple[UsedWeights, ...] = ()
    warnings: tuple[str, ...] = ()
    from_files: tuple[str, ...] = ()

    @property
    def encoded(self) -> dict[str, torch.Tensor]:
        """The tables of the encoder, which edited items change."""
        return {modality: table for modality, table in self.tables.items() if modality not in self.from_files}

    @property
    def label(self) -> str:
        """Name of the features in reports: the encoder and the denoising, if any."""
        networks = self.identity.get("networks", {}).values()
        return features_label(self.name, "capfilt" if any(each.get("capfilt") for each in networks) else "none")


@full_precision()
def item_features(
    dataset: Dataset,
    name: str,
    *,
    home: Path,
    progress: Progress | None = None,
    options: EncoderOptions | None = None,
) -> ItemFeatures:
    """Return the item features of a data set from the store under `home`; encode and store them if needed.

    An encoder makes image and text. Feature files of other modalities (`audio_feat.npy`) are added as they are.

    Args:
        dataset: the data set; its catalog or its feature files are read.
        name: an encoder, or "auto": `imported` if there are feature files, `tiny-blip` for a sample edition (it was
            trained on other products of the same shops), else `basic`.
        home: folder of the store.
        progress: reports the number of encoded items; not called for stored features.
        options: weights, device and others.

    Raises:
        RobustrecError: the name is unknown, required content or weights are missing, or files are unreadable or
            invalid.
    """
    encoder = _open(dataset, name, home, options)
    encoded = encoder.catalog_features(progress)
    files = further_files(dataset, encoded.tables)
    n_items = dataset.interactions.n_items
    found = {
        **encoded.tables,
        **{modality: read_table(path, n_items, modality, progress) for modality, path in files.items()},
    }
    tables = {modality: found[modality] for modality in in_order(found)}
    return ItemFeatures(
        encoder.name,
        tables,
        tables_digest(tables),
        (
            *encoded.notes,
            *_picture_kinds(dataset, encoder, encoded.tables, home),
            *(f"{modality}: feature file {path.name}, which no edit changes" for modality, path in files.items()),
        ),
        encoder.identity,
        encoder.weights,
        weights_warnings(dataset, encoder.name, encoder.weights),
        (*files, *getattr(encoder, "from_files", ())),
    )


def _picture_kinds(dataset: Dataset, encoder: Encoder, tables: Mapping[str, Tensor], home: Path) -> tuple[str, ...]:
    """Return what was made of transparent, animated and other unusual pictures, where the encoder reads pictures."""
    source = dataset.catalog.pictures if dataset.catalog is not None else None
    reads = bool({"image", "fused"} & tables.keys()) and encoder.name != "imported"
    if source is None or not reads or dataset.synthetic:
        return ()
    return kind_notes(source, home / "digests")


def row_encoder(dataset: Dataset, name: str, *, home: Path, options: EncoderOptions | None = None) -> RowEncoder:
    """Return the encoder of the features of a data set, to encode edited items in the same way.

    Weights are loaded when the first row is encoded.

    Raises:
        RobustrecError: the name is unknown, or required content or weights are missing.
    """
    return _open(dataset, name, home, options)


def edited_tables(
    dataset: Dataset,
    features: ItemFeatures,
    edited: Mapping[int, RowContent],
    encoder: RowEncoder,
    progress: Progress | None = None,
) -> EncodedRows:
    """Return copies of the feature tables with the edited items encoded again.

    Args:
        dataset: the data set.
        features: features of the unedited catalog.
        edited: item -> its new content.
        encoder: the encoder of the features.
        progress: reports the number of encoded items.

    Returns:
        The tables, modality -> float32 [I, D], and notes on the edited rows, numbered as in `edited`.

    Raises:
        RobustrecError: the encoder differs from that of the features, or cannot encode rows.
    """
    if (encoder.name, dict(encoder.identity)) != (features.name, dict(features.identity)):
        raise RobustrecError(
            f"features of encoder {features.name!r} cannot be combined with encoder {encoder.name!r} or other settings",
            where=f"dataset {dataset.name}",
            fix="encode the catalog and its edits with the same --features, --weights, --denoise and --device",
        )
    items = list(edited)
    encoded = encoder.encode([edited[item] for item in items], progress)
    tables = {modality: table.clone() for modality, table in features.tables.items()}
    for modality in features.encoded:
        if items:
            tables[modality][items] = encoded.tables[modality]
    return EncodedRows(tables, encoded.notes)


def encoder_state(dataset: Dataset, name: str, *, home: Path) -> dict[str, torch.Tensor]:
    """Return the state of an encoder fitted on the catalog of a data set; empty for encoders that are not fitted."""
    return _open(dataset, name, home, None).catalog_features(None).state


def _open(dataset: Dataset, name: str, home: Path, options: EncoderOptions | None) -> Encoder:
    chosen = encoder_name(dataset, name)
    options = options or EncoderOptions()
    if inner := check_reencoding(dataset, chosen, options):
        return ReencodedImport(
            dataset, FrozenEncoder(inner, dataset, home, options.model_copy(update={"encoder": None}))
        )
    module, _, kind = ENCODERS.get(chosen, NETWORKS_ENCODER).partition(":")
    make: Callable[[str, Dataset, Path, EncoderOptions], Encoder] = getattr(import_module(module), kind)
    return make(chosen, dataset, home, options)
