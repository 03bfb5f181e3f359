"""The noise audit as a kind of audit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from robustrec.audits.kind import READS_NOTHING, AuditKind, Cost, Reported, unmeasured_scopes
from robustrec.audits.noise.config import BREAK_POINT, BreakPointSearch, NoiseAudit
from robustrec.modalities import read_of
from robustrec.results.conditions import ALL

if TYPE_CHECKING:
    from robustrec.audits.plan import Plan
    from robustrec.audits.suites import Suite
    from robustrec.results.gates import Gate
    from robustrec.runs.specs import SubjectSpec


class NoiseKind(AuditKind[NoiseAudit]):
    """Gaussian noise on the item features."""

    name = "noise"
    config = NoiseAudit
    measured_in = "robustrec.audits.noise.measure"
    gates = (
        {
            "name": "relative drift of NDCG@20 under noise",
            "select": {"audit": "noise", "kind": "noise", "trained": False, "metric": "ndcg@20"},
            "quantity": "relative_drift",
            "min": -0.05,
        },
    )

    def fits(self, config: NoiseAudit, suite: Suite) -> None:
        """Check the metric of the break point search, and gates on its result."""
        point = config.break_point
        if point is None:
            return
        if point.metric not in suite.metrics:
            raise ValueError(f"metric {point.metric!r} of break_point is not in the metrics of the suite")
        _check_break_point_gates(suite, point)

    def of_modalities(self, config: NoiseAudit, available: Sequence[str], *, where: str) -> list[str]:
        """Check the scopes: image and text can lack in the features, but not all scopes, and no other name."""
        return unmeasured_scopes(config.scopes, available, what="noise on", where=f"{where}, noise audit, scopes")

    def needs(self, config: NoiseAudit, plan: Plan, spec: SubjectSpec) -> str:
        """Return why the audit cannot measure a subject: without features, or only by a retraining that cannot be."""
        from robustrec.audits.applicable import NO_EFFECT, scores_ignore_features
        from robustrec.encoders.chosen import modalities_of_features
        from robustrec.models import modalities_in_scores
        from robustrec.runs.specs import reads_features

        retrained = config.training is not None and spec.can_train
        if not reads_features(spec):
            return READS_NOTHING
        if scores_ignore_features(spec) and not retrained:
            return NO_EFFECT
        read = read_of(modalities_in_scores(spec.model), modalities_of_features(plan.dataset, plan.encoder or "auto"))
        if not ({ALL, *read} & {*config.scopes} or config.break_point or retrained):
            return f"its scores depend on {' and '.join(read)}, and the noise is on {' and '.join(config.scopes)}"
        if not (config.sigma2 or config.relative or config.break_point or retrained):
            return "robustrec cannot train this model again, because it was trained elsewhere"
        return ""

    def cost(self, config: NoiseAudit, plan: Plan) -> Cost:
        """Return the rankings of every draw and of the break point search, and the retrainings."""
        from robustrec.audits.noise.condition import conditions_of, strengths_between, training_conditions_of
        from robustrec.runs.specs import reads_features

        reading = [spec for spec in plan.specs if reads_features(spec)]
        retrained = sum(spec.can_train for spec in reading)
        rankings = len(conditions_of(config)) * config.draws
        if point := config.break_point:
            trials = len(strengths_between(point.sigma2_min, point.sigma2_max)) + point.steps
            rankings += trials * point.draws
        trainings = len(training_conditions_of(config)) * config.training.draws if config.training else 0
        return Cost(trainings=retrained * trainings, rankings=retrained * trainings + len(reading) * rankings)

    def reported(self, config: NoiseAudit) -> Reported:
        """Return the conditions, and the break point and signal-to-noise ratios as values."""
        from robustrec.audits.noise.condition import break_point_condition, conditions_of, training_conditions_of

        found = [each.condition for each in (*conditions_of(config), *training_conditions_of(config))]
        found += [break_point_condition(config.break_point)] if config.break_point else []
        return Reported(found, (BREAK_POINT, "snr_db_image", "snr_db_text", "snr_db_*"))

    def draws(self, config: NoiseAudit, gate: Gate) -> Iterator[tuple[str, int]]:
        """Yield the draws at inference and in training, of the conditions that a gate selects."""
        from robustrec.audits.noise.condition import conditions_of, training_conditions_of

        if gate.select.metric == BREAK_POINT or gate.select.metric.startswith("snr_"):
            return
        if config.training and any(gate.select.wants(each.condition) for each in training_conditions_of(config)):
            yield "training.draws", config.training.draws
        if any(gate.select.wants(each.condition) for each in conditions_of(config)):
            yield "draws", config.draws


def _check_break_point_gates(suite: Suite, search: BreakPointSearch) -> None:
    """Refuse limits on the break point outside the range of the search."""
    from robustrec.results.possible_limits import Range, wrong_limits

    searched = Range(search.sigma2_min, search.sigma2_max)
    for gate in suite.gates:
        if gate.select.metric == BREAK_POINT and gate.quantity == "value":
            wrong = wrong_limits(gate.min, gate.max, searched, what="the range of the noise tolerance search")
            if wrong:
                raise ValueError(f"gate {gate.name!r}: {wrong}")


KIND = NoiseKind()
