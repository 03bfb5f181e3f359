"""VBPR: matrix factorization with projected item features."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from robustrec.models.configs import VBPRConfig
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
from robustrec.models.dense import times_transposed
from robustrec.models.initial import linear, table
from robustrec.models.losses import bpr_loss, embedding_loss


class VBPR(RecommenderModule):
    """VBPR: matrix factorization with item vectors extended by a linear projection of item features.

    Source: He and McAuley, AAAI 2016, arXiv 1510.01784.

    The projection's columns are in the reverse order of modalities: other names, text, image.
    """

    Config = VBPRConfig
    static_passes = True
    modalities: tuple[str, ...] = VBPRConfig.modalities

    def __init__(self, problem: Problem, config: VBPRConfig, generator: torch.Generator) -> None:
        super().__init__()
        self.config = config
        self.n_items = problem.n_items
        self.modalities = read_modalities("vbpr", problem, type(self).modalities)
        # The published order of columns, so that published weights fit.
        self.columns = {m: problem.feature_widths[m] for m in reversed(self.modalities)}
        d = config.latent_width
        self.users = table(problem.n_users, 2 * d, "xavier_uniform", generator)
        self.items = table(problem.n_items, d, "xavier_uniform", generator)
        self.projection = linear(sum(self.columns.values()), d, generator, weight="xavier_normal", bias="zero")

    def represent(self, features: Features) -> Representation:
        """Return user vectors [U, 2d] and item vectors [I, 2d]."""
        items = torch.cat([self.items, self._project(features, None)], dim=1)
        # A copy: a representation must not change under its holder when the parameters do.
        return Representation(self.users.clone(), items)

    def loss(self, features: Features, batch: Batch) -> Loss:
        """Return BPR plus λ times the norms of the batch's vectors; only the batch's items are projected."""
        rows, positives, negatives = self._batch_items(batch)
        projected = self._project(features, rows)
        free = self.items if rows is None else functional.embedding(rows, self.items)
        items = torch.cat([free, projected], dim=1)
        users = functional.embedding(batch.users, self.users)
        positive, negative = functional.embedding(positives, items), functional.embedding(negatives, items)
        terms = {
            "bpr": bpr_loss((users * positive).sum(1), (users * negative).sum(1)),
            "regularisation": self.config.reg_weight * embedding_loss(users, positive, negative),
        }
        return Loss(terms["bpr"] + terms["regularisation"], terms)

    def _batch_items(self, batch: Batch) -> tuple[Tensor | None, Tensor, Tensor]:
        """Return the item ids to project (None: all), and where positives and negatives stand among them."""
        drawn = torch.cat([batch.positives, batch.negatives])
        if drawn.device.type == "cpu":
            rows, places = torch.unique(drawn, return_inverse=True)
        elif len(drawn) < self.n_items:
            # The number of distinct items would have to travel to the host; a few duplicates cost less.
            rows, places = drawn, torch.arange(len(drawn), device=drawn.device)
        else:
            return None, batch.positives, batch.negatives
        return rows, places[: len(batch.positives)], places[len(batch.positives) :]

    def _project(self, features: Features, rows: Tensor | None) -> Tensor:
        """Return the projected features of the given items [n, d], or of all [I, d]."""
        total: Tensor = self.projection.bias
        first = 0
        for modality, width in self.columns.items():
            raw = feature_table(features, modality, self.n_items, width)
            chosen = raw if rows is None else raw.index_select(0, rows)
            total = total + times_transposed(chosen, self.projection.weight[:, first : first + width])
            first += width
        return total
