"""What every recommender takes and returns.

Dimension letters: U users, I items, E edges (training interactions), B batch, D feature width,
d latent width.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from robustrec.errors import RobustrecError

Features = Mapping[str, Tensor]
"""Modality -> item features [I, D_m]."""


class Batch(NamedTuple):
    """Training triples, int64 [B] each, on the model's device."""

    users: Tensor
    positives: Tensor
    negatives: Tensor


class Representation(NamedTuple):
    """User vectors [U, d] and item vectors [I, d], no views of parameters; scores are inner products."""

    users: Tensor
    items: Tensor


class Loss(NamedTuple):
    """The scalar to minimise, and the named scalars that add up to it (weights included)."""

    total: Tensor
    terms: dict[str, Tensor]


@dataclass(frozen=True)
class Problem:
    """What a model is built for.

    Attributes:
        n_users: U.
        n_items: I.
        edges: int64 [2, E], distinct training pairs (user, item).
        feature_widths: modality -> D_m of the features there are; a modality left out is missing.
    """

    n_users: int
    n_items: int
    edges: Tensor
    feature_widths: dict[str, int]

    def __post_init__(self) -> None:
        if self.edges.dim() != 2 or self.edges.shape[0] != 2 or self.edges.dtype != torch.int64:
            raise _bad_edges(f"edges are {self.edges.dtype} {tuple(self.edges.shape)}, not int64 (2, E)")
        if self.edges.shape[1] == 0:
            raise _bad_edges("there is no training interaction")
        largest = self.edges.amax(dim=1).tolist()
        if int(self.edges.min()) < 0 or largest[0] >= self.n_users or largest[1] >= self.n_items:
            raise _bad_edges(
                f"an edge lies outside {self.n_users} users x {self.n_items} items (largest ids {largest})"
            )


class Recommender(Protocol):
    """An `nn.Module` whose representation is a pure function of (parameters, features, training graph).

    Nothing is kept from one call to the next except constants of the training graph, which are buffers and
    so move with `.to`. A class is built as `Class(problem, config, generator)`, on the CPU, every
    random number drawn from the generator; its attribute `Config` is the Pydantic class of `config`.
    """

    @property
    def modalities(self) -> tuple[str, ...]:
        """Modalities this instance reads."""
        ...

    def represent(self, features: Features) -> Representation:
        """Return user and item vectors, twice differentiable in parameters and features."""
        ...

    def loss(self, features: Features, batch: Batch) -> Loss:
        """Return the training loss of a batch with its graph."""
        ...

    def module(self) -> nn.Module:
        """Return the model as the `nn.Module` it is."""
        ...


def read_modalities(model: str, problem: Problem, readable: tuple[str, ...]) -> tuple[str, ...]:
    """Return those of the readable modalities that the problem has features for, in the order of `readable`.

    Raises:
        RobustrecError: there is none.
    """
    there = tuple(modality for modality in readable if modality in problem.feature_widths)
    if not there:
        raise RobustrecError(
            f"{model} needs features of at least one of {', '.join(readable)}; the data set has none",
            where="item features",
            fix="choose a model without features, for example --model lightgcn, or import feature files",
        )
    return there


def feature_table(features: Features, modality: str, n_items: int, width: int) -> Tensor:
    """Return the table [I, D_m] of a modality.

    Raises:
        RobustrecError: it is missing or of another shape than the model was built for.
    """
    table: Any = features.get(modality)
    found = "none" if table is None else tuple(table.shape)
    if found != (n_items, width):
        raise RobustrecError(
            f"the {modality} features are {found}, and the model was trained with {(n_items, width)}",
            where=f"item features, modality {modality!r}",
            fix="use the encoder and data set that the model was trained with, or train it again",
        )
    return table  # type: ignore[no-any-return]


def _bad_edges(what: str) -> RobustrecError:
    return RobustrecError(what, where="training interactions", fix="check the data set: robustrec data describe NAME")
