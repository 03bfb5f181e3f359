"""The encoder audit as a kind of audit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from robustrec.audits.encoder.config import EncoderAudit
from robustrec.audits.kind import READS_NOTHING, AuditKind, Cost

if TYPE_CHECKING:
    from robustrec.audits.plan import Plan
    from robustrec.runs.specs import SubjectSpec


class EncoderKind(AuditKind[EncoderAudit]):
    """Movement of encoder vectors under edits."""

    name = "encoder"
    config = EncoderAudit
    of_encoder = True
    of_edits = True
    measured_in = "robustrec.audits.encoder.measure"

    def check(self, config: EncoderAudit, *, where: str) -> None:
        """Check the names of the edits; user-defined edits are tried."""
        from robustrec.runs.treatments import treatments_of

        treatments_of(config.edits, where=f"{where}, audits.edits")

    def needs(self, config: EncoderAudit, plan: Plan, spec: SubjectSpec) -> str:
        """Return why the encoder of a subject cannot be measured."""
        from robustrec.runs.editable import not_editable
        from robustrec.runs.specs import reads_features

        return (
            not_editable(plan.dataset, plan.encoder, plan.settings.encoder) if reads_features(spec) else READS_NOTHING
        )

    def cost(self, config: EncoderAudit, plan: Plan) -> Cost:
        """Return the encodings of edited items."""
        from robustrec.audits.encoder.audit import encodings_of
        from robustrec.runs.editable import not_editable

        if plan.encoder is None or not_editable(plan.dataset, plan.encoder, plan.settings.encoder):
            return Cost()
        known = plan.dataset.clean_catalog is not None
        return Cost(encodings=encodings_of(config, plan.dataset.interactions.n_items, clean=known))


KIND = EncoderKind()
