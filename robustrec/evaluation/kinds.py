"""Every metric of lists, described once: what it is, how it is computed, and which direction is better.

Whatever needs to know a metric (keys of suites, gates, tables, the glossary, `robustrec list metrics`, the docs) reads
`KINDS`. Nothing here imports torch or scipy.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from robustrec.errors import RobustrecError, unknown_name
from robustrec.evaluation import accuracy, agreement, beyond, value

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

LONGEST_LIST = 1000
"""Largest list length k."""

_CELLS = 2**24  # places of lists that are looked at together


@dataclass(frozen=True, kw_only=True)
class MetricKind:
    """A metric of lists of length k.

    Attributes:
        label: its usual name.
        description: one sentence.
        better: 1 where more is better, -1 where less is, None where neither is.
        unit: of a value.
        low: smallest value.
        high: largest value, inf where it depends on the data.
        largest: largest change of the value of one user, for bounds where few users change.
        shortest: smallest k.
    """

    label: str
    description: str
    better: Literal[-1, 1] | None = 1
    unit: str = "share"
    low: float = 0.0
    high: float = 1.0
    largest: float = 1.0
    shortest: int = 1


@dataclass(frozen=True, kw_only=True)
class Accuracy(MetricKind):
    """A metric of the relevant items in a list: (hits [n, K], relevant items [n], k) -> [n]; averaged over users."""

    function: Callable[[NDArray[np.bool_], Ints, int], Floats]


@dataclass(frozen=True, kw_only=True)
class Beyond(MetricKind):
    """A metric of the items in lists, relevant or not: (items [n, K], catalogue, k) -> [n].

    Attributes:
        of_all: whether it belongs to all lists together. The n values are those of the jackknife then, see `beyond`.
        features: whether it requires item features.
    """

    function: Callable[[NDArray[np.int32], beyond.Catalogue, int], Floats]
    of_all: bool = False
    features: bool = False


@dataclass(frozen=True, kw_only=True)
class Value(MetricKind):
    """A metric of lists whose items have a value, a price or margin; averaged over users.

    Attributes:
        function: (items [n, K], relevant items of these users, values [I], k) -> [n].
    """

    function: Callable[[NDArray[np.int32], value.Relevant, Floats, int], Floats]


@dataclass(frozen=True, kw_only=True)
class Agreement(MetricKind):
    """A metric of two lists of a user: (items in common [n, K], k, lengths [n]) -> [n]; averaged over users.

    Attributes:
        equal: the value of two equal lists.
    """

    function: Callable[[Ints, int, Ints | None], Floats]
    equal: float = 1.0


ACCURACY = {
    "recall": Accuracy(
        label="Recall",
        description="Share of the test items of a user that are in the top k.",
        function=accuracy.recall,
    ),
    "precision": Accuracy(
        label="Precision",
        description="Share of the top k that are test items of the user.",
        function=accuracy.precision,
    ),
    "ndcg": Accuracy(
        label="NDCG",
        description="Normalised discounted cumulative gain: 1 if all test items of a user are at the top of the list; "
        "lower ranks count less.",
        function=accuracy.ndcg,
    ),
    "map": Accuracy(
        label="MAP",
        description="Mean average precision: the precision at the rank of each hit, averaged; early hits count more.",
        function=accuracy.average_precision,
    ),
    "hit_rate": Accuracy(
        label="Hit rate",
        description="Share of users with at least one test item in the top k.",
        unit="share of users",
        function=accuracy.hit_rate,
    ),
    "mrr": Accuracy(
        label="MRR",
        description="Mean reciprocal rank: 1 over the rank of the first test item in the top k, 0 if there is none.",
        function=accuracy.reciprocal_rank,
    ),
}
"""Metrics of relevant items, which measure quality."""

BEYOND = {
    "coverage": Beyond(
        label="Catalogue coverage",
        description="Catalogue coverage: share of all items that are in the top k of at least one user.",
        unit="share of items",
        function=beyond.coverage,
        of_all=True,
    ),
    "gini": Beyond(
        label="Gini coefficient",
        description="Gini coefficient of the exposure of all items in the top k: 0 if all have the same, near 1 if few "
        "items have all places.",
        better=-1,
        unit="Gini",
        function=beyond.gini,
        of_all=True,
    ),
    "novelty": Beyond(
        label="Novelty",
        description="Mean self-information −log2 p of the top k, where p is the share of users who interacted with the "
        "item in training.",
        better=None,
        unit="bits",
        high=float("inf"),
        largest=32.0,  # log2 of the users, of whom there are fewer than 2^32
        function=beyond.novelty,
    ),
    "ild": Beyond(
        label="Intra-list diversity",
        description="Intra-list diversity: 1 minus the mean cosine similarity of the item features of two items in the "
        "top k.",
        better=None,
        unit="cosine distance",
        high=2.0,
        largest=2.0,
        shortest=2,
        function=beyond.intra_list_diversity,
        features=True,
    ),
}
"""Metrics of the items in lists, relevant or not."""

VALUE = {
    "value": Value(
        label="Discounted value",
        description="Sum of the values (price, margin) of the items in the top k, each divided by log2(rank + 1).",
        unit="value",
        high=float("inf"),
        largest=float("inf"),  # depends on the values, see `value.largest_change`
        function=value.discounted_value,
    ),
    "value_ndcg": Value(
        label="Value-weighted NDCG",
        description="NDCG with the value (price, margin) of each test item as its gain: 1 if the test items are at the "
        "top of the list, the most valuable first.",
        function=value.value_ndcg,
    ),
}
"""Metrics of the values of items, which a suite names with `value`."""

STABILITY = {
    "overlap": Agreement(
        label="Overlap",
        description="Share of the top k that the lists before and after have in common.",
        function=agreement.overlap,
    ),
    "rbo": Agreement(
        label="Rank-biased overlap",
        description="Rank-biased overlap of the lists before and after, p = 0.9: 1 if they are identical; top ranks "
        "count most.",
        function=agreement.rank_biased_overlap,
    ),
    "changed": Agreement(
        label="Changed lists",
        description="Share of users with a different set of items in the top k; a change of order alone does not "
        "count.",
        better=-1,
        unit="share of users",
        function=agreement.changed,
        equal=0.0,
    ),
}
"""Metrics of the lists before and after a perturbation."""

QUALITY: dict[str, Accuracy | Beyond | Value] = {**ACCURACY, **BEYOND, **VALUE}
"""Metrics of one list: what `metrics` of a suite can have."""

KINDS: dict[str, MetricKind] = {**QUALITY, **STABILITY}
"""Every metric, by the name that stands before "@"."""


def named(kinds: Iterable[str]) -> str:
    """Return names in words: "recall, precision or ndcg"."""
    *first, last = kinds
    return f"{', '.join(first)} or {last}" if first else last


class Metric(NamedTuple):
    """A metric's kind and the length of list it looks at: "ndcg@20" is ("ndcg", 20)."""

    kind: str
    k: int


def kind_of(metric: str) -> str:
    """Return the kind of a metric without its list length: "rbo" for "rbo@20"."""
    return metric.partition("@")[0]


_MAIN = ("ndcg@20", "recall@20")


def main_metrics(names: Iterable[str]) -> list[str]:
    """Return the two main ones of some metrics, the most important first."""
    there = list(names)
    preferred = [metric for metric in _MAIN if metric in there]
    rest = sorted((metric for metric in there if metric not in preferred), key=lambda name: _last(kind_of(name)))
    return (preferred + rest)[:2]


def _last(kind: str) -> int:
    """Return the place of a metric that is no preferred one: NDCG first, what does not measure quality last."""
    return 0 if kind == "ndcg" else 2 if kind in BEYOND or kind in VALUE else 1


def of_all_lists(metric: str) -> bool:
    """Return whether a metric belongs to all lists together, as coverage does."""
    kind = BEYOND.get(kind_of(metric))
    return kind is not None and kind.of_all


def largest_changes(metrics: Iterable[str], largest_value: float | None = None) -> dict[str, float | None]:
    """Return the largest change of the value of one user, by metric; None where no value is of one user alone.

    Args:
        metrics: names of metrics.
        largest_value: of an item, for sums of values; None: unknown, and so is their largest change.
    """
    found: dict[str, float | None] = {}
    for name in metrics:
        kind = KINDS.get(kind_of(name))
        found[name] = None if of_all_lists(name) else kind.largest if kind else 1.0
        if kind is VALUE["value"]:
            found[name] = None if largest_value is None else value.largest_change(largest_value, parse_metric(name).k)
    return found


def within_range(metric: str, value: tuple[float, float, float]) -> tuple[float, float, float]:
    """Return (estimate, low, high) with bounds inside the metric's range, for a metric of all lists together."""
    if not of_all_lists(metric):
        return value
    kind, (estimate, low, high) = KINDS[kind_of(metric)], value
    return estimate, min(estimate, max(kind.low, low)), max(estimate, min(kind.high, high))


def parse_metric(name: str, *, kinds: Iterable[str] = KINDS, where: str = "metric") -> Metric:
    """Return the kind and k of a name such as "ndcg@20".

    Args:
        name: kind, "@", list length.
        kinds: the kinds accepted; by default all.
        where: the option or the file and key that held the name, for the message.

    Raises:
        RobustrecError: not of that form, or an unknown kind.
    """
    kind, at, depth = name.partition("@")
    if kind not in (known := tuple(kinds)):
        raise unknown_name("metric", kind, known, where=where)
    if not at or not re.fullmatch(r"[1-9][0-9]{0,6}", depth, flags=re.ASCII):
        raise RobustrecError(f"metric {name!r} has no list length", where=where, fix=f"write for example {kind}@20")
    return Metric(kind, int(depth))


def check_depth(name: str, k: int, available: int) -> None:
    """Refuse a metric that looks deeper than the lists are.

    Raises:
        RobustrecError: k is beyond the length of the lists.
    """
    if k > available:
        raise RobustrecError(
            f"{name} requires lists of {k} items, but these have {available}",
            where="evaluation",
            fix=f"ask for @{available} or less, or rank with k={k}",
        )


def row_blocks(n: int, width: int) -> Iterator[slice]:
    """Yield slices of n lists of `width` places, so that long lists of many users never take up all memory."""
    step = max(1, _CELLS // max(1, width))
    yield from (slice(start, start + step) for start in range(0, max(n, 1), step))
