"""Equal budgets: the same number of epochs for every strategy, or the same number of gradient evaluations."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Literal, get_args

from robustrec.runs.specs import SubjectSpec

Budget = Literal["epochs", "gradients"]
BUDGETS: tuple[Budget, ...] = get_args(Budget)


def at_budget(spec: SubjectSpec, budget: Budget, epochs: int) -> SubjectSpec:
    """Return a subject that trains for a budget and is not stopped before; its best validation is kept as ever.

    Args:
        spec: the subject as its settings have it.
        budget: "epochs": that many epochs. "gradients": as many whole epochs as take no more gradient evaluations than
            plain training takes in that many epochs; a strategy with 1.67 passes a step gets 3/5 of them.
        epochs: of plain training.
    """
    own = epochs if budget == "epochs" else max(1, math.floor(epochs / spec.strategy.passes_per_step))
    return replace(spec, training=spec.training.model_copy(update={"max_epochs": own, "patience": own}))


def gradient_evaluations(spec: SubjectSpec, n_interactions: int) -> int:
    """Return how many gradients of a batch a training takes, those of probes and second half-steps included."""
    steps = spec.training.max_epochs * math.ceil(n_interactions / spec.training.batch_size)
    if not (spec.strategy.moves.probe or spec.strategy.moves.mirror):
        return steps
    return round(steps * spec.strategy.passes_per_step)
