"""FREEDOM: LightGCN on a pruned user-item graph, with a frozen item graph."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from robustrec.models.configs import FREEDOMConfig
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
from robustrec.models.graphs import Bipartite, UserItemGraph, cosine_neighbours, drawn_edges
from robustrec.models.initial import linear, table
from robustrec.models.losses import bpr_loss
from robustrec.models.rows import distinct, project_tuned

# What is added to degrees before the root.
OFFSET = 1e-7


class FREEDOM(RecommenderModule):
    """FREEDOM: LightGCN on a randomly pruned user-item graph, plus a frozen item-item graph of the features.

    Source: Zhou and Shen, MM 2023, arXiv 2211.06924. An item is h_i + G E_i, with h from LightGCN and G the
    `frozen_item_graph` of the raw features. Scores depend on features through G only: they change if the nearest items
    change, and their derivative with respect to features is zero. The fine-tuned features, features + delta, are used
    in the loss only. In training every epoch has its own pruned graph (`epoch_state`); scores, and losses outside
    training, use all edges. With one modality, G is the graph of this modality, and there is one feature loss.
    """

    Config = FREEDOMConfig
    modalities: tuple[str, ...] = FREEDOMConfig.modalities
    static_passes = True

    def __init__(self, problem: Problem, config: FREEDOMConfig, generator: torch.Generator) -> None:
        super().__init__()
        self.config = config
        self.n_items = problem.n_items
        self.modalities = read_modalities("freedom", problem, type(self).modalities)
        config.check_modalities("freedom", self.modalities)
        self.widths = {m: problem.feature_widths[m] for m in self.modalities}
        d = config.latent_width
        self.users = table(problem.n_users, d, "xavier_uniform", generator)
        self.items = table(problem.n_items, d, "xavier_uniform", generator)
        self.deltas = nn.ParameterDict({m: torch.zeros(problem.n_items, width) for m, width in self.widths.items()})
        self.projections = nn.ModuleDict({m: linear(width, d, generator) for m, width in self.widths.items()})
        self.graph = UserItemGraph(problem.n_users, problem.n_items, problem.edges, offset=OFFSET)

    def item_graphs(self, features: Features, neighbours: FindNeighbours = cosine_neighbours) -> Graphs:
        """Return G under the name "items", derived from the raw features, not the fine-tuned ones."""
        return frozen_item_graph(features, self.widths, self.n_items, self.config, neighbours)

    def epoch_state(self, features: Features, generator: torch.Generator) -> Bipartite:  # noqa: ARG002 - the contract passes features to all
        """Return the graph of ⌊|E|(1-ρ)⌋ edges drawn for the epoch, normalised by their own degrees."""
        return drawn_edges(self.graph.bipartite(), 1 - self.config.pruning, generator, offset=OFFSET)

    def represent(self, features: Features, graphs: Graphs | None = None) -> Representation:
        """Return user and item vectors [U, d] and [I, d]."""
        graphs = self.item_graphs(features) if graphs is None else graphs
        users, items = self._smooth(self.graph.bipartite(), graphs)
        return Representation(users, items)

    def loss(self, features: Features, batch: Batch, graphs: Graphs | None = None) -> Loss:
        """Return the BPR loss plus λ times the BPR losses of users with the projected features of each modality."""
        graphs = self.item_graphs(features) if graphs is None else graphs
        all_users, items = self._smooth(self.graph.bipartite() if batch.epoch is None else batch.epoch, graphs)
        users = functional.embedding(batch.users, all_users)
        drawn = torch.cat([batch.positives, batch.negatives])
        rows, places = distinct(drawn, self.n_items)
        terms = {"bpr": _bpr(users, functional.embedding(drawn, items))}
        for modality in self.modalities:
            raw = feature_table(features, modality, self.n_items, self.widths[modality])
            projected = project_tuned(raw, self.deltas[modality], cast(nn.Linear, self.projections[modality]), rows)
            terms[f"bpr_{modality}"] = self.config.reg_weight * _bpr(users, functional.embedding(places, projected))
        return Loss(torch.stack(list(terms.values())).sum(), terms)

    def _smooth(self, graph: Bipartite, graphs: Graphs) -> tuple[Tensor, Tensor]:
        users, items = graph.smooth(self.users, self.items, self.config.layers)
        return users, items + propagated(graphs["items"], self.items, self.config.item_layers)


def _bpr(users: Tensor, items: Tensor) -> Tensor:
    """Return the BPR loss of users [B, d] with concatenated positives and negatives [2B, d]."""
    positive, negative = items.chunk(2)
    return bpr_loss((users * positive).sum(1), (users * negative).sum(1))
