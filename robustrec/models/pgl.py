"""PGL: projected features of users and items, propagated in training on the principal part of the graph only."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from robustrec.models.configs import PGLConfig
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
from robustrec.models.frozen_item_graph import frozen_item_graph, propagated
from robustrec.models.graphs import (
    Bipartite,
    SparseBuffer,
    UserItemGraph,
    cosine_neighbours,
    drawn_edges,
    principal_graph,
)
from robustrec.models.initial import linear, table
from robustrec.models.losses import bpr_loss, contrast
from robustrec.models.rows import project_tuned, unit_rows

# What is added to degrees before the root.
OFFSET = 1e-7


class PGL(RecommenderModule):
    """PGL: projected item features, propagated in training on the principal part of the user-item graph only.

    Source: Yu et al., "Mind individual information! Principal graph learning for multimedia recommendation", AAAI 2025.
    There is no item embedding: an item z is its projected fine-tuned features, rn(W_m (x_m + Δ_m) + b_m), side by side,
    and a user is a free table of each modality. With (g_u, g_i) the mean of z, Tz, …, T^L z, the vectors are g_u and
    g_i + G^N z_i, G the `frozen_item_graph` of the raw features.

    In training T is a part of the user-item graph. In mode `local` it is the edges drawn for the epoch (`epoch_state`);
    in mode `global` it is the `principal_graph` of all edges, always the same. Scores propagate on all edges, and
    so does the loss of mode `local` outside training.

    With one modality, vectors are d wide, and G is the graph of this modality; there is no published behaviour.
    """

    Config = PGLConfig
    modalities: tuple[str, ...] = PGLConfig.modalities

    def __init__(self, problem: Problem, config: PGLConfig, generator: torch.Generator) -> None:
        super().__init__()
        self.config = config
        self.n_items = problem.n_items
        self.modalities = read_modalities("pgl", problem, type(self).modalities)
        config.check_modalities("pgl", self.modalities)
        self.widths = {m: problem.feature_widths[m] for m in self.modalities}
        d = config.latent_width
        self.preferences = nn.ParameterDict(
            {m: table(problem.n_users, d, "xavier_uniform", generator) for m in self.modalities}
        )
        self.projections = nn.ModuleDict({m: linear(width, d, generator) for m, width in self.widths.items()})
        self.deltas = nn.ParameterDict({m: torch.zeros(problem.n_items, width) for m, width in self.widths.items()})
        self.graph = UserItemGraph(problem.n_users, problem.n_items, problem.edges, offset=OFFSET)
        if config.mode == "global":
            self.principal = SparseBuffer(principal_graph(self.graph.bipartite()).matrix)

    def item_graphs(self, features: Features, neighbours: FindNeighbours = cosine_neighbours) -> Graphs:
        """Return G under the name "items", derived from the raw features, not the fine-tuned ones."""
        return frozen_item_graph(features, self.widths, self.n_items, self.config, neighbours)

    def epoch_state(self, features: Features, generator: torch.Generator) -> Bipartite | None:  # noqa: ARG002 - the contract passes features to all
        """Return the graph of ⌊|E|(1-ρ)⌋ edges drawn for the epoch, normalised by their own degrees.

        In mode `global` nothing is drawn.
        """
        if self.config.mode == "global":
            return None
        return drawn_edges(self.graph.bipartite(), 1 - self.config.pruning, generator, offset=OFFSET)

    def represent(self, features: Features, graphs: Graphs | None = None) -> Representation:
        """Return user and item vectors, M·d wide for M modalities."""
        return self._vectors(features, self.graph.bipartite(), graphs)

    def loss(self, features: Features, batch: Batch, graphs: Graphs | None = None) -> Loss:
        """Return the BPR loss plus λ times the mean contrast of two dropouts of the vectors, of users and positives."""
        vectors = self._vectors(features, self._trained_on(batch), graphs)
        users = functional.embedding(batch.users, vectors.users)
        positives = functional.embedding(batch.positives, vectors.items)
        negatives = functional.embedding(batch.negatives, vectors.items)
        terms = {"bpr": bpr_loss((users * positives).sum(1), (users * negatives).sum(1))}
        if self.config.contrast_weight > 0:
            weight = self.config.contrast_weight / 2
            terms["contrast_users"] = weight * self._contrast(users, batch, "users")
            terms["contrast_items"] = weight * self._contrast(positives, batch, "items")
        return Loss(torch.stack(list(terms.values())).sum(), terms)

    def _trained_on(self, batch: Batch) -> Bipartite:
        """Return T."""
        if self.config.mode == "global":
            return Bipartite(self.principal.matrix())
        return self.graph.bipartite() if batch.epoch is None else cast(Bipartite, batch.epoch)

    def _vectors(self, features: Features, graph: Bipartite, graphs: Graphs | None) -> Representation:
        """Return the vectors propagated on a graph of users and items, with G^N z_i added for items."""
        graphs = self.item_graphs(features) if graphs is None else graphs
        start = torch.cat([unit_rows(self._projected(m, features)) for m in self.modalities], dim=1)
        preferences = torch.cat([self.preferences[m] for m in self.modalities], dim=1)
        users, items = graph.smooth(preferences, start, self.config.layers)
        return Representation(users, items + propagated(graphs["items"], start, self.config.item_layers))

    def _projected(self, modality: str, features: Features) -> Tensor:
        raw = feature_table(features, modality, self.n_items, self.widths[modality])
        return project_tuned(raw, self.deltas[modality], cast(nn.Linear, self.projections[modality]))

    def _contrast(self, rows: Tensor, batch: Batch, name: str) -> Tensor:
        """Return the contrast of two dropouts of a batch's rows [B, h] by cosines; without noise, of the rows alone.

        A row that occurs n times in the batch stands for n queries and n keys.
        """
        first, second = (
            unit_rows(dropped(rows, self.config.dropout, batch.noise(f"dropout {name} {view}"))) for view in (1, 2)
        )
        return contrast(first, second, self.config.temperature)


def dropped(rows: Tensor, rate: float, noise: torch.Generator | None) -> Tensor:
    """Return rows [n, d] with entries set to 0 at a rate, the others divided by 1 - rate; without noise as they are."""
    if noise is None or rate == 0:
        return rows
    kept = torch.rand(rows.shape, generator=noise, device=rows.device, dtype=rows.dtype) >= rate
    return rows * kept / (1 - rate)
