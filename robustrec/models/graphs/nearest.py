"""Nearest items by cosine similarity of features, in chunks, with ties broken by lower id.

The search is exact. More than `approximate.LARGE` items on a CPU are searched by faiss where it is installed, with a
recall that is measured against the exact search of a sample of rows.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from robustrec.models.dense import bf16_inputs, times_transposed
from robustrec.models.graphs import approximate
from robustrec.models.graphs.sparse import Pattern, pattern_of

# Rows whose similarities with as many others are held at once: 16 MB, on a device other than the CPU 256 MB.
CHUNK, DEVICE_CHUNK = 2048, 8192
# Numbers gathered at once in float64: 16 MB, on a device other than the CPU 512 MB.
GATHERED, DEVICE_GATHERED = 2**21, 2**26
# Additional candidates beyond k; and the tolerance of float32 cosines, below which candidates are compared again.
MARGIN = 6
NEAR = 1e-5
# Cosines that agree to so many decimals are equal: of parallel vectors no more of them are right.
DECIMALS = 12
NORM_FLOOR = 1e-12


class Neighbours(NamedTuple):
    """The k nearest items of each item, including itself.

    Attributes:
        items: int64 [I, k], nearest first, ties by lower id.
        recall: share of the exact neighbours that an approximate search found for a sample of items; None if exact.
    """

    items: Tensor
    recall: float | None = None

    def pattern(self) -> tuple[Pattern, Pattern]:
        """Return the pattern [I, I] of the neighbours of each row, and the pattern of its transpose."""
        n_items, k = self.items.shape
        rows = torch.arange(n_items, device=self.items.device).repeat_interleave(k)
        columns = self.items.reshape(-1)
        shape = (n_items, n_items)
        return pattern_of(rows, columns, shape)[0], pattern_of(columns, rows, shape)[0]


class _Lists(NamedTuple):
    """The nearest rows of each row, int64 [n, k], their cosines, float64 [n, k], decreasing, and the recall."""

    rows: Tensor
    cosines: Tensor
    recall: float | None = None


@torch.no_grad()
@bf16_inputs(rounded=False)  # candidates are chosen by the tolerance of float32, also within a training step
def cosine_neighbours(x: Tensor, k: int, *, chunk: int | None = None) -> Neighbours:
    """Return the k nearest items of each item by cosine, including itself unless k items with lower ids tie with it.

    Candidates come from float32 products of row blocks. Cosines that are too close to each other are computed again in
    float64, so that the result depends neither on the chunk size nor on the device. Items with equal features are
    compared once.

    Args:
        x: [I, D]; a row of zeros has cosine 0 with every row, including itself.
        k: number of neighbours; all items if there are fewer.
        chunk: rows per block; the default is chosen for speed.

    Raises:
        RobustrecError: an approximate search does not reach its recall.
    """
    n_items = x.shape[0]
    chunk = chunk or (CHUNK if x.device.type == "cpu" else DEVICE_CHUNK)
    first = first_with_equal_features(x)
    chosen = (first == torch.arange(n_items, device=x.device)).nonzero()[:, 0]
    if len(chosen) == n_items:
        alone = _lists(x, k, chunk)
        return Neighbours(alone.rows, alone.recall)
    group = torch.searchsorted(chosen, first)
    lists = _lists(x[chosen], k, chunk)
    return Neighbours(_with_equal_items(lists, group, len(chosen), min(k, n_items))[group], lists.recall)


def _lists(x: Tensor, k: int, chunk: int) -> _Lists:
    """Return the k nearest rows of each of the distinct rows [n, D]."""
    n = x.shape[0]
    k, wide = min(k, n), min(n, k + MARGIN)
    norms = torch.cat([torch.linalg.vector_norm(part.double(), dim=1) for part in _parts(x, CHUNK)])
    norms = norms.clamp_min(NORM_FLOOR)
    unit = torch.empty(x.shape, dtype=torch.float32, device=x.device)
    for part, row, length in zip(*(_parts(table, CHUNK) for table in (unit, x, norms)), strict=True):
        part.copy_(row / length[:, None])
    recall = None
    if approximate.is_wanted(n, x.device):
        cosines, candidates, recall = approximate.search(unit, k, wide)
    else:
        cosines, candidates = _candidates(unit, wide, chunk)
    rows, exact = candidates[:, :k].clone(), cosines[:, :k].double()
    unclear = (cosines[:, :-1] - cosines[:, 1:])[:, :k].amin(dim=1) <= NEAR if n > 1 else x.new_zeros(1).bool()
    # Even the last candidate is too near to the k-th to say that nothing left out belongs in the list.
    crowded = (cosines[:, k - 1] - cosines[:, -1] <= NEAR) & (wide < n)
    if recall is not None:
        crowded = torch.zeros_like(crowded)  # what was left out is within the recall
    gathered = _gathered(x)
    for part in _parts((unclear & ~crowded).nonzero()[:, 0], gathered // (wide * x.shape[1])):
        rows[part], exact[part], _ = _settled(x, norms, part, candidates[part], k)
    for part in _parts(crowded.nonzero()[:, 0], min(chunk, 2 * gathered // n)):
        near = times_transposed(unit[part], unit) >= (cosines[part, k - 1] - NEAR)[:, None]
        rows[part], exact[part], _ = _settled_among(x, norms, part, near, k)
    return _Lists(rows, exact, recall)


def _candidates(unit: Tensor, wide: int, chunk: int) -> tuple[Tensor, Tensor]:
    """Return the float32 cosines [n, wide] of the candidates of each row, decreasing, and the candidates."""
    n = unit.shape[0]
    cosines = unit.new_full((n, wide), -torch.inf)
    candidates = torch.zeros(n, wide, dtype=torch.int64, device=unit.device)

    def merge(start: int, similar: Tensor, first: int) -> None:
        """Merge the cosines of rows from `start` on with rows from `first` on."""
        part = slice(start, start + similar.shape[0])
        values, places = similar.topk(min(wide, similar.shape[1]), dim=1)
        values, order = torch.cat([cosines[part], values], dim=1).topk(wide, dim=1)
        cosines[part] = values
        candidates[part] = torch.cat([candidates[part], places + first], dim=1).gather(1, order)

    for start in range(0, n, chunk):
        for first in range(start, n, chunk):  # each pair of blocks once
            similar = times_transposed(unit[start : start + chunk], unit[first : first + chunk])
            merge(start, similar, first)
            if first > start:
                merge(first, similar.T, start)
    return cosines, candidates


def _settled(x: Tensor, norms: Tensor, rows: Tensor, candidates: Tensor, k: int) -> _Lists:
    """Return the first k of the candidates [m, c] of rows [m] by float64 cosine, ties by lower id."""
    candidates = candidates.sort(dim=1).values
    own = x[rows].double()
    columns = _parts(candidates.T, _gathered(x) // (len(rows) * x.shape[1]))
    products = torch.cat([(x[part].double() * own).sum(2) for part in columns]).T
    cosines = products / (norms[rows, None] * norms[candidates])
    cosines, order = cosines.round(decimals=DECIMALS).sort(dim=1, descending=True, stable=True)
    return _Lists(candidates.gather(1, order[:, :k]), cosines[:, :k])


def _settled_among(x: Tensor, norms: Tensor, rows: Tensor, near: Tensor, k: int) -> _Lists:
    """Return the first k of the marked items [m, I], at least k of each row, as `_settled` does."""
    place, items = near.nonzero(as_tuple=True)  # by row, then by item
    pairs = zip(*(_parts(ids, _gathered(x) // x.shape[1]) for ids in (rows[place], items)), strict=True)
    products = torch.cat([(x[row].double() * x[item].double()).sum(1) for row, item in pairs])
    cosines = (products / (norms[rows[place]] * norms[items])).round(decimals=DECIMALS)
    order = cosines.argsort(descending=True, stable=True)
    order = order[place[order].argsort(stable=True)]
    counts = near.sum(dim=1)
    first = (counts.cumsum(0) - counts)[:, None] + torch.arange(k, device=x.device)
    return _Lists(items[order[first]], cosines[order[first]])


def first_with_equal_features(x: Tensor) -> Tensor:
    """Return the lowest item with bitwise equal features for each item, int64 [I]."""
    n_items, width = x.shape
    generator = torch.Generator().manual_seed(0)
    factors = torch.randint(-(2**62), 2**62, (width,), generator=generator).to(x.device)
    bits = {torch.float64: torch.int64, torch.float32: torch.int32}.get(x.dtype, torch.int16)
    sums = torch.cat([(part.contiguous().view(bits) * factors).sum(1) for part in _parts(x, _gathered(x) // width)])
    _, group = torch.unique(sums, return_inverse=True)
    ids = torch.arange(n_items, device=x.device)
    first = torch.full_like(ids, n_items).scatter_reduce(0, group, ids, "amin")[group]
    for part in _parts((first != ids).nonzero()[:, 0], _gathered(x) // width):
        # Where the sums agree by chance, which they never do, the item stands for itself.
        first[part] = torch.where((x[part] == x[first[part]]).all(dim=1), first[part], part)
    return first


def _with_equal_items(lists: _Lists, group: Tensor, n_groups: int, k: int) -> Tensor:
    """Return the k nearest items of each group of items with equal features, [n_groups, k], from the nearest groups.

    Args:
        lists: nearest groups of each group; groups are numbered in the order of their lowest items.
        group: int64 [I], group of each item.
        n_groups: number of groups.
        k: number of items.
    """
    n_items = len(group)
    members = torch.argsort(group, stable=True)
    sizes = torch.bincount(group, minlength=n_groups)
    place = torch.arange(n_items, device=group.device) - (sizes.cumsum(0) - sizes)[group[members]]
    width = min(k, int(sizes.max()))
    items = torch.full((n_groups, width), n_items, device=group.device)
    listed = place < width
    items[group[members][listed], place[listed]] = members[listed]
    found = []
    for rows, cosines in zip(_parts(lists.rows, CHUNK), _parts(lists.cosines, CHUNK), strict=True):
        ids, by_id = items[rows].flatten(1).sort(dim=1)
        values = cosines.repeat_interleave(width, dim=1).gather(1, by_id).masked_fill(ids == n_items, -torch.inf)
        order = values.sort(dim=1, descending=True, stable=True).indices
        found.append(ids.gather(1, order[:, :k]))
    return torch.cat(found)


def _gathered(x: Tensor) -> int:
    return GATHERED if x.device.type == "cpu" else DEVICE_GATHERED


def _parts(table: Tensor, size: int) -> list[Tensor]:
    """Return the table in chunks of the given number of rows, at least one."""
    size = max(1, size)
    return [table[start : start + size] for start in range(0, table.shape[0], size)]
