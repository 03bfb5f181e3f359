"""Checks, before training, of what a suite can measure for the models of a run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from robustrec.audits.kind import Reported
from robustrec.audits.registry import KINDS, built_in, kind_of
from robustrec.audits.suites import Suite
from robustrec.audits.values import length_of_main, strata_metrics, use_metrics
from robustrec.columns import of_users
from robustrec.datasets.cold_start import FEWEST_USERS, cold_start
from robustrec.datasets.registry import Dataset
from robustrec.encoders.chosen import modalities_of_features
from robustrec.errors import RobustrecError, unknown_name
from robustrec.evaluation.kinds import ACCURACY, BEYOND, STABILITY, VALUE, parse_metric
from robustrec.evaluation.kinds import kind_of as lists_kind
from robustrec.results.conditions import ALL, CLEAN_TEST, OTHER_FEATURES, Condition, named
from robustrec.results.findings import CLEAN, CONTENT_USE, EXPOSURE, USE, stratum_of
from robustrec.results.gates import Gate
from robustrec.results.inapplicable import STRATUM_WORDS
from robustrec.results.possible_limits import passed_without_content
from robustrec.results.selection import ANY, Select, matches
from robustrec.runs.specs import SubjectSpec, check_modalities, reads_features

if TYPE_CHECKING:
    from robustrec.audits.plan import Plan


def unmeasured(plan: Plan) -> list[str]:
    """Return a line for each model and audit without measurements, with the reason.

    Raises:
        RobustrecError: no audit of the suite can measure anything for any model.
    """
    suite, specs = plan.suite, plan.specs
    models = {spec.model: spec for spec in specs}
    reasons = {
        (model, audit.kind): reason
        for model, spec in models.items()
        for audit in suite.audits
        if (reason := kind_of(audit.kind).needs(audit, plan, spec))
    }
    lines: dict[tuple[str, str], list[str]] = {}
    for (model, kind), reason in reasons.items():
        lines.setdefault((model, reason), []).append(kind)
    warnings = [
        f"{model}: {reason} ({_and(kinds)} measure{'s' * (len(kinds) == 1)} nothing)"
        for (model, reason), kinds in lines.items()
    ]
    if len(reasons) == len(models) * len(suite.audits):
        raise RobustrecError(
            f"suite {suite.name!r} cannot measure anything for this run; {'; '.join(warnings)}",
            where=f"--suite {suite.name}, {', '.join(f'--model {model}' for model in models)}",
            fix=_fix(specs),
        )
    return [*warnings, *without_features(plan)]


def of_modalities(plan: Plan) -> list[str]:
    """Check the modalities of the features against the models and audits; return a note for each that is left out.

    Raises:
        RobustrecError: a model or an audit is for modalities that the features do not have.
    """
    if plan.encoder is None:
        return []
    available = modalities_of_features(plan.dataset, plan.encoder)
    notes = check_modalities(plan.specs, available)
    for audit in plan.suite.audits:
        notes += kind_of(audit.kind).of_modalities(audit, available, where=f"suite {plan.suite.name!r}")
    return notes


def without_features(plan: Plan) -> list[str]:
    """Return a line for each metric of item features in a run without any.

    Raises:
        RobustrecError: a gate is on such a metric.
    """
    named = [name for name in plan.suite.metrics if (kind := BEYOND.get(parse_metric(name).kind)) and kind.features]
    if plan.encoder is not None or not named:
        return []
    reason = "no model of the run reads item features"
    for gate in plan.suite.gates:
        if not gate.optional and (name := next((each for each in named if each == gate.select.metric), None)):
            raise RobustrecError(
                f"gate {gate.name!r} checks {name}, but {reason}",
                where=f"suite {plan.suite.name!r}, gates",
                fix="add a model that reads them (robustrec list models), or set optional = true for the gate",
            )
    return [f"{name}: not applicable: {reason}" for name in named]


def _and(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _fix(specs: Sequence[SubjectSpec]) -> str:
    """Return a command with measurements."""
    if any(reads_features(spec) for spec in specs):
        return "choose another suite: robustrec list suites"
    return (
        "choose a model that reads item features: robustrec audit --model vbpr; list all models: robustrec list models"
    )


def check_gates_select(suite: Suite) -> None:
    """Check that each gate matches findings of its audit, where these are known before the run.

    Raises:
        RobustrecError: a gate selects a condition, a metric or a quantity that its audit does not report.
    """
    clean = Reported([CLEAN_TEST], (*suite.metrics, *strata_metrics(suite.metrics)))
    known = {CLEAN: clean, **{audit.kind: kind_of(audit.kind).reported(audit) for audit in suite.audits}}
    for gate in suite.gates:
        audit = gate.select.audit
        sides = [side for side in ("min", "max") if getattr(gate, side) is not None]
        if problem := passed_without_content(audit, gate.select.metric_name, gate.reference, sides):
            raise RobustrecError(
                f"gate {gate.name!r}: {problem}",
                where=f"suite {suite.name!r}, gates",
                fix='select metric = "content_use" with quantity = "value" and min = 0.1, or a max below 0',
            )
        if audit == CONTENT_USE or audit in known:
            _check_gate(gate, suite, audit, known[audit] if audit in known else _of_content_use(suite, gate))
            continue
        refused = []
        for name, reported in known.items():
            if not matches(name, audit) or (name == CLEAN and gate.quantity != "value" and gate.reference == CLEAN):
                continue
            try:
                _check_gate(gate, suite, name, reported)
            except RobustrecError as error:
                refused.append(error)
            else:
                break
        else:  # no audit of the pattern has a finding for it
            if refused:
                raise refused[0]


def _check_gate(gate: Gate, suite: Suite, audit: str, reported: Reported | None) -> None:
    """Check that a gate matches a finding of one audit, if it is known what the audit reports."""
    if reported is None:
        return
    wanted, metrics = gate.select.metric_name, _metrics(suite, reported, gate, audit)
    has_exposure = audit == CLEAN or gate.quantity != "value"
    if gate.select.segment_by is not None:
        # Segments have the metrics of lists of the suite, without groups of users and items.
        of_lists = (*suite.metrics, *suite.stability)
        metrics = [each for each in metrics if each in of_lists and lists_kind(each) in (*ACCURACY, *VALUE, *STABILITY)]
    if gate.select.segment_by is not None and not of_users(gate.select.segment_by) and has_exposure:
        metrics = [*metrics, f"{EXPOSURE}@{length_of_main(suite.metrics)}"]
    # A name that is not known before the run, as of a modality, stands there as a pattern.
    if not any(matches(each, wanted) or matches(wanted, each) for each in metrics):
        raise _matches_nothing(gate, suite, "metric", wanted, metrics)
    _check_condition(gate, suite, [named(each) for each in reported.conditions])


def _of_content_use(suite: Suite, gate: Gate) -> Reported:
    """Return the names in the findings of content use; the modalities of the features are not known here."""
    modality = gate.select.modality or ALL
    conditions: list[Condition | str] = [OTHER_FEATURES]
    for graphs in ("rebuilt", "frozen"):
        conditions.append(Condition(kind="missing", fill="mean", modality=modality, share=1, graphs=graphs))
    return Reported(conditions, (USE,), tuple(use_metrics(suite.metrics)))


def check_strata(suite: Suite, dataset: Dataset) -> None:
    """Check that the data set has the users and items that required gates select by their training interactions.

    Raises:
        RobustrecError: it has none of them, or a gate is on users who are never measured.
    """
    found = cold_start(dataset.interactions)
    there = {"cold_users": found.users.users > 0}
    there |= dict.fromkeys(("cold_items", "warm_items"), found.users_of_items >= FEWEST_USERS)
    for gate in suite.gates:
        stratum = stratum_of(gate.select.metric_name)
        if stratum is None or gate.optional:
            continue
        why = "" if there[stratum] else f"the data set has no {STRATUM_WORDS[stratum]}"
        if stratum == "cold_users" and not why:
            why = "users without training interactions are counted and not measured"
        if why:
            raise RobustrecError(
                f"gate {gate.name!r} selects group {stratum}, but {why}",
                where=f"suite {suite.name!r}, gates",
                fix="remove the gate, or set optional = true for it"
                + ("" if stratum == "cold_users" else "; a split with cold items: robustrec data import --split time"),
            )


def _check_condition(gate: Gate, suite: Suite, conditions: Sequence[Condition]) -> None:
    select = gate.select
    if any(select.wants(each) for each in conditions):
        return
    if select.condition != ANY:
        labels = [each.label for each in conditions]
        raise _matches_nothing(gate, suite, "condition", select.condition, labels)
    # The first key that leaves nothing, together with those before it.
    left = list(conditions)
    for name, wanted in select.fields.items():
        there = [value for each in left if (value := getattr(each, name)) is not None]
        left = [each for each in left if Select(metric=ANY, **{name: wanted}).wants(each)]
        if not left:
            raise _matches_nothing(gate, suite, name, wanted, [_written(each) for each in there])


def _written(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)


def _matches_nothing(gate: Gate, suite: Suite, what: str, wanted: Any, there: Sequence[str]) -> RobustrecError:
    values = list(dict.fromkeys(there))
    if isinstance(wanted, str):
        fix = unknown_name(what if what in ("metric", "condition") else "value", wanted, values, where="").fix
    else:
        fix = f"{what} can be {', '.join(values)}" if values else f"remove {what}"
    return RobustrecError(
        f"gate {gate.name!r} cannot match a finding: audit {gate.select.audit} reports no {gate.quantity} of"
        f" {what} {repr(wanted) if isinstance(wanted, str) else _written(wanted)}"
        " in this suite",
        where=f"suite {suite.name!r}, gates, select.{what}",
        fix=fix,
    )


def _metrics(suite: Suite, reported: Reported, gate: Gate, audit: str) -> list[str]:
    if audit == CLEAN or (gate.quantity == "value" and gate.reference == CLEAN):
        return list(reported.values)
    if audit == CONTENT_USE and gate.reference == CLEAN:
        return list(reported.metrics)
    # Against a baseline, values have a difference too.
    values = reported.values if gate.reference != CLEAN else ()
    own = [each.value_metrics for each in suite.audits if each.kind == audit and suite.value is not None]
    values = (*values, *(metric for metrics in own for metric in metrics))
    if audit in KINDS and not built_in(audit).of_suite:
        return [*reported.metrics, *values]
    return [*suite.metrics, *strata_metrics(suite.metrics), *suite.stability, *reported.metrics, *values]
