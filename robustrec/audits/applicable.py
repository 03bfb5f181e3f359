"""Which models and data sets an audit can measure, before any work; importable without torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from robustrec.datasets.registry import Dataset
    from robustrec.runs.specs import SubjectSpec

NO_EFFECT = "its scores do not depend on the item features"


def scores_ignore_features(spec: SubjectSpec) -> bool:
    """Return whether a model declares that its features affect training only."""
    from robustrec.models import modalities_in_scores

    return modalities_in_scores(spec.model) == ()


def not_editable(dataset: Dataset, encoder: str | None, again: str | None = None) -> str:
    """Return why items of a data set cannot be edited and encoded again; empty if they can.

    Args:
        dataset: the data set.
        encoder: the encoder of the features; None if no model reads any.
        again: the encoder that made imported features.
    """
    if encoder is None:
        return "no model of the run reads item features"
    if encoder == "imported" and not again:
        return (
            "imported features cannot be computed again from an edited text or picture; name the encoder that made them"
            " (--encoder package.module:MyEncoder), or choose one that reads them: --features basic"
        )
    catalog = dataset.catalog
    if catalog is None or not (catalog.n_texts or catalog.n_pictures):
        return f"dataset {dataset.name} has no texts and no pictures to edit"
    return ""
