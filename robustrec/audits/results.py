"""Results of a run, and the inputs of every audit."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from robustrec.audits.context import AuditContext, CostCounts
from robustrec.audits.plan import Plan
from robustrec.audits.quality import Clean
from robustrec.audits.rows import Intervals
from robustrec.edits.languages import Languages, languages_of
from robustrec.encoders.features import ItemFeatures, row_encoder
from robustrec.encoders.options import options_of
from robustrec.encoders.rows import RowEncoder
from robustrec.results.exhibits import Exhibit, Relation
from robustrec.results.findings import AuditStatus, Finding
from robustrec.runs.edited_rows import EditedRows
from robustrec.runs.specs import SubjectSpec
from robustrec.runs.trained import TrainedSubject

T = TypeVar("T")

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
        over_seeds: means over training seeds of findings that cannot be taken from `arrays`.
        segments: exposure of groups of items, separated from `findings` at the end of a run.
        segments_over_seeds: their means over training seeds.
        warnings: warnings of the run.
        notes: what the inputs of the audits are, for the subjects that read features.
        durations: seconds by stage.
        reused: keys of the runs that were already in the store.
        kept_bytes: largest size of `arrays`.
    """

    findings: list[Finding] = field(default_factory=list)
    statuses: list[AuditStatus] = field(default_factory=list)
    arrays: dict[str, NDArray[Any]] = field(default_factory=dict)
    exhibits: list[Exhibit] = field(default_factory=list)
    relations: list[Relation] = field(default_factory=list)
    over_seeds: list[Finding] = field(default_factory=list)
    segments: list[Finding] = field(default_factory=list)
    segments_over_seeds: list[Finding] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    durations: dict[str, float] = field(default_factory=dict)
    reused: set[str] = field(default_factory=set)
    kept_bytes: int = field(default_factory=lambda: KEPT_BYTES)

    def keep(self, name: str, values: NDArray[np.float64]) -> None:
        """Keep the per-user values [n_draws, n] of a finding, or their mean over the draws if they are too large."""
        held = sum(array.nbytes for array in self.arrays.values())
        self.arrays[name] = values if held + values.nbytes <= self.kept_bytes else values.mean(axis=0)

    def add(self, part: AuditResults) -> None:
        """Add the results of a part of the run."""
        self.findings += part.findings
        self.statuses += part.statuses
        self.exhibits += part.exhibits
        self.relations += part.relations
        self.over_seeds += part.over_seeds
        self.warnings += part.warnings
        for name, values in part.arrays.items():
            self.keep(name, values)

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
        shared: what the tasks of one process make once, by name.
    """

    plan: Plan
    context: AuditContext
    intervals: Intervals
    results: AuditResults
    shared: dict[str, Any] = field(default_factory=dict, repr=False)

    def part(self, results: AuditResults, costs: CostCounts) -> Work:
        """Return the inputs of a task, with results and costs of its own."""
        return replace(self, results=results, context=replace(self.context, costs=costs))

    def once(self, name: str, make: Callable[[], T]) -> T:
        """Return what is made once for all tasks of a process."""
        if name not in self.shared:
            self.shared[name] = make()
        found: T = self.shared[name]
        return found

    @property
    def languages(self) -> Languages:
        """The language packs of edits."""
        settings = self.plan.settings
        return self.once("languages", lambda: languages_of(settings.language, settings.vocabulary))

    @property
    def _row_encoder(self) -> RowEncoder:
        """The encoder of the features; its weights are loaded once for all audits of a run."""
        plan, features = self.plan, self._features
        return self.once(
            "row encoder",
            lambda: row_encoder(plan.dataset, features.name, home=plan.home, options=options_of(plan.settings)),
        )

    @property
    def _features(self) -> ItemFeatures:
        assert self.context.prepared.features is not None  # see `runs.editable.not_editable`
        return self.context.prepared.features

    def edited_rows(self, audit: str) -> EditedRows:
        """Return the encoder of edited rows of an audit, which counts them as costs of this part.

        Raises:
            RobustrecError: there is no such encoder, or it is not the one that made the features.
        """

        def count(rows: int) -> None:
            self.context.costs.encodings += rows

        # One for all tasks: how many rows are encoded at a time, and so their last bits, depend on the rows before.
        rows = self.once(
            f"edited rows of {audit}",
            lambda: EditedRows(self._row_encoder, self._features, self.plan.home, count, self.context.progress),
        )
        rows.count = count
        return rows


Audited = Sequence[tuple[TrainedSubject, Clean]]
"""Subjects that passed the reach check, each with its clean lists."""


def references(plan: Plan, subjects: Sequence[tuple[TrainedSubject, Clean]]) -> Iterator[tuple[int, int]]:
    """Yield (place of a subject, place of the reference it is compared with).

    Both have the same model, features and seed, but different strategies.
    """

    def key(spec: SubjectSpec, strategy: str) -> tuple[object, ...]:
        return spec.model, spec.shrink, spec.seed, strategy

    places = {key(subject.spec, subject.spec.strategy_name): place for place, (subject, _) in enumerate(subjects)}
    for place, (subject, _) in enumerate(subjects):
        other = places.get(key(subject.spec, plan.suite.compare_with or ""))
        if other is not None and other != place:
            yield place, other
