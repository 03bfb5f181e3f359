"""Whether an audit that keeps the item graphs measures anything of a model."""

from __future__ import annotations

from collections.abc import Collection

import torch

from robustrec.models.contract import Representation
from robustrec.runs.trained import TrainedSubject

FROZEN_ALONE = (
    "the features affect its scores through item graphs only, and the audit keeps these graphs, so that every drift is"
    ' 0 whatever the features; measure with rebuilt item graphs: graphs = ["rebuilt"]'
)


def frozen_alone(graphs: Collection[str], subject: TrainedSubject) -> bool:
    """Return whether an audit keeps the only way by which features reach the scores of a subject, in every condition.

    Args:
        graphs: rebuilt, frozen or both.
        subject: the subject.
    """
    if set(graphs) != {"frozen"} or subject.graphs is None:
        return False
    changed = {modality: 1 - table for modality, table in subject.tables.items()}
    clean, other = subject.represent(), subject.represent(changed, frozen=True)
    if not isinstance(clean, Representation) or not isinstance(other, Representation):
        return False
    return torch.equal(clean.users, other.users) and torch.equal(clean.items, other.items)
