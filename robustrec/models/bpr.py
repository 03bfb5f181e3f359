"""BPR: matrix factorization with the pairwise ranking loss."""

from __future__ import annotations

import torch
from torch.nn import functional

from robustrec.models.configs import BPRConfig
from robustrec.models.contract import Batch, Features, Loss, Problem, RecommenderModule, Representation
from robustrec.models.initial import table
from robustrec.models.losses import bpr_loss, embedding_loss


class BPR(RecommenderModule):
    """BPR: matrix factorization trained with the pairwise BPR loss; uses no graph and no item features.

    Source: Rendle et al., UAI 2009, arXiv 1205.2618.
    """

    Config = BPRConfig
    static_passes = True
    modalities: tuple[str, ...] = BPRConfig.modalities

    def __init__(self, problem: Problem, config: BPRConfig, generator: torch.Generator) -> None:
        super().__init__()
        self.config = config
        self.users = table(problem.n_users, config.latent_width, "xavier_normal", generator)
        self.items = table(problem.n_items, config.latent_width, "xavier_normal", generator)

    def represent(self, features: Features) -> Representation:  # noqa: ARG002 - the contract passes features to all
        """Return the embeddings [U, d] and [I, d]; features are not read."""
        # Copies: a representation must not change under its holder when the parameters do.
        return Representation(self.users.clone(), self.items.clone())

    def loss(self, features: Features, batch: Batch) -> Loss:  # noqa: ARG002
        """Return the BPR loss plus λ times the regularization of the batch embeddings."""
        users = functional.embedding(batch.users, self.users)
        positives = functional.embedding(batch.positives, self.items)
        negatives = functional.embedding(batch.negatives, self.items)
        terms = {
            "bpr": bpr_loss((users * positives).sum(1), (users * negatives).sum(1)),
            "regularisation": self.config.reg_weight * embedding_loss(users, positives, negatives),
        }
        return Loss(terms["bpr"] + terms["regularisation"], terms)
