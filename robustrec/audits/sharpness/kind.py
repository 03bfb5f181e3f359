"""The sharpness audit as a kind of audit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from robustrec.audits.kind import READS_NOTHING, AuditKind, Cost
from robustrec.audits.sharpness.config import SharpnessAudit, input_gradients, noisy_lists, parameter_gradients

if TYPE_CHECKING:
    from robustrec.audits.plan import Plan
    from robustrec.results.gates import Gate
    from robustrec.runs.specs import SubjectSpec


class SharpnessKind(AuditKind[SharpnessAudit]):
    """Sharpness of one audited loss in features and parameters."""

    name = "sharpness"
    config = SharpnessAudit
    measured_in = "robustrec.audits.sharpness.measure"

    def check(self, config: SharpnessAudit, *, where: str) -> None:
        """Check the names of the edits; user-defined edits are tried."""
        from robustrec.runs.treatments import treatments_of

        if config.edits:
            treatments_of(config.edits.edits, where=f"{where}, audits.edits.edits")

    def needs(self, config: SharpnessAudit, plan: Plan, spec: SubjectSpec) -> str:
        """Return why the audit cannot measure a subject: without effect of features, or without derivatives."""
        from robustrec.audits.applicable import NO_EFFECT, scores_ignore_features
        from robustrec.runs.specs import reads_features

        if not reads_features(spec):
            return READS_NOTHING
        if scores_ignore_features(spec) and config.parameters is None:
            return NO_EFFECT
        return "a scoring function has no derivatives" if spec.origin == "scorer" else ""

    def cost(self, config: SharpnessAudit, plan: Plan) -> Cost:
        """Return the gradients, the rankings under noise, and the encodings of edited items."""
        from robustrec.encoders.chosen import modalities_of_features
        from robustrec.runs.specs import reads_features

        reading = sum(reads_features(spec) for spec in plan.specs)
        modalities = len(modalities_of_features(plan.dataset, plan.encoder)) if plan.encoder else 0
        gradients = input_gradients(config, max(2, modalities)) + parameter_gradients(config)
        encodings = config.edits.items * len(config.edits.edits) if config.edits else 0
        # Lists with kept item graphs, and once more with rebuilt ones.
        return Cost(rankings=reading * 2 * noisy_lists(config), encodings=encodings, gradients=reading * gradients)

    def draws(self, config: SharpnessAudit, gate: Gate) -> Iterator[tuple[str, int]]:
        """Yield the pairs of draws behind drifts, and the probes behind input sharpness."""
        metric = gate.select.metric
        if config.noise_pairs and ("@" in metric or metric.startswith("delta_loss")):
            yield "noise_pairs", config.noise_pairs
        elif metric.startswith("input_sharpness"):
            yield "input_probes", config.input_probes


KIND = SharpnessKind()
