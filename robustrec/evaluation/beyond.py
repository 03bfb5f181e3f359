"""What lists show, whether or not it is relevant: coverage, exposure, novelty and diversity at k.

Symbols: n users, I items of the data set, c_i how many of the n lists have item i in their first k places. Items that
are masked for a user, and the empty places of a short list, are in no list. The order within the first k places does
not matter. Nothing here depends on relevance, but lists are those of the evaluated users.

Coverage and Gini belong to all lists together. They are returned as one number a user, whose mean is the number of
all lists and whose spread is that of the jackknife (Efron and Stein 1981, "The jackknife estimate of variance", Annals
of Statistics 9): with S the number of all lists and S_(u) that without the list of user u,

    v_u = S + (n - 1) (mean_w S_(w) - S_(u)),    Var(mean v) = (n - 1)/n Σ_u (S_(u) - mean_w S_(w))².

By the Efron-Stein inequality this variance is too large on average rather than too small. So intervals over users are
made as for any other metric. They are of the expected number of another sample of n users: with more users, coverage
is larger. A bootstrap of whole lists would not do: a resample repeats users and covers fewer items.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Items = NDArray[np.int32]

_COLUMNS = 256  # feature columns that are held in float64 at once


@dataclass(frozen=True)
class Catalogue:
    """What is known of the items that lists are made of.

    Attributes:
        trained: [I] users with a training interaction with each item.
        n_users: users with a training interaction.
        tables: modality -> [I, D] clean item features; none where the data set has none.
        values: [I] what each item is worth, for metrics of values; None without any.
    """

    trained: Ints
    n_users: int
    tables: Mapping[str, NDArray[np.floating]] = field(default_factory=dict)
    values: Floats | None = None

    @property
    def n_items(self) -> int:
        """Number of items I."""
        return len(self.trained)

    @cached_property
    def self_information(self) -> Floats:
        """-log2 p_i in bits [I], where p_i is the share of the training users with an interaction with item i.

        An item without a training interaction counts as if it had one, so that it has the largest value, log2 n_users.
        """
        found: Floats = np.log2(self.n_users) - np.log2(np.maximum(self.trained, 1))
        return found

    @cached_property
    def scales(self) -> dict[str, Floats]:
        """Modality -> [I], factors that turn feature rows into unit rows of all modalities side by side.

        Each modality's row has norm 1 before they are put side by side, so that no modality counts more because its
        numbers are larger. A modality that an item lacks (a row of zeros) does not count for it.
        """
        norms = {name: np.linalg.norm(table.astype(np.float64), axis=1) for name, table in self.tables.items()}
        there = np.sqrt(np.sum([norm > 0 for norm in norms.values()], axis=0))
        return {
            name: np.divide(1.0, norm * there, out=np.zeros(len(norm)), where=norm > 0) for name, norm in norms.items()
        }


def novelty(items: Items, catalogue: Catalogue, k: int) -> Floats:
    """Return the mean self-information of each list's first k items in bits, [n]; 0 for an empty list.

    Zhou et al. 2010, "Solving the apparent diversity-accuracy dilemma of recommender systems", PNAS 107; Vargas and
    Castells 2011, "Rank and relevance in novelty and diversity metrics for recommender systems", RecSys.
    """
    shown = np.sort(items[:, :k], axis=1)  # the sum must not depend on the order of a list
    there = shown >= 0
    total: Floats = np.where(there, catalogue.self_information[shown], 0.0).sum(axis=1)
    lengths: Floats = np.maximum(there.sum(axis=1), 1).astype(np.float64)
    return total / lengths


def intra_list_diversity(items: Items, catalogue: Catalogue, k: int) -> Floats:
    """Return 1 - the mean cosine of two items among each list's first k, [n]; 0 for a list with fewer than two.

    Cosines are of the clean features of all modalities side by side (see `Catalogue.scales`); an item without any has
    cosine 0 with every other. Ziegler et al. 2005, "Improving recommendation lists through topic diversification",
    WWW; the mean over pairs as in Smyth and McClave 2001, "Similarity vs. diversity", ICCBR. Over pairs,
    Σ_{i≠j} v_i·v_j = ‖Σ_i v_i‖² - Σ_i ‖v_i‖².
    """
    from scipy.sparse import csr_array

    shown = np.sort(items[:, :k], axis=1)
    there = shown >= 0
    sizes = there.sum(axis=1)
    starts = np.concatenate([[0], np.cumsum(sizes)])
    lists = csr_array((np.ones(starts[-1]), shown[there], starts), shape=(len(items), catalogue.n_items))
    squares = np.zeros(len(items))
    for name, table in catalogue.tables.items():
        for start in range(0, table.shape[1], _COLUMNS):
            columns = table[:, start : start + _COLUMNS] * catalogue.scales[name][:, None]
            squares += (np.asarray(lists @ columns) ** 2).sum(axis=1)
    known = np.any([scale > 0 for scale in catalogue.scales.values()], axis=0)
    own = np.asarray(lists @ known.astype(np.float64))
    pairs = sizes * (sizes - 1.0)
    cosine = (squares - own) / np.maximum(pairs, 1.0)
    return np.where(pairs > 0, np.maximum(1.0 - cosine, 0.0), 0.0)


def coverage(items: Items, catalogue: Catalogue, k: int) -> Floats:
    """Return catalogue coverage as one number a user, [n]; their mean is the share of the items with c_i > 0.

    Ge, Delgado-Battenfeld and Jannach 2010, "Beyond accuracy: evaluating recommender systems by coverage and
    serendipity", RecSys; all items of the data set count, also those without a training interaction.
    """
    shown, there, counts = _exposure(items, catalogue, k)
    alone = ((counts == 1)[shown] & there).sum(axis=1)
    return _shared_out(float((counts > 0).sum()) / catalogue.n_items, alone / catalogue.n_items)


def gini(items: Items, catalogue: Catalogue, k: int) -> Floats:
    """Return the Gini coefficient of exposure as one number a user, [n]; their mean is that of c_1 ... c_I.

    G = Σ_r (2r - I - 1) c_(r) / (I Σ_i c_i) with c_(1) <= ... <= c_(I): Fleder and Hosanagar 2009, "Blockbuster
    culture's next rise or fall", Management Science 55; Castells, Hurley and Vargas 2015, "Novelty and diversity in
    recommender systems", Recommender Systems Handbook. 0 if every item has the same exposure, 1 - 1/I if one has all,
    and 0 if there is none.
    """
    shown, there, counts = _exposure(items, catalogue, k)
    n_items, total = len(counts), int(counts.sum())
    ordered = np.sort(counts)
    # Half the sum of |c_i - c_j| over ordered pairs; whole numbers, so that nothing is rounded.
    differences = int(((2 * np.arange(1, n_items + 1) - n_items - 1) * ordered).sum())
    # Without one list, c_i falls by 1 for its items. Against an item outside of it, |c_i - c_j| grows by 1 where
    # c_j >= c_i and falls by 1 elsewhere; two items of the list keep their difference.
    fewer = np.searchsorted(ordered, counts)
    change = np.where(there, (n_items - 2 * fewer - 1)[shown], 0).sum(axis=1) - _tied_pairs(shown, there, counts)
    left = total - there.sum(axis=1)
    without = np.where(left > 0, (differences + change) / (n_items * np.maximum(left, 1.0)), 0.0)
    whole = differences / (n_items * total) if total else 0.0
    return _shared_out(whole, whole - without)


def _exposure(items: Items, catalogue: Catalogue, k: int) -> tuple[Items, NDArray[np.bool_], Ints]:
    """Return the first k places [n, k], which are not empty, and in how many lists each item is, [I]."""
    shown = items[:, :k]
    there = shown >= 0
    return shown, there, np.bincount(shown[there], minlength=catalogue.n_items).astype(np.int64)


def _tied_pairs(shown: Items, there: NDArray[np.bool_], counts: Ints) -> Ints:
    """Return the ordered pairs of two items of a list that have the same exposure, [n]."""
    rows = np.nonzero(there)[0]
    width = int(counts.max(initial=0)) + 1
    keys, sizes = np.unique(rows * width + counts[shown[there]], return_counts=True)
    return np.bincount(keys // width, sizes * (sizes - 1.0), minlength=len(shown)).astype(np.int64)


def _shared_out(whole: float, parts: Floats) -> Floats:
    """Return the jackknife's v_u [n] of a number S of all lists, and of what each list adds to it, S - S_(u) [n]."""
    found: Floats = whole + (len(parts) - 1) * (parts - parts.mean())
    return found
