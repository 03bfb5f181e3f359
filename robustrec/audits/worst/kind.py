"""The worst audit as a kind of audit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from robustrec.audits.kind import AuditKind, Cost, Reported
from robustrec.audits.worst.config import WorstAudit, lost_metrics
from robustrec.errors import RobustrecError
from robustrec.evaluation.kinds import parse_metric

if TYPE_CHECKING:
    from robustrec.audits.by_subject import AuditedSubject
    from robustrec.audits.plan import Plan
    from robustrec.audits.suites import Suite
    from robustrec.datasets.registry import Dataset
    from robustrec.results.findings import Finding
    from robustrec.results.gates import Gate
    from robustrec.runs.specs import SubjectSpec


class WorstKind(AuditKind[WorstAudit]):
    """A search for the edits of an item with the largest effect on its exposure."""

    name = "worst"
    config = WorstAudit
    of_edits = True
    of_suite = False
    measured_in = "robustrec.audits.worst.measure"
    gates = (
        {
            "name": "items that lose more than half under the worst edit found",
            "select": {"audit": "worst", "search": "worst", "metric": "items_losing_50"},
            "quantity": "value",
            "max": 0.5,
        },
    )

    def check(self, config: WorstAudit, *, where: str) -> None:
        """Check the names of the edits; user-defined edits are tried."""
        from robustrec.audits.worst.conditions import check_encodings, searched_edits

        edits = searched_edits(config, where=f"{where}, audits.edits")
        check_encodings(config, len(edits), where=f"{where}, audits.encodings")

    def check_dataset(self, config: WorstAudit, dataset: Dataset, *, where: str) -> None:
        """Check the numbers of the targets."""
        n_items = dataset.interactions.n_items
        unknown = [item for item in config.targets if item >= n_items]
        if unknown:
            raise RobustrecError(
                f"there is no item {unknown[0]}: the items have the numbers 0 to {n_items - 1}",
                where=f"{where}, worst audit, targets",
                fix="use item numbers as the report shows them",
            )

    def fits(self, config: WorstAudit, suite: Suite) -> None:
        """Check the main metric."""
        if config.metric not in suite.metrics:
            raise ValueError(f"metric {config.metric!r} of the worst audit is not in the metrics of the suite")

    def needs(self, config: WorstAudit, plan: Plan, spec: SubjectSpec) -> str:
        """Return why the audit cannot measure a subject: without effect of features, or nothing to edit."""
        from robustrec.audits.applicable import not_edited

        return not_edited(plan, spec)

    def cost(self, config: WorstAudit, plan: Plan) -> Cost:
        """Return the largest cost: every subject searches other items, and every step ranks new combinations."""
        from robustrec.audits.merchant.items import PROBED
        from robustrec.audits.worst.conditions import (
            encodings_of_item,
            gradients_of_item,
            rankings_of_item,
            searched_edits,
        )

        reading = sum(not self.needs(config, plan, spec) for spec in plan.specs)
        if not reading:
            return Cost()
        n_edits, items = len(searched_edits(config)), config.items + len(config.targets)
        longest = max(parse_metric(name).k for name in (*plan.suite.metrics, *plan.suite.stability))
        return Cost(
            rankings=reading * (1 + (config.exposure > longest) + items * rankings_of_item(config, n_edits)),
            encodings=2 * PROBED + reading * items * encodings_of_item(config, n_edits),
            gradients=reading * items * gradients_of_item(config),
        )

    def encodes(self, config: WorstAudit) -> bool:
        """Return True: edited items are encoded."""
        return True

    def reported(self, config: WorstAudit) -> Reported:
        """Return the conditions."""
        from robustrec.audits.worst.conditions import condition_of, searches_of

        metrics = (f"exposure@{config.exposure}_edited", f"{config.metric}_edited")
        return Reported(
            [condition_of(config, search) for search in searches_of(config)], ("items", *lost_metrics()), metrics
        )

    def draws(self, config: WorstAudit, gate: Gate) -> Iterator[tuple[str, int]]:
        """Yield nothing: items are the units, and the search has no draws."""
        yield from ()

    def measure(self, config: WorstAudit, audited: AuditedSubject) -> list[Finding]:
        """Return the findings of one subject."""
        from robustrec.audits.worst.measure import measured

        return measured(config, audited)


KIND = WorstKind()
