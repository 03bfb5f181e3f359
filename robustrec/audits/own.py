"""User-defined audits: found by name, tried before any work, and checked while they run.

They are imported only for an audit whose suite names them, never to read or judge a report.
"""

from __future__ import annotations

import copy
import inspect
import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

from pydantic import ConfigDict, ValidationError

from robustrec.audits.kind import KINDS, AuditConfig, AuditKind, built_in
from robustrec.errors import RobustrecError, described, one_line, unknown_name
from robustrec.invalid import invalid
from robustrec.models.own import source_line
from robustrec.plugins import Plugins
from robustrec.results.arrays import array_key
from robustrec.results.conditions import Condition, named
from robustrec.results.findings import AuditStatus, Finding

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from robustrec.audits.quality import Clean, PerUser
    from robustrec.audits.results import Audited, Work
    from robustrec.audits.rows import Draws
    from robustrec.audits.suites import Suite
    from robustrec.audits.tasks import Task, TaskOutput
    from robustrec.models.contract import Features
    from robustrec.results.report import UserAuditRecord
    from robustrec.runs.trained import TrainedSubject

PLUGINS = Plugins("robustrec.audits", "audit", "Class", KINDS)
_ADVICE = "see docs/own-audits.md"


class UserAudit(AuditConfig):
    """Settings of a user-defined audit, whose class checks them before the run."""

    model_config = ConfigDict(extra="allow")


def check_known(name: str, *, where: str) -> None:
    """Check that a kind of audit is built in, installed, or a place to import from; nothing is imported.

    Raises:
        RobustrecError: it is none of these.
    """
    if name not in KINDS and ":" not in name and name not in PLUGINS.points():
        raise unknown_name("audit", name, [*KINDS, *PLUGINS.points()], where=where)


@cache
def kind_of(name: str) -> AuditKind[Any]:
    """Return a kind of audit by its name in a suite; a user-defined kind is imported and tried.

    Raises:
        RobustrecError: there is none, it cannot be imported, or it is not an `AuditKind`.
    """
    if name in KINDS:
        return built_in(name)
    where = f"suite, audits of kind {name!r}"
    found = PLUGINS.load(name, where=where)
    if found is None:
        raise unknown_name("audit", name, [*KINDS, *PLUGINS.points()], where=where)
    return _tried(name, *found)


def kinds() -> list[tuple[AuditKind[Any], str]]:
    """Return the built-in and installed kinds, each with its place; the place of built-in kinds is empty."""
    points = PLUGINS.points()
    return [
        *((built_in(name), "") for name in KINDS),
        *((kind_of(name), points[name].value) for name in sorted(points)),
    ]


def resolved(suite: Suite, *, source: str) -> Suite:
    """Return a suite with the settings of user-defined audits read by their classes, with all defaults.

    Raises:
        RobustrecError: a kind cannot be used, or its settings are invalid.
    """
    audits: list[AuditConfig] = []
    for place, audit in enumerate(suite.audits):
        if audit.kind not in KINDS:
            kind = kind_of(audit.kind)
            try:
                text = json.dumps(audit.model_dump(mode="json"))
                config = kind.config.model_validate_json(text, strict=True)
                kind.fits(config, suite)
            except ValidationError as error:
                where = f"suite {source}, audits[{place}] of kind {audit.kind!r}"
                raise invalid(error, kind.config, source=where, fix=_ADVICE) from error
            audits.append(config)
        else:
            audits.append(audit)
    return suite.model_copy(update={"audits": tuple(audits)})


def user_audits(suite: Suite) -> tuple[UserAuditRecord, ...]:
    """Return what reports say of the user-defined audits of a suite."""
    from robustrec.results.report import UserAuditRecord

    own = [kind_of(audit.kind) for audit in suite.audits if audit.kind not in KINDS]
    return tuple(UserAuditRecord(name=kind.name, summary=kind.summary, glossary=dict(kind.glossary)) for kind in own)


def _tried(name: str, found: object, place: str) -> AuditKind[Any]:
    """Return a user-defined kind under its name.

    Raises:
        RobustrecError: it is not an `AuditKind` with settings and a method `measure`.
    """
    where = f"audit {name}: {place}"
    try:
        kind = found() if inspect.isclass(found) else copy.copy(found)
    except Exception as error:
        raise RobustrecError(
            f"the audit {name!r} cannot be made: {described(error)}", where=where, fix=_ADVICE
        ) from error
    fault = ""
    config = getattr(kind, "config", None)
    if not isinstance(kind, AuditKind):
        fault = "is not a class derived from robustrec.audits.kind.AuditKind"
    elif not (inspect.isclass(config) and issubclass(config, AuditConfig)):
        fault = "has no config that is a class derived from robustrec.audits.kind.AuditConfig"
    elif not config.__dict__.get("__doc__"):
        fault = "has a config without a docstring; its first line describes the audit"
    elif not (
        isinstance(kind.glossary, dict)
        and all(isinstance(each, str) for pair in kind.glossary.items() for each in pair)
    ):
        fault = "has a glossary that is not a dict of term -> definition"
    elif type(kind).measure is AuditKind.measure:
        fault = "has no method measure(self, config, audited)"
    if fault:
        raise RobustrecError(f"the audit {name!r} {fault}", where=where, fix=_ADVICE)
    assert isinstance(kind, AuditKind)
    kind.name = name
    return kind


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

    @property
    def tables(self) -> dict[str, Tensor]:
        """The clean features, modality -> float32 [I, D_m]; work on a copy."""
        return self.trained.tables

    def generator(self, *names: str | int) -> torch.Generator:
        """Return the generator of a named draw, the same for every subject."""
        from robustrec.seeds import torch_generator

        return torch_generator(self.work.context.seed, "audit", self.audit, *names)

    def drift(self, condition: Condition | str, draws: Iterable[Features], *, note: str = "") -> list[Finding]:
        """Rank on the features of each draw, and return the drift of every metric of the suite from clean.

        Args:
            condition: the condition, or a name for it.
            draws: features of each draw, modality -> [I, D_m].
            note: note of the findings.
        """
        from robustrec.audits.noise.audit import with_stability
        from robustrec.audits.quality import measure_perturbed, stack
        from robustrec.audits.rows import drift_rows

        context, found, where = self.work.context, [], named(condition)
        for features in draws:
            representation = self.trained.represent(features)
            found.append(measure_perturbed(representation, context.prepared.test, context.metric_suite, self.clean))
            context.costs.count_lists()
            context.progress(self.audit, len(found), len(found), f"{self.trained.subject.label} {where.label}")
        clean, perturbed = with_stability(self.clean, context.metric_suite), stack(found)
        self._measured[where] = clean, perturbed
        return drift_rows(self.trained.subject, self.audit, where, clean, perturbed, self.work.intervals, note=note)

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


def run_one(kind: AuditKind[Any], config: Any, task: Task, subjects: Audited, work: Work, output: TaskOutput) -> None:
    """Measure one subject by the `measure` of a kind, and record checked findings and a status.

    What a user-defined audit raises, or findings that are not its own, become the status error of that subject.
    """
    pair = next((each for each in subjects if each[0].spec == work.plan.specs[task.block["subject"]]), None)
    if pair is None:
        return
    subject, audited = pair[0], AuditedSubject(kind.name, *pair, work)
    status = AuditStatus(audit=kind.name, subject=subject.subject, status="ok")
    try:
        work.results.findings += _measured(kind, config, audited)
    except RobustrecError as error:
        work.results.statuses.append(status.model_copy(update={"status": "error", "message": one_line(error)}))
        return
    work.results.statuses.append(status)
    output.state["conditions"] = [condition.model_dump(mode="json") for condition in audited._measured]
    for condition, (_, perturbed) in audited._measured.items():
        for metric, values in perturbed.items():
            work.results.keep(array_key(subject.subject, kind.name, condition, metric), values)


def put_together(kind: AuditKind[Any], done: Iterable[tuple[Task, TaskOutput]], subjects: Audited, work: Work) -> None:
    """Add the findings of every subject, and the differences in drift from the reference strategy."""
    from robustrec.audits.results import references
    from robustrec.audits.tasks import merged

    outputs = {task.block["subject"]: output for task, output in merged(done, work)}
    found = [outputs[work.plan.specs.index(subject.spec)] for subject, _ in subjects]
    for place, other in references(work.plan, subjects):
        work.results.findings += _differences(
            kind, (*subjects[place], found[place]), (*subjects[other], found[other]), work
        )


_Done = tuple["TrainedSubject", "Clean", "TaskOutput"]


def _differences(kind: AuditKind[Any], ours: _Done, theirs: _Done, work: Work) -> Iterator[Finding]:
    """Yield the differences in drift of two subjects, for the conditions that both measured."""
    from robustrec.audits.noise.audit import with_stability
    from robustrec.audits.rows import difference_rows

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
            strategy = theirs[0].subject.strategy
            yield from difference_rows(
                ours[0].subject, strategy, kind.name, condition, sides[0], sides[1], work.intervals
            )


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
