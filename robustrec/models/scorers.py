"""Recommenders that only score: building one, and its scores as numbers that can be ranked."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from robustrec.errors import RobustrecError
from robustrec.models.contract import Features, Problem, Scored, Scorer
from robustrec.models.own import attributed_to, has_vectors
from robustrec.models.vector_scorers import VectorScorer


def build_scorer(name: str, kind: Any, problem: Problem) -> Scorer:
    """Return the function that scores: what was named, or a class's method `score` or product of its vectors.

    Raises:
        RobustrecError: the class cannot be built.
    """
    if not inspect.isclass(kind):
        return kind  # type: ignore[no-any-return]
    build: Callable[[Problem], Any] = kind
    with attributed_to(name, "its constructor"):
        built = build(problem)
    return VectorScorer(name, built, problem) if has_vectors(kind) else built.score


def scored(name: str, scorer: Scorer, features: Features, problem: Problem) -> Scored:
    """Return the scores that a scorer gives on features.

    It is handed read-only copies, so that what it does to them reaches neither its next call nor another subject.

    Args:
        name: of the model, for errors.
        scorer: the function.
        features: modality -> [I, D_m] on any device.
        problem: whose users and items.
    """
    arrays = {modality: _locked(table.detach().cpu().numpy().copy()) for modality, table in features.items()}

    def score(users: NDArray[np.int64]) -> Tensor:
        with attributed_to(name, "score"):
            scores = scorer(arrays, _locked(users.copy()))
        return checked_scores(name, scores, (len(users), problem.n_items))

    return Scored(score, problem.n_users, problem.n_items)


def checked_scores(name: str, scores: Any, shape: tuple[int, int]) -> Tensor:
    """Return the scores of a score function as a table of its own on the CPU.

    It is float32 where that holds every score exactly, else float64, so that no two different scores become equal.

    Args:
        name: of the model, for errors.
        scores: an array, a tensor or nested lists.
        shape: [n, I] wanted.

    Raises:
        RobustrecError: they are no real numbers of that shape.
    """
    table, found = _table(scores)
    if found != shape:
        raise RobustrecError(
            f"score must return numbers of shape {shape} (one row per user, one column per item), but got {found}",
            where=f"--model {name}",
            fix=f"check it: robustrec doctor --model {name}",
        )
    return table


def _table(scores: Any) -> tuple[Tensor, Any]:
    """Return the scores as float32 or float64 with their shape, or nothing with what they are instead."""
    if isinstance(scores, Tensor):
        scores = scores.detach().cpu()
        if not scores.is_complex() and scores.layout is torch.strided:
            return _narrowed(scores.to(torch.float64)), tuple(scores.shape)
    try:
        values = np.asarray(scores)
    except (TypeError, ValueError, RuntimeError):
        values = np.asarray("")
    if values.dtype.kind not in "fiub":
        return torch.empty(0), f"{type(scores).__name__} {getattr(scores, 'dtype', '')}".strip()
    with np.errstate(over="ignore"):  # a long double beyond float64 is refused as infinite when it is ranked
        return _narrowed(torch.from_numpy(values.astype(np.float64))), values.shape


def _narrowed(scores: Tensor) -> Tensor:
    """Return a copy in float32 where that holds every number exactly, else in float64."""
    narrow = scores.to(torch.float32)
    exact = (narrow == scores) | torch.isnan(scores)
    return narrow if bool(exact.all()) else scores.to(torch.float64, copy=True)


def _locked(array: NDArray[Any]) -> NDArray[Any]:
    array.flags.writeable = False
    return array
