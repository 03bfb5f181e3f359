"""The best k of each row of scores, by (score descending, id ascending), exactly."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from robustrec.evaluation.scoring import BLOCK

_LOW_HALF = 0xFFFFFFFF


def top_items(scores: Tensor, k: int, block: int = BLOCK) -> Tensor:
    """Return the columns [n, k] of the k largest scores a row, by (score descending, id ascending), exactly.

    The scores of a row are cut into groups, and at least k of them reach the k-th largest of the groups' maxima: only
    what reaches it must be sorted. On a CPU this is done for what reaches it alone. An accelerator sorts the k groups
    that hold it, which are as many in every row, so that nothing needs to be counted before it goes on.

    Args:
        scores: float32 or float64 [n, columns], no NaN; columns a multiple of `block`.
        k: at most the number of columns.
        block: columns in a group, or a multiple of them.
    """
    if scores.device.type == "cpu":
        return torch.from_numpy(_top_on_cpu(scores, k, block))
    if scores.dtype == torch.float64:  # its bits leave no room for the id; a stable sort keeps equals in order of id
        return torch.sort(scores, dim=1, descending=True, stable=True).indices[:, :k]
    return _top_by_groups(scores, k, block)


def group_maxima(scores: Tensor, size: int) -> Tensor:
    """Return the maxima [n, columns / size] of groups of `size` columns that stand evenly apart.

    Neighbouring columns are in neighbouring groups, so that a processor compares many of them at once.
    """
    rows, columns = scores.shape
    return scores.view(rows, size, columns // size).amax(dim=1)


def _top_on_cpu(scores: Tensor, k: int, block: int) -> NDArray[np.int64]:
    rows, columns = scores.shape
    size = block
    while size > 1 and columns // size < 2 * k:  # with few groups, most of what reaches their k-th maximum is too many
        size //= 2
    table = scores.numpy()
    maxima = group_maxima(scores, size).numpy()
    least = np.partition(maxima, maxima.shape[1] - k, axis=1)[:, maxima.shape[1] - k, None]
    row, item = np.divmod(np.flatnonzero(table >= least), columns)
    values = table[row, item]
    if len(row) > 2 * k * rows:  # many equal scores: of those at the limit, the first k may be in the list
        at_limit = values == least[row, 0]
        counted = np.cumsum(at_limit)
        before = np.concatenate([[0], counted])[np.searchsorted(row, np.arange(rows))]
        kept = ~at_limit | (counted - before[row] <= k)
        row, item, values = row[kept], item[kept], values[kept]
    counts = np.bincount(row, minlength=rows)
    place = np.arange(len(row)) - np.repeat(np.cumsum(counts) - counts, counts)
    if values.dtype == np.float64:  # no room for the id in 64 bits; a stable sort keeps equals in order of id
        padded = np.full((rows, counts.max()), np.inf)
        padded[row, place] = -values
        ids = np.zeros(padded.shape, np.int64)
        ids[row, place] = item
        return np.take_along_axis(ids, np.argsort(padded, axis=1, kind="stable")[:, :k], axis=1)
    keys = np.full((rows, counts.max()), np.iinfo(np.int64).min)
    keys[row, place] = _keys(torch.from_numpy(values), torch.from_numpy(item)).numpy()
    keys.sort(axis=1)
    return np.asarray(_LOW_HALF - (keys[:, : -k - 1 : -1] & _LOW_HALF), dtype=np.int64)


def _top_by_groups(scores: Tensor, k: int, block: int) -> Tensor:
    """Return the best k from the k blocks of neighbours with the largest maxima, ties by lower block.

    Each of these blocks holds an element ahead of everything in the other blocks, so the best k lie within them.
    """
    rows, columns = scores.shape
    blocks = columns // block
    ids = torch.arange(columns, device=scores.device).expand(rows, columns)
    if blocks > 2 * k:
        cut = scores.view(rows, blocks, block)
        block_ids = torch.arange(blocks, device=scores.device).expand(rows, blocks)
        chosen = _first_by_key(cut.amax(dim=2), block_ids, k).unsqueeze(2)
        scores = cut.gather(1, chosen.expand(rows, k, block)).view(rows, k * block)
        ids = (chosen * block + torch.arange(block, device=scores.device)).view(rows, k * block)
    return _first_by_key(scores, ids, k)


def _first_by_key(values: Tensor, ids: Tensor, k: int) -> Tensor:
    """Return the ids of the k largest values a row, best first, ties by lower id."""
    return _LOW_HALF - (_keys(values, ids).topk(k, dim=1).values & _LOW_HALF)


def _keys(values: Tensor, ids: Tensor) -> Tensor:
    """Return 64-bit integers in the order of float32 values, and for equal ones of descending ids."""
    # Adding 0 makes -0 equal to 0. Reading the bits as an integer keeps the order of positive floats;
    # flipping the lower bits of negative ones restores theirs.
    bits = (values + 0.0).view(torch.int32)
    ordered = bits ^ ((bits >> 31) & 0x7FFFFFFF)
    return (ordered.to(torch.int64) << 32) | (_LOW_HALF - ids)
