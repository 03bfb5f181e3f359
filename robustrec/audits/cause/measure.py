"""Measure the causes of the drift under merchant edits."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from robustrec.audits.applicable import NO_EFFECT
from robustrec.audits.cause.config import LEAVE_ONE_OUT, SHAPLEY, CauseAudit, cause_metric
from robustrec.audits.cause.inputs import graph_players, inputs_of
from robustrec.audits.cause.shapley import Coalition, Floats, coalitions_of, leave_one_out, shapley_values
from robustrec.audits.merchant.audit import MerchantCondition, conditions_of
from robustrec.audits.merchant.conditions import Lists, Tally, lists_of
from robustrec.audits.merchant.drawn import Edited, share_hidden
from robustrec.audits.merchant.shared import MerchantRun, encoded_edits, prepared_run
from robustrec.audits.plan import Plan
from robustrec.audits.results import Audited, Work
from robustrec.audits.rows import drift_row, drift_rows
from robustrec.audits.tasks import Task, TaskOutput, merged
from robustrec.evaluation.cells import Cells, cell_intervals
from robustrec.modalities import MODALITIES, in_order
from robustrec.results.conditions import ALL, Condition
from robustrec.results.findings import TOGETHER, AuditStatus, Finding, Group
from robustrec.results.hidden import MOST_HIDDEN
from robustrec.runs.editable import not_editable
from robustrec.runs.trained import TrainedSubject
from robustrec.runs.treatments import has_user_edits, treatments_of
from robustrec.subject import Subject

AUDIT = "cause"
_FEWEST = 2  # users that an interval needs


@dataclass(frozen=True)
class Effects:
    """Values of one measure before an edit, and the change by each cause and in all.

    Attributes:
        clean: [n] per user, or [C] per cell.
        drift: the whole change, [draws, n] or [C].
        parts: end of the metric -> cause -> change.
        cells: draws, users, items and weights of the cells; None for values of users.
    """

    clean: Floats
    drift: Floats
    parts: dict[str, dict[str, Floats]]
    cells: Cells | None = None


@dataclass
class _Pool:
    """Effects of several edits of the same subject at one severity, for their mean."""

    measured: list[dict[str, Effects]] = field(default_factory=list)
    notes: dict[str, str] = field(default_factory=dict)
    unread: dict[str, None] = field(default_factory=dict)


def tasks_of(config: CauseAudit, plan: Plan) -> list[Task]:
    """Return one task: the mean over the edits needs all of them."""
    return [Task(AUDIT, AUDIT, {}, stored=not has_user_edits(config.edits), encoded=True)]


def encode(config: CauseAudit, task: Task, subjects: Audited, work: Work) -> None:
    """Encode the edited items into the store."""
    run = _run_of(config, subjects, work)
    if run is None or run.faults:
        return
    for treatment in treatments_of(config.edits):
        for _ in encoded_edits(run, treatment):
            pass


def run_task(config: CauseAudit, task: Task, subjects: Audited, work: Work, output: TaskOutput) -> None:
    """Measure every edit on all subjects, and the mean over the edits."""
    run = _run_of(config, subjects, work)
    if run is None:
        return
    if run.faults:
        output.state["faults"] = run.faults
        return
    served = [pair for pair in subjects if pair[0].scored_tables]
    before = [lists_of(subject.represent(), run.targets) for subject, _ in served]
    work.context.costs.count_lists(len(served))
    pools: dict[tuple[int, int], _Pool] = {}
    treatments = treatments_of(config.edits)
    for number, treatment in enumerate(treatments, start=1):
        edited = dict(encoded_edits(run, treatment))
        for condition in conditions_of(run.audit, treatment):
            draws = [edited[condition.severity, draw] for draw in range(config.draws)]
            for place, (subject, _) in enumerate(served):
                pool = pools.setdefault((place, condition.severity), _Pool())
                _measure(config, run, condition, draws, subject, before[place], pool)
        work.context.progress(AUDIT, number, len(treatments), treatment.name)
    for (place, severity), pool in pools.items():
        if len(pool.measured) > 1:
            whole = _condition(config, ALL, severity)
            work.results.findings += _rows(config, run, served[place][0].subject, whole, pool)
    output.state["measured"] = sorted({place for (place, _), pool in pools.items() if pool.measured})


def finish(config: CauseAudit, done: Iterable[tuple[Task, TaskOutput]], subjects: Audited, work: Work) -> None:
    """Add the findings, and a status for every subject."""
    reason = not_editable(work.plan.dataset, work.plan.encoder, work.plan.settings.encoder)
    served = [subject for subject, _ in subjects if subject.scored_tables]
    for subject, _ in subjects:
        if reason or not subject.scored_tables:
            work.results.statuses.append(_status(subject, "not_applicable", reason or NO_EFFECT))
    if reason:
        return
    for _, output in merged(done, work):
        if output.error:
            return  # the run gives every subject its status
        faults = output.state.get("faults", ())
        for place, subject in enumerate(served):
            measured = place in output.state.get("measured", ())
            status = "error" if faults else "ok" if measured else "not_applicable"
            nothing = "" if measured else "the edits change no item"
            work.results.statuses.append(_status(subject, status, "; ".join(faults) or nothing))


def _run_of(config: CauseAudit, subjects: Audited, work: Work) -> MerchantRun | None:
    """Return the edits of the merchant audit with these settings; None if nothing can be measured."""
    plan = work.plan
    none = not any(subject.scored_tables for subject, _ in subjects)
    if none or not_editable(plan.dataset, plan.encoder, plan.settings.encoder):
        return None
    return work.once(AUDIT, lambda: prepared_run(config.merchant, (), work))


def _status(subject: TrainedSubject, status: str, message: str) -> AuditStatus:
    fields = {"audit": AUDIT, "subject": subject.subject, "status": status, "message": message}
    return AuditStatus.model_validate(fields)


def _condition(config: CauseAudit, edit: str, severity: int, cause: str = ALL) -> Condition:
    return Condition(kind="cause", cause=cause, edit=edit, severity=severity, share=config.share)


def _measure(
    config: CauseAudit,
    run: MerchantRun,
    condition: MerchantCondition,
    draws: Sequence[Edited],
    subject: TrainedSubject,
    before: Lists,
    pool: _Pool,
) -> None:
    """Record the findings of one edit of one subject, and add its effects to the pool."""
    if condition.severity > 0 and not any(len(each.items) for each in draws):
        return
    moved = {name for each in draws for name, which in each.moved.items() if bool(which.any())}
    unread = [name for name in in_order(moved) if name not in subject.scored_tables]
    players = [*(name for name in subject.scored_tables if name in moved), *graph_players(subject)]
    effects = _effects(config, _tallies(run, draws, subject, before, players), players)
    where = _condition(config, condition.treatment.name, condition.severity)
    mixed = [name for name in MODALITIES if name in moved and condition.treatment.modality not in (name, "both")]
    own = _Pool([effects], dict.fromkeys(mixed, TOGETHER), dict.fromkeys(unread))
    run.work.results.findings += _rows(config, run, subject.subject, where, own)
    hidden = share_hidden(draws)
    alone = condition.treatment.modality == "image" or "text" not in subject.scored_tables
    if condition.treatment.fault or (alone and hidden is not None and hidden > MOST_HIDDEN):
        return
    pool.measured.append(effects)
    pool.notes |= own.notes
    pool.unread |= own.unread


def _tallies(
    run: MerchantRun, draws: Sequence[Edited], subject: TrainedSubject, before: Lists, players: Sequence[str]
) -> dict[Coalition, Tally]:
    """Rank with every coalition of parts edited, in every draw; a part that a draw leaves alone costs no ranking."""
    tallies = {coalition: Tally(run.targets, before) for coalition in coalitions_of(players)}
    for edited in draws:
        inputs = inputs_of(subject, edited)
        active = frozenset(each for each in players if inputs.changed(each))
        ranked: dict[Coalition, Lists] = {frozenset(): before}
        for coalition, tally in tallies.items():
            own = coalition & active
            if own not in ranked:
                found = subject.represent(inputs.features(own), graphs=inputs.graphs_of(own))
                ranked[own] = lists_of(found, run.targets)
                run.work.context.costs.count_lists()
            tally.add(ranked[own], edited.items)
    return tallies


def _effects(config: CauseAudit, tallies: Mapping[Coalition, Tally], players: Sequence[str]) -> dict[str, Effects]:
    """Return the effects of each measure, by the name of its Shapley values."""
    everyone, found = frozenset(players), {}
    states = {coalition: tally.of_all({}) for coalition, tally in tallies.items()}
    for metric, group in config.measures:
        name = cause_metric(metric, group, SHAPLEY)
        if group != "edited":
            key = metric if group is None else f"{metric}_{group}"
            clean = states[frozenset()][0][key]
            values = {coalition: after[key] for coalition, (_, after) in states.items()}
            found[name] = Effects(clean, values[everyone] - clean, _parts(values, players))
            continue
        cells = {coalition: tally.of_part(group).cells.get(f"{metric}_{group}") for coalition, tally in tallies.items()}
        first = cells[frozenset()]
        if first is not None:
            values = {coalition: each.after for coalition, each in cells.items() if each is not None}
            found[name] = Effects(first.before, values[everyone] - first.before, _parts(values, players), first)
    return found


def _parts(values: Mapping[Coalition, Floats], players: Sequence[str]) -> dict[str, dict[str, Floats]]:
    return {SHAPLEY: shapley_values(values, players), LEAVE_ONE_OUT: leave_one_out(values, players)}


def _mean(measured: Sequence[dict[str, Effects]]) -> dict[str, Effects]:
    """Return the mean of the effects of several edits; a part that an edit leaves alone counts as 0."""
    names = [name for name in measured[0] if all(name in each for each in measured)]
    return {name: _mean_of([each[name] for each in measured]) for name in names}


def _mean_of(measured: Sequence[Effects]) -> Effects:
    causes = list(dict.fromkeys(cause for each in measured for cause in each.parts[SHAPLEY]))
    nothing = [np.zeros_like(each.drift) for each in measured]

    def of(end: str, cause: str) -> list[Floats]:
        return [each.parts[end].get(cause, zero) for each, zero in zip(measured, nothing, strict=True)]

    cells = [each.cells for each in measured if each.cells is not None]
    joined = np.concatenate if cells else _average
    parts = {end: {cause: joined(of(end, cause)) for cause in causes} for end in (SHAPLEY, LEAVE_ONE_OUT)}
    clean, drift = joined([each.clean for each in measured]), joined([each.drift for each in measured])
    return Effects(clean, drift, parts, _joined(cells) if cells else None)


def _average(arrays: Sequence[Floats]) -> Floats:
    mean: Floats = np.stack(arrays).mean(axis=0)
    return mean


def _joined(cells: Sequence[Cells]) -> Cells:
    """Return the cells of several edits, each edit with the same weight."""
    columns = [np.concatenate([getattr(each, name) for each in cells]) for name in Cells._fields[:6]]
    draws, users, items, weights, before, after = columns
    return Cells(draws, users, items, weights / len(cells), before, after)


def _rows(config: CauseAudit, run: MerchantRun, subject: Subject, where: Condition, pool: _Pool) -> Iterator[Finding]:
    """Yield, for every measure, the whole drift, the share of each cause, and what comes back if it alone is undone."""
    effects = _mean(pool.measured)
    for metric, group in config.measures:
        found = effects.get(cause_metric(metric, group, SHAPLEY))
        if found is None or _n_users(found) < _FEWEST:
            continue
        idle = not where.severity
        record = _Recorder(run, subject, where, group, found)
        yield record.row(ALL, cause_metric(metric, group, SHAPLEY), found.drift, idle=idle)
        for end, by_cause in found.parts.items():
            name = cause_metric(metric, group, end)
            for cause, change in by_cause.items():
                yield record.row(cause, name, change, idle=idle, note=pool.notes.get(cause, ""))
            for modality in pool.unread:
                note = f"the scores do not depend on the {modality} vectors"
                yield record.row(modality, name, np.zeros_like(found.drift), idle=True, note=note)


def _n_users(found: Effects) -> int:
    return len(found.clean) if found.cells is None else len(np.unique(found.cells.users))


@dataclass(frozen=True)
class _Recorder:
    """Makes the findings of one measure under one edit."""

    run: MerchantRun
    subject: Subject
    where: Condition
    group: Group | None
    found: Effects

    def row(self, cause: str, metric: str, change: Floats, *, idle: bool, note: str = "") -> Finding:
        """Return the finding of one cause; its interval is that of the drift of the same users, items and draws."""
        where = Condition.model_validate({**self.where.model_dump(exclude={"label"}), "cause": cause})
        intervals, found = self.run.work.intervals, self.found
        clean, after = found.clean, found.clean + change
        if found.cells is None:
            before, moved = {metric: clean}, {metric: after}
            groups: dict[str, Group] = {} if self.group is None else {metric: self.group}
            options: dict[str, Any] = {"note": note, "idle": idle, "groups": groups}
            return drift_rows(self.subject, AUDIT, where, before, moved, intervals, **options)[0]
        cells = found.cells._replace(before=clean, after=after)
        interval = cell_intervals(cells, level=intervals.bootstrap.level, largest=None if idle else 1.0)
        means = float(cells.weights @ clean), float(cells.weights @ after)
        return drift_row(self.subject, AUDIT, where, metric, means, interval, note=note, group=self.group)
