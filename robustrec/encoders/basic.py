"""Encoder `basic`: a baseline without weights or downloads.

Texts are hashed n-grams with TF-IDF weights, pictures are colour and gradient histograms; each is reduced by PCA.
Document frequencies, means and principal directions are fitted on the unedited catalog. The features of an item are a
pure function of its content and the fitted state, with equal bits alone or in any batch. The row norms of the features
of a catalog have root mean square 1 in each modality.
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
# Between PCA (0) and whitening (1); on the samples, 0 and 0.5 predict the attributes of items less well.
POWER = 0.25
_THREADS = 4


@dataclass(frozen=True)
class TextState:
    """Fitted state of texts: n-gram weights float32 [2 * ngrams.BUCKETS], and the reduction."""

    weights: NDArray[np.float32]
    reduction: Reduction


@dataclass(frozen=True)
class BasicState:
    """Fitted state of a catalog; None for a modality that the catalog does not have."""

    text: TextState | None
    image: Reduction | None


def identity() -> dict[str, Any]:
    """Return the inputs of the output besides the catalog: sources, widths, library versions."""
    # Including the decoder of pictures, so that a stored failure to read a picture is not reused by a newer decoder.
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
    """Fit on the catalog of a data set and return its features and the fitted state.

    Raises:
        RobustrecError: the data set has neither a text nor a readable picture.
    """
    if dataset.catalog is None:
        raise _no_content(dataset.name, ("no catalog",))
    state, tables, notes = fit(dataset.catalog, progress)
    if not tables:
        raise _no_content(dataset.name, notes)
    return Encoded(tables, notes, state_to_tensors(state))


def fit(
    catalog: Catalog, progress: Progress | None = None
) -> tuple[BasicState, dict[str, torch.Tensor], tuple[str, ...]]:
    """Fit on a catalog.

    Returns:
        The state; the features of the items, modality -> float32 [I, D], with the mean vector for items without
        content; and notes on those items.
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
    """Return the features float32 [n, TEXT_WIDTH] of texts; an empty text gets the mean vector of the catalog.

    Raises:
        RobustrecError: the encoder was fitted on a catalog without texts.
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
    """Return the features float32 [n, IMAGE_WIDTH] of pictures; None gets the mean vector of the catalog.

    Raises:
        RobustrecError: the encoder was fitted on a catalog without pictures.
    """
    return encode_descriptors(state, [None if image is None else pictures.describe_picture(image) for image in images])


def encode_descriptors(state: BasicState, described: Sequence[NDArray[np.float32] | None]) -> torch.Tensor:
    """Return the features float32 [n, IMAGE_WIDTH] of picture descriptors; None gets the mean vector of the catalog.

    Raises:
        RobustrecError: the encoder was fitted on a catalog without pictures.
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
    """Return the state from the tensors of `state_to_tensors`."""

    def part(name: str) -> Reduction:
        return Reduction(*(tensors[f"{name}.{field}"].numpy() for field in ("mean", "projection", "fallback")))

    text = TextState(tensors["text.weights"].numpy(), part("text")) if "text.weights" in tensors else None
    return BasicState(text, part("image") if "image.mean" in tensors else None)


def _fit_texts(
    texts: Sequence[str], progress: Progress | None
) -> tuple[TextState | None, NDArray[np.float32] | None, tuple[str, ...]]:
    present = np.array([bool(text.strip()) for text in texts], bool)
    if not present.any():
        return None, None, ("no item has a text: no text features",)
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
        return None, None, ("no item has a picture: no image features",)
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
        return None, None, picture_notes(n - len(unreadable), unreadable, "no image features")
    notes = picture_notes(n - int(present.sum()) - len(unreadable), unreadable, "mean vector")
    fitted, rows = fit_reduction(descriptors[present], IMAGE_WIDTH, power=POWER)
    return fitted, _spread(rows, present, fitted), notes


def _spread(rows: NDArray[np.float32], present: NDArray[np.bool_], fitted: Reduction) -> NDArray[np.float32]:
    table = np.tile(fitted.fallback, (len(present), 1))
    table[present] = rows
    return table


def _no_content(name: str, reasons: tuple[str, ...]) -> RobustrecError:
    return RobustrecError(
        f"data set {name!r} has no content to encode: {'; '.join(reasons)}",
        where="--features basic",
        fix="use a model without features (--model bpr or --model lightgcn), "
        "or import items with texts or pictures: robustrec data import FOLDER --name NAME",
    )


def _not_fitted(modality: str) -> RobustrecError:
    return RobustrecError(
        f"cannot encode a {modality}: the encoder was fitted on a catalog without {modality}s",
        where="--features basic",
        fix="leave out this modality, or use a catalog that has it",
    )
