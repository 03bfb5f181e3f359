"""DualGNN: modality-specific graph convolutions with user-specific modality weights and a user graph."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from robustrec.models.configs import DualGNNConfig
from robustrec.models.contract import Batch, Features, Loss, Problem, RecommenderModule, Representation, read_modalities
from robustrec.models.losses import bpr_loss
from robustrec.models.modality_encoders import ModalityEncoders, UserAverage, modality_weights


class DualGNN(RecommenderModule):
    """DualGNN: modality-specific graph convolutions, weighted by user and combined with a user co-occurrence graph.

    Source: Wang et al., TMM 2021. An item is Σ_m r_m, and a user is Σ_m w_m r_m plus its average over the most
    similar users. r_m are the channels of `ModalityEncoders`. The published code fills the lists of users with fewer
    than k neighbours with random repeats in every epoch; here the average is over the existing neighbours. With one
    modality, there are no modality weights. Training draws no random numbers.
    """

    Config = DualGNNConfig
    static_passes = True
    modalities: tuple[str, ...] = DualGNNConfig.modalities

    def __init__(self, problem: Problem, config: DualGNNConfig, generator: torch.Generator) -> None:
        super().__init__()
        self.config = config
        self.modalities = read_modalities("dualgnn", problem, type(self).modalities)
        config.check_modalities("dualgnn", self.modalities)
        self.encoders = ModalityEncoders(problem, self.modalities, config.latent_width, generator)
        self.neighbours = UserAverage(problem, config.user_neighbours)
        self.user_weights: nn.Parameter | None = None
        self.item_weights: nn.Parameter | None = None
        if len(self.modalities) > 1:
            self.user_weights = modality_weights(problem.n_users, len(self.modalities), generator)
            if config.mmrec_compat:
                self.item_weights = modality_weights(problem.n_items, len(self.modalities), generator)

    def represent(self, features: Features) -> Representation:
        """Return user and item vectors [U, d] and [I, d]."""
        users, items = self._before_average(features)
        return Representation(self.neighbours.of_all(users), items)

    def loss(self, features: Features, batch: Batch) -> Loss:
        """Return the BPR loss with a logarithm to base 2, plus λ times the mean squares, as in the published code."""
        all_users, items = self._before_average(features)
        users = self.neighbours.of_batch(all_users, batch)
        positive = (users * functional.embedding(batch.positives, items)).sum(1)
        negative = (users * functional.embedding(batch.negatives, items)).sum(1)
        squares = self.encoders.regularisation(batch.users)
        for weights in (self.user_weights, self.item_weights):
            if weights is not None:
                squares = squares + weights.square().mean()
        terms = {
            "bpr": bpr_loss(positive, negative) / math.log(2),
            "regularisation": self.config.reg_weight * squares,
        }
        return Loss(terms["bpr"] + terms["regularisation"], terms)

    def _before_average(self, features: Features) -> tuple[Tensor, Tensor]:
        users, items = self.encoders(features)
        if self.user_weights is None:
            return users[:, 0], items[:, 0]
        # w_v (r_v + r_t) + w_t r_t: the text channel has the sum of both weights.
        weights = self.user_weights.cumsum(1) if self.config.mmrec_compat else self.user_weights
        return (weights * users).sum(1), items.sum(1)
