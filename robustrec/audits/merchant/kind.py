"""The merchant audit as a kind of audit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from robustrec.audits.kind import AuditKind, Cost, Reported
from robustrec.audits.merchant.config import MerchantAudit
from robustrec.edits import ALL
from robustrec.results.conditions import SEEN, UNSEEN
from robustrec.results.hidden import HIDDEN

if TYPE_CHECKING:
    from robustrec.audits.plan import Plan
    from robustrec.audits.suites import Suite
    from robustrec.results.gates import Gate
    from robustrec.runs.specs import SubjectSpec


class MerchantKind(AuditKind[MerchantAudit]):
    """Edits of titles, descriptions and pictures of some items."""

    name = "merchant"
    config = MerchantAudit
    of_edits = True
    measured_in = "robustrec.audits.merchant.measure"
    gates = (
        {
            "name": "relative drift of NDCG@20 under edits",
            "select": {"audit": "merchant", "edit": ALL, "severity": 3, "metric": "ndcg@20"},
            "quantity": "relative_drift",
            "min": -0.05,
        },
    )

    def check(self, config: MerchantAudit, *, where: str) -> None:
        """Check the names of the edits; user-defined edits are tried."""
        from robustrec.runs.treatments import treatments_of

        treatments_of(config.edits, where=f"{where}, audits.edits")

    def fits(self, config: MerchantAudit, suite: Suite) -> None:
        """Check the main metric."""
        if config.metric not in suite.metrics:
            raise ValueError(f"metric {config.metric!r} of the merchant audit is not in the metrics of the suite")

    def needs(self, config: MerchantAudit, plan: Plan, spec: SubjectSpec) -> str:
        """Return why the audit cannot measure a subject: without effect of features, or nothing to edit."""
        from robustrec.audits.applicable import not_edited

        return not_edited(plan, spec)

    def cost(self, config: MerchantAudit, plan: Plan) -> Cost:
        """Return the rankings of every condition and draw, and the encodings of edited items."""
        from robustrec.audits.merchant.audit import cost_of_edits
        from robustrec.runs.editable import not_editable
        from robustrec.runs.specs import reads_features

        reading = sum(reads_features(spec) for spec in plan.specs)
        if not reading or not_editable(plan.dataset, plan.encoder, plan.settings.encoder):
            return Cost()
        cost = cost_of_edits(config, plan.dataset, seed=plan.settings.seed)
        return Cost(rankings=reading * cost.rankings, encodings=cost.encodings)

    def reported(self, config: MerchantAudit) -> Reported:
        """Return the conditions of every edit, and of the means over the edits, which leave upload faults out."""
        from robustrec.audits.merchant.audit import conditions_of
        from robustrec.runs.treatments import treatments_of

        treatments = treatments_of(config.edits)
        every = [each for treatment in treatments for each in conditions_of(config, treatment)]
        conditions = dict.fromkeys(
            [
                *(each.condition for each in every),
                *(each.mean_over(group) for each in every if not each.treatment.fault for group in (ALL, SEEN, UNSEEN)),
            ]
        )
        values = ("touched", "seen", HIDDEN, "median_rank_shift_edited")
        drifts = tuple(each for each in config.own_metrics if each not in values)
        return Reported(list(conditions), values, drifts)

    def draws(self, config: MerchantAudit, gate: Gate) -> Iterator[tuple[str, int]]:
        """Yield the draws of edited items."""
        yield "draws", config.draws


KIND = MerchantKind()
