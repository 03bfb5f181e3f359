"""What every recommender takes and returns.

Dimension letters: U users, I items, E edges (training interactions), B batch, D feature width,
d latent width.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, cast, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from robustrec.errors import RobustrecError
from robustrec.models.graphs import CoOccurrence, Neighbours, Sparse, co_occurrence, cosine_neighbours
from robustrec.seeds import torch_generator

Features = Mapping[str, Tensor]
"""Modality -> item features [I, D_m]."""

Graphs = Mapping[str, Sparse]
"""Name -> graph over items that a model derives from the features."""

FindNeighbours = Callable[[Tensor, int], Neighbours]
"""(item features [I, D], k) -> each item's k nearest."""


class Batch(NamedTuple):
    """Training triples, and what a training holds for the step they belong to.

    Outside training the last three keep their defaults: then a loss is a deterministic function of parameters,
    features and triples.

    Attributes:
        users: int64 [B], on the model's device like the next two.
        positives: int64 [B].
        negatives: int64 [B].
        epoch: what the model's `epoch_state` returned for this epoch; None outside training.
        step: place of the batch in its epoch, from 0.
        seed: seed of the step's noise (dropout, Gumbel); None for no noise. All passes of one step share it.
    """

    users: Tensor
    positives: Tensor
    negatives: Tensor
    epoch: Any = None
    step: int = 0
    seed: int | None = None

    def noise(self, name: str) -> torch.Generator | None:
        """Return a fresh generator for a named noise of this step on the batch's device, None for no noise."""
        return None if self.seed is None else torch_generator(self.seed, name, device=self.users.device)


class Representation(NamedTuple):
    """User vectors [U, d] and item vectors [I, d], no views of parameters; scores are inner products."""

    users: Tensor
    items: Tensor


class Scored(NamedTuple):
    """Scores that only a function knows, standing where a `Representation` stands.

    Attributes:
        score: user ids, int64 [n] -> float32 scores [n, I] on the CPU.
        n_users: U.
        n_items: I.
    """

    score: Callable[[NDArray[np.int64]], Tensor]
    n_users: int
    n_items: int


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
        user_neighbours: users' co-occurrence, where the data set brings its own; else it is counted from the edges.
    """

    n_users: int
    n_items: int
    edges: Tensor
    feature_widths: dict[str, int]
    user_neighbours: CoOccurrence | None = None
    _counted: dict[int, CoOccurrence] = field(default_factory=dict, init=False, repr=False, compare=False)

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

    def nearest_users(self, k: int) -> CoOccurrence:
        """Return each user's k nearest by shared items, counted once for a problem (spec 1.4)."""
        if self.user_neighbours is not None:
            return self.user_neighbours.first(k)
        if k not in self._counted:
            self._counted[k] = co_occurrence(self.edges, self.n_users, self.n_items, k)
        return self._counted[k]


class Scorer(Protocol):
    """A recommender that only scores: a service, an ONNX file, another framework.

    It is a function, or the method `score` of a class built as `Class(problem)`. It must follow the features it is
    given; what it holds of an earlier call must not show. `modalities`, where it has that attribute, names those it
    reads; without it, it is given all there are.
    """

    def __call__(self, features: Mapping[str, NDArray[np.float32]], users: NDArray[np.int64]) -> Any:
        """Return the scores [n, I] of all items for users [n], given item features modality -> [I, D_m]."""
        ...


class Recommender(Protocol):
    """An `nn.Module` whose representation is a pure function of (parameters, features, training graph).

    Nothing is kept from one call to the next except constants of the training graph, which are buffers and
    so move with `.to`. A class is built as `Class(problem, config, generator)`, on the CPU, every
    random number drawn from the generator; its attribute `Config` is the Pydantic class of `config`.

    A model may also be a `DerivesItemGraphs` and a `DrawsPerEpoch`. Where some modalities shape the training only and
    scores do not follow them, its attribute `modalities_in_scores` names those that scores follow. Fine-tuned feature
    tables are an `nn.ParameterDict` named `deltas`: what training adds to the features, zero at first.
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


@runtime_checkable
class DerivesItemGraphs(Protocol):
    """A recommender whose items are joined by graphs that follow from their features.

    `represent` and `loss` take the graphs as a further argument; without it they derive them anew, so that changed
    features change the graphs too. Training derives them once, from the clean features.
    """

    def item_graphs(self, features: Features, neighbours: FindNeighbours = cosine_neighbours) -> Graphs:
        """Return the graphs of given features; a pure function of them, and of no parameter."""
        ...

    def represent(self, features: Features, graphs: Graphs | None = None) -> Representation:
        """Return user and item vectors, on the given graphs or on those of the features."""
        ...

    def loss(self, features: Features, batch: Batch, graphs: Graphs | None = None) -> Loss:
        """Return the training loss, on the given graphs or on those of the features."""
        ...


@runtime_checkable
class DrawsPerEpoch(Protocol):
    """A recommender that draws or takes stock of something when an epoch begins.

    The trainer hands what it returned back as `Batch.epoch`; it is kept nowhere else.
    """

    def epoch_state(self, features: Features, generator: torch.Generator) -> Any:
        """Return what holds for the epoch that begins: a function of parameters, features and the generator."""
        ...


def item_graphs(
    model: Recommender, features: Features, neighbours: FindNeighbours = cosine_neighbours
) -> Graphs | None:
    """Return the graphs a model derives from features, None where it derives none."""
    return model.item_graphs(features, neighbours) if isinstance(model, DerivesItemGraphs) else None


def represent(model: Recommender, features: Features, graphs: Graphs | None) -> Representation:
    """Return a model's representation on given graphs; None derives them from the features, where the model has any."""
    return model.represent(features) if graphs is None else cast(DerivesItemGraphs, model).represent(features, graphs)


def batch_loss(model: Recommender, features: Features, batch: Batch, graphs: Graphs | None) -> Loss:
    """Return a model's loss on given graphs; None derives them from the features, where the model has any."""
    if graphs is None:
        return model.loss(features, batch)
    return cast(DerivesItemGraphs, model).loss(features, batch, graphs)


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
