"""Run the merchant audit and record its results."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from robustrec.audits.frozen_graphs import FROZEN_ALONE, frozen_alone
from robustrec.audits.merchant.audit import MerchantCondition, conditions_of
from robustrec.audits.merchant.conditions import Tally, lists_of
from robustrec.audits.merchant.config import MerchantAudit
from robustrec.audits.merchant.drawn import Edited, of_share, replaced, share_hidden, share_seen
from robustrec.audits.merchant.examples import Example, edited_items, example_user
from robustrec.audits.merchant.exhibits import exhibit, worst
from robustrec.audits.merchant.fall import Fall
from robustrec.audits.merchant.pool import Pool
from robustrec.audits.merchant.rows import AUDIT, hidden_row, part_rows, part_rows_over_seeds, share_rows
from robustrec.audits.merchant.seen import groups_for, groups_of, repeats_of, seen_groups, seen_notes
from robustrec.audits.merchant.shared import MerchantRun, SubjectState, encoded_edits, prepared_run
from robustrec.audits.plan import Plan
from robustrec.audits.quality import Clean, PerUser, undisturbed
from robustrec.audits.results import Audited, Work, references
from robustrec.audits.rows import Draws, difference_rows, drift_rows
from robustrec.audits.tasks import Task, TaskOutput, merged
from robustrec.edits.content import content_of
from robustrec.results.arrays import array_key
from robustrec.results.conditions import ALL, Condition
from robustrec.results.exhibits import Exhibit
from robustrec.results.findings import AuditStatus
from robustrec.results.hidden import hidden_edits, hidden_warning
from robustrec.runs.edit_pools import STREAM
from robustrec.runs.editable import not_editable
from robustrec.runs.trained import TrainedSubject
from robustrec.runs.treatments import EditApplier, applier_of, has_user_edits, treatments_of
from robustrec.training.edit_settings import EditPool

# Share of edited items with any changed vector below which a warning says that the edit hardly arrives.
FEW = 0.1


def tasks_of(audit: MerchantAudit, plan: Plan) -> list[Task]:
    """Return a task for each edit or combination of edits."""
    stored = not has_user_edits(audit.edits)
    return [
        Task(AUDIT, each.name, {"edit": each.name}, stored=stored, encoded=True) for each in treatments_of(audit.edits)
    ]


def run_task(audit: MerchantAudit, task: Task, subjects: Audited, work: Work, output: TaskOutput) -> None:
    """Measure all conditions of one edit on all subjects whose scores follow the features."""
    run = _run_of(audit, subjects, work)
    if run is None:
        return
    if run.faults:
        output.state["faults"] = run.faults
        return
    treatment = next(each for each in treatments_of(audit.edits) if each.name == task.block["edit"])
    edited = dict(encoded_edits(run, treatment))
    conditions = conditions_of(audit, treatment)
    for number, condition in enumerate(conditions, start=1):
        _measure_condition(run, condition, edited)
        work.context.progress(f"merchant edit {treatment.name}", number, len(conditions), condition.label)
    output.state["subjects"] = [_state(each, conditions) for each in run.subjects]
    for place, each in enumerate(run.subjects):
        for pool in list(each.pools.values())[:1]:  # clean values are the same in all conditions
            output.arrays |= {f"{place}|{metric}": values for metric, values in pool.mean()[0].items()}


def encode(audit: MerchantAudit, task: Task, subjects: Audited, work: Work) -> None:
    """Encode the items of one edit into the store."""
    run = _run_of(audit, subjects, work)
    if run is not None and not run.faults:
        for _ in encoded_edits(
            run, next(each for each in treatments_of(audit.edits) if each.name == task.block["edit"])
        ):
            pass


def _run_of(audit: MerchantAudit, subjects: Audited, work: Work) -> MerchantRun | None:
    """Return what all edits share, with the work and subjects of one task; None if nothing can be measured."""
    served = _served(audit, subjects)
    if not served or not_editable(work.plan.dataset, work.plan.encoder, work.plan.settings.encoder):
        return None
    run = work.once(AUDIT, lambda: prepared_run(audit, served, work))
    return replace(run, work=work, encoder=work.edited_rows(AUDIT), subjects=[each.fresh() for each in run.subjects])


def finish(audit: MerchantAudit, done: Iterable[tuple[Task, TaskOutput]], subjects: Audited, work: Work) -> None:
    """Put the findings together, with the means over the edits, the most fragile items, and a status each."""
    results, reason, served = (
        work.results,
        not_editable(work.plan.dataset, work.plan.encoder, work.plan.settings.encoder),
        _served(audit, subjects),
    )
    for subject, _ in subjects:
        if reason or not subject.scored_tables:
            why = reason or f"{subject.spec.model}: the features affect training only and have no effect on scores"
            results.statuses.append(_status(subject, "not_applicable", why))
        elif not any(each is subject for each, _ in served):
            results.statuses.append(_status(subject, "not_applicable", f"{subject.spec.model}: {FROZEN_ALONE}"))
    if reason or not served:
        return
    findings, over_seeds, faults = len(results.findings), len(results.over_seeds), list[str]()
    treatments = treatments_of(audit.edits)
    groups = seen_groups(work.plan.specs, treatments)
    found = [_Measured(*pair, groups_for(pair[0].spec, treatments, groups), [], {}, {}) for pair in served]
    for task, output in merged(done, work):
        faults = [*output.state.get("faults", ()), *([output.error] if output.error else ())]
        if faults:
            break
        (treatment,) = (each for each in treatments if each.name == task.block["edit"])
        for place, each in enumerate(found):
            each.add(output.state["subjects"][place], conditions_of(audit, treatment), output, place)
    work.context.costs.count_lists(len(served))  # their clean lists
    if faults:
        del results.findings[findings:]  # a part of the table must not pass for the whole
        del results.over_seeds[over_seeds:]
        results.statuses += [_status(subject, "error", "; ".join(faults)) for subject, _ in served]
        return
    _record_pools(audit, found, work)
    if warning := hidden_warning(str(work.plan.encoder), results.findings[findings:]):
        results.warnings.append(warning)
    results.statuses += [_ended(each) for each in found]
    applier = applier_of(work.plan.dataset, work.plan.home, work.context.seed, work.languages)

    def trained(pool: EditPool) -> EditApplier:
        return applier_of(work.plan.dataset, work.plan.home, pool.seed, work.languages, stream=STREAM)

    repeats = repeats_of(trained, applier, treatments, audit.severities)
    results.notes += [*_languages(audit, applier), *seen_notes(work.plan.specs, treatments, repeats)]
    results.exhibits += [
        exhibit(each.subject.subject, fall, applier, audit.exposure)
        for each in found
        for fall in worst(each.falls, audit.fragile)
    ]
    results.exhibits += _examples(audit, found, applier)


def _examples(audit: MerchantAudit, found: Sequence[_Measured], applier: EditApplier) -> Iterator[Exhibit]:
    """Yield the example user of the item with the largest loss in any subject, and this item under each edit."""
    pairs = [(each.subject.subject, example) for each in found for example in each.examples]
    if not pairs or not audit.fragile:
        return
    subject, example = max(pairs, key=lambda pair: pair[1].loss)
    yield example_user(subject, example, applier, audit.metric)
    yield from edited_items(example.item, treatments_of(audit.edits), audit.severities, applier)


def _languages(audit: MerchantAudit, applier: EditApplier) -> list[str]:
    """Return how many items have texts of which language; nothing where no text is edited."""
    if all(treatment.modality == "image" for treatment in treatments_of(audit.edits)):
        return []
    rows = [row for row, text in enumerate(applier.catalog.texts) if text]
    counted = applier.view.languages.counted(content_of(applier.catalog, row, picture=False) for row in rows)
    return [counted] if counted else []


@dataclass(eq=False)
class _Measured:
    """A subject with what its tasks measured."""

    subject: TrainedSubject
    clean: Clean
    groups: Mapping[str, str]
    falls: list[Fall]
    untouched: dict[str, None]
    pools: dict[tuple[str, int, float, bool], Pool]
    examples: list[Example] = field(default_factory=list)
    measured: bool = False

    def add(
        self, state: Mapping[str, Any], conditions: Sequence[MerchantCondition], output: TaskOutput, place: int
    ) -> None:
        """Add the output of a task: values of its conditions, losses of items, and what it did not change."""
        self.untouched |= dict.fromkeys(state["untouched"])
        self.falls += [Fall(loss, conditions[which], *rest) for loss, which, *rest in state["falls"]]
        if state["example"] is not None:
            loss, which, *rest = state["example"]
            self.examples.append(Example(loss, conditions[which], *rest))
        arrays = output.results.arrays
        hidden = hidden_edits(output.results.findings)
        for number in state["measured"]:
            condition = conditions[number]
            self.measured = True
            if condition.treatment.fault or (self.subject.subject, AUDIT, condition.condition) in hidden:
                continue
            clean = {
                name.partition("|")[2]: values
                for name, values in output.arrays.items()
                if name.partition("|")[0] == str(place)
            }
            after = {name: arrays[array_key(self.subject.subject, AUDIT, condition.condition, name)] for name in clean}
            for group in (ALL, *groups_of(condition.treatment.name, self.groups)):
                key = (group, condition.severity, condition.share, condition.frozen)
                self.pools.setdefault(key, Pool(condition)).add(clean, after)


def _state(each: SubjectState, conditions: Sequence[MerchantCondition]) -> dict[str, Any]:
    """Return what the audit needs of a subject after a task, as JSON."""
    numbers = {condition: number for number, condition in enumerate(conditions)}
    return {
        "untouched": list(each.untouched),
        "falls": [[fall.loss, numbers[fall.condition], *fall[2:]] for fall in each.fragile.falls],
        "example": (example := each.fragile.example) and [example.loss, numbers[example.condition], *example[2:]],
        "measured": [numbers[pool.condition] for pool in each.pools.values()],
    }


def _served(audit: MerchantAudit, subjects: Audited) -> list[tuple[TrainedSubject, Clean]]:
    return [pair for pair in subjects if pair[0].scored_tables and not frozen_alone(audit.graphs, pair[0])]


def _measure_condition(
    run: MerchantRun, condition: MerchantCondition, encoded: Mapping[tuple[int, int], Edited]
) -> None:
    draws = [
        of_share(encoded[condition.severity, draw], run.choices[condition.share, draw])
        for draw in range(run.audit.draws)
    ]
    touched = sum(len(each.items) for each in draws)
    chosen = sum(len(run.choices[condition.share, draw]) for draw in range(run.audit.draws))
    changed = {name for each in draws for name, which in each.moved.items() if bool(which.any())}
    measured: dict[int, tuple[PerUser, Draws]] = {}
    tallies: dict[int, Tally] = {}
    for place, each in enumerate(run.subjects):
        subject = each.subject
        if condition.frozen and subject.graphs is None:
            continue
        nothing = condition.severity > 0 and not touched
        seen = share_seen(draws, subject) if touched else None
        run.work.results.findings += share_rows(
            subject.subject,
            condition.condition,
            condition.treatment.modality,
            touched / chosen,
            seen,
            run.audit.draws,
        )
        if (hidden := share_hidden(draws)) is not None:
            # Nothing else of the edit arrives where the model reads no texts.
            modality = condition.treatment.modality if "text" in subject.scored_tables else "image"
            run.work.results.findings.append(
                hidden_row(subject.subject, condition.condition, modality, hidden, run.audit.draws)
            )
        if nothing or (condition.severity > 0 and not changed & set(subject.scored_tables)):
            why = "changes no item" if nothing else "changes no vector of the model"
            each.untouched[f"{condition.treatment.name} {why}"] = None
            continue
        measured[place], tallies[place] = _measure_subject(run, condition, each, draws)
        if condition.severity > 0 and seen is not None and seen < FEW:
            run.work.results.warnings.append(
                f"{subject.subject.label}: {condition.label} changed the vectors of only {seen:.1%} of the edited"
                " items; the encoder mostly ignores this edit, so its rows show little about the model"
            )
        key = (condition.severity, condition.share, condition.frozen)
        each.pools.setdefault(key, Pool(condition)).add(*measured[place])
    pairs = [(each.subject, each.clean) for each in run.subjects]
    _record_differences(run.audit, pairs, run.work, condition.condition, measured)
    for places in _of_several_seeds(run.subjects):
        if all(place in tallies for place in places):
            found = {run.subjects[place].subject.subject: tallies[place] for place in places}
            run.work.results.over_seeds += part_rows_over_seeds(
                found, condition.condition, run.work.results.findings, run.work.intervals, idle=condition.severity == 0
            )


def _of_several_seeds(subjects: Sequence[SubjectState]) -> list[list[int]]:
    """Return the places of the subjects that differ in nothing but their training seed, where there are several."""
    groups: dict[tuple[str, str, str], list[int]] = {}
    for place, each in enumerate(subjects):
        subject = each.subject.subject
        groups.setdefault((subject.model, subject.strategy, subject.features), []).append(place)
    return [places for places in groups.values() if len(places) > 1]


def _measure_subject(
    run: MerchantRun, condition: MerchantCondition, audited: SubjectState, draws: Sequence[Edited]
) -> tuple[tuple[PerUser, Draws], Tally]:
    """Rank on the features of every draw, and record the findings of the condition."""
    work, subject = run.work, audited.subject
    tally = Tally(run.targets, audited.before)
    for draw, edited in enumerate(draws):
        features = {name: replaced(table, edited, name) for name, table in subject.tables.items()}
        after = lists_of(subject.represent(features, frozen=condition.frozen), run.targets, audited.clean)
        work.context.costs.count_lists()
        tally.add(after, edited.items)
        audited.fragile.add(condition, draw, audited.before, after, edited.items)
    stability = undisturbed(run.targets.metric_suite.stability, len(run.targets.split.users))
    clean, perturbed = tally.of_all(stability)
    where = condition.condition
    idle, intervals = condition.severity == 0, work.intervals
    work.results.findings += drift_rows(
        subject.subject, AUDIT, where, clean, perturbed, intervals, idle=idle, groups={tally.exposure: "all"}
    )
    # Apart, so that values draw no other resamples for the metrics above.
    worth, weighted = tally.of_values()
    work.results.findings += drift_rows(
        subject.subject, AUDIT, where, worth, weighted, intervals, idle=idle, groups=dict.fromkeys(worth, "all")
    )
    work.results.findings += part_rows(subject.subject, where, tally, len(draws), intervals, idle=idle)
    for metric, values in (perturbed | weighted).items():
        work.results.keep(array_key(subject.subject, AUDIT, where, metric), values)
    return (clean, perturbed), tally


def _record_differences(
    audit: MerchantAudit,
    pairs: Audited,
    work: Work,
    condition: Condition,
    measured: Mapping[int, tuple[PerUser, Draws]],
) -> None:
    """Compare the drift of the headline metric with that of the reference strategy."""
    metric = audit.metric
    for place, other in references(work.plan, pairs):
        if place in measured and other in measured:
            ours, theirs = (
                ({metric: measured[each][0][metric]}, {metric: measured[each][1][metric]}) for each in (place, other)
            )
            work.results.findings += difference_rows(
                pairs[place][0].subject,
                str(work.plan.suite.compare_with),
                AUDIT,
                condition,
                ours,
                theirs,
                work.intervals,
            )


def _record_pools(audit: MerchantAudit, subjects: Sequence[_Measured], work: Work) -> None:
    """Record the means over edits: all, and those (not) seen in training, by severity, share and graph setting."""
    pooled = {key: pool.condition.mean_over(key[0]) for each in subjects for key, pool in each.pools.items()}
    for key, condition in pooled.items():
        measured: dict[int, tuple[PerUser, Draws]] = {}
        for place, each in enumerate(subjects):
            pool = each.pools.get(key)
            if pool is None or pool.count < 2:
                continue
            subject = each.subject
            clean, perturbed = measured[place] = pool.mean()
            intervals, idle = work.intervals, pool.condition.severity == 0
            work.results.findings += drift_rows(
                subject.subject, AUDIT, condition, clean, perturbed, intervals, idle=idle
            )
            for metric, values in perturbed.items():
                work.results.keep(array_key(subject.subject, AUDIT, condition, metric), values)
        _record_differences(audit, [(each.subject, each.clean) for each in subjects], work, condition, measured)


def _ended(each: _Measured) -> AuditStatus:
    message = "not applicable: " + "; ".join(each.untouched) if each.untouched else ""
    return _status(each.subject, "ok" if each.measured else "not_applicable", message)


def _status(subject: TrainedSubject, status: str, message: str) -> AuditStatus:
    return AuditStatus.model_validate(
        {"audit": AUDIT, "subject": subject.subject, "status": status, "message": message}
    )
