"""The guarantee audit as a kind of audit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from robustrec.audits.guarantee.config import GuaranteeAudit
from robustrec.audits.kind import AuditKind, Cost, Reported
from robustrec.results.hidden import HIDDEN

if TYPE_CHECKING:
    from robustrec.audits.by_subject import AuditedSubject
    from robustrec.audits.plan import Plan
    from robustrec.results.findings import Finding
    from robustrec.results.gates import Gate
    from robustrec.runs.specs import SubjectSpec


class GuaranteeKind(AuditKind[GuaranteeAudit]):
    """A bound on the share of items that lose places, from items edited one at a time."""

    name = "guarantee"
    config = GuaranteeAudit
    of_edits = True
    of_suite = False
    gates = (
        {
            "name": "items that lose more than a quarter of their places",
            "select": {"audit": "guarantee", "severity": 3, "metric": "losing@20"},
            "quantity": "value",
            "max": 0.1,
        },
    )

    def check(self, config: GuaranteeAudit, *, where: str) -> None:
        """Check the names of the edits; user-defined edits are tried."""
        from robustrec.runs.treatments import treatments_of

        treatments_of(config.edits, where=f"{where}, audits.edits")

    def needs(self, config: GuaranteeAudit, plan: Plan, spec: SubjectSpec) -> str:
        """Return why the audit cannot measure a subject: without effect of features, or nothing to edit."""
        from robustrec.audits.applicable import not_edited

        return not_edited(plan, spec)

    def cost(self, config: GuaranteeAudit, plan: Plan) -> Cost:
        """Return a representation and ranking for each sampled item and condition, and an encoding of each."""
        from robustrec.audits.guarantee.sample import item_edits
        from robustrec.audits.merchant.items import PROBED
        from robustrec.runs.specs import reads_features
        from robustrec.runs.treatments import treatments_of

        measured = [spec for spec in plan.specs if reads_features(spec) and not self.needs(config, plan, spec)]
        if not measured:
            return Cost()
        edits = item_edits(config, treatments_of(config.edits))
        moving = [each for each in edits if each.severity > 0]
        items = min(config.items, plan.dataset.interactions.n_items)
        encoded = len({(each.treatment.name, each.severity) for each in moving}) * items * len(measured)
        return Cost(
            rankings=len(measured) * (len(config.graphs) + len(moving) * items),
            encodings=encoded + (2 * PROBED if moving else 0),
        )

    def encodes(self, config: GuaranteeAudit) -> bool:
        """Return that edited items are encoded."""
        return True

    def stored(self, config: GuaranteeAudit) -> bool:
        """Return whether nothing user-defined decides the findings."""
        from robustrec.runs.treatments import has_user_edits

        return not has_user_edits(config.edits)

    def reported(self, config: GuaranteeAudit) -> Reported:
        """Return the conditions."""
        from robustrec.audits.guarantee.sample import item_edits
        from robustrec.runs.treatments import treatments_of

        conditions = [each.condition for each in item_edits(config, treatments_of(config.edits))]
        return Reported(conditions, (*config.own_metrics, HIDDEN))

    def draws(self, config: GuaranteeAudit, gate: Gate) -> Iterator[tuple[str, int]]:
        """Yield nothing: each item has one draw of its edit, and the sample of items carries the uncertainty."""
        yield from ()

    def measure(self, config: GuaranteeAudit, audited: AuditedSubject) -> list[Finding]:
        """Return the bounds and certificates under every condition."""
        from robustrec.audits.guarantee.measure import measure

        return measure(config, audited)


KIND = GuaranteeKind()
