"""The missing audit as a kind of audit."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from robustrec.audits.kind import AuditKind, Cost, Reported, unmeasured_scopes
from robustrec.audits.missing.audit import conditions_of, features_of
from robustrec.audits.missing.config import MissingAudit
from robustrec.modalities import MODALITIES, read_of
from robustrec.results.conditions import ALL

if TYPE_CHECKING:
    from robustrec.audits.by_subject import AuditedSubject
    from robustrec.audits.plan import Plan
    from robustrec.results.findings import Finding
    from robustrec.results.gates import Gate
    from robustrec.runs.specs import SubjectSpec


class MissingKind(AuditKind[MissingAudit]):
    """A modality that is missing."""

    name = "missing"
    config = MissingAudit
    gates = (
        {
            "name": "NDCG@20 with 10 % of the pictures missing",
            "select": {"audit": "missing", "fill": "mean", "modality": "image", "share": 0.1, "metric": "ndcg@20"},
            "quantity": "relative_drift",
            "min": -0.05,
        },
    )

    def of_modalities(self, config: MissingAudit, available: Sequence[str], *, where: str) -> list[str]:
        """Check the scopes: image and text can lack in the features, but not all scopes, and no other name."""
        return unmeasured_scopes(config.scopes, available, what="missing", where=f"{where}, missing audit, scopes")

    def needs(self, config: MissingAudit, plan: Plan, spec: SubjectSpec) -> str:
        """Return why the audit cannot measure a subject: no features, or none that its scores depend on."""
        from robustrec.audits.applicable import not_edited, not_perturbable

        only_removed = set(config.fills) == {"removed"}
        return not_edited(plan, spec) if only_removed else not_perturbable(spec)

    def cost(self, config: MissingAudit, plan: Plan) -> Cost:
        """Return the rankings of conditions that change what a subject reads, and the encodings without content."""
        from robustrec.encoders.chosen import modalities_of_features
        from robustrec.models import modalities_in_scores
        from robustrec.runs.editable import not_editable
        from robustrec.runs.specs import reads_features

        rankings = 0
        for spec in filter(reads_features, plan.specs):
            available = modalities_of_features(plan.dataset, plan.encoder or "auto")
            read = read_of(modalities_in_scores(spec.model), available)
            rankings += sum(each.draws(config) for each in conditions_of(config) if each.reads(read))
        if not rankings or "removed" not in config.fills:
            return Cost(rankings=rankings)
        if not_editable(plan.dataset, plan.encoder, plan.settings.encoder):
            return Cost(rankings=rankings)
        largest = math.ceil(max(config.shares) * plan.dataset.interactions.n_items)
        draws = 1 if max(config.shares) == 1 else config.draws
        scopes = [scope for scope in config.scopes if scope in (ALL, *MODALITIES)]
        return Cost(rankings=rankings, encodings=largest * draws * len(scopes))

    def encodes(self, config: MissingAudit) -> bool:
        """Return whether items are encoded without their content."""
        return "removed" in config.fills

    def reported(self, config: MissingAudit) -> Reported:
        """Return the conditions."""
        return Reported([each.condition for each in conditions_of(config)], ())

    def draws(self, config: MissingAudit, gate: Gate) -> Iterator[tuple[str, int]]:
        """Yield the draws of the items, if a gate selects a condition with any."""
        if any(each.drawn and gate.select.wants(each.condition) for each in conditions_of(config)):
            yield "draws", config.draws

    def measure(self, config: MissingAudit, audited: AuditedSubject) -> list[Finding]:
        """Return the drifts under every condition; exactly none where the scores do not depend on the modality."""
        from robustrec.audits.missing.removed import not_removable

        found: list[Finding] = []
        for each in conditions_of(config):
            if each.fill == "removed" and (reason := not_removable(audited.work, each.scope)):
                audited.work.results.warnings.append(f"missing {each.scope}, removed: not measured, because {reason}")
                continue
            same = each.frozen and audited.trained.graphs is None and "rebuilt" in config.graphs
            if same or each.scope not in (ALL, *audited.work.context.prepared.tables):
                continue
            unread = not each.touches(audited, each.draws(config))
            note = f"the scores do not depend on the {each.scope} features" if unread else ""
            draws = 0 if unread else each.draws(config)
            found += audited.drift(
                each.condition,
                features_of(audited, each, draws),
                note=note,
                frozen=each.frozen,
                drawn=each.drawn and not unread,
            )
        return found


KIND = MissingKind()
