"""Items of the search: three strata of popularity of the items that enough users see."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from robustrec.datasets.interactions import TRAIN, Interactions
from robustrec.seeds import numpy_generator

STRATA = 3
Ints = NDArray[np.int64]


def drawn_items(interactions: Interactions, shown: Sequence[Ints], config_items: int, least: int, seed: int) -> Ints:
    """Return the drawn items, ascending; the same number of each third by popularity, as far as there are enough.

    Items count that at least `least` users of the search see in the lists of every subject; if there are too few, of as
    many subjects as leave enough.

    Args:
        interactions: of the data set.
        shown: how many users of the search have each item in their lists, [I], of each subject.
        config_items: number of items.
        least: users of the search who see an item.
        seed: seed of the audits.
    """
    often = np.sum([counts >= least for counts in shown], axis=0)
    enough = [n for n in range(1, len(shown) + 1) if int((often >= n).sum()) >= config_items]
    eligible = np.flatnonzero(often >= (max(enough) if enough else 1))
    _, bought = interactions.pairs(TRAIN)
    popularity = np.bincount(bought, minlength=interactions.n_items)[eligible]
    order = eligible[np.argsort(popularity, kind="stable")]
    number = numpy_generator(seed, "worst", "items").permutation(interactions.n_items)
    chosen: list[int] = []
    for place, stratum in enumerate(np.array_split(order, STRATA)):
        wanted = config_items * (place + 1) // STRATA - config_items * place // STRATA
        chosen += stratum[np.argsort(number[stratum])][:wanted].tolist()
    return np.sort(np.array(chosen, dtype=np.int64))
