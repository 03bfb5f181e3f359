"""Value types of suites: metrics with list lengths, variances, shares, draws."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Annotated

from pydantic import AfterValidator, Field

from robustrec.errors import unknown_name
from robustrec.evaluation.kinds import (
    ACCURACY,
    KINDS,
    LONGEST_LIST,
    QUALITY,
    STABILITY,
    kind_of,
    main_metrics,
    parse_metric,
)
from robustrec.results.findings import AMONG_COLD, STRATA

_METRIC = re.compile(r"(?P<kind>[a-z_]+)@(?P<k>\d{1,4})")


def _metric_of(kinds: Iterable[str], elsewhere: str = "") -> AfterValidator:
    """Return the check of a metric's name; `elsewhere` says why a metric of another kind does not fit."""

    def check(name: str) -> str:
        match = _METRIC.fullmatch(name)
        kind = match["kind"] if match else kind_of(name)
        if kind not in kinds:
            error = unknown_name("metric", name, (f"{each}@20" for each in kinds), where="")
            if kind in KINDS:
                raise ValueError(f"metric {name!r} {elsewhere}; {error.fix}")
            raise ValueError(f"{error.what}; {error.fix}, or another list length from 1 to {LONGEST_LIST}")
        shortest = KINDS[kind].shortest
        if not match or not shortest <= int(match["k"]) <= LONGEST_LIST:
            raise ValueError(
                f"metric {name!r} needs a list length from {shortest} to {LONGEST_LIST}, for example {kind}@20"
            )
        return f"{kind}@{int(match['k'])}"

    return AfterValidator(check)


def distinct(values: tuple[object, ...]) -> tuple[object, ...]:
    """Return the values; duplicates are refused."""
    twice = [value for position, value in enumerate(values) if value in values[:position]]
    if twice:
        raise ValueError(f"duplicate value {twice[0]!r}")
    return values


QualityMetric = Annotated[str, _metric_of(QUALITY, "compares two lists and belongs to the key stability")]
StabilityMetric = Annotated[str, _metric_of(STABILITY, "is of one list and belongs to the key metrics")]
AccuracyMetric = Annotated[str, _metric_of(ACCURACY, "does not measure relevant items")]
Variance = Annotated[float, Field(ge=0, le=1e6)]
Share = Annotated[float, Field(ge=0, le=1)]
Draws = Annotated[int, Field(ge=1, le=1000)]


def strata_metrics(metrics: Sequence[str]) -> list[str]:
    """Return the names that the metrics of a suite have for users and items by training interactions."""
    return [f"{name}_{group}" for name in metrics if kind_of(name) in ACCURACY for group in STRATA]


def length_of_main(metrics: Sequence[str]) -> int:
    """Return the list length of the main metric of a suite, at which the exposure of groups of items is measured."""
    return parse_metric(main_metrics(metrics)[0]).k


def main_accuracy(metrics: Sequence[str]) -> str | None:
    """Return the metric of relevant items by which content use is measured, or None if there is none."""
    return next(iter(main_metrics([name for name in metrics if kind_of(name) in ACCURACY])), None)


def overlap_of(metric: str) -> str:
    """Return the list overlap of the same list length as a metric: "overlap@20" for "ndcg@20"."""
    return f"overlap@{metric.partition('@')[2]}"


def use_metrics(metrics: Sequence[str]) -> list[str]:
    """Return the metrics of the drifts of content use: quality, list overlap, quality among cold items."""
    main = main_accuracy(metrics)
    return [] if main is None else [main, overlap_of(main), f"{main}_{AMONG_COLD}"]
