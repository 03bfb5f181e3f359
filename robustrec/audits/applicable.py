"""Which models and data sets an audit can measure, before any work; importable without torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from robustrec.runs.specs import SubjectSpec

NO_EFFECT = "its scores do not depend on the item features"


def scores_ignore_features(spec: SubjectSpec) -> bool:
    """Return whether a model declares that its features affect training only."""
    from robustrec.models import modalities_in_scores

    return modalities_in_scores(spec.model) == ()
