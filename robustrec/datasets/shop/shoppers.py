"""Who buys what: users choose by taste for attributes, by fashion and by chance; then the split per user."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from robustrec.datasets.shop.draws import Draws
from robustrec.datasets.shop.vocabulary import ATTRIBUTES, Vocabulary

FINE = 1 << 20
"""Utilities are integers in units of 1/FINE nat: rounded once each and added exactly, whatever the machine's log."""


@dataclass(frozen=True)
class Market:
    """How users choose; utilities in nats."""

    n_users: int = 1200
    n_items: int = 480
    least: int = 5
    """The fewest interactions of a user, and of an item."""
    mean_extra: float = 3.5
    """Mean of what a user has beyond the fewest (geometric)."""
    most: int = 40
    fashion: float = 0.9
    """Exponent of the power law of the items' appeal over their rank."""
    circles: int = 6
    """Hidden groups of items that no text or picture tells; what only the interactions know."""
    circle_weight: float = 0.6


MARKET = Market()

TASTES: dict[str, tuple[int, float]] = {
    "kind": (2, 3.0),
    "colour": (2, 3.2),
    "pattern": (1, 2.4),
    "material": (1, 0.8),
    "brand": (1, 1.0),
    "style": (1, 2.6),
    "price": (1, 0.6),
}
"""Attribute -> (how many of its values a user likes, the utility of the best liked in nats).

Weight on several attributes rather than on the kind alone: who likes red and striped things of all kinds is soon seen
in the content of a few purchases, and only slowly in who else bought those items.
"""


class Purchases(NamedTuple):
    """The shop's interactions, sorted by user and time."""

    users: NDArray[np.int64]
    items: NDArray[np.int64]
    labels: NDArray[np.int64]


def rounded(nats: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return utilities in integer units of 1/FINE nat."""
    return np.asarray(np.rint(nats * FINE), dtype=np.int64)


def tastes(words: Vocabulary, attributes: Sequence[dict[str, str]], market: Market, draws: Draws) -> NDArray[np.int64]:
    """Return what each user gains from each item's attributes and its hidden circle, [U, I] in 1/FINE nat."""
    utility = np.zeros((market.n_users, len(attributes)), dtype=np.int64)
    for name in ATTRIBUTES:
        values = words.values(name)
        codes = np.array([values.index(item[name]) for item in attributes], dtype=np.int64)
        liked, weight = TASTES[name]
        utility += _likings(market.n_users, len(values), liked, weight, draws)[:, codes]
    circles = draws.integers(market.circles, len(attributes))
    return utility + _likings(market.n_users, market.circles, 1, market.circle_weight, draws)[:, circles]


def _likings(n_users: int, n_values: int, liked: int, weight: float, draws: Draws) -> NDArray[np.int64]:
    """Return each user's utility of each value, [U, values]: the full weight for the best liked, then less."""
    order = np.argsort(draws.uniforms(n_users * n_values).reshape(n_users, n_values), axis=1, kind="stable")
    ranks = np.argsort(order, axis=1, kind="stable")
    steps = [round(weight * (1 - 0.2 * place) * FINE) for place in range(liked)]
    gains = np.array(steps + [0] * (n_values - liked), dtype=np.int64)
    taste: NDArray[np.int64] = gains[ranks]
    return taste


def appeal(market: Market, draws: Draws) -> NDArray[np.int64]:
    """Return the items' general appeal, [I] in 1/FINE nat: a power law (Zipf-Mandelbrot) over a drawn rank."""
    ranks = np.empty(market.n_items, dtype=np.int64)
    ranks[draws.order(market.n_items)] = np.arange(1, market.n_items + 1)
    return rounded(-market.fashion * np.log(ranks + 4.0))


def activity(market: Market, draws: Draws) -> NDArray[np.int64]:
    """Return how many items each user takes, [U]: the fewest plus a geometric number, at most `most`."""
    stay, thresholds = market.mean_extra / (1 + market.mean_extra), [1.0]
    for _ in range(market.most - market.least):
        thresholds.append(thresholds[-1] * stay)
    beyond = draws.uniforms(market.n_users)[:, None] < np.array(thresholds[1:])
    return np.asarray(market.least + beyond.sum(axis=1), dtype=np.int64)


def chosen(utility: NDArray[np.int64], counts: NDArray[np.int64], least: int, draws: Draws) -> NDArray[np.bool_]:
    """Return who takes what, [U, I].

    A user takes the `counts[u]` items of the highest utility plus Gumbel noise, which is drawing without replacement
    by softmax. An item left with fewer than `least` users gets the next in line: those who came nearest to taking it.
    """
    n_users, n_items = utility.shape
    noise = -np.log(-np.log(draws.uniforms(n_users * n_items).reshape(n_users, n_items) + 2.0**-54))
    wish = utility + rounded(noise)
    order = np.argsort(-wish, axis=1, kind="stable")
    places = np.argsort(order, axis=1, kind="stable")
    taken = np.asarray(places < counts[:, None])
    threshold = np.take_along_axis(wish, order, axis=1)[np.arange(n_users), counts - 1]
    for item in np.flatnonzero(taken.sum(axis=0) < least):
        short = least - int(taken[:, item].sum())
        missed = np.where(taken[:, item], np.iinfo(np.int64).max, threshold - wish[:, item])
        taken[np.argsort(missed, kind="stable")[:short], item] = True
    return taken


def split_labels(users: NDArray[np.int64], draws: Draws) -> NDArray[np.int64]:
    """Return 0 train, 1 validation, 2 test for rows sorted by user (spec 1.2).

    A user with n < 10 rows gets one of each of the latter; with more, a fifth is held out, the odd one for testing.
    Written anew here because the split of imports draws from a numpy distribution, which may change between versions.
    """
    labels = np.zeros(len(users), dtype=np.int64)
    shuffled = np.lexsort((draws.uniforms(len(users)), users))
    starts = np.flatnonzero(np.diff(users, prepend=-1))
    for start, end in zip(starts, [*starts[1:], len(users)], strict=True):
        n = end - start
        held = n // 5 if n >= 10 else 2
        validation = held // 2
        labels[shuffled[end - held : end - held + validation]] = 1
        labels[shuffled[end - held + validation : end]] = 2
    return labels


def purchases(words: Vocabulary, attributes: Sequence[dict[str, str]], market: Market = MARKET) -> Purchases:
    """Return all interactions of a shop."""
    shop = words.shop
    utility = tastes(words, attributes, market, Draws(shop, "tastes")) + appeal(market, Draws(shop, "appeal"))
    taken = chosen(utility, activity(market, Draws(shop, "activity")), market.least, Draws(shop, "choices"))
    users, items = np.nonzero(taken)
    when = np.lexsort((Draws(shop, "times").uniforms(len(users)), users))
    users, items = users[when], items[when]
    return Purchases(users, items, split_labels(users, Draws(shop, "split")))
