"""Checks of a recommender or scorer against the contract, on a small random problem: `robustrec doctor --model`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from robustrec.checking import behaviour, derivatives, extras, scoring
from robustrec.checking.toy import Check, Status, Toy, not_applicable, run_checks
from robustrec.models import known, model_class
from robustrec.models.own import is_own, is_scorer

__all__ = ["Check", "Status", "Toy", "check_model", "checks_of", "run_checks"]

# Checks without which nothing later can be told.
NEEDED = ("built", "represent", "loss", "shape")

ONLY_SCORES = "only a function scores: there is nothing to differentiate or to train"


def check_model(name: str, options: dict[str, Any] | None = None) -> tuple[Check, ...]:
    """Build a model for a small random problem and check what the audits rely on.

    Args:
        name: a built-in model, or "package.module:Name" of one's own.
        options: fields of its Config that differ from the defaults.

    Returns:
        A row for each check, in the order they were made.

    Raises:
        RobustrecError: no model has the name, or it cannot be imported.
    """
    known(name)
    toy = Toy(name, model_class(name), options or {})
    with torch.random.fork_rng(devices=[]):  # gradgradcheck draws from the global generator
        torch.manual_seed(0)
        return run_checks(name, checks_of(toy), needed=NEEDED)


def checks_of(toy: Toy) -> dict[str, Callable[[], str]]:
    """Return the checks of a recommender or scorer by name, in the order they are made; see `run_checks`."""
    return _of_scorer(toy) if is_own(toy.name) and is_scorer(toy.kind) else _of_recommender(toy)


def _of_recommender(toy: Toy) -> dict[str, Callable[[], str]]:
    checks: dict[str, Callable[[Toy], str]] = {
        "built": behaviour.built,
        "module": behaviour.module,
        "initialisation": behaviour.initialisation,
        "modalities": behaviour.claims,
        "represent": behaviour.representation,
        "loss": behaviour.loss_shape,
        "finite scores": behaviour.finite,
        "own memory": behaviour.own_memory,
        "same call, same scores": behaviour.repeatable,
        "scores follow parameters": behaviour.follows_parameters,
        "nothing is touched": behaviour.untouched,
        "one batch, one loss": behaviour.loss_repeatable,
        **{f"reach of {name}": partial(behaviour.reach, modality=name) for name in toy.claimed},
        "one modality alone": behaviour.single_modality,
        "item graphs": extras.item_graphs,
        "epoch state": extras.epoch_state,
        "gradients of parameters": derivatives.parameter_gradients,
        **{f"gradients in {name}": partial(derivatives.feature_gradients, modality=name) for name in toy.claimed},
        "float64": derivatives.float64,
        "derivatives of represent": partial(derivatives.first_derivatives, what="represent"),
        "derivatives of loss": partial(derivatives.first_derivatives, what="loss"),
        "second derivatives of represent": partial(derivatives.second_derivatives, what="represent"),
        "second derivatives of loss": partial(derivatives.second_derivatives, what="loss"),
        "saved state": behaviour.state,
        "training": derivatives.training,
    }
    return {name: partial(check, toy) for name, check in checks.items()}


def _of_scorer(toy: Toy) -> dict[str, Callable[[], str]]:
    def only_scores(_toy: Toy) -> str:
        raise not_applicable(ONLY_SCORES)

    checks: dict[str, Callable[[Toy], str]] = {
        "shape": scoring.shape,
        "finite scores": scoring.finite,
        "same call, same scores": scoring.repeatable,
        "order of users": scoring.order,
        "nothing is touched": scoring.inputs,
        "new features are seen": scoring.follows,
        **{f"reach of {name}": partial(scoring.reach, modality=name) for name in toy.claimed},
        "gradients": only_scores,
        "training": only_scores,
    }
    return {name: partial(check, toy) for name, check in checks.items()}
