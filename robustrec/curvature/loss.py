"""The audited loss: the mean of softplus(-margin) over fixed triples, the same for every model."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from robustrec.curvature.triples import ScoredPairs, Triples, margins
from robustrec.errors import RobustrecError
from robustrec.models.contract import Batch, Features, Graphs, Recommender, Representation, batch_loss, represent
from robustrec.models.graphs import Sparse

# The fused attention of a CPU has no second derivative; the plain form has. `robustrec doctor` switches alike.
TWICE_DIFFERENTIABLE = SDPBackend.MATH
# What two runs of one computation may differ by where sums come in another order, as on a GPU.
SAME = 1e-5


class LossFunction(Protocol):
    """A scalar function of named parameters and feature tables.

    Attributes:
        parameters: those it was made at.
        tables: features it was made at.
    """

    @property
    def parameters(self) -> dict[str, Tensor]:
        """The parameters it was made at, detached."""

    @property
    def tables(self) -> dict[str, Tensor]:
        """The features it was made at."""

    def value(self, parameters: Mapping[str, Tensor] | None = None, tables: Features | None = None) -> Tensor:
        """Return the loss at given parameters and features, by default where it was made."""


@dataclass(frozen=True)
class Audited:
    """A model with what its representation follows from, in evaluation mode and apart from its subject.

    Attributes:
        model: a copy that nobody else changes.
        tables: modality -> [I, D_m].
        graphs: item graphs of training time, where the model derives any.
        trainable: names of the parameters that are varied; the others are constants.
    """

    model: Recommender
    tables: dict[str, Tensor]
    graphs: Graphs | None
    trainable: frozenset[str]

    @cached_property
    def parameters(self) -> dict[str, Tensor]:
        """Its trainable parameters by name, detached."""
        return {name: each.detach() for name, each in self.model.module().named_parameters() if name in self.trainable}

    def represent(
        self,
        parameters: Mapping[str, Tensor] | None = None,
        tables: Features | None = None,
        *,
        rebuilt: bool = False,
    ) -> Representation:
        """Return user and item vectors; item graphs stay those of training time unless `rebuilt`."""
        tables = self.tables if tables is None else tables
        graphs = None if rebuilt else self.graphs
        return self._call(lambda: represent(self.model, tables, graphs), parameters)  # type: ignore[no-any-return]

    def training_loss(self, triples: Triples, parameters: Mapping[str, Tensor] | None, tables: Features) -> Tensor:
        """Return what the model itself minimises on triples, without noise."""
        batch = Batch(*triples)
        return self._call(lambda: batch_loss(self.model, tables, batch, self.graphs).total, parameters)  # type: ignore[no-any-return]

    def _call(self, function: Any, parameters: Mapping[str, Tensor] | None) -> Any:
        with sdpa_kernel(TWICE_DIFFERENTIABLE):
            if parameters is None:
                return function()
            named = {f"model.{name}": each for name, each in parameters.items()}
            return functional_call(_Calling(self.model.module(), function), named, ())


def audited(
    model: Recommender, tables: Features, graphs: Graphs | None = None, dtype: torch.dtype = torch.float32
) -> Audited:
    """Return a model for measuring its curvature, at a precision of one's choice; what is given stays as it is.

    Args:
        model: trained.
        tables: modality -> [I, D_m] on its device.
        graphs: those of training time, where it derives any.
        dtype: float32 or float64.
    """
    trainable = frozenset(name for name, each in model.module().named_parameters() if each.requires_grad)
    twin = copy.deepcopy(model.module()).to(dtype).eval().requires_grad_(False)
    moved = {name: table.detach().to(dtype) for name, table in tables.items()}
    return Audited(twin, moved, _graphs_at(graphs, dtype), trainable)  # type: ignore[arg-type]


@dataclass(frozen=True)
class AuditLoss:
    """Mean softplus(-margin) over the triples, in nats.

    Attributes:
        subject: the model.
        pairs: of the triples, on its device.
        standardised: divide the margins by their standard deviation, so that the scale of the scores does not count.
    """

    subject: Audited
    pairs: ScoredPairs
    standardised: bool = False

    @property
    def parameters(self) -> dict[str, Tensor]:
        """The parameters it was made at, detached."""
        return self.subject.parameters

    @property
    def tables(self) -> dict[str, Tensor]:
        """The features it was made at."""
        return self.subject.tables

    def margins(self, parameters: Mapping[str, Tensor] | None = None, tables: Features | None = None) -> Tensor:
        """Return the margins, float64 [n]."""
        return margins(self.subject.represent(parameters, tables), self.pairs)

    def value(self, parameters: Mapping[str, Tensor] | None = None, tables: Features | None = None) -> Tensor:
        """Return the loss, a float64 scalar."""
        return self.of_margins(self.margins(parameters, tables))

    def of(self, representation: Representation) -> float:
        """Return the loss of a representation."""
        return float(self.of_margins(margins(representation, self.pairs)))

    def of_margins(self, found: Tensor) -> Tensor:
        """Return the loss of margins [n]."""
        if self.standardised:
            found = found / found.std(correction=0)
        return functional.softplus(-found).mean()


@dataclass(frozen=True)
class TrainingLoss:
    """The model's own training loss on given triples: another scale, and for in-batch contrasts another at any size.

    Attributes:
        subject: the model.
        triples: one batch, on its device.
    """

    subject: Audited
    triples: Triples

    @property
    def parameters(self) -> dict[str, Tensor]:
        """The parameters it was made at, detached."""
        return self.subject.parameters

    @property
    def tables(self) -> dict[str, Tensor]:
        """The features it was made at."""
        return self.subject.tables

    def value(self, parameters: Mapping[str, Tensor] | None = None, tables: Features | None = None) -> Tensor:
        """Return the loss, a scalar."""
        return self.subject.training_loss(self.triples, parameters, self.tables if tables is None else tables)


def checked_value(loss: LossFunction) -> float:
    """Return the loss where it was made.

    Raises:
        RobustrecError: it is not finite, or another when it is computed again.
    """
    with torch.no_grad():
        first, second = float(loss.value()), float(loss.value())
    if not torch.isfinite(torch.tensor([first, second])).all():
        raise RobustrecError(
            f"the audited loss is {first}: parameters or scores are not finite, or all margins are equal",
            where="model.represent",
            fix="train the model again; look at its validation metric with: robustrec train",
        )
    if abs(first - second) > SAME * max(abs(first), abs(second)):
        raise RobustrecError(
            f"the same parameters give a loss of {first:.6g} and then of {second:.6g}",
            where="model.represent",
            fix="make represent a pure function in evaluation mode: no dropout and no fresh noise",
        )
    return first


class _Calling(nn.Module):
    """A model under the name "model", called through a function that knows its arguments."""

    def __init__(self, model: nn.Module, function: Any) -> None:
        super().__init__()
        self.model = model
        self._function = function

    def forward(self) -> Any:
        return self._function()


def _graphs_at(graphs: Graphs | None, dtype: torch.dtype) -> Graphs | None:
    if graphs is None:
        return None
    return {name: _at(each, dtype) for name, each in graphs.items()}


def _at(graph: Sparse, dtype: torch.dtype) -> Sparse:
    """Return a graph at a precision, its transpose the same numbers to the bit: else no Hessian is quite symmetric."""
    values = graph.values.detach().to(dtype)
    order = torch.argsort(graph.pattern.columns, stable=True)  # the rows are in order already
    return graph._replace(values=values, transpose_values=values[order])
