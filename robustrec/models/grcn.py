"""GRCN: LightGCN-style propagation on a user-item graph with edges weighted by content affinity."""

from __future__ import annotations

from functools import reduce
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from robustrec.models.configs import GRCNConfig
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
from robustrec.models.dense import apply_linear
from robustrec.models.graphs import Sparse, SparseBuffer, product, row_softmax, sampled_products, sparse_of
from robustrec.models.initial import linear, table
from robustrec.models.losses import bpr_loss
from robustrec.models.rows import unit_rows


class Both(NamedTuple):
    """A pair of user and item values: vectors [U, d] and [I, d], or edge weights towards users and items."""

    users: Tensor
    items: Tensor


class GRCN(RecommenderModule):
    """GRCN: id embeddings propagated on a user-item graph that is refined by content affinity, plus modality content.

    Source: Wei et al., MM 2020, arXiv 2111.02036.

    For each modality, users start as rn(P_m) and items as rn(lrelu(linear(X_m))). Routing: a user's preference moves to
    rn(p + Σ_i α_ui f_i) over its items, α the softmax of <p, f_i>, several times. Then both sides receive once,
    each with the softmax over its own neighbours. An edge from s to t weighs relu(max_m α_m(s → t) · conf_m(s)), and
    the ids are smoothed with these weights.

    Users receive messages while routing, as in the paper; in the published code they do not (`mmrec_compat`).
    Image or text may be missing; without images the preferences are not regularized as a whole. Other modalities are
    treated as texts.
    """

    Config = GRCNConfig
    static_passes = True
    modalities: tuple[str, ...] = GRCNConfig.modalities

    def __init__(self, problem: Problem, config: GRCNConfig, generator: torch.Generator) -> None:
        super().__init__()
        self.config = config
        self.sizes = [problem.n_users, problem.n_items]
        self.widths = dict(problem.feature_widths)
        self.modalities = read_modalities("grcn", problem, type(self).modalities)
        d, nodes = config.latent_width, sum(self.sizes)
        self.ids = table(nodes, d, "xavier_normal", generator)
        self.preferences = nn.ParameterDict(
            {m: table(problem.n_users, d, "xavier_normal", generator) for m in self.modalities}
        )
        self.projections = nn.ModuleDict(
            {m: linear(self.widths[m], d, generator, weight="xavier_normal") for m in self.modalities}
        )
        self.confidences = table(nodes, len(self.modalities), "xavier_normal", generator)
        self.edges = RefinedEdges(problem)

    def represent(self, features: Features) -> Representation:
        """Return user and item vectors with width d for the ids and for each modality."""
        channels = self._channels(features)
        return Representation(*(torch.cat(side, dim=1) for side in zip(*channels, strict=True)))

    def loss(self, features: Features, batch: Batch) -> Loss:
        """Return the BPR loss plus λ times the mean squares."""
        chosen = torch.cat([batch.positives, batch.negatives])
        margin: Tensor | float = 0.0
        for channel in self._channels(features):
            users = functional.embedding(batch.users, channel.users)
            positive, negative = functional.embedding(chosen, channel.items).chunk(2)
            margin = margin + (users * positive).sum(1) - (users * negative).sum(1)
        margin = cast(Tensor, margin)
        terms = {
            "bpr": bpr_loss(margin, torch.zeros_like(margin)),
            "regularisation": self.config.reg_weight * self._squares(batch.users, chosen),
        }
        return Loss(terms["bpr"] + terms["regularisation"], terms)

    def _channels(self, features: Features) -> list[Both]:
        """Return the vectors of the ids and of each modality."""
        contents, weights = [], []
        confidences = Both(*torch.split(self.confidences, self.sizes))
        for place, modality in enumerate(self.modalities):
            content, attention = self._content(modality, features)
            contents.append(content)
            # An edge has the confidence of where it comes from.
            weights.append(
                Both(
                    attention.users * self.edges.column_values(confidences.items[:, place]),
                    attention.items * self.edges.transpose_column_values(confidences.users[:, place]),
                )
            )
        largest = Both(*(functional.relu(reduce(torch.maximum, side)) for side in zip(*weights, strict=True)))
        return [self._smooth_ids(largest), *contents]

    def _content(self, modality: str, features: Features) -> tuple[Both, Both]:
        """Return the vectors of a modality, and the attention of users to their items and of items to their users."""
        raw = feature_table(features, modality, self.sizes[1], self.widths[modality])
        items = unit_rows(functional.leaky_relu(apply_linear(cast(nn.Linear, self.projections[modality]), raw)))
        users = unit_rows(self.preferences[modality])
        # In the published code users receive nothing while routing: they stay as they are.
        for _ in range(0 if self.config.mmrec_compat else self.config.routings):
            attention = self.edges.softmax_of_users(self.edges.products(users, items))
            users = unit_rows(users + product(self.edges.towards_users(attention), items))
        logits = self.edges.products(users, items)
        attentions = Both(self.edges.softmax_of_users(logits), self.edges.softmax_of_items(logits))
        received = Both(
            product(self.edges.towards_users(attentions.users), items),
            product(self.edges.towards_items(attentions.items), users),
        )
        return Both(users + received.users, items + received.items), attentions

    def _smooth_ids(self, weights: Both) -> Both:
        """Return the sum of the normalized ids and their propagations over the weighted graph."""
        to_users, to_items = self.edges.towards_users(weights.users), self.edges.towards_items(weights.items)
        total = signal = Both(*torch.split(unit_rows(self.ids), self.sizes))
        for _ in range(self.config.layers):
            signal = Both(product(to_users, signal.items), product(to_items, signal.users))
            total = Both(total.users + signal.users, total.items + signal.items)
        return total

    def _squares(self, users: Tensor, items: Tensor) -> Tensor:
        """Return the regularization term; users [B] count twice, once per positive and once per negative [2B]."""
        ids = Both(*torch.split(self.ids, self.sizes))
        parts = [functional.embedding(users, ids.users), functional.embedding(items, ids.items)]
        parts += [functional.embedding(users, self.preferences[m]) for m in self.modalities]
        if "image" in self.modalities:
            parts.append(self.preferences["image"])
        return torch.stack([part.square().mean() for part in parts]).sum()


class RefinedEdges(SparseBuffer):
    """The training interactions and values on them, sorted by user, or sorted by item ("transposed").

    Values sorted by user belong to the matrix [U, I], transposed values to the matrix [I, U].
    """

    returning: Tensor

    def __init__(self, problem: Problem) -> None:
        users, items = problem.edges.detach().cpu()
        order = torch.argsort(users * problem.n_items + items)
        shape = (problem.n_users, problem.n_items)
        # In the order of users an edge's number is its place, so the transpose holds the places to take from.
        numbered = sparse_of(users[order], items[order], torch.arange(len(order)), shape)
        super().__init__(numbered)
        self.register_buffer("returning", torch.argsort(numbered.transpose_values), persistent=False)

    def products(self, users: Tensor, items: Tensor) -> Tensor:
        """Return <x_u, x_i> of every edge."""
        matrix = self.matrix()
        return sampled_products(matrix.pattern, matrix.transpose, users, items)

    def softmax_of_users(self, logits: Tensor) -> Tensor:
        """Return the softmax over the edges of each user."""
        return row_softmax(self.matrix().pattern, logits)

    def softmax_of_items(self, logits: Tensor) -> Tensor:
        """Return the softmax over the edges of each item, transposed, for logits sorted by user."""
        matrix = self.matrix()
        return row_softmax(matrix.transpose, logits.index_select(0, matrix.transpose_values))

    def column_values(self, items: Tensor) -> Tensor:
        """Return the item value of each edge, for values [I]."""
        return items.index_select(0, self.matrix().pattern.columns)

    def transpose_column_values(self, users: Tensor) -> Tensor:
        """Return the user value of each edge, transposed, for values [U]."""
        return users.index_select(0, self.matrix().transpose.columns)

    def towards_users(self, values: Tensor) -> Sparse:
        """Return the matrix [U, I] of values."""
        matrix = self.matrix()
        return Sparse(matrix.pattern, values, matrix.transpose, values.index_select(0, matrix.transpose_values))

    def towards_items(self, values: Tensor) -> Sparse:
        """Return the matrix [I, U] of transposed values."""
        matrix = self.matrix()
        return Sparse(matrix.transpose, values, matrix.pattern, values.index_select(0, self.returning))
