"""DualGNN: a channel for each modality, weighed by user, and an average over users alike."""

from __future__ import annotations

import math

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn import functional

from robustrec.models.contract import Batch, Features, Loss, Problem, Representation, read_modalities
from robustrec.models.losses import bpr_loss
from robustrec.models.modality_encoders import ModalityEncoders, UserAverage, modality_weights


class DualGNNConfig(BaseModel):
    """Settings of DualGNN."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    latent_width: int = Field(64, ge=1, description="d, numbers per user and item vector")
    user_neighbours: int = Field(40, ge=1, description="k, most alike users that are averaged")
    reg_weight: float = Field(1e-3, ge=0, description="weight λ of the mean squares of preferences and weights")
    mmrec_compat: bool = Field(
        False,
        description="as MMRec computes it: the user's image channel holds image + text, because a table is overwritten "
        "in place, and a weight of items takes part in the regularisation and in nothing else",
    )


class DualGNN(nn.Module):
    """Item r_v + r_t, user w_v r_v + w_t r_t plus the average of that over users alike (Wang et al., TMM 2021).

    r_m are the smoothed channels of `ModalityEncoders`. The published code fills the lists of users with fewer than
    k neighbours by repeating some at random, anew every epoch; here they are averaged over those they have. With one
    modality the user has its channel, without weights. Nothing is drawn while training.
    """

    Config = DualGNNConfig
    modalities: tuple[str, ...] = ("image", "text")

    def __init__(self, problem: Problem, config: DualGNNConfig, generator: torch.Generator) -> None:
        super().__init__()
        self.config = config
        self.modalities = read_modalities("dualgnn", problem, type(self).modalities)
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
        """Return BPR to the base 2 plus λ times the mean squares (spec 4.1)."""
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

    def module(self) -> nn.Module:
        """Return the model as the `nn.Module` it is."""
        return self

    def _before_average(self, features: Features) -> tuple[Tensor, Tensor]:
        users, items = self.encoders(features)
        if self.user_weights is None:
            return users[:, 0], items[:, 0]
        # w_v (r_v + r_t) + w_t r_t: the text channel has the sum of both weights.
        weights = self.user_weights.cumsum(1) if self.config.mmrec_compat else self.user_weights
        return (weights * users).sum(1), items.sum(1)
