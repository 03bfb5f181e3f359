"""DRAGON: dual representation learning with item and user graphs."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from robustrec.models.configs import DRAGONConfig
from robustrec.models.contract import (
    Batch,
    Features,
    FindNeighbours,
    Graphs,
    Loss,
    Problem,
    RecommenderModule,
    Representation,
    read_modalities,
)
from robustrec.models.frozen_item_graph import frozen_item_graph, propagated
from robustrec.models.graphs import cosine_neighbours
from robustrec.models.losses import bpr_loss
from robustrec.models.modality_encoders import ModalityEncoders, UserAverage, modality_weights


class DRAGON(RecommenderModule):
    """DRAGON: modality-specific graph convolutions, concatenated and combined with an item-item and a user-user graph.

    Source: Zhou et al., ECAI 2023, arXiv 2301.12097. An item is r + G^L r, and a user is [w_v r_v ; w_t r_t ; …] plus
    its average over the most similar users. r = [r_v ; r_t ; …] are the channels of `ModalityEncoders`, G is the
    `frozen_item_graph`. The published code fills the lists of users with fewer than k neighbours with random repeats in
    every epoch; here the average is over the existing neighbours. With one modality, vectors have width d and no
    modality weights. Training draws no random numbers.
    """

    Config = DRAGONConfig
    static_passes = True
    modalities: tuple[str, ...] = DRAGONConfig.modalities

    def __init__(self, problem: Problem, config: DRAGONConfig, generator: torch.Generator) -> None:
        super().__init__()
        self.config = config
        self.modalities = read_modalities("dragon", problem, type(self).modalities)
        config.check_modalities("dragon", self.modalities)
        self.encoders = ModalityEncoders(problem, self.modalities, config.latent_width, generator)
        self.neighbours = UserAverage(problem, config.user_neighbours)
        self.user_weights: nn.Parameter | None = None
        if len(self.modalities) > 1:
            self.user_weights = modality_weights(problem.n_users, len(self.modalities), generator)

    def item_graphs(self, features: Features, neighbours: FindNeighbours = cosine_neighbours) -> Graphs:
        """Return G under the name "items"."""
        return frozen_item_graph(features, self.encoders.widths, self.encoders.n_items, self.config, neighbours)

    def represent(self, features: Features, graphs: Graphs | None = None) -> Representation:
        """Return user and item vectors, M·d wide for M modalities."""
        users, items = self._before_average(features, graphs)
        return Representation(self.neighbours.of_all(users), items)

    def loss(self, features: Features, batch: Batch, graphs: Graphs | None = None) -> Loss:
        """Return the BPR loss with a logarithm to base 2, plus λ times the mean squares, as in the published code."""
        all_users, items = self._before_average(features, graphs)
        users = self.neighbours.of_batch(all_users, batch)
        positive = (users * functional.embedding(batch.positives, items)).sum(1)
        negative = (users * functional.embedding(batch.negatives, items)).sum(1)
        squares = self.encoders.regularisation(batch.users)
        if self.user_weights is not None:
            squares = squares + self.user_weights.square().mean()
        terms = {
            "bpr": bpr_loss(positive, negative) / math.log(2),
            "regularisation": self.config.reg_weight * squares,
        }
        return Loss(terms["bpr"] + terms["regularisation"], terms)

    def _before_average(self, features: Features, graphs: Graphs | None) -> tuple[Tensor, Tensor]:
        users, items = self.encoders(features)
        if self.user_weights is not None:
            users = self.user_weights * users
        graphs = self.item_graphs(features) if graphs is None else graphs
        flat = items.flatten(1)
        return users.flatten(1), flat + propagated(graphs["items"], flat, self.config.item_layers)
