"""LATTICE: item graphs learned from fine-tuned features beside frozen ones, added to a smoothed user-item graph."""

from __future__ import annotations

from typing import NamedTuple, cast

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn import functional

from robustrec.models.contract import (
    Batch,
    Features,
    FindNeighbours,
    Graphs,
    Loss,
    Problem,
    Representation,
    feature_table,
    read_modalities,
)
from robustrec.models.graphs import (
    Sparse,
    SparseBuffer,
    cosine_neighbours,
    product,
    similarity_graph,
    sparse_of,
    symmetrically_normalised,
    weighted_sum,
)
from robustrec.models.initial import linear, table
from robustrec.models.losses import bpr_loss, half_squares
from robustrec.models.rows import project_tuned, unit_rows


class LATTICEConfig(BaseModel):
    """Settings of LATTICE."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    latent_width: int = Field(64, ge=1, description="d, numbers per user and item vector and per projected feature")
    layers: int = Field(2, ge=0, le=16, description="propagations over the user-item graph")
    item_neighbours: int = Field(10, ge=1, description="k, nearest items by features, each item itself included")
    item_layers: int = Field(1, ge=1, le=16, description="propagations over the item graph")
    frozen_share: float = Field(
        0.9, ge=0, le=1, description="share λ of the graphs of raw features; the rest is learned"
    )
    reg_weight: float = Field(1e-4, ge=0, description="weight of the squared norms of the batch's vectors")
    nominal_batch: int = Field(
        2048, ge=1, description="what the squared norms are divided by, however many rows a batch has"
    )


class LearnedGraph(NamedTuple):
    """The learned part of the item graph.

    Attributes:
        matrix: [I, I], the modalities' graphs of projected features weighed, summed and normalised.
        shares: [modalities], the weights, which the frozen graphs have too.
    """

    matrix: Sparse
    shares: Tensor


class LATTICE(nn.Module):
    """Item h_i + rn(S E_i), S a mixture of frozen and learned item graphs (Zhang et al., arXiv 2104.09036).

    S = λ Σ_m w_m O_m + (1-λ) norm(Σ_m w_m L_m): O_m of the raw features, L_m of the projected fine-tuned ones, w the
    softmax of two weights. Both are cosines at each item's nearest items, O_m normalised symmetrically. In training
    the learned part is differentiated in the first step of an epoch, in both halves if that step is mirrored, and in
    the other steps stays as it was when the epoch began (`epoch_state`), so that those steps train the embeddings
    only. Scores, and losses outside training, derive it anew. With one modality w is 1.
    """

    Config = LATTICEConfig
    modalities: tuple[str, ...] = ("image", "text")

    def __init__(self, problem: Problem, config: LATTICEConfig, generator: torch.Generator) -> None:
        super().__init__()
        self.config = config
        self.n_users, self.n_items = problem.n_users, problem.n_items
        self.modalities = read_modalities("lattice", problem, type(self).modalities)
        self.widths = {m: problem.feature_widths[m] for m in self.modalities}
        d = config.latent_width
        self.users = table(problem.n_users, d, "xavier_uniform", generator)
        self.items = table(problem.n_items, d, "xavier_uniform", generator)
        self.projections = nn.ModuleDict({m: linear(width, d, generator) for m, width in self.widths.items()})
        self.deltas = nn.ParameterDict(
            {m: nn.Parameter(torch.zeros(problem.n_items, width)) for m, width in self.widths.items()}
        )
        self.weights = nn.Parameter(torch.full((len(self.modalities),), 0.5))
        self.graph = SparseBuffer(_with_loops(problem))

    def item_graphs(self, features: Features, neighbours: FindNeighbours = cosine_neighbours) -> Graphs:
        """Return O_m of every modality under its name; they follow the raw features, not the fine-tuned ones."""
        raw = {m: self._raw(features, m) for m in self.modalities}
        k = self.config.item_neighbours
        return {m: symmetrically_normalised(similarity_graph(neighbours(x, k), x)) for m, x in raw.items()}

    def epoch_state(self, features: Features, generator: torch.Generator) -> LearnedGraph:  # noqa: ARG002 - nothing is drawn
        """Return the learned graph of the parameters as they are."""
        return self._learned(features)

    def represent(self, features: Features, graphs: Graphs | None = None) -> Representation:
        """Return user and item vectors [U, d] and [I, d]."""
        frozen = self.item_graphs(features) if graphs is None else graphs
        return self._vectors(frozen, self._learned(features))

    def loss(self, features: Features, batch: Batch, graphs: Graphs | None = None) -> Loss:
        """Return BPR plus the squared norms of the batch's vectors (spec 5)."""
        frozen = self.item_graphs(features) if graphs is None else graphs
        held = batch.epoch is not None and batch.step > 0
        vectors = self._vectors(frozen, batch.epoch if held else self._learned(features))
        users = functional.embedding(batch.users, vectors.users)
        positives = functional.embedding(batch.positives, vectors.items)
        negatives = functional.embedding(batch.negatives, vectors.items)
        squares = half_squares(users, positives, negatives)
        terms = {
            "bpr": bpr_loss((users * positives).sum(1), (users * negatives).sum(1)),
            "regularisation": self.config.reg_weight / self.config.nominal_batch * squares,
        }
        return Loss(terms["bpr"] + terms["regularisation"], terms)

    def module(self) -> nn.Module:
        """Return the model as the `nn.Module` it is."""
        return self

    def _raw(self, features: Features, modality: str) -> Tensor:
        return feature_table(features, modality, self.n_items, self.widths[modality])

    def _learned(self, features: Features) -> LearnedGraph:
        """Return norm(Σ_m w_m L_m) and w, differentiable in all but the choice of neighbours."""
        shares = torch.softmax(self.weights, dim=0)
        parts = []
        for modality, share in zip(self.modalities, shares, strict=True):
            layer = cast(nn.Linear, self.projections[modality])
            projected = project_tuned(self._raw(features, modality), self.deltas[modality], layer)
            graph = similarity_graph(cosine_neighbours(projected, self.config.item_neighbours), projected)
            parts.append(graph._replace(values=share * graph.values, transpose_values=share * graph.transpose_values))
        return LearnedGraph(symmetrically_normalised(weighted_sum([1.0] * len(parts), parts)), shares)

    def _vectors(self, frozen: Graphs, learned: LearnedGraph) -> Representation:
        """Return the smoothed embeddings, on the items with rn(S E_i)."""
        signal = total = torch.cat([self.users, self.items])
        graph = self.graph.matrix()
        for _ in range(self.config.layers):
            signal = product(graph, signal)
            total = total + signal
        users, items = torch.split(total / (self.config.layers + 1), [self.n_users, self.n_items])
        near: Tensor = self.items
        for _ in range(self.config.item_layers):
            near = self._mixed(frozen, learned, near)
        return Representation(users, items + unit_rows(near))

    def _mixed(self, frozen: Graphs, learned: LearnedGraph, x: Tensor) -> Tensor:
        """Return S x [I, d]; S itself is not made, since that would cost more than its products."""
        share = self.config.frozen_share
        mixed = (1 - share) * product(learned.matrix, x)
        for modality, weight in zip(self.modalities, share * learned.shares, strict=True):
            mixed = mixed + weight * product(frozen[modality], x)
        return mixed


def _with_loops(problem: Problem) -> Sparse:
    """Return D^-1 (A + 1) over users and items [U + I, U + I], D the row sums of A + 1 (spec section 5)."""
    size = problem.n_users + problem.n_items
    users, items = problem.edges[0], problem.edges[1] + problem.n_users
    loops = torch.arange(size)
    rows, columns = torch.cat([users, items, loops]), torch.cat([items, users, loops])
    weights = torch.bincount(rows, minlength=size).double().reciprocal()[rows].to(torch.get_default_dtype())
    return sparse_of(rows, columns, weights, (size, size))
