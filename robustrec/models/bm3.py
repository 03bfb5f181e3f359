"""BM3: self-supervised multimodal recommendation without negative samples."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from robustrec.models.configs import BM3Config
from robustrec.models.contract import (
    Batch,
    Features,
    Loss,
    Problem,
    RecommenderModule,
    Representation,
    feature_table,
    read_modalities,
)
from robustrec.models.graphs import UserItemGraph
from robustrec.models.initial import linear, table
from robustrec.models.losses import embedding_loss
from robustrec.models.rows import distinct, project_tuned, unit_rows

# Floor of a norm in a cosine, as torch's cosine_similarity has it.
NORM_FLOOR = 1e-8


class BM3(RecommenderModule):
    """BM3: LightGCN embeddings trained by self-supervised prediction of items and item features, without negatives.

    Source: Zhou et al., WWW 2023, arXiv 2207.05969. Item features are used in training only: the scores q(h_u)·q(h_i)
        do
    not depend on them, so that perturbed features at inference have no effect. The feature tables are trained too. If a
    modality is missing, its two losses are omitted.
    """

    Config = BM3Config
    modalities: tuple[str, ...] = BM3Config.modalities
    modalities_in_scores: tuple[str, ...] = BM3Config.modalities_in_scores

    def __init__(self, problem: Problem, config: BM3Config, generator: torch.Generator) -> None:
        super().__init__()
        self.config = config
        self.n_users, self.n_items = problem.n_users, problem.n_items
        self.modalities = read_modalities("bm3", problem, type(self).modalities)
        self.widths = {m: problem.feature_widths[m] for m in self.modalities}
        d = config.latent_width
        self.users = table(problem.n_users, d, "xavier_uniform", generator)
        self.items = table(problem.n_items, d, "xavier_uniform", generator)
        self.predictor = linear(d, d, generator, weight="xavier_normal")
        self.projections = nn.ModuleDict(
            {m: linear(width, d, generator, weight="xavier_normal") for m, width in self.widths.items()}
        )
        self.deltas = nn.ParameterDict(
            {m: nn.Parameter(torch.zeros(problem.n_items, width)) for m, width in self.widths.items()}
        )
        self.graph = UserItemGraph(problem.n_users, problem.n_items, problem.edges, offset=1e-7)

    def represent(self, features: Features) -> Representation:  # noqa: ARG002 - the contract passes features to all
        """Return q(h_u) [U, d] and q(h_i) [I, d]; features are not read."""
        users, items = self._smooth()
        return Representation(self.predictor(users), self.predictor(items))

    def loss(self, features: Features, batch: Batch) -> Loss:
        """Return the prediction losses of users, items and features, plus the regularization.

        With c(a, b) the mean of 1 - cos over the batch, x̂ = dropout(x) without gradient, f_m the projected features:

            c(q(h_u), ĥ_i) + c(q(h_i), ĥ_u) + w Σ_m [c(q(f_m), ĥ_i) + c(q(f_m), f̂_m)] + λ EmbLoss(all h_u, all h_i)

        Negatives are not used. Only the rows of the batch are predicted, dropped out and projected.
        """
        all_users, all_items = self._smooth()
        user_rows, user_places = distinct(batch.users, self.n_users)
        item_rows, item_places = distinct(batch.positives, self.n_items)
        users, items = functional.embedding(user_rows, all_users), functional.embedding(item_rows, all_items)
        user_targets, item_targets = self._target(users, batch, "users"), self._target(items, batch, "items")

        def pairs(at_users: Tensor, at_items: Tensor) -> Tensor:
            """Return the mean of 1 - cos over the pairs of the batch."""
            return (
                1
                - _dot(functional.embedding(user_places, at_users), functional.embedding(item_places, at_items)).mean()
            )

        terms = {
            "users_to_items": pairs(self._prediction(users), item_targets),
            "items_to_users": pairs(user_targets, self._prediction(items)),
            "regularisation": self.config.reg_weight * embedding_loss(all_users, all_items),
        }
        for modality in self.modalities:
            raw = feature_table(features, modality, self.n_items, self.widths[modality])
            layer = cast(nn.Linear, self.projections[modality])
            projected = project_tuned(raw, self.deltas[modality], layer, item_rows)
            # Both cosines at once; an item counts as often as it is in the batch.
            targets = item_targets + self._target(projected, batch, modality)
            cosines = _dot(self._prediction(projected), targets)[item_places]
            terms[modality] = self.config.feature_weight * (2 - cosines.mean())
        return Loss(torch.stack(list(terms.values())).sum(), terms)

    def _smooth(self) -> tuple[Tensor, Tensor]:
        """Return h_u [U, d] and h_i [I, d]: propagated embeddings, plus the embedding itself for items."""
        users, items = self.graph.smooth(self.users, self.items, self.config.layers)
        return users, items + self.items

    def _prediction(self, vectors: Tensor) -> Tensor:
        """Return q(x) with L2-normalized rows [n, d]."""
        return unit_rows(self.predictor(vectors), NORM_FLOOR)

    def _target(self, vectors: Tensor, batch: Batch, name: str) -> Tensor:
        """Return x̂ with L2-normalized rows [n, d], without gradient."""
        target = vectors.detach()
        generator = batch.noise(f"dropout {name}")
        if generator is not None and self.config.dropout > 0:
            drawn = torch.rand(target.shape, generator=generator, device=target.device)
            # A cosine does not see the scale that a dropout restores.
            target = target * (drawn >= self.config.dropout)
        return unit_rows(target, NORM_FLOOR)


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """Return the inner product of each pair of rows [n]."""
    return (a * b).sum(1)
