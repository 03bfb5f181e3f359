"""LightGCN: embedding propagation on the user-item graph."""

from __future__ import annotations

import torch
from torch.nn import functional

from robustrec.models.configs import LightGCNConfig
from robustrec.models.contract import Batch, Features, Loss, Problem, RecommenderModule, Representation
from robustrec.models.graphs import UserItemGraph
from robustrec.models.initial import table
from robustrec.models.losses import bpr_loss, embedding_loss


class LightGCN(RecommenderModule):
    """LightGCN: user and item embeddings propagated on the user-item graph and averaged; uses no item features.

    Source: He et al., SIGIR 2020, arXiv 2002.02126.
    """

    Config = LightGCNConfig
    static_passes = True
    modalities: tuple[str, ...] = LightGCNConfig.modalities

    def __init__(self, problem: Problem, config: LightGCNConfig, generator: torch.Generator) -> None:
        super().__init__()
        self.config = config
        self.users = table(problem.n_users, config.latent_width, "xavier_uniform", generator)
        self.items = table(problem.n_items, config.latent_width, "xavier_uniform", generator)
        self.graph = UserItemGraph(problem.n_users, problem.n_items, problem.edges, offset=1e-7)

    def represent(self, features: Features) -> Representation:  # noqa: ARG002 - the contract passes features to all
        """Return the smoothed embeddings [U, d] and [I, d]; features are not read."""
        mean = self.graph.propagate(self.users, self.items, self.config.layers)
        return Representation(
            mean.users_from_users + mean.users_from_items, mean.items_from_items + mean.items_from_users
        )

    def loss(self, features: Features, batch: Batch) -> Loss:
        """Return the BPR loss on propagated vectors plus λ times the norms of the embeddings before propagation."""
        smooth = self.represent(features)
        users = functional.embedding(batch.users, smooth.users)
        positive = (users * functional.embedding(batch.positives, smooth.items)).sum(1)
        negative = (users * functional.embedding(batch.negatives, smooth.items)).sum(1)
        raw = embedding_loss(
            functional.embedding(batch.users, self.users),
            functional.embedding(batch.positives, self.items),
            functional.embedding(batch.negatives, self.items),
        )
        terms = {"bpr": bpr_loss(positive, negative), "regularisation": self.config.reg_weight * raw}
        return Loss(terms["bpr"] + terms["regularisation"], terms)
