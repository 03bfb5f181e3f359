"""Checks, before training, of what a suite can measure for the models of a run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from robustrec.audits.encoder.config import EncoderAudit
from robustrec.audits.merchant.audit import conditions_of as merchant_conditions
from robustrec.audits.merchant.audit import not_editable
from robustrec.audits.merchant.config import MerchantAudit
from robustrec.audits.noise.audit import conditions_of as noise_conditions
from robustrec.audits.noise.audit import training_conditions_of
from robustrec.audits.noise.config import NoiseAudit
from robustrec.audits.sharpness.config import SharpnessAudit
from robustrec.audits.suites import BREAK_POINT, Suite
from robustrec.audits.treatments import treatments_of
from robustrec.datasets.registry import Dataset
from robustrec.errors import RobustrecError, unknown_name
from robustrec.models import model_class
from robustrec.results.findings import CLEAN
from robustrec.results.gates import Gate, matches, plain_condition
from robustrec.runs.specs import SubjectSpec, reads_features

_VALUES = {"noise": (BREAK_POINT, "snr_db_image", "snr_db_text"), "merchant": ("touched", "seen")}
"""Audit -> metrics of its value findings; its other findings are drifts."""


def unmeasured(suite: Suite, specs: Sequence[SubjectSpec], dataset: Dataset, encoder: str | None) -> list[str]:
    """Return a line for each model and audit without measurements, with the reason.

    Raises:
        RobustrecError: no audit of the suite can measure anything for any model.
    """
    models = {spec.model: spec for spec in specs}
    reasons = {
        (model, audit.kind): reason
        for model, spec in models.items()
        for audit in suite.audits
        if (reason := _nothing_to_measure(audit, spec, dataset, encoder))
    }
    lines: dict[tuple[str, str], list[str]] = {}
    for (model, kind), reason in reasons.items():
        lines.setdefault((model, reason), []).append(kind)
    told = [
        f"{model}: {reason} ({_and(kinds)} measure{'s' * (len(kinds) == 1)} nothing)"
        for (model, reason), kinds in lines.items()
    ]
    if len(reasons) == len(models) * len(suite.audits):
        raise RobustrecError(
            f"suite {suite.name!r} cannot measure anything for this run; {'; '.join(told)}",
            where=f"--suite {suite.name}, {', '.join(f'--model {model}' for model in models)}",
            fix=_fix(specs),
        )
    return told


def _and(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _fix(specs: Sequence[SubjectSpec]) -> str:
    """Return a command with measurements."""
    if any(reads_features(spec) for spec in specs):
        return "choose another suite: robustrec list suites"
    return (
        "choose a model that reads item features: robustrec audit --model vbpr; list all models: robustrec list models"
    )


def _nothing_to_measure(audit: Any, spec: SubjectSpec, dataset: Dataset, encoder: str | None) -> str:
    """Return why an audit cannot measure a model; empty if it can."""
    editable = not_editable(dataset, encoder)
    without_effect = getattr(model_class(spec.model), "modalities_in_scores", None) == ()
    retrained = isinstance(audit, NoiseAudit) and audit.training is not None and spec.can_train
    in_parameters = isinstance(audit, SharpnessAudit) and audit.parameters is not None
    reason = ""
    if not reads_features(spec):
        reason = "the model reads no item features, so there is nothing to perturb"
    elif isinstance(audit, EncoderAudit):
        reason = editable
    elif without_effect and not retrained and not in_parameters:
        reason = "its scores do not depend on the item features"
    elif isinstance(audit, MerchantAudit):
        reason = editable
    elif isinstance(audit, SharpnessAudit) and spec.origin == "scorer":
        reason = "a scoring function has no derivatives"
    elif isinstance(audit, NoiseAudit) and not (audit.sigma2 or audit.relative or audit.break_point or retrained):
        reason = "robustrec cannot train this model again, because it was trained elsewhere"
    return reason


def check_gates_select(suite: Suite) -> None:
    """Check that each gate on clean quality, noise or merchant edits matches findings of its audit.

    Raises:
        RobustrecError: a gate selects a condition, a metric or a quantity that its audit does not report.
    """
    audits: dict[str, Any] = {audit.kind: audit for audit in suite.audits}
    for gate in suite.gates:
        kind = gate.select.audit
        if kind != CLEAN and kind not in _VALUES:
            continue
        metrics, conditions = _metrics(suite, audits.get(kind), gate), _conditions(audits.get(kind))
        _check(gate, suite, "metric", gate.select.metric, metrics)
        wanted = plain_condition(gate.select.condition)
        _check(gate, suite, "condition", wanted, [plain_condition(each) for each in conditions])


def _check(gate: Gate, suite: Suite, what: str, wanted: str, there: Sequence[str]) -> None:
    if any(matches(each, wanted) for each in there):
        return
    near = unknown_name(what, wanted, list(dict.fromkeys(there)), where="")
    raise RobustrecError(
        f"gate {gate.name!r} cannot match a finding: audit {gate.select.audit} reports no {gate.quantity} of"
        f" {what} {wanted!r} in this suite",
        where=f"suite {suite.name!r}, gates, select.{what}",
        fix=near.fix,
    )


def _metrics(suite: Suite, audit: Any, gate: Gate) -> list[str]:
    if gate.select.audit == CLEAN:
        return list(suite.metrics)
    values = _VALUES[gate.select.audit]
    if gate.quantity == "value" and gate.reference == CLEAN:
        return list(values)
    own = audit.own_metrics if isinstance(audit, MerchantAudit) else ()
    # Against a baseline, values have a difference too.
    return [*suite.metrics, *suite.stability, *own, *(values if gate.reference != CLEAN else ())]


def _conditions(audit: Any) -> list[str]:
    if isinstance(audit, NoiseAudit):
        point = audit.break_point
        found = [each.label for each in (*noise_conditions(audit), *training_conditions_of(audit))]
        return [*found, f"break point: {point.metric} -{point.max_relative_drop:.0%}"] if point else found
    if isinstance(audit, MerchantAudit):
        single = [each.label for treatment in treatments_of(audit) for each in merchant_conditions(audit, treatment)]
        return [*single, *_pooled(single)]
    return ["test"]


def _pooled(labels: Iterable[str]) -> list[str]:
    """Return the conditions of the mean over the edits."""
    return list(dict.fromkeys(f"edit=all {label.partition(' ')[2]}" for label in labels))
