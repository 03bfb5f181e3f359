"""Item graphs of DA-MRS: of the nearest items that every modality finds similar, and of items taken together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from robustrec.models.dense import bf16_inputs, times_transposed
from robustrec.models.graphs import nearest
from robustrec.models.graphs.sparse import Sparse, sparse_of
from robustrec.models.graphs.user_user import co_occurrence

# Cosines held at once: 32 MB in float32, on a device other than the CPU 1 GB.
HELD, DEVICE_HELD = 2**23, 2**28
# What is added to the sizes of rows before the root.
OFFSET = 1e-7
# Cosines in float64 that are equal but for rounding.
_EQUAL = 1e-12
_LOW = 2**32 - 1


class _Modality(NamedTuple):
    """Features of a modality, prepared for cosines.

    Attributes:
        table: [I, D].
        norms: float64 [I].
        unit: float32 [G, D], the distinct rows, of length 1 or zero.
        group: int64 [I], place of each item among the distinct rows; None where all rows are distinct.
        mean: float64 scalar, the mean of all I² cosines.
    """

    table: Tensor
    norms: Tensor
    unit: Tensor
    group: Tensor | None
    mean: Tensor

    def near(self, rows: slice) -> Tensor:
        """Return float32 cosines of rows with all items [n, I]; equal items have equal ones to the bit."""
        own = self.unit[rows] if self.group is None else self.unit[self.group[rows]]
        found = times_transposed(own, self.unit)
        return found if self.group is None else found[:, self.group]

    def exact(self, rows: Tensor, others: Tensor) -> Tensor:
        """Return float64 cosines of rows [n] with items [n, c], rounded so that equal ones are equal."""
        own = self.table[rows].double()
        products = (self.table[others].double() * own[:, None]).sum(2)
        cosines: Tensor = products / (self.norms[rows, None] * self.norms[others])
        return cosines.round(decimals=nearest.DECIMALS)


@torch.no_grad()
@bf16_inputs(rounded=False)
def denoised_graphs(tables: Sequence[Tensor], k: int) -> list[Sparse]:
    """Return the graph [I, I] of each modality: its nearest items among those that no modality finds less similar.

    A pair of items survives if its cosine is at least the mean of all cosines, in every modality; an item always
    survives with itself. Row i of the graph of m has the n_i = min(k, survivors of i) survivors nearest by m, ties by
    lower id, with the value 1/√((n_i + 1e-7)(n_j + 1e-7)) at item j. The mean is ‖Σ_i x_i / ‖x_i‖‖² / I², so that no
    matrix of all pairs exists. A row of zeros has cosine 0 with every item. Where all features of a modality are equal,
    so are all cosines, and every pair survives.

    Candidates come from float32 products; their order and survival are settled in float64.

    Source: Xv et al., KDD 2024, arXiv 2406.12501, and its published code.

    Args:
        tables: features [I, D_m] of each modality.
        k: largest number of items of a row.
    """
    modalities = [_prepared(table) for table in tables]
    n_items, device = tables[0].shape[0], tables[0].device
    k = min(k, n_items)
    held = HELD if device.type == "cpu" else DEVICE_HELD
    parts: list[list[Tensor]] = [[] for _ in modalities]
    sizes = []
    step = max(1, held // n_items)
    for start in range(0, n_items, step):
        found = _nearest_survivors(modalities, slice(start, min(start + step, n_items)), k)
        # Each row has as many survivors in one modality as in another.
        sizes.append(torch.stack([counts for _, counts in found]).amin(0))
        for part, (items, _) in zip(parts, found, strict=True):
            part.append(items)
    size = torch.cat(sizes)
    return [_graph(torch.cat(part), size, tables[0].dtype) for part in parts]


def session_graph(edges: Tensor, n_users: int, n_items: int, k: int, least: int = 2) -> Sparse:
    """Return the graph [I, I] of items that the same users took.

    Row i has i itself and at most k items with the most users in common, at least `least` of them, ties by lower id.
    The values are those of `denoised_graphs`; the counts are not used further.

    Args:
        edges: int64 [2, E], distinct training pairs (user, item).
        n_users: U.
        n_items: I.
        k: largest number of other items of a row.
        least: smallest number of users in common.
    """
    found = co_occurrence(edges.flip(0), n_items, n_users, k)
    kept = found.counts >= least
    rows = np.repeat(np.arange(n_items), np.diff(found.starts))[kept]
    own = np.arange(n_items)
    return _weighted(
        torch.from_numpy(np.concatenate([own, rows])),
        torch.from_numpy(np.concatenate([own, found.neighbours[kept]])),
        torch.from_numpy(np.bincount(rows, minlength=n_items) + 1),
        torch.get_default_dtype(),
    )


def _prepared(table: Tensor) -> _Modality:
    parts = table.split(nearest.CHUNK)  # type: ignore[no-untyped-call]
    norms = torch.cat([torch.linalg.vector_norm(part.double(), dim=1) for part in parts])
    norms = norms.clamp_min(nearest.NORM_FLOOR)
    unit = torch.empty(table.shape, dtype=torch.float32, device=table.device)
    total = torch.zeros(table.shape[1], dtype=torch.float64, device=table.device)
    start = 0
    for part in parts:
        rows = slice(start, start + len(part))
        exact = part / norms[rows, None]
        unit[rows], total, start = exact, total + exact.sum(0), rows.stop
    first = nearest.first_with_equal_features(table)
    chosen = (first == torch.arange(len(table), device=table.device)).nonzero()[:, 0]
    mean = total.square().sum() / len(table) ** 2
    if len(chosen) == len(table):
        return _Modality(table, norms, unit, None, mean)
    return _Modality(table, norms, unit[chosen], torch.searchsorted(chosen, first), mean)


def _nearest_survivors(modalities: list[_Modality], rows: slice, k: int) -> list[tuple[Tensor, Tensor]]:
    """Return for each modality the nearest survivors of rows, int64 [n, k], and how many of them there are [n]."""
    near = [each.near(rows) for each in modalities]
    device = near[0].device
    ids = torch.arange(rows.start, rows.stop, device=device)
    survive = torch.ones(near[0].shape, dtype=torch.bool, device=device)
    for cosines, each in zip(near, modalities, strict=True):
        survive &= cosines >= (each.mean - nearest.NEAR).to(cosines.dtype)
    survive[torch.arange(len(ids), device=device), ids] = True
    wide = min(k + nearest.MARGIN, near[0].shape[1])
    return [_settled(modalities, place, ids, _first(near[place], survive, wide), k) for place in range(len(modalities))]


def _first(cosines: Tensor, survive: Tensor, wide: int) -> tuple[Tensor, Tensor]:
    """Return the first survivors of each row, int64 [n, wide], and which of them are any; ties by lower id."""
    # Survivors' cosines are not negative but for rounding, so that their bits are in the order of their values.
    bits = cosines.clamp_min(0.0).view(torch.int32).long()
    lower = _LOW - torch.arange(cosines.shape[1], device=cosines.device)
    keys = torch.where(survive, (bits << 32) | lower, -1).topk(wide, dim=1).values
    there = keys >= 0
    return torch.where(there, _LOW - (keys & _LOW), 0), there


def _settled(
    modalities: list[_Modality], place: int, ids: Tensor, candidates: tuple[Tensor, Tensor], k: int
) -> tuple[Tensor, Tensor]:
    """Return the first k of the candidates by float64 cosines [n, k], and how many survive [n]."""
    items, there = candidates
    items, order = items.sort(dim=1, stable=True)
    there = there.gather(1, order)
    width = sum(each.table.shape[1] for each in modalities)
    limit = nearest.GATHERED if items.device.type == "cpu" else nearest.DEVICE_GATHERED
    step = max(1, limit // (items.shape[1] * width))
    chosen, counts = [], []
    for own, others, valid in zip(ids.split(step), items.split(step), there.split(step), strict=True):  # type: ignore[no-untyped-call]
        cosines = [each.exact(own, others) for each in modalities]
        passed = torch.stack([c >= each.mean - _EQUAL for c, each in zip(cosines, modalities, strict=True)]).all(0)
        passed = valid & (passed | (others == own[:, None]))
        ranked = cosines[place].masked_fill(~passed, -torch.inf).sort(dim=1, descending=True, stable=True).indices
        chosen.append(others.gather(1, ranked[:, :k]))
        counts.append(passed.sum(1).clamp_max(k))
    return torch.cat(chosen), torch.cat(counts)


def _graph(items: Tensor, sizes: Tensor, dtype: torch.dtype) -> Sparse:
    """Return the graph of the first items of each row [I, k]."""
    kept = torch.arange(items.shape[1], device=items.device) < sizes[:, None]
    rows = torch.arange(len(items), device=items.device).repeat_interleave(sizes)
    return _weighted(rows, items[kept], sizes, dtype)


def _weighted(rows: Tensor, columns: Tensor, sizes: Tensor, dtype: torch.dtype) -> Sparse:
    roots = (sizes.double() + OFFSET).rsqrt()
    return sparse_of(rows, columns, (roots[rows] * roots[columns]).to(dtype), (len(sizes), len(sizes)))
