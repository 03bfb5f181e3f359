"""New vectors of the items: quantised, mapped to the old space, mixed with old ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.linalg import orthogonal_procrustes
from torch import Tensor

from robustrec.audits.migration.config import QUANTISED

_LEVELS = 127  # of int8 on each side of 0


def quantised(table: Tensor, how: str) -> Tensor:
    """Return vectors [n, D] as an index in fewer bits gives them back: float16, or int8 with one scale a vector.

    int8 is symmetric: x is stored as round(127 x / max|x|), which is off by at most max|x| / 254.
    """
    assert how in QUANTISED
    if how == "float16":
        largest = torch.finfo(torch.float16).max
        return table.clamp(-largest, largest).half().to(table.dtype)
    scale = table.abs().amax(dim=1, keepdim=True).clamp_min(torch.finfo(table.dtype).tiny) / _LEVELS
    return (table / scale).round() * scale


class Adapter(NamedTuple):
    """x -> scale · (x - new_mean) R + old_mean, from new vectors to the old space; narrower ones are padded with zeros.

    Attributes:
        rotation: R, orthogonal [D, D], D the larger width.
        scale: one factor.
        new_mean: [D].
        old_mean: [D].
        width: of old vectors.
    """

    rotation: NDArray[np.float64]
    scale: float
    new_mean: NDArray[np.float64]
    old_mean: NDArray[np.float64]
    width: int

    def __call__(self, table: Tensor) -> Tensor:
        """Return the new vectors [n, D_new] in the old space [n, D_old]."""
        x = _padded(table.detach().cpu().numpy().astype(np.float64), len(self.new_mean))
        mapped = self.scale * (x - self.new_mean) @ self.rotation + self.old_mean
        return torch.from_numpy(np.ascontiguousarray(mapped[:, : self.width])).to(table.device, torch.float32)


def fitted_adapter(new: Tensor, old: Tensor) -> Adapter:
    """Return the adapter with the smallest sum of squares over items; it recovers a shift, rotation and scale exactly.

    R minimises ‖X R - Y‖ over orthogonal matrices, for centred X and Y; the scale is tr(Σ) / ‖X‖². Source: Schönemann
    1966, "A generalized solution of the orthogonal Procrustes problem", Psychometrika 31; Gower 1975 for the scale.

    Args:
        new: [n, D_new].
        old: [n, D_old], the same items.
    """
    width = max(new.shape[1], old.shape[1])
    x, y = (_padded(each.detach().cpu().numpy().astype(np.float64), width) for each in (new, old))
    means = x.mean(axis=0), y.mean(axis=0)
    x, y = x - means[0], y - means[1]
    rotation, trace = orthogonal_procrustes(x, y)
    size = float(np.square(x).sum())
    return Adapter(rotation, float(trace) / size if size else 1.0, *means, old.shape[1])


def undetermined(modality: str, n_fitted: int, old: Tensor, new: Tensor) -> str:
    """Return a warning where items fit no more dimensions than there are items, and others need more; empty if not.

    n centred vectors span at most n - 1 dimensions. The rotation of what is orthogonal to them is arbitrary.

    Args:
        modality: of the vectors.
        n_fitted: number of items that fit the adapter.
        old: [I, D_old] of all items.
        new: [I, D_new].
    """
    width = min(old.shape[1], new.shape[1])
    if n_fitted > width or n_fitted >= len(old):
        return ""
    return (
        f"{n_fitted:,} items do not determine the adapter of the {modality} vectors, of {width:,} dimensions, so that "
        f"it maps other items worse; fit more with --set migration.fit_items={width + 1}"
    )


def _padded(x: NDArray[np.float64], width: int) -> NDArray[np.float64]:
    return np.pad(x, ((0, 0), (0, width - x.shape[1])))


def mixed(old: Mapping[str, Tensor], new: Mapping[str, Tensor], items: Tensor) -> dict[str, Tensor]:
    """Return the features with new vectors for some items; tables of all items are the new ones themselves.

    Args:
        old: modality -> [I, D].
        new: modality -> [I, D].
        items: int64 [n].
    """
    found = dict(old)
    for name, table in new.items():
        if len(items) == len(table):
            found[name] = table
        elif len(items):
            found[name] = old[name].clone()
            places = items.to(table.device)
            found[name][places] = table[places]
    return found


def equal(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    """Return whether features are the same to the bit."""
    return one.keys() == other.keys() and all(torch.equal(table, other[name]) for name, table in one.items())
