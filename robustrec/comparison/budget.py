"""Budgets: equal epochs, equal gradient evaluations, or training until early stopping."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Literal, get_args

from robustrec.runs.specs import SubjectSpec, evaluations_per_step
from robustrec.runs.specs import gradient_evaluations as evaluations_of

Budget = Literal["epochs", "gradients", "early-stop"]
BUDGETS: tuple[Budget, ...] = get_args(Budget)

BUDGET_WORDS: dict[Budget, str] = {
    "epochs": "equal epochs",
    "gradients": "equal gradient evaluations",
    "early-stop": "until early stopping",
}


def at_budget(spec: SubjectSpec, budget: Budget, epochs: int) -> SubjectSpec:
    """Return a subject that trains for a budget and keeps its best validation epoch.

    Args:
        spec: the subject as its settings have it.
        budget: "epochs": that many epochs. "gradients": as many whole epochs as take no more gradient evaluations than
            plain training takes in that many epochs; a strategy with 1.67 gradient evaluations per step gets 3/5 of
            them. Both run to the end. "early-stop": until validation has not improved for `patience` evaluations.
        epochs: of plain training; "early-stop" does not use it.
    """
    if budget == "early-stop":
        return spec
    own = epochs if budget == "epochs" else epochs_within(spec, epochs)
    return replace(spec, training=spec.training.model_copy(update={"max_epochs": own, "patience": own}))


def epochs_within(spec: SubjectSpec, epochs: float) -> int:
    """Return the whole epochs that take no more gradient evaluations than so many of plain training, one at least."""
    return max(1, math.floor(epochs / evaluations_per_step(spec) + 1e-9))  # 33 / (1 + 2/9) is 26.999…


def gradient_evaluations(spec: SubjectSpec, n_interactions: int, epochs: int | None = None) -> int:
    """Return how many gradients of a batch a training takes, including additional steps and treatments.

    Args:
        spec: the subject at its budget.
        n_interactions: training interactions.
        epochs: that the training took; by default the most it may take.
    """
    taken = spec.training.max_epochs if epochs is None else epochs
    return evaluations_of(spec, taken, math.ceil(n_interactions / spec.training.batch_size))
