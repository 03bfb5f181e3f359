"""LATTICE: LightGCN with learned and frozen item graphs of the features."""

from __future__ import annotations

from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from robustrec.models.configs import LATTICEConfig
from robustrec.models.contract import (
    Batch,
    Features,
    FindNeighbours,
    Graphs,
    Loss,
    Problem,
    RecommenderModule,
    Representation,
    feature_table,
    read_modalities,
)
from robustrec.models.frozen_item_graph import cosine_item_graphs
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


class LearnedGraph(NamedTuple):
    """The learned part of the item graph.

    Attributes:
        matrix: [I, I], weighted and normalized sum of the modality graphs of projected features.
        shares: [modalities], the weights, which are also used for the frozen graphs.
    """

    matrix: Sparse
    shares: Tensor


class LATTICE(RecommenderModule):
    """LATTICE: LightGCN plus a latent item-item graph, a mix of frozen and learned feature similarity graphs.

    Source: Zhang et al., MM 2021, arXiv 2104.09036. An item is h_i + rn(S E_i) with
    S = λ Σ_m w_m O_m + (1-λ) norm(Σ_m w_m L_m): O_m from the raw features, L_m from the projected fine-tuned features,
    w the softmax of weights. Both have cosines at the nearest items; O_m is normalized symmetrically. In training
    the learned part is differentiated in the first step of an epoch (in both half-steps if it is a mirrored step).
    Other steps use the graph of the start of the epoch (`epoch_state`) and train the embeddings only. Scores, and
    losses outside training, derive the graph again. With one modality w is 1.
    """

    Config = LATTICEConfig
    modalities: tuple[str, ...] = LATTICEConfig.modalities

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
        """Return O_m of every modality under its name, derived from the raw features, not the fine-tuned ones."""
        return cosine_item_graphs(features, self.widths, self.n_items, self.config.item_neighbours, neighbours)

    def epoch_state(self, features: Features, generator: torch.Generator) -> LearnedGraph:  # noqa: ARG002 - nothing is drawn
        """Return the learned graph for the current parameters."""
        return self._learned(features)

    def represent(self, features: Features, graphs: Graphs | None = None) -> Representation:
        """Return user and item vectors [U, d] and [I, d]."""
        frozen = self.item_graphs(features) if graphs is None else graphs
        return self._vectors(frozen, self._learned(features))

    def loss(self, features: Features, batch: Batch, graphs: Graphs | None = None) -> Loss:
        """Return the BPR loss plus the squared norms of the batch vectors."""
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

    def _learned(self, features: Features) -> LearnedGraph:
        """Return norm(Σ_m w_m L_m) and w, differentiable except for the choice of neighbours."""
        shares = torch.softmax(self.weights, dim=0)
        parts = []
        for modality, share in zip(self.modalities, shares, strict=True):
            layer = cast(nn.Linear, self.projections[modality])
            raw = feature_table(features, modality, self.n_items, self.widths[modality])
            projected = project_tuned(raw, self.deltas[modality], layer)
            graph = similarity_graph(cosine_neighbours(projected, self.config.item_neighbours), projected)
            parts.append(graph._replace(values=share * graph.values, transpose_values=share * graph.transpose_values))
        return LearnedGraph(symmetrically_normalised(weighted_sum([1.0] * len(parts), parts)), shares)

    def _vectors(self, frozen: Graphs, learned: LearnedGraph) -> Representation:
        """Return the propagated embeddings, with rn(S E_i) added for items."""
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
        """Return S x [I, d] without building S, which would cost more than its products."""
        share = self.config.frozen_share
        mixed = (1 - share) * product(learned.matrix, x)
        for modality, weight in zip(self.modalities, share * learned.shares, strict=True):
            mixed = mixed + weight * product(frozen[modality], x)
        return mixed


def _with_loops(problem: Problem) -> Sparse:
    """Return D^-1 (A + 1) over users and items [U + I, U + I], D the row sums of A + 1."""
    size = problem.n_users + problem.n_items
    users, items = problem.edges[0], problem.edges[1] + problem.n_users
    loops = torch.arange(size)
    rows, columns = torch.cat([users, items, loops]), torch.cat([items, users, loops])
    weights = torch.bincount(rows, minlength=size).double().reciprocal()[rows].to(torch.get_default_dtype())
    return sparse_of(rows, columns, weights, (size, size))
