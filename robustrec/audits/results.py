"""Results of a run, and the inputs of every audit."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from robustrec.audits.merchant.encoding import EditedRows
from robustrec.audits.noise.audit import AuditContext
from robustrec.audits.plan import Plan
from robustrec.audits.quality import Clean
from robustrec.audits.rows import Intervals
from robustrec.encoders.features import ItemFeatures, row_encoder
from robustrec.encoders.options import options_of
from robustrec.encoders.rows import RowEncoder
from robustrec.results.exhibits import Exhibit, Relation
from robustrec.results.findings import AuditStatus, Finding
from robustrec.runs.trained import TrainedSubject

# Beyond this, arrays are kept as means over the draws: enough to compare two reports user by user, and they fit.
KEPT_BYTES = 512 * 2**20


@dataclass
class AuditResults:
    """Results of a run so far.

    Attributes:
        findings: rows of the table, in the order they were measured.
        statuses: status of each audit of each subject.
        arrays: name -> per-user arrays of the findings: [n], or [n_draws, n] if they are small enough.
        exhibits: results other than findings: items before and after, curves, surfaces.
        relations: rank correlations over the subjects, for example sharpness and drift.
        warnings: warnings of the run.
        durations: seconds by stage.
        reused: keys of the runs that were already in the store.
    """

    findings: list[Finding] = field(default_factory=list)
    statuses: list[AuditStatus] = field(default_factory=list)
    arrays: dict[str, NDArray[np.float64] | NDArray[np.int64]] = field(default_factory=dict)
    exhibits: list[Exhibit] = field(default_factory=list)
    relations: list[Relation] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    durations: dict[str, float] = field(default_factory=dict)
    reused: set[str] = field(default_factory=set)

    def keep(self, name: str, values: NDArray[np.float64]) -> None:
        """Keep the per-user values [n_draws, n] of a finding, or their mean over the draws if they are too large."""
        held = sum(array.nbytes for array in self.arrays.values())
        self.arrays[name] = values if held + values.nbytes <= KEPT_BYTES else values.mean(axis=0)

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Add the time a block takes to its stage."""
        started = time.monotonic()
        try:
            yield
        finally:
            self.durations[stage] = self.durations.get(stage, 0.0) + time.monotonic() - started


@dataclass(frozen=True)
class Work:
    """Inputs of an audit.

    Attributes:
        plan: the plan of the run.
        context: data, features, metrics, seed, progress and costs.
        intervals: settings of the intervals.
        results: findings, statuses, arrays, exhibits and relations go here.
    """

    plan: Plan
    context: AuditContext
    intervals: Intervals
    results: AuditResults

    @cached_property
    def _row_encoder(self) -> RowEncoder:
        """The encoder of the features; its weights are loaded once for all audits of a run."""
        plan, features = self.plan, self._features
        return row_encoder(plan.dataset, features.name, home=plan.home, options=options_of(plan.settings))

    @property
    def _features(self) -> ItemFeatures:
        assert self.context.prepared.features is not None  # see `applicable.not_editable`
        return self.context.prepared.features

    def edited_rows(self) -> EditedRows:
        """Return the encoder of edited rows, which counts them as costs.

        Raises:
            RobustrecError: there is no such encoder, or it is not the one that made the features.
        """

        def count(rows: int) -> None:
            self.context.costs.encodings += rows

        return EditedRows(self._row_encoder, self._features, self.plan.home, count, self.context.progress)


Audited = Sequence[tuple[TrainedSubject, Clean]]
"""Subjects that passed the reach check, each with its clean lists."""


def array_name(subject: TrainedSubject, audit: str, condition: str, metric: str) -> str:
    """Return the name of the per-user array behind a row."""
    return "|".join([subject.subject.label.replace("/", ":"), audit, condition, metric])


def references(plan: Plan, subjects: Sequence[tuple[TrainedSubject, Clean]]) -> Iterator[tuple[int, int]]:
    """Yield (place of a subject, place of the reference it is compared with): same model and seed, other strategy."""
    places = {(s.spec.model, s.spec.seed, s.spec.strategy_name): i for i, (s, _) in enumerate(subjects)}
    for place, (subject, _) in enumerate(subjects):
        other = places.get((subject.spec.model, subject.spec.seed, plan.suite.compare_with or ""))
        if other is not None and other != place:
            yield place, other
