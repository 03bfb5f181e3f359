"""Which models and data sets an audit can measure, before any work; importable without torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from robustrec.audits.kind import READS_NOTHING

if TYPE_CHECKING:
    from robustrec.audits.plan import Plan
    from robustrec.runs.specs import SubjectSpec

NO_EFFECT = "its scores do not depend on the item features"


def scores_ignore_features(spec: SubjectSpec) -> bool:
    """Return whether a model declares that its features affect training only."""
    from robustrec.models import modalities_in_scores

    return modalities_in_scores(spec.model) == ()


def not_perturbable(spec: SubjectSpec) -> str:
    """Return why changed features cannot change the scores of a subject; empty if they can."""
    from robustrec.runs.specs import reads_features

    if not reads_features(spec):
        return READS_NOTHING
    return NO_EFFECT if scores_ignore_features(spec) else ""


def not_edited(plan: Plan, spec: SubjectSpec) -> str:
    """Return why edits of items cannot be measured on a subject: no effect of features, or nothing to edit."""
    from robustrec.runs.editable import not_editable

    return not_perturbable(spec) or not_editable(plan.dataset, plan.encoder, plan.settings.encoder)
