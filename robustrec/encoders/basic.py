"""Encoder `basic`: no weights and no download; the honest baseline for learned encoders.

Texts by hashed n-grams with TF-IDF, pictures by colour and gradient histograms, each reduced by the principal
directions of the catalogue. What is fitted (document frequencies, means, directions) comes from the unedited
catalogue. Encoding an item is then a pure function of its content and the fitted state: the same to the bit
alone or in any batch. The features of a catalogue have row norms with root mean square 1 in each modality.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import PIL
import sklearn
import torch
from numpy.typing import NDArray
from PIL import Image

from robustrec.datasets import pictures as decoding
from robustrec.encoders import ngrams, pictures, reduction
from robustrec.encoders.notes import items, picture_notes
from robustrec.encoders.reduction import Reduction, fit_reduction, reduce_rows
from robustrec.encoders.store import Encoded
from robustrec.errors import RobustrecError
from robustrec.files import digest_sources
from robustrec.progress import Progress

if TYPE_CHECKING:
    from robustrec.datasets.catalog import Catalog
    from robustrec.datasets.registry import Dataset

TEXT_WIDTH = 384
IMAGE_WIDTH = 512
# A quarter of the way to whitening; on the samples neither 0 nor 0.5 reads the attributes of items better.
POWER = 0.25
_THREADS = 4


@dataclass(frozen=True)
class TextState:
    """What is fitted for texts: n-gram weights float32 [2 * ngrams.BUCKETS], and the reduction."""

    weights: NDArray[np.float32]
    reduction: Reduction


@dataclass(frozen=True)
class BasicState:
    """What is fitted on a catalogue; a modality that the catalogue lacks is None."""

    text: TextState | None
    image: Reduction | None


def identity() -> dict[str, Any]:
    """Return what the output depends on besides the catalogue: sources, widths, libraries."""
    # How pictures are decoded counts too: one that could not be read once must not stay so in the store.
    modules = (__file__, ngrams.__file__, pictures.__file__, reduction.__file__, decoding.__file__)
    versions = {"numpy": np.__version__, "pillow": PIL.__version__, "scikit-learn": sklearn.__version__}
    return {
        "code": digest_sources(*(Path(module) for module in modules)),
        "configuration": {
            "text_width": TEXT_WIDTH,
            "image_width": IMAGE_WIDTH,
            "power": POWER,
        },
        "libraries": {name: ".".join(version.split(".")[:2]) for name, version in versions.items()},
    }


def encode(dataset: Dataset, progress: Progress | None) -> Encoded:
    """Fit on the dataset's catalogue and return its features with the fitted state.

    Raises:
        RobustrecError: the dataset has neither a text nor a readable picture.
    """
    if dataset.catalog is None:
        raise _no_content(dataset.name, ("it has no catalogue",))
    state, tables, notes = fit(dataset.catalog, progress)
    if not tables:
        raise _no_content(dataset.name, notes)
    return Encoded(tables, notes, state_to_tensors(state))


def fit(
    catalog: Catalog, progress: Progress | None = None
) -> tuple[BasicState, dict[str, torch.Tensor], tuple[str, ...]]:
    """Fit on a catalogue.

    Returns:
        The state; the features of the catalogue's own items, modality -> float32 [I, D], in which items
        without content have the mean vector of the others; and notes on those items.
    """
    tables: dict[str, torch.Tensor] = {}
    image, table, notes = _fit_pictures(catalog, progress)
    if table is not None:
        tables["image"] = torch.from_numpy(table)
    text, table, text_notes = _fit_texts(catalog.texts, progress)
    if table is not None:
        tables["text"] = torch.from_numpy(table)
    return BasicState(text, image), tables, notes + text_notes


def encode_texts(state: BasicState, texts: Sequence[str]) -> torch.Tensor:
    """Return the features float32 [n, TEXT_WIDTH] of texts; an empty one gets the catalogue's mean vector.

    Raises:
        RobustrecError: the catalogue of the state had no text.
    """
    if state.text is None:
        raise _not_fitted("text")
    present = np.array([bool(text.strip()) for text in texts], bool)
    rows = np.zeros((0, TEXT_WIDTH), np.float32)
    if present.any():
        counts = ngrams.count_ngrams([text for text, there in zip(texts, present, strict=True) if there])
        rows = reduce_rows(state.text.reduction, ngrams.sketch(counts, state.text.weights))
    return torch.from_numpy(_spread(rows, present, state.text.reduction))


def encode_pictures(state: BasicState, images: Iterable[Image.Image | None]) -> torch.Tensor:
    """Return the features float32 [n, IMAGE_WIDTH] of pictures; None gets the catalogue's mean vector.

    Raises:
        RobustrecError: the catalogue of the state had no picture.
    """
    return encode_descriptors(state, [None if image is None else pictures.describe_picture(image) for image in images])


def encode_descriptors(state: BasicState, described: Sequence[NDArray[np.float32] | None]) -> torch.Tensor:
    """Return the features float32 [n, IMAGE_WIDTH] of pictures by descriptor; None gets the catalogue's mean vector.

    Raises:
        RobustrecError: the catalogue of the state had no picture.
    """
    if state.image is None:
        raise _not_fitted("picture")
    present = np.array([descriptor is not None for descriptor in described], bool)
    rows = np.zeros((0, IMAGE_WIDTH), np.float32)
    if present.any():
        rows = reduce_rows(state.image, np.array([d for d in described if d is not None], np.float32))
    return torch.from_numpy(_spread(rows, present, state.image))


def state_to_tensors(state: BasicState) -> dict[str, torch.Tensor]:
    """Return the state as named tensors, for safetensors."""
    arrays: dict[str, NDArray[np.float32]] = {}
    parts = {"text": state.text.reduction if state.text else None, "image": state.image}
    if state.text is not None:
        arrays["text.weights"] = state.text.weights
    for name, part in parts.items():
        if part is not None:
            arrays |= {f"{name}.{field}": getattr(part, field) for field in ("mean", "projection", "fallback")}
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


def state_from_tensors(tensors: dict[str, torch.Tensor]) -> BasicState:
    """Return the state that `state_to_tensors` wrote down."""

    def part(name: str) -> Reduction:
        return Reduction(*(tensors[f"{name}.{field}"].numpy() for field in ("mean", "projection", "fallback")))

    text = TextState(tensors["text.weights"].numpy(), part("text")) if "text.weights" in tensors else None
    return BasicState(text, part("image") if "image.mean" in tensors else None)


def _fit_texts(
    texts: Sequence[str], progress: Progress | None
) -> tuple[TextState | None, NDArray[np.float32] | None, tuple[str, ...]]:
    present = np.array([bool(text.strip()) for text in texts], bool)
    if not present.any():
        return None, None, ("no item has a text: features without text",)
    if progress is not None:
        progress("encoding texts", 0, len(texts))
    counts = ngrams.count_ngrams([text for text, there in zip(texts, present, strict=True) if there])
    weights = ngrams.inverse_document_frequency(counts)
    fitted, rows = fit_reduction(ngrams.sketch(counts, weights), TEXT_WIDTH, power=POWER)
    if progress is not None:
        progress("encoding texts", len(texts), len(texts))
    missing = len(texts) - len(rows)
    notes = (f"{items(missing)} without a text: mean vector",) if missing else ()
    return TextState(weights, fitted), _spread(rows, present, fitted), notes


def _fit_pictures(
    catalog: Catalog, progress: Progress | None
) -> tuple[Reduction | None, NDArray[np.float32] | None, tuple[str, ...]]:
    n = len(catalog.texts)
    if catalog.pictures is None:
        return None, None, ("no item has a picture: features without pictures",)
    descriptors = np.zeros((n, pictures.WIDTH), np.float32)
    present = np.zeros(n, bool)
    unreadable: list[tuple[int, str]] = []

    def describe(item: int) -> NDArray[np.float32] | RobustrecError | None:
        try:
            image = catalog.picture(item)
            return None if image is None else pictures.describe_picture(image)
        except RobustrecError as error:
            return error

    with ThreadPoolExecutor(_THREADS) as pool:
        for item, found in enumerate(pool.map(describe, range(n))):
            if isinstance(found, RobustrecError):
                unreadable.append((item, found.what))
            elif found is not None:
                descriptors[item], present[item] = found, True
            if progress is not None and ((item + 1) % 64 == 0 or item + 1 == n):
                progress("encoding pictures", item + 1, n)
    if not present.any():
        return None, None, picture_notes(n - len(unreadable), unreadable, "features without pictures")
    notes = picture_notes(n - int(present.sum()) - len(unreadable), unreadable, "mean vector")
    fitted, rows = fit_reduction(descriptors[present], IMAGE_WIDTH, power=POWER)
    return fitted, _spread(rows, present, fitted), notes


def _spread(rows: NDArray[np.float32], present: NDArray[np.bool_], fitted: Reduction) -> NDArray[np.float32]:
    table = np.tile(fitted.fallback, (len(present), 1))
    table[present] = rows
    return table


def _no_content(name: str, reasons: tuple[str, ...]) -> RobustrecError:
    return RobustrecError(
        f"dataset {name!r} has no content to encode: {'; '.join(reasons)}",
        where="--features basic",
        fix="use a model that needs no features (--model bpr or --model lightgcn), "
        "or import items with texts or pictures: robustrec data import FOLDER --name NAME",
    )


def _not_fitted(modality: str) -> RobustrecError:
    return RobustrecError(
        f"cannot encode a {modality}: the catalogue had none when the encoder was fitted",
        where="--features basic",
        fix="leave this modality out, or encode a catalogue that has it",
    )
