"""Value of lists at k: what the items that are shown, or hit, are worth.

Symbols: w_i >= 0 the value of item i (its price or margin), n users, list places from 1 to k discounted by
log2(place + 1) as in DCG (Järvelin and Kekäläinen 2002, "Cumulated gain-based evaluation of IR techniques", ACM TOIS
20, whose gains are graded; here they are values). De Biasio et al. 2023, "A systematic review of value-aware
recommender systems", Expert Systems with Applications 226, has such measures of price and profit. An item without a
value has the mean of those with one (`known_or_mean`), so that it neither raises nor lowers a list by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Items = NDArray[np.int32]


class Relevant(NamedTuple):
    """Relevant items of n users, by user.

    Attributes:
        rows: [P] place of the user of each pair, ascending.
        items: [P] item of each pair.
        counts: [n] number of pairs of each user.
    """

    rows: Ints
    items: Ints
    counts: Ints


def known_or_mean(values: Sequence[float | None]) -> Floats:
    """Return values [I] in which an unknown one is the mean of the known ones.

    Raises:
        ValueError: none is known.
    """
    found = np.array([np.nan if each is None else each for each in values], dtype=np.float64)
    known = ~np.isnan(found)
    if not known.any():
        raise ValueError("no item has a value")
    return np.where(known, found, found[known].mean())


def largest_change(largest: float, k: int) -> float:
    """Return the largest change of the discounted value of a list where no item is worth more than `largest`."""
    return largest * float(_discounts(k).sum())


def discounted_value(items: Items, relevant: Relevant, values: Floats, k: int) -> Floats:  # noqa: ARG001
    """Return V_u = Σ_{i<=k} w_i / log2(i + 1) of each list, [n]; empty places add nothing."""
    shown = items[:, :k]
    worth: Floats = np.where(shown >= 0, values[shown], 0.0) * _discounts(shown.shape[1])
    return np.asarray(worth.sum(axis=1), dtype=np.float64)


def value_share(items: Items, marked: NDArray[np.bool_], values: Floats, k: int) -> Floats:
    """Return the share of the value of each list's first k places that is of marked items, [n]; 0 if they are worth 0.

    Σ_{i<=k} w_i m_i / Σ_{i<=k} w_i with m_i 1 for a marked item. Equal values give the share of the places.

    Args:
        items: [n, K >= k] lists; negative where a list is short.
        marked: [I].
        values: [I].
        k: places looked at.
    """
    shown = items[:, :k]
    worth: Floats = np.where(shown >= 0, values[shown], 0.0)
    whole = worth.sum(axis=1)
    found: Floats = np.divide((worth * marked[shown]).sum(axis=1), whole, out=np.zeros(len(items)), where=whole > 0)
    return found


def value_ndcg(items: Items, relevant: Relevant, values: Floats, k: int) -> Floats:
    """Return Σ_{i<=k} hit_i w_i / log2(i + 1) over that of the relevant items in order of value, [n].

    Equal values give NDCG. A user whose relevant items are all worth 0 has 0.
    """
    n, n_items = len(items), len(values)
    wanted = np.sort(relevant.rows * n_items + relevant.items)
    shown = items[:, :k].astype(np.int64)
    cells = np.arange(n)[:, None] * n_items + shown
    at = np.minimum(np.searchsorted(wanted, cells), max(0, len(wanted) - 1))
    hit = (shown >= 0) & (wanted[at] == cells) if len(wanted) else np.zeros(shown.shape, dtype=bool)
    discounts = _discounts(k)
    # Cumulative sums add in one order, so that a perfect list gives exactly 1.
    gains = np.where(hit, values[shown], 0.0) * discounts[: shown.shape[1]]
    gained = np.cumsum(gains, axis=1)[:, -1]
    ideal = _ideal(relevant, values, discounts)
    return np.divide(gained, ideal, out=np.zeros(n), where=ideal > 0)


def _ideal(relevant: Relevant, values: Floats, discounts: Floats) -> Floats:
    """Return the gain of a list with the relevant items in order of value, [n]."""
    order = np.lexsort((-values[relevant.items], relevant.rows))
    rows = relevant.rows[order]
    place = np.arange(len(rows)) - np.repeat(np.cumsum(relevant.counts) - relevant.counts, relevant.counts)
    near = place < len(discounts)
    table = np.zeros((len(relevant.counts), len(discounts)))
    table[rows[near], place[near]] = values[relevant.items[order]][near]
    found: Floats = np.cumsum(table * discounts, axis=1)[:, -1]
    return found


def _discounts(k: int) -> Floats:
    found: Floats = 1.0 / np.log2(np.arange(2, k + 2))
    return found
