"""Which data sets have items that can be edited and encoded again, before any work; importable without torch."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from robustrec.config import Settings
from robustrec.encoders.chosen import encoder_name
from robustrec.errors import RobustrecError
from robustrec.feature_names import Shrink, encoder_of, with_filter
from robustrec.runs.specs import SubjectSpec, reads_features
from robustrec.training.edit_settings import edit_pool

if TYPE_CHECKING:
    from robustrec.datasets.registry import Dataset


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


SHRINK_ITEMS = 200
"""Number of items whose edits a filter of features is fitted on."""


def trained_on_edits(specs: Iterable[SubjectSpec]) -> list[SubjectSpec]:
    """Return the subjects that train on edited content."""
    return [spec for spec in specs if spec.trains and reads_features(spec) and edit_pool(spec.strategy) is not None]


def check_filters(filters: Iterable[Shrink | None], dataset: Dataset, settings: Settings) -> None:
    """Check that the edits that filters of features are fitted on can be made.

    Raises:
        RobustrecError: items cannot be edited and encoded again.
    """
    shrink = next((each for each in filters if each is not None and each.edits), None)
    if shrink is None:
        return
    features = encoder_name(dataset, encoder_of(settings.features))
    if reason := not_editable(dataset, features, settings.encoder):
        isotropic = with_filter(features, Shrink(kept=shrink.kept))
        raise RobustrecError(
            f"{shrink.label} is fitted on edited texts and pictures, but {reason}",
            where=f"--dataset {dataset.name}, --features {with_filter(features, shrink)}",
            fix=f"use the filter without edits: --features {isotropic}",
        )


def check_edited_training(specs: Iterable[SubjectSpec], dataset: Dataset, settings: Settings) -> None:
    """Check that the edited content for each training, and for the filters of features, can be made.

    Raises:
        RobustrecError: items cannot be edited and encoded again, or a name of an edit is unknown.
    """
    specs = tuple(specs)
    check_filters((spec.shrink for spec in specs), dataset, settings)
    edited = trained_on_edits(specs)
    if not edited:
        return
    from robustrec.runs.treatments import treatments_of

    for spec in edited:
        pool = edit_pool(spec.strategy)
        treatments_of(pool.edits if pool else (), where="strategy.edit_only")
    features = encoder_name(dataset, encoder_of(settings.features))
    if reason := not_editable(dataset, features, settings.encoder):
        name = edited[0].strategy_name
        raise RobustrecError(
            f"strategy {name!r} trains on edited texts and pictures, but {reason}",
            where=f"--strategy {name}, --dataset {dataset.name}, --features {features}",
            fix=_fix(dataset, settings, name),
        )


def edited_encodings(specs: Iterable[SubjectSpec], n_items: int) -> int:
    """Return the largest number of rows that are encoded for trainings on edited content and filters of features."""
    specs = tuple(specs)
    filters = {spec.shrink for spec in specs if spec.shrink and spec.shrink.edits}
    pools = {edit_pool(spec.strategy) for spec in trained_on_edits(specs)}
    return n_items * sum(pool.pools for pool in pools if pool is not None) + (
        2 * min(n_items, SHRINK_ITEMS) if filters else 0
    )


def _fix(dataset: Dataset, settings: Settings, strategy: str) -> str:
    catalog = dataset.catalog
    if catalog is None or not (catalog.n_texts or catalog.n_pictures):
        return "import texts or pictures with the data (docs/own-data.md), or choose another strategy"
    model = settings.model[0]
    return f"robustrec train --model {model} --strategy {strategy} --dataset {settings.dataset} --features basic"
