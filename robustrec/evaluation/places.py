"""Exact places of given items among all, without lists, and the metrics that need no more."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array
from torch import Tensor

from robustrec.evaluation.kinds import ACCURACY, parse_metric
from robustrec.evaluation.metrics import Hits, accuracy_of, refuse_without_relevant
from robustrec.evaluation.scoring import block_of, check_ranked, device_of, masked_scores
from robustrec.evaluation.top import group_maxima
from robustrec.evaluation.user_items import UserItems, user_items
from robustrec.models.contract import Representation, Scored

_EXACT = 2**24  # up to here, a sum of ones in float32 is exact
_MANY = 2_000  # items from which on reading row by row is faster than all rows at once


def per_user_accuracy(
    rep: Representation | Scored,
    users: NDArray[np.int64],
    masked: csr_array | UserItems,
    relevant: csr_array | UserItems,
    names: Sequence[str],
    *,
    chunk: int | None = None,
) -> dict[str, NDArray[np.float64]]:
    """Return metrics of relevant items for every user, the same to the bit as those of the lists of `rank`.

    No lists are made: only the places of the relevant items are counted, and only those that may be within the first k.
    At most place - 1 groups of items have a maximum above the score of an item, so that an item with k or more such
    groups stands behind place k.

    Args:
        rep: as for `rank`, like users, masked and chunk.
        users: the n user ids.
        masked: pairs never recommended, which are in no list even if they are relevant.
        relevant: the relevant pairs.
        names: metrics of relevant items, for example "ndcg@20".
        chunk: users scored at once.

    Returns:
        name -> float64 [n], unrounded.

    Raises:
        RobustrecError: as `rank` and `per_user_metrics`.
    """
    metrics = {name: parse_metric(name, kinds=ACCURACY) for name in names}
    k = max((metric.k for metric in metrics.values()), default=1)
    mask, wanted = user_items(users, masked), user_items(users, relevant)
    check_ranked(rep, mask, k)
    refuse_without_relevant(wanted)
    device = device_of(rep)
    pairs, block = wanted.on(device), block_of(mask.shape[1])
    found = torch.zeros(len(wanted.items), dtype=torch.int64, device=device)
    with torch.inference_mode():
        for start, stop, scores in masked_scores(rep, mask, chunk):
            maxima = group_maxima(scores, block)
            first, last = int(wanted.starts[start]), int(wanted.starts[stop])
            # No more pairs at once than users, so that what is compared stays within the budget of the scores.
            for begin in range(first, last, len(scores)):
                part = slice(begin, min(begin + len(scores), last))
                found[part] = _near_places(scores, maxima, pairs.rows[part] - start, pairs.items[part], k)
    places = found.cpu().numpy()
    hit = (places > 0) & (places <= k)
    return accuracy_of(Hits(wanted.rows[hit], places[hit] - 1, wanted.counts), metrics)


def _near_places(scores: Tensor, maxima: Tensor, rows: Tensor, items: Tensor, k: int) -> Tensor:
    """Return the places [P] of items, from 1; 0 for masked items, and for some that stand behind place k."""
    own = scores.view(-1).index_select(0, rows * scores.shape[1] + items)
    open_ = own > -torch.inf
    if scores.device.type != "cpu":  # to choose among the pairs, the processor would have to wait for the device
        return torch.where(open_, places_of(scores, rows, items), 0)
    ahead = maxima.index_select(0, rows).gt_(own[:, None]).sum(dim=1, dtype=_exact(maxima))
    chosen = ((ahead < k) & open_).nonzero().squeeze(1)
    found = torch.zeros(len(rows), dtype=torch.int64)
    found[chosen] = _places_in_groups(scores, maxima, rows[chosen], items[chosen], own[chosen])
    return found


def _places_in_groups(scores: Tensor, maxima: Tensor, rows: Tensor, items: Tensor, own: Tensor) -> Tensor:
    """Return the places [P] of items with scores `own`; looks only into groups that hold as high a score."""
    columns, groups = scores.shape[1], maxima.shape[1]
    reached = np.flatnonzero(maxima.index_select(0, rows).numpy() >= own[:, None].numpy())
    pair, group = (torch.from_numpy(each) for each in np.divmod(reached, groups))
    members = group[:, None] + torch.arange(0, columns, groups)
    cells = (rows[pair] * columns)[:, None] + members
    values, level = scores.view(-1).index_select(0, cells.view(-1)).view(cells.shape), own[pair, None]
    ahead = ((values > level) | ((values == level) & (members < items[pair, None]))).sum(dim=1)
    return torch.bincount(pair, ahead, minlength=len(rows)).to(torch.int64) + 1


def places_of(scores: Tensor, rows: Tensor, items: Tensor) -> Tensor:
    """Return the places [P] of some items in rows of scores, from 1: 1 plus what is higher, or equal with a lower id.

    Args:
        scores: [n, columns], no NaN.
        rows: int64 [P].
        items: int64 [P].
    """
    if scores.device.type == "cpu" and scores.shape[1] >= _MANY:
        return _by_row(scores, rows, items)
    everyone = scores.index_select(0, rows)
    own = everyone.gather(1, items[:, None])
    if scores.device.type != "cpu":
        return _counted(everyone, own, items) + 1
    # A processor counts faster in floating point, and looks at ids only where another item has the same score.
    level = torch.ge(everyone, own, out=torch.empty_like(everyone)).sum(dim=1, dtype=_exact(scores))
    places = (
        torch.gt(everyone, own, out=torch.empty_like(everyone)).sum(dim=1, dtype=_exact(scores)).to(torch.int64) + 1
    )
    tied = (level > places).nonzero().squeeze(1)
    if len(tied):
        places[tied] = _counted(everyone[tied], own[tied], items[tied]) + 1
    return places


def _by_row(scores: Tensor, rows: Tensor, items: Tensor) -> Tensor:
    """Return the same, each row read once within the caches: less than half the time at 7,050 items.

    What stands before the item is ahead if it is equal or higher, what stands behind it if it is higher.
    """
    table, owned = scores.numpy(), scores.view(-1).index_select(0, rows * scores.shape[1] + items).numpy()
    count = np.count_nonzero
    ahead = [
        count(table[row, :item] >= own) + count(table[row, item + 1 :] > own)
        for row, item, own in zip(rows.tolist(), items.tolist(), owned, strict=True)
    ]
    return torch.tensor(ahead, dtype=torch.int64) + 1


def _counted(everyone: Tensor, own: Tensor, items: Tensor) -> Tensor:
    ids = torch.arange(everyone.shape[1], device=everyone.device)
    return ((everyone > own) | ((everyone == own) & (ids < items[:, None]))).sum(dim=1)


def _exact(scores: Tensor) -> torch.dtype:
    """Return a floating-point type in which ones of a row of scores add up exactly."""
    return torch.float64 if scores.shape[1] > _EXACT else scores.dtype
