"""MGCN: multi-view graph convolutions with behaviour-guided purification and fusion."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from robustrec.models.configs import MGCNConfig
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
from robustrec.models.graphs import UserItemGraph, cosine_neighbours, product
from robustrec.models.initial import linear, table
from robustrec.models.rows import distinct, project_tuned
from robustrec.models.views import Views, spread, views_loss


class MGCN(RecommenderModule):
    """MGCN: LightGCN plus item graphs of features gated by behaviour, fused by attention and user preferences.

    Source: Yu et al., MM 2023, arXiv 2308.03588. The vectors are content + side.

    e_m = [R̂ b_m ; b_m] with b_m = K_m (E_i ⊙ σ(gate_m(proj_m x_m))), K_m the frozen cosine graph of the raw features.
    With com = Σ_m a_m e_m the attention's mean over M modalities,
    side = (Σ_m σ(prefer_m(content)) ⊙ (e_m - com) + com) / (M + 1). With one modality com is e_m, so that attention and
    preferences fall away.
    """

    Config = MGCNConfig
    static_passes = True
    modalities: tuple[str, ...] = MGCNConfig.modalities

    def __init__(self, problem: Problem, config: MGCNConfig, generator: torch.Generator) -> None:
        super().__init__()
        self.config = config
        self.n_users, self.n_items = problem.n_users, problem.n_items
        self.modalities = read_modalities("mgcn", problem, type(self).modalities)
        self.widths = {m: problem.feature_widths[m] for m in self.modalities}
        d = config.latent_width
        self.users = table(problem.n_users, d, "xavier_uniform", generator)
        self.items = table(problem.n_items, d, "xavier_uniform", generator)
        self.projections = nn.ModuleDict({m: linear(width, d, generator) for m, width in self.widths.items()})
        self.gates = nn.ModuleDict({m: linear(d, d, generator) for m in self.modalities})
        if len(self.modalities) > 1:
            self.query = linear(d, d, generator)
            self.attention = table(1, d, "default", generator)
            self.preferences = nn.ModuleDict({m: linear(d, d, generator) for m in self.modalities})
        self.deltas = nn.ParameterDict(
            {m: nn.Parameter(torch.zeros(problem.n_items, width)) for m, width in self.widths.items()}
        )
        self.graph = UserItemGraph(problem.n_users, problem.n_items, problem.edges, offset=0.0)

    def item_graphs(self, features: Features, neighbours: FindNeighbours = cosine_neighbours) -> Graphs:
        """Return K_m of every modality under its name; they follow the raw features, not the fine-tuned ones."""
        return cosine_item_graphs(features, self.widths, self.n_items, self.config.item_neighbours, neighbours)

    def represent(self, features: Features, graphs: Graphs | None = None) -> Representation:
        """Return user and item vectors [U, d] and [I, d]."""
        users, items = self._views(features, self.item_graphs(features) if graphs is None else graphs)
        return Representation(users.content + users.side, items.content + items.side)

    def loss(self, features: Features, batch: Batch, graphs: Graphs | None = None) -> Loss:
        """Return the BPR loss, the squared norms of the batch vectors, and κ times the contrastive loss.

        Only the batch's rows take the last propagation and are fused.
        """
        user_rows, user_places = distinct(batch.users, self.n_users)
        item_rows, item_places = distinct(torch.cat([batch.positives, batch.negatives]), self.n_items)
        graphs = self.item_graphs(features) if graphs is None else graphs
        users, items = self._views(features, graphs, user_rows, item_rows)
        return views_loss((users, items), (user_places, item_places), self.config)

    def _gated(self, features: Features, graphs: Graphs) -> Tensor:
        """Return b_m of all modalities side by side [I, M·d]."""
        columns = []
        for modality in self.modalities:
            raw = feature_table(features, modality, self.n_items, self.widths[modality])
            projected = project_tuned(raw, self.deltas[modality], cast(nn.Linear, self.projections[modality]))
            gated = self.items * torch.sigmoid(self.gates[modality](projected))
            for _ in range(self.config.item_layers):
                gated = product(graphs[modality], gated)
            columns.append(gated)
        return torch.cat(columns, dim=1)

    def _views(
        self, features: Features, graphs: Graphs, user_rows: Tensor | None = None, item_rows: Tensor | None = None
    ) -> tuple[Views, Views]:
        """Return the views of the given users and items, None meaning all."""
        gated = self._gated(features, graphs)
        users, items = spread(
            self.graph.bipartite(), (self.users, self.items), gated, self.config.layers, (user_rows, item_rows)
        )
        return self._fused(*users), self._fused(*items)

    def _fused(self, content: Tensor, modalities: Tensor) -> Views:
        """Return the views of users or items from their content [n, d] and their e_m side by side [n, M·d]."""
        parts = modalities.chunk(len(self.modalities), dim=1)
        if len(parts) == 1:
            return Views(content, parts[0] / 2)
        logits = torch.cat([torch.tanh(self.query(part)) @ self.attention.T for part in parts], dim=1)
        shares = torch.softmax(logits, dim=1).chunk(len(parts), dim=1)
        common = torch.stack([share * part for share, part in zip(shares, parts, strict=True)]).sum(0)
        side = common
        for modality, part in zip(self.modalities, parts, strict=True):
            side = side + torch.sigmoid(self.preferences[modality](content)) * (part - common)
        return Views(content, side / (len(parts) + 1))
