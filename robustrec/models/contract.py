"""Interfaces of recommenders.

Dimension letters: U users, I items, E edges (training interactions), B batch, D feature width,
d latent width.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple, Protocol, cast, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from robustrec.errors import RobustrecError
from robustrec.modalities import ANY_MODALITY, in_order
from robustrec.models.graphs import Neighbours, Sparse, UserGraph, co_occurrence, cosine_neighbours
from robustrec.seeds import torch_generator

Features = Mapping[str, Tensor]
"""Modality -> item features [I, D_m]."""

Graphs = Mapping[str, Sparse]
"""Name -> item graph that a model derives from the features."""

FindNeighbours = Callable[[Tensor, int], Neighbours]
"""(item features [I, D], k) -> the k nearest neighbours of each item."""


class Batch(NamedTuple):
    """Training triples, and the training state of their step.

    Outside training the last five have their defaults: the loss is then a deterministic function of parameters,
    features and triples.

    Attributes:
        users: int64 [B], on the device of the model, as are positives and negatives.
        positives: int64 [B].
        negatives: int64 [B].
        epoch: result of the model's `epoch_state` for this epoch; None outside training.
        step: index of the batch in its epoch, from 0.
        seed: seed of the noise of the step (dropout, Gumbel); None for no noise. All passes of one step share it.
        constants: result of the model's `training_constants`; without it a loss is the same, except for rounding.
        more: int64 [n, B], further negatives; the loss of a step is the mean over `negatives` and each row.
    """

    users: Tensor
    positives: Tensor
    negatives: Tensor
    epoch: Any = None
    step: int = 0
    seed: int | None = None
    constants: Any = None
    more: Tensor | None = None

    def noise(self, name: str) -> torch.Generator | None:
        """Return a new generator for a named noise of this step on the device of the batch, or None for no noise."""
        return None if self.seed is None else torch_generator(self.seed, name, device=self.users.device)


class Representation(NamedTuple):
    """User vectors [U, d] and item vectors [I, d], not views of parameters; scores are inner products."""

    users: Tensor
    items: Tensor


class Scored(NamedTuple):
    """Scores given by a function, in place of a `Representation`.

    Attributes:
        score: user ids, int64 [n] -> float32 scores [n, I] on the CPU.
        n_users: U.
        n_items: I.
    """

    score: Callable[[NDArray[np.int64]], Tensor]
    n_users: int
    n_items: int


class Loss(NamedTuple):
    """The loss, and its named weighted terms."""

    total: Tensor
    terms: dict[str, Tensor]


@dataclass(frozen=True)
class Problem:
    """Sizes, training graph and feature widths that a model is built for.

    Attributes:
        n_users: U.
        n_items: I.
        edges: int64 [2, E], distinct training pairs (user, item).
        feature_widths: modality -> D_m of the available features.
        user_neighbours: user graph of the data set; None to compute it from the edges.
    """

    n_users: int
    n_items: int
    edges: Tensor
    feature_widths: dict[str, int]
    user_neighbours: UserGraph | None = None
    _counted: dict[int, UserGraph] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.edges.dim() != 2 or self.edges.shape[0] != 2 or self.edges.dtype != torch.int64:
            raise _bad_edges(
                f"edges must be int64 of shape (2, E), but got {self.edges.dtype} {tuple(self.edges.shape)}"
            )
        if self.edges.shape[1] == 0:
            raise _bad_edges("the data set has no training interactions")
        largest = self.edges.amax(dim=1).tolist()
        if int(self.edges.min()) < 0 or largest[0] >= self.n_users or largest[1] >= self.n_items:
            raise _bad_edges(
                f"an edge is out of range for {self.n_users} users x {self.n_items} items (largest ids {largest})"
            )

    def nearest_users(self, k: int) -> UserGraph:
        """Return the k nearest users of each user by the number of shared items, computed once per problem."""
        if self.user_neighbours is not None:
            return self.user_neighbours.first(k)
        if k not in self._counted:
            self._counted[k] = co_occurrence(self.edges, self.n_users, self.n_items, k)
        return self._counted[k]


class Scorer(Protocol):
    """A recommender that only returns scores, e.g. a service, an ONNX file or another framework.

    It is a function, or the method `score` of a class built as `Class(problem)`. Its scores must depend on the given
    features only, not on earlier calls. The optional attribute `modalities` names the modalities that it reads;
    without it, or with "*", all available modalities are passed.
    """

    def __call__(self, features: Mapping[str, NDArray[np.float32]], users: NDArray[np.int64]) -> Any:
        """Return the scores [n, I] of all items for users [n], for item features modality -> [I, D_m]."""
        ...


class Recommender(Protocol):
    """An `nn.Module` whose representation is a pure function of (parameters, features, training graph).

    A model keeps no state between calls except constants of the training graph, which are buffers and
    move with `.to`. A class is built as `Class(problem, config, generator)`, on the CPU; all
    random numbers come from the generator. Its attribute `Config` is the Pydantic class of `config`.

    A model may also be a `DerivesItemGraphs` and a `DrawsPerEpoch`. If some modalities are used in training only, its
    attribute `modalities_in_scores` names the modalities that the scores depend on. Fine-tuned feature tables are an
    `nn.ParameterDict` named `deltas`: the change of the features by training, initially zero.
    """

    @property
    def modalities(self) -> tuple[str, ...]:
        """Modalities that this instance reads; on the class, those that it can read, ("*",) for any."""
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


class RecommenderModule(nn.Module):
    """Base of recommenders that are an `nn.Module` themselves.

    Attributes:
        static_passes: whether the passes of a training batch launch the same kernels for every batch of its size, so
            that training on a GPU replays them; an epoch state has tensors of the same shapes in every epoch, if any;
            a subclass states it anew.
        draws_noise: whether the steps of this instance draw noise, so that they are not replayed all the same.
    """

    static_passes: ClassVar[bool] = False
    draws_noise: bool = False

    def module(self) -> nn.Module:
        """Return the model as the `nn.Module` it is."""
        return self


@runtime_checkable
class DerivesItemGraphs(Protocol):
    """A recommender with item graphs that are derived from item features.

    `represent` and `loss` take the graphs as an additional argument; without it they derive the graphs again, so that
    changed features also change the graphs. Training derives them once, from the clean features.
    """

    def item_graphs(self, features: Features, neighbours: FindNeighbours = cosine_neighbours) -> Graphs:
        """Return the graphs of the features; a pure function of the features, independent of parameters."""
        ...

    def represent(self, features: Features, graphs: Graphs | None = None) -> Representation:
        """Return user and item vectors with the given graphs, or with graphs derived from the features."""
        ...

    def loss(self, features: Features, batch: Batch, graphs: Graphs | None = None) -> Loss:
        """Return the training loss with the given graphs, or with graphs derived from the features."""
        ...


@runtime_checkable
class DrawsPerEpoch(Protocol):
    """A recommender with a per-epoch state, such as a random graph.

    The trainer passes the state as `Batch.epoch`; the model does not keep it.
    """

    def epoch_state(self, features: Features, generator: torch.Generator) -> Any:
        """Return the state of a new epoch, a function of parameters, features and the generator."""
        ...


@runtime_checkable
class HasTrainingConstants(Protocol):
    """A recommender with costly parts of its loss that depend on the features and on no parameter.

    The trainer computes them once per training and passes them as `Batch.constants`. A loss uses them only for the
    features that they were computed from, and computes other features itself.
    """

    def training_constants(self, features: Features, batch_size: int) -> Any:
        """Return the constants; a pure function of the features and the training graph."""
        ...


def training_constants(model: Recommender, features: Features, batch_size: int) -> Any:
    """Return the constants of a model for a training with these features, or None."""
    return model.training_constants(features, batch_size) if isinstance(model, HasTrainingConstants) else None


def item_graphs(
    model: Recommender, features: Features, neighbours: FindNeighbours = cosine_neighbours
) -> Graphs | None:
    """Return the graphs that a model derives from features, or None."""
    return model.item_graphs(features, neighbours) if isinstance(model, DerivesItemGraphs) else None


def represent(model: Recommender, features: Features, graphs: Graphs | None) -> Representation:
    """Return the representation of a model with given graphs; None derives them from the features."""
    return model.represent(features) if graphs is None else cast(DerivesItemGraphs, model).represent(features, graphs)


def batch_loss(model: Recommender, features: Features, batch: Batch, graphs: Graphs | None) -> Loss:
    """Return the loss of a model with given graphs; None derives them from the features."""
    if graphs is None:
        return model.loss(features, batch)
    return cast(DerivesItemGraphs, model).loss(features, batch, graphs)


def read_modalities(model: str, problem: Problem, readable: tuple[str, ...]) -> tuple[str, ...]:
    """Return the readable modalities that the problem has features for, in the order of `readable`.

    Args:
        model: name of the model, for errors.
        problem: has the widths of the available features.
        readable: names of modalities, or "*" for all, in the order of modalities.

    Raises:
        RobustrecError: none is available.
    """
    there = tuple(modality for modality in readable if modality in problem.feature_widths)
    if ANY_MODALITY in readable:
        there = in_order(problem.feature_widths)
    if not there:
        wanted = "item features" if ANY_MODALITY in readable else f"features of at least one of {', '.join(readable)}"
        has = f"only {', '.join(problem.feature_widths)}" if problem.feature_widths else "none"
        raise RobustrecError(
            f"{model} needs {wanted}, but the data set has {has}",
            where="item features",
            fix="choose a model without features, for example --model lightgcn, or import feature files",
        )
    return there


def feature_table(features: Features, modality: str, n_items: int, width: int) -> Tensor:
    """Return the table [I, D_m] of a modality.

    Raises:
        RobustrecError: it is missing or has another shape than the model was built for.
    """
    table: Any = features.get(modality)
    found = "none" if table is None else tuple(table.shape)
    if found != (n_items, width):
        raise RobustrecError(
            f"the {modality} features must be {(n_items, width)}, as in training, but got {found}",
            where=f"item features, modality {modality!r}",
            fix="use the encoder and data set that the model was trained with, or train it again",
        )
    return table  # type: ignore[no-any-return]


def _bad_edges(what: str) -> RobustrecError:
    return RobustrecError(what, where="training interactions", fix="check the data set: robustrec data describe NAME")
