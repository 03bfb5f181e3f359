"""Checks of a recommender or scorer against the contract on a small random problem, for `robustrec doctor --model`."""

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

# The later checks are skipped if one of these fails.
REQUIRED = ("built", "represent", "loss", "shape")

SCORER_ONLY = "a scorer has no parameters and no gradients"


def check_model(name: str, options: dict[str, Any] | None = None) -> tuple[Check, ...]:
    """Build a model for a small random problem and check what the audits require.

    Args:
        name: a built-in model, or "package.module:Name" of a user-defined one.
        options: fields of its Config that differ from the defaults.

    Returns:
        One row per check, in execution order.

    Raises:
        RobustrecError: the model is unknown or cannot be imported.
    """
    known(name)
    toy = Toy(name, model_class(name), options or {})
    with torch.random.fork_rng(devices=[]):  # gradgradcheck draws from the global generator
        torch.manual_seed(0)
        return run_checks(name, checks_of(toy), required=REQUIRED)


def checks_of(toy: Toy) -> dict[str, Callable[[], str]]:
    """Return the checks of a recommender or scorer by name, in execution order; see `run_checks`."""
    return _of_scorer(toy) if is_own(toy.name) and is_scorer(toy.kind) else _of_recommender(toy)


def _of_recommender(toy: Toy) -> dict[str, Callable[[], str]]:
    checks: dict[str, Callable[[Toy], str]] = {
        "built": behaviour.built,
        "module": behaviour.module,
        "initialisation": behaviour.initialisation,
        "modalities": behaviour.declared_modalities,
        "represent": behaviour.representation,
        "loss": behaviour.loss_shape,
        "finite scores": behaviour.finite,
        "no shared memory": behaviour.no_shared_memory,
        "repeatable scores": behaviour.repeatable,
        "scores follow parameters": behaviour.follows_parameters,
        "no side effects": behaviour.no_side_effects,
        "repeatable loss": behaviour.loss_repeatable,
        **{f"reach of {name}": partial(behaviour.reach, modality=name) for name in toy.declared},
        "single modality": behaviour.single_modality,
        "item graphs": extras.item_graphs,
        "epoch state": extras.epoch_state,
        "gradients of parameters": derivatives.parameter_gradients,
        **{f"gradients in {name}": partial(derivatives.feature_gradients, modality=name) for name in toy.declared},
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
    def scorer_only(_toy: Toy) -> str:
        raise not_applicable(SCORER_ONLY)

    checks: dict[str, Callable[[Toy], str]] = {
        "shape": scoring.shape,
        "finite scores": scoring.finite,
        "repeatable scores": scoring.repeatable,
        "user order": scoring.order,
        "no side effects": scoring.inputs,
        "changed features": scoring.follows,
        **{f"reach of {name}": partial(scoring.reach, modality=name) for name in toy.declared},
        "gradients": scorer_only,
        "training": scorer_only,
    }
    return {name: partial(check, toy) for name, check in checks.items()}
