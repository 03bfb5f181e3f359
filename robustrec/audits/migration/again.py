"""Which models cannot be trained again on new vectors, because their training encodes edited items."""

from __future__ import annotations

from typing import TYPE_CHECKING

from robustrec.audits.migration.config import QUANTISED, SAME, MigrationAudit
from robustrec.training.edit_settings import edit_pool

if TYPE_CHECKING:
    from robustrec.runs.specs import SubjectSpec


def not_again(config: MigrationAudit, spec: SubjectSpec, name: str, adapter: str) -> str:
    """Return why a subject cannot be trained again on new vectors; empty if it can be.

    Training on edited content, and a filter of the directions of edits, need the vectors of edited items from the
    encoder that made the clean ones.
    """
    of_filter = spec.shrink is not None and spec.shrink.edits
    if name == SAME or not (of_filter or edit_pool(spec.strategy) is not None):
        return ""
    if name in QUANTISED:
        what = f"no encoder makes {name} vectors of edited items"
    elif adapter != "none":
        what = f"no encoder makes edited items in the space of {adapter}"
    elif config.weights:
        what = "edited items are encoded with the weights of the run, not with those of the audit"
    else:
        return ""
    reads = f"the filter {spec.shrink.label}" if of_filter and spec.shrink else f"strategy {spec.strategy_name}"
    return f"cannot be retrained: {reads} needs vectors of edited items, and {what}"


def never_again(config: MigrationAudit, spec: SubjectSpec) -> str:
    """Return why nothing is measured where models are only trained again; empty if something is."""
    if config.training != ("retrained",):
        return ""
    reasons = [not_again(config, spec, *variant) for variant in config.variants]
    return reasons[0] if all(reasons) else ""
