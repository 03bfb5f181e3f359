"""Item features of a dataset: one table per modality, row i is item i."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from robustrec.encoders import ENCODERS
from robustrec.encoders.store import Encoded, stored, tables_digest
from robustrec.errors import RobustrecError, unknown_name
from robustrec.files import digest_bytes, digest_file
from robustrec.progress import Progress

if TYPE_CHECKING:
    from robustrec.datasets.registry import Dataset

__all__ = [
    "MODALITIES",
    "ItemFeatures",
    "Progress",
    "catalog_digest",
    "encoder_name",
    "encoder_state",
    "item_features",
]

MODALITIES = ("image", "text")
"""The order of modalities everywhere, and the keys of a feature mapping."""


@dataclass(frozen=True)
class ItemFeatures:
    """The item features a recommender reads.

    Attributes:
        name: the encoder, "basic" or "imported".
        tables: modality -> float32 [I, D], finite, on the CPU, in the order of MODALITIES; what the dataset
            lacks is absent.
        digest: content hash of the tables.
        notes: what the user should know, such as "3 items without a picture: mean vector".
    """

    name: str
    tables: dict[str, torch.Tensor]
    digest: str
    notes: tuple[str, ...]


def item_features(dataset: Dataset, name: str, *, home: Path, progress: Progress | None = None) -> ItemFeatures:
    """Return the features of a dataset's items, from the store HOME/features or encoded now and stored there.

    Args:
        dataset: whose items; its catalogue or its feature files are read.
        name: an encoder, or "auto": `imported` where the dataset has feature files, else `basic`.
        home: the folder that holds the store.
        progress: told how the encoding goes; not called when the store has the features.

    Raises:
        RobustrecError: unknown name, a dataset without what the encoder needs, unreadable or invalid files.
    """
    chosen = encoder_name(dataset, name)
    encoded = _encoded(dataset, chosen, home, progress)
    tables = {modality: encoded.tables[modality] for modality in MODALITIES if modality in encoded.tables}
    return ItemFeatures(chosen, tables, tables_digest(tables), encoded.notes)


def encoder_state(dataset: Dataset, name: str, *, home: Path) -> dict[str, torch.Tensor]:
    """Return what an encoder fitted on the dataset's own catalogue, to encode edited items alike.

    For `basic` hand it to `robustrec.encoders.basic.state_from_tensors`. Empty for encoders that fit nothing.
    """
    return _encoded(dataset, encoder_name(dataset, name), home, None).state


def encoder_name(dataset: Dataset, name: str) -> str:
    """Return the encoder that a name stands for with this dataset: "auto" resolved, unknown names refused."""
    if name == "auto":
        return "imported" if dataset.feature_files else "basic"
    if name not in ENCODERS:
        raise unknown_name("encoder", name, ["auto", *ENCODERS], where="--features")
    return name


def _encoded(dataset: Dataset, name: str, home: Path, progress: Progress | None) -> Encoded:
    module_name, function = ENCODERS[name].split(":")
    module: Any = import_module(module_name)
    encode: Callable[[Dataset, Progress | None], Encoded] = getattr(module, function)
    if name == "imported":  # the files are the features already; a second copy in the store would serve nobody
        return encode(dataset, progress)
    identity = {"encoder": name, "content": catalog_digest(dataset), **module.identity()}
    return stored(home, identity, lambda: encode(dataset, progress))


def catalog_digest(dataset: Dataset) -> str:
    """Return the digest of what encoders read: texts, picture bytes and feature files.

    Taken from the content and not from `dataset.digest`, so that a dataset whose catalogue was replaced in
    memory can never be served the features of the original.
    """
    return digest_bytes(_content(dataset))


def _content(dataset: Dataset) -> Iterator[bytes]:
    catalog = dataset.catalog
    for item, text in enumerate(catalog.texts if catalog is not None else ()):
        yield text.encode("utf-8", "surrogatepass")
        try:
            picture = catalog.picture_bytes(item) if catalog is not None else None
        except RobustrecError as error:
            yield from (b"unreadable", error.what.encode("utf-8", "surrogatepass"))
        else:
            yield from (b"none",) if picture is None else (b"picture", picture)
    for modality, path in sorted(dataset.feature_files.items()):
        yield from (modality.encode(), digest_file(path).encode())
