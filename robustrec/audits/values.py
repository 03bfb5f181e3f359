"""Value types of suites: metrics with list lengths, variances, shares, draws."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field

from robustrec.errors import unknown_name

QUALITY_KINDS = ("recall", "precision", "ndcg", "map")
STABILITY_KINDS = ("rbo", "overlap", "changed")
LONGEST_LIST = 50

_METRIC = re.compile(r"(?P<kind>[a-z]+)@(?P<k>\d{1,4})")


def _metric_of(kinds: tuple[str, ...]) -> AfterValidator:
    def check(name: str) -> str:
        match = _METRIC.fullmatch(name)
        kind = match["kind"] if match else name.partition("@")[0]
        if kind not in kinds:
            error = unknown_name("metric", name, (f"{each}@20" for each in kinds), where="")
            raise ValueError(f"{error.what}; {error.fix}, or another list length from 1 to {LONGEST_LIST}")
        if not match or not 1 <= int(match["k"]) <= LONGEST_LIST:
            raise ValueError(f"metric {name!r} needs a list length from 1 to {LONGEST_LIST}, for example {kind}@20")
        return f"{kind}@{int(match['k'])}"

    return AfterValidator(check)


def distinct(values: tuple[object, ...]) -> tuple[object, ...]:
    """Return the values; duplicates are refused."""
    twice = [value for position, value in enumerate(values) if value in values[:position]]
    if twice:
        raise ValueError(f"duplicate value {twice[0]!r}")
    return values


QualityMetric = Annotated[str, _metric_of(QUALITY_KINDS)]
StabilityMetric = Annotated[str, _metric_of(STABILITY_KINDS)]
Variance = Annotated[float, Field(ge=0, le=1e6)]
Share = Annotated[float, Field(ge=0, le=1)]
Draws = Annotated[int, Field(ge=1, le=1000)]
