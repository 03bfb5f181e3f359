"""Content use of strategies, and which of their conclusions it takes away."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from robustrec.audits.content_use import mean_filled
from robustrec.audits.quality import Clean, MetricSuite
from robustrec.comparison.measure import Measure
from robustrec.comparison.result import Comparison, Mean
from robustrec.errors import RobustrecError
from robustrec.evaluation.components import decompose
from robustrec.evaluation.ranking import rank
from robustrec.results.conditions import MEAN_FEATURES
from robustrec.results.content_use import ENOUGH, uncertain
from robustrec.results.numbers import bracketed, percent
from robustrec.runs.prepared import Split
from robustrec.runs.trained import TrainedSubject

Floats = NDArray[np.float64]
TRIVIAL = ("drift", "stability", "flatness")
"""Kinds of measures that say nothing of a strategy that ignores content."""


class Left(NamedTuple):
    """Share of the clean quality that is left with mean features, over seeds and users.

    Attributes:
        mean: the share, with its interval.
        free: whether it is at least 95 %.
        uncertain: whether the interval contains 95 %, or is not known.
    """

    mean: Mean
    free: bool
    uncertain: bool

    @property
    def words(self) -> str:
        """The share with its interval: "34.0 % [28.7, 40.1]"."""
        sure = ", uncertain" if self.uncertain else ""
        return f"{percent(self.mean.estimate)} {bracketed(self.mean.low, self.mean.high, percent)}".rstrip() + sure


def measure_content(
    subject: TrainedSubject, clean: Clean, metric: str, overlap: str, split: Split
) -> dict[Measure, Floats]:
    """Return the quality and the list overlap of a subject with mean features, each [U]; none if it has no scores."""
    try:
        ranking = rank(subject.represent(mean_filled(subject)), split.users, split.mask, k=clean.ranking.items.shape[1])
    except RobustrecError:  # content use is not measured then, and the row lacks it
        return {}
    found = MetricSuite((metric,), (overlap,)).values(ranking, split, clean.ranking)
    return {Measure("content", name, MEAN_FEATURES): found[name] for name in (metric, overlap)}


def left_of(tables: Mapping[Measure, Floats], metric: str, *, level: float) -> Left | None:
    """Return the share of quality that is left with mean features; None if it is not measured or quality is 0.

    Args:
        tables: measure -> [S, U].
        metric: of the quality.
        level: of the interval, by linearisation of the ratio of means (delta method).
    """
    after, before = tables.get(Measure("content", metric, MEAN_FEATURES)), tables.get(Measure("quality", metric))
    if after is None or before is None or before.mean() <= 0:
        return None
    share = float(after.mean() / before.mean())
    about = decompose((after - share * before) / before.mean(), ("seed", "user"), level=level).mean
    known = bool(np.isfinite(about.low) and np.isfinite(about.high))
    low, high = (share + about.low, share + about.high) if known else (None, None)
    return Left(Mean(estimate=share, low=low, high=high), share >= ENOUGH, uncertain(low, high))


def withheld(
    rows: Sequence[Comparison], strategy: str, own: Left | None, reference: str, other: Left | None
) -> list[Comparison]:
    """Return the rows of a strategy without conclusions on robustness if it or the reference ignores content.

    Args:
        rows: of one strategy.
        strategy: its name.
        own: its content use.
        reference: the strategy that it is compared with.
        other: the content use of the reference.
    """
    free = {name: left for name, left in ((reference, other), (strategy, own)) if left is not None and left.free}
    if not free:
        return list(rows)
    why = "; ".join(
        f"{name} is content-free ({left.words} of the quality is left with mean features), so its robustness is trivial"
        for name, left in free.items()
    )
    return [row.model_copy(update={"conclusion": "", "trivial": why}) if row.kind in TRIVIAL else row for row in rows]
