"""Audits that measure one subject at a time by the method `measure` of their kind; what they return is checked."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from robustrec.audits.context import with_stability
from robustrec.audits.frozen_graphs import FROZEN_ALONE, frozen_alone
from robustrec.audits.kind import AuditKind
from robustrec.audits.quality import Clean, PerUser, measure_perturbed, stack
from robustrec.audits.registry import KINDS, kind_of
from robustrec.audits.results import Audited, Work, references
from robustrec.audits.rows import Draws, difference_rows, drift_rows, without_draws
from robustrec.audits.tasks import Task, TaskOutput, merged
from robustrec.errors import RobustrecError, described, one_line
from robustrec.models.contract import Features
from robustrec.models.own import source_line
from robustrec.results.arrays import array_key
from robustrec.results.conditions import Condition, named
from robustrec.results.findings import AuditStatus, Finding
from robustrec.runs.trained import TrainedSubject
from robustrec.seeds import torch_generator

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from robustrec.audits.kind import AuditConfig
    from robustrec.audits.plan import Plan

_ADVICE = "see docs/own-audits.md"


@dataclass(frozen=True)
class AuditedSubject:
    """A subject for a user-defined audit.

    Attributes:
        audit: name of the audit.
        trained: the subject: its `tables` of features and `represent`.
        clean: its lists and per-user metrics on clean features.
        work: data, metrics, seed and intervals of the run.
    """

    audit: str
    trained: TrainedSubject
    clean: Clean
    work: Work
    _measured: dict[Condition, tuple[PerUser, Draws]] = field(default_factory=dict, init=False, repr=False)
    _certain: set[Condition] = field(default_factory=set, init=False, repr=False)
    _idle: set[Condition] = field(default_factory=set, init=False, repr=False)

    @property
    def tables(self) -> dict[str, Tensor]:
        """The clean features, modality -> float32 [I, D_m]; work on a copy."""
        return self.trained.tables

    def generator(self, *names: str | int) -> torch.Generator:
        """Return the generator of a named draw, the same for every subject."""
        return torch_generator(self.work.context.seed, "audit", self.audit, *names)

    def drift(
        self,
        condition: Condition | str,
        draws: Iterable[Features],
        *,
        note: str = "",
        frozen: bool = False,
        drawn: bool = True,
    ) -> list[Finding]:
        """Rank on the features of each draw, and return the drift of every metric of the suite from clean.

        Args:
            condition: the condition, or a name for it.
            draws: features of each draw, modality -> [I, D_m]; none for a condition that cannot change a list, whose
                drift is exactly 0.
            note: note of the findings.
            frozen: keep the item graphs of the clean features instead of rebuilding them.
            drawn: whether anything is random; if not, there is one draw, and no other could differ.
        """
        context, found, where = self.work.context, [], named(condition)
        for features in draws:
            representation = self.trained.represent(features, frozen=frozen)
            found.append(measure_perturbed(representation, context.prepared.test, context.metric_suite, self.clean))
            context.costs.count_lists()
            context.progress(self.audit, len(found), len(found), f"{self.trained.subject.label} {where.label}")
        clean = with_stability(self.clean, context.metric_suite)
        idle = not found
        perturbed = stack(found or [clean])
        self._measured[where] = clean, perturbed
        if not drawn or idle:
            self._certain.add(where)
        if idle:
            self._idle.add(where)
        rows = drift_rows(
            self.trained.subject, self.audit, where, clean, perturbed, self.work.intervals, note=note, idle=idle
        )
        return [without_draws(row) for row in rows] if where in self._certain else rows

    def value(
        self, condition: Condition | str, metric: str, value: float | None, *, unit: str, note: str = ""
    ) -> Finding:
        """Return the finding of a number that is not a drift; None needs a note with the reason.

        `condition` is the condition, or a name for it.
        """
        return Finding(
            subject=self.trained.subject,
            audit=self.audit,
            condition=named(condition),
            metric=metric,
            quantity="value",
            clean=value,
            n_users=0,
            n_draws=0,
            unit=unit,
            note=note,
        )


def tasks_of(config: AuditConfig, plan: Plan) -> list[Task]:
    """Return a task for each subject."""
    kind = kind_of(config.kind)
    return [
        Task(
            config.kind,
            spec.label,
            {"subject": place},
            stored=config.kind in KINDS and kind.stored(config),
            here=kind.encodes(config),
        )
        for place, spec in enumerate(plan.specs)
    ]


def run_task(config: AuditConfig, task: Task, subjects: Audited, work: Work, output: TaskOutput) -> None:
    """Measure one subject by the `measure` of a kind, and record checked findings and a status.

    What a user-defined audit raises, or findings that are not its own, become the status error of that subject.
    """
    kind = kind_of(task.audit)
    pair = next((each for each in subjects if each[0].spec == work.plan.specs[task.block["subject"]]), None)
    if pair is None:
        return
    subject, audited = pair[0], AuditedSubject(kind.name, *pair, work)
    status = AuditStatus(audit=kind.name, subject=subject.subject, status="ok")
    if config.kind in KINDS and frozen_alone(getattr(config, "graphs", ()), subject):
        nothing = {"status": "not_applicable", "message": f"{subject.spec.model}: {FROZEN_ALONE}"}
        work.results.statuses.append(status.model_copy(update=nothing))
        return
    try:
        work.results.findings += _measured(kind, config, audited)
    except RobustrecError as error:
        work.results.statuses.append(status.model_copy(update={"status": "error", "message": one_line(error)}))
        return
    work.results.statuses.append(status)
    output.state["conditions"] = [condition.model_dump(mode="json") for condition in audited._measured]
    for name, those in (("certain", audited._certain), ("idle", audited._idle)):
        output.state[name] = [condition.label for condition in audited._measured if condition in those]
    for condition, (_, perturbed) in audited._measured.items():
        for metric, values in perturbed.items():
            work.results.keep(array_key(subject.subject, kind.name, condition, metric), values)


def finish(config: AuditConfig, done: Iterable[tuple[Task, TaskOutput]], subjects: Audited, work: Work) -> None:
    """Add the findings of every subject, and the differences in drift from the reference strategy."""
    kind = kind_of(config.kind)
    outputs = {task.block["subject"]: output for task, output in merged(done, work)}
    found = [outputs[work.plan.specs.index(subject.spec)] for subject, _ in subjects]
    for place, other in references(work.plan, subjects):
        work.results.findings += _differences(
            kind, (*subjects[place], found[place]), (*subjects[other], found[other]), work
        )


_Done = tuple["TrainedSubject", "Clean", "TaskOutput"]


def _differences(kind: AuditKind[Any], ours: _Done, theirs: _Done, work: Work) -> Iterator[Finding]:
    """Yield the differences in drift of two subjects, for the conditions that both measured."""
    for fields in ours[2].state.get("conditions", ()):
        if fields not in theirs[2].state.get("conditions", ()):
            continue
        condition = Condition.model_validate(fields)
        sides = []
        for subject, clean, output in (ours, theirs):
            before = with_stability(clean, work.context.metric_suite)
            keys = {name: array_key(subject.subject, kind.name, condition, name) for name in before}
            after = {name: output.results.arrays[key] for name, key in keys.items()}
            sides.append((before, after))
        if all(values.shape == sides[1][1][name].shape for name, values in sides[0][1].items()):
            rows = difference_rows(
                ours[0].subject,
                theirs[0].subject.strategy,
                kind.name,
                condition,
                sides[0],
                sides[1],
                work.intervals,
                # Equal lists do not show that none can change; only conditions without any ranking do.
                idle=all(condition.label in each[2].state.get("idle", ()) for each in (ours, theirs)),
            )
            certain = all(condition.label in each[2].state.get("certain", ()) for each in (ours, theirs))
            yield from ([without_draws(row) for row in rows] if certain else rows)


def _measured(kind: AuditKind[Any], config: Any, audited: AuditedSubject) -> list[Finding]:
    """Return the findings of one subject, checked.

    Raises:
        RobustrecError: the audit raised something, changed the model or its features, or returned something else than
            findings of its own.
    """
    held = _versions(audited.trained)
    try:
        found = kind.measure(config, audited)
        findings = list(found)
    except (RobustrecError, KeyboardInterrupt):
        raise
    except BaseException as error:  # whatever it raises, also to end the process
        raise _fault(audited, f"failed: {described(error)}{source_line(kind.name, error)}") from error
    if _versions(audited.trained) != held:
        raise _fault(audited, "changed the features or the parameters of the model in place; work on a copy")
    if not findings:
        raise _fault(audited, "returned no findings")
    for row in findings:
        if wrong := _wrong(row, audited):
            raise _fault(audited, f"returned {wrong}")
    places = [(row.condition, row.metric, row.quantity, row.reference) for row in findings]
    twice = [each for each in places if places.count(each) > 1]
    if twice:
        raise _fault(audited, f"returned two findings of condition {twice[0][0].label!r}, metric {twice[0][1]!r}")
    return findings


def _wrong(row: object, audited: AuditedSubject) -> str:
    """Return what is wrong with a finding; empty if nothing is."""
    if not isinstance(row, Finding):
        return f"a {type(row).__name__}; expected robustrec.results.findings.Finding"
    if row.audit != audited.audit:
        return f"a finding of audit {row.audit!r}"
    if row.subject != audited.trained.subject:
        return f"a finding of subject {row.subject.label}"
    name = f"a finding ({row.condition.label}, {row.metric})"
    numbers = [value for value in row.model_dump().values() if isinstance(value, float)]
    if not all(map(math.isfinite, numbers)):
        return f"{name} with a number that is not finite; use None with a note"
    estimate = row.clean if row.quantity == "value" else row.drift
    if estimate is None and not row.note:
        return f"{name} without a number and without a note"
    return ""


def _versions(subject: TrainedSubject) -> list[int]:
    """Return the counters of changes in place of all features and parameters (`torch.Tensor._version`)."""
    held: list[Any] = list(subject.tables.values())
    if subject.model is not None:
        held += [*subject.model.module().parameters(), *subject.model.module().buffers()]
    return [each._version for each in held]


def _fault(audited: AuditedSubject, what: str) -> RobustrecError:
    return RobustrecError(
        f"the audit {audited.audit!r} {what}", where=f"suite, audits of kind {audited.audit!r}", fix=_ADVICE
    )
