"""Choice of edited items: the same share of each popularity stratum, the same for every edit and subject."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from robustrec.datasets.interactions import TRAIN, Interactions
from robustrec.seeds import numpy_generator

Items = NDArray[np.int64]

PROBED = 8
"""Number of items of the check of the encoder, which get the text or picture of another item."""


def popularity_strata(interactions: Interactions, strata: int) -> Items:
    """Return the stratum of each item, [I]: quantiles of its training interactions, 0 the tail.

    Strata have equally many items; among items equally often bought the lower id counts as less popular.
    """
    _, items = interactions.pairs(TRAIN)
    bought = np.bincount(items, minlength=interactions.n_items)
    place = np.empty(interactions.n_items, dtype=np.int64)
    place[np.argsort(bought, kind="stable")] = np.arange(interactions.n_items)
    return place * strata // interactions.n_items


def choose_items(strata: Items, share: float, *, seed: int, draw: int) -> Items:
    """Draw a share of the items, of each stratum as many as its size asks for, and return them ascending.

    One draw's choices are nested: what a smaller share edits, a larger one edits too (but for the rounding of strata).

    Args:
        strata: [I] stratum of each item.
        share: of the items; at least one item is drawn.
        seed: seed of the audits.
        draw: number of the draw.
    """
    generator = numpy_generator(seed, "edited items", draw)
    members = [generator.permutation(np.flatnonzero(strata == stratum)) for stratum in range(int(strata.max()) + 1)]
    counts = _apportioned(np.array([len(each) for each in members]), share)
    return np.sort(np.concatenate([each[:count] for each, count in zip(members, counts, strict=True)]))


def _apportioned(sizes: NDArray[np.int64], share: float) -> list[int]:
    """Return how many of each stratum to take: by largest remainders, ties to the more popular."""
    total = max(1, round(share * int(sizes.sum())))
    exact = sizes * (total / sizes.sum())
    counts = np.floor(exact).astype(np.int64)
    order = sorted(range(len(sizes)), key=lambda stratum: (-(exact[stratum] - counts[stratum]), -stratum))
    for stratum in order[: total - int(counts.sum())]:
        counts[stratum] += 1
    return [int(count) for count in counts]
