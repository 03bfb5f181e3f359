"""The cause audit as a kind of audit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from robustrec.audits.cause.config import CauseAudit
from robustrec.audits.kind import AuditKind, Cost, Reported
from robustrec.audits.merchant.kind import KIND as MERCHANT
from robustrec.modalities import MODALITIES, read_of
from robustrec.results.conditions import ALL, BYSTANDERS, ITEM_GRAPH, Condition

if TYPE_CHECKING:
    from robustrec.audits.plan import Plan
    from robustrec.audits.suites import Suite
    from robustrec.results.gates import Gate
    from robustrec.runs.specs import SubjectSpec


class CauseKind(AuditKind[CauseAudit]):
    """Causes of the drift under edits."""

    name = "cause"
    config = CauseAudit
    of_edits = True
    of_suite = False
    measured_in = "robustrec.audits.cause.measure"
    gates = (
        {
            "name": "exposure of edited items lost through their picture vectors",
            "select": {"audit": "cause", "cause": "image", "edit": ALL, "metric": "exposure@20_shapley_edited"},
            "quantity": "relative_drift",
            "min": -0.10,
            "severity": "warn",
            "optional": True,
        },
    )

    def check(self, config: CauseAudit, *, where: str) -> None:
        """Check the names of the edits; user-defined edits are tried."""
        MERCHANT.check(config.merchant, where=where)

    def fits(self, config: CauseAudit, suite: Suite) -> None:
        """Check the metric."""
        if config.metric not in suite.metrics:
            raise ValueError(f"metric {config.metric!r} of the cause audit is not in the metrics of the suite")

    def needs(self, config: CauseAudit, plan: Plan, spec: SubjectSpec) -> str:
        """Return why the audit cannot measure a subject: as the merchant audit."""
        return MERCHANT.needs(config.merchant, plan, spec)

    def cost(self, config: CauseAudit, plan: Plan) -> Cost:
        """Return the rankings of all coalitions of the parts that an edit can change, and the encodings."""
        from robustrec.audits.applicable import scores_ignore_features
        from robustrec.encoders.chosen import modalities_of_features
        from robustrec.models import has_item_graphs, modalities_in_scores
        from robustrec.runs.specs import reads_features
        from robustrec.runs.treatments import treatments_of

        of_edits = MERCHANT.cost(config.merchant, plan)
        if not of_edits.encodings:
            return Cost()
        severities = sum(severity > 0 for severity in config.severities)
        available = modalities_of_features(plan.dataset, plan.encoder or "auto")
        rankings = 0
        for spec in plan.specs:
            if not reads_features(spec) or scores_ignore_features(spec):
                continue
            read = read_of(modalities_in_scores(spec.model), available)
            graphs = 2 if has_item_graphs(spec.model) else 0
            rankings += 1
            for treatment in treatments_of(config.edits):
                changed = [each for each in read if each not in MODALITIES or treatment.modality in (each, "both")]
                parts = len(changed if _separate(str(plan.encoder)) else read) + graphs
                rankings += severities * config.draws * (2**parts - 1)
        return Cost(rankings=rankings, encodings=of_edits.encodings)

    def reported(self, config: CauseAudit) -> Reported:
        """Return the conditions of every edit, and of the mean over the edits, for each possible cause."""
        from robustrec.runs.treatments import treatments_of

        treatments = treatments_of(config.edits)
        edits = [each.name for each in treatments] + [ALL] * any(not each.fault for each in treatments)
        conditions = [
            Condition(kind="cause", cause=cause, edit=edit, severity=severity, share=config.share)
            for severity in config.severities
            for edit in edits
            for cause in (ALL, *MODALITIES, ITEM_GRAPH, BYSTANDERS)
        ]
        return Reported(conditions, (), config.own_metrics)

    def draws(self, config: CauseAudit, gate: Gate) -> Iterator[tuple[str, int]]:
        """Yield the draws of edited items."""
        yield "draws", config.draws


def _separate(encoder: str) -> bool:
    """Return whether an encoder is known to make a vector of the text alone and one of the picture alone."""
    from robustrec.encoders.chosen import recipe_of

    outputs = {each.output for each in recipe_of(encoder).values()}
    return encoder == "basic" or (bool(outputs) and outputs <= {"sentence", "pooled"})


KIND = CauseKind()
