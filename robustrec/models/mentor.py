"""MENTOR: modality channels with an item graph, aligned with each other and with a guide of ids."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from robustrec.models.configs import MENTORConfig
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
from robustrec.models.graphs import Bipartite, cosine_neighbours
from robustrec.models.initial import table
from robustrec.models.log_partition import total_log_partition
from robustrec.models.losses import bpr_loss
from robustrec.models.modality_encoders import LAYERS, Encoders, ModalityEncoders, modality_weights, smoothed
from robustrec.models.rows import unit_rows

GUIDE = "ids"
VIEWS = 2
# Rows of the table of logits that are held at once at least: fewer make slow products.
ROWS = 64


class Channels(NamedTuple):
    """Channels of users [U, C, d], and of items after the item graph [I, C, d]."""

    users: Tensor
    items: Tensor


class MENTOR(RecommenderModule):
    """MENTOR: modality-specific graph convolutions with an item graph, aligned under the guidance of id embeddings.

    Source: Xu et al., AAAI 2025, arXiv 2402.19407, and its published code. r_m are the channels of `ModalityEncoders`;
    the guide r_id is such a channel with a trained table in place of features. A user is [w_v r_v ; w_t r_t ; …], an
    item z + G^N z with z = [r_v ; r_t ; …] and G the `frozen_item_graph`. The loss aligns mean and variance of these
    vectors, of the guide's and of each modality's, and contrasts two views with noise between the layers, which have
    encoders of their own and share only the users' modality weights with the vectors. With `graph_weight` 0 the views
    and their encoders do not exist.

    Not here: the published loss of masked features, which has no gradient, so that it trains nothing, and the user
    graph and tables that the published code never uses. With one modality, which is not published, the vectors are
    [r_m ; r_m], without weights.
    """

    Config = MENTORConfig
    modalities: tuple[str, ...] = MENTORConfig.modalities

    def __init__(self, problem: Problem, config: MENTORConfig, generator: torch.Generator) -> None:
        super().__init__()
        self.config = config
        self.modalities = read_modalities("mentor", problem, type(self).modalities)
        config.check_modalities("mentor", self.modalities)
        d = config.latent_width
        self.encoders = ModalityEncoders(problem, self.modalities, d, generator)
        self.guide_items = table(problem.n_items, d, "xavier_normal", generator)
        self.guide = Encoders(problem.n_users, {GUIDE: d}, d, generator)
        self.views = nn.ModuleList()
        if config.graph_weight > 0:
            widths = self.encoders.widths
            self.views.extend(Encoders(problem.n_users, widths, d, generator) for _ in range(VIEWS))
        self.user_weights: nn.Parameter | None = None
        if len(self.modalities) > 1:
            self.user_weights = modality_weights(problem.n_users, len(self.modalities), generator)

    def item_graphs(self, features: Features, neighbours: FindNeighbours = cosine_neighbours) -> Graphs:
        """Return G under the name "items"."""
        return frozen_item_graph(features, self.encoders.widths, self.encoders.n_items, self.config, neighbours)

    def represent(self, features: Features, graphs: Graphs | None = None) -> Representation:
        """Return user and item vectors, M·d wide for M modalities, 2·d wide for one."""
        graphs = self.item_graphs(features) if graphs is None else graphs
        users, items = self.encoders(features)
        return self._vectors(self._near(users, items, graphs))

    def loss(self, features: Features, batch: Batch, graphs: Graphs | None = None) -> Loss:
        """Return the sum of the BPR loss to base 2, λ times mean squares, the alignment, and the contrast of the views.

        The noise of the views is drawn in training steps only.
        """
        graphs = self.item_graphs(features) if graphs is None else graphs
        bipartite, tables = self.encoders.graph.bipartite(), self.encoders.tables(features)
        starts = [self.encoders.of_tables(tables), self.guide.of_tables({GUIDE: self.guide_items})]
        channels = self._near(*self._split(smoothed(bipartite, *_beside(starts))), graphs)
        found = self._vectors(Channels(channels.users[:, :-1], channels.items[:, :-1]))
        users = functional.embedding(batch.users, found.users)
        positive = (users * functional.embedding(batch.positives, found.items)).sum(1)
        negative = (users * functional.embedding(batch.negatives, found.items)).sum(1)
        squares = self.encoders.regularisation(batch.users)
        if self.user_weights is not None:
            squares = squares + self.user_weights.square().mean()
        terms = {
            "bpr": bpr_loss(positive, negative) / math.log(2),
            "regularisation": self.config.reg_weight * squares,
            "alignment": self.config.align_weight * self._misalignment(found, channels),
        }
        if self.views:
            views = [cast(Encoders, each).of_tables(tables) for each in self.views]
            noisy = self._near(*self._split(perturbed(bipartite, *_beside(views), batch, self.config)), graphs)
            terms["graph"] = self.config.graph_weight * self._contrast(noisy)
        return Loss(torch.stack(list(terms.values())).sum(), terms)

    def _split(self, flat: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """Return the channels side by side [n, C·d] of users and items as [n, C, d]."""
        users, items = (each.view(each.shape[0], -1, self.config.latent_width) for each in flat)
        return users, items

    def _near(self, users: Tensor, items: Tensor, graphs: Graphs) -> Channels:
        """Return the channels after the item graph, z + G^N z for items."""
        flat = items.flatten(1)
        return Channels(users, (flat + propagated(graphs["items"], flat, self.config.item_layers)).view_as(items))

    def _vectors(self, channels: Channels) -> Representation:
        """Return the vectors from the channels of all modalities."""
        users, items = channels
        if self.user_weights is None:
            return Representation(users.repeat(1, 2, 1).flatten(1), items.repeat(1, 2, 1).flatten(1))
        return Representation((self.user_weights * users).flatten(1), items.flatten(1))

    def _misalignment(self, vectors: Representation, channels: Channels) -> Tensor:
        """Return Σ |var - var'| + |mean - mean'| over the pairs of vectors, guide and modalities.

        Each of them is a table as wide as the vectors; a guide or modality is repeated in it.
        """
        width = vectors.users.shape[1]
        found = [moments(vectors.users, vectors.items, 1)]
        for users, items in zip(channels.users.unbind(1), channels.items.unbind(1), strict=True):
            found.append(moments(users, items, width // users.shape[1]))
        distances = [(one - other).abs().sum() for one, other in combinations(found, 2)]
        return torch.stack(distances).sum()

    def _contrast(self, noisy: Channels) -> Tensor:
        """Return the contrast of the two views over all users, plus that over all items."""
        one, other = (
            self._vectors(Channels(*part))
            for part in zip(noisy.users.chunk(VIEWS, dim=1), noisy.items.chunk(VIEWS, dim=1), strict=True)
        )
        tau = self.config.temperature
        return whole_contrast(one.users, other.users, tau) + whole_contrast(one.items, other.items, tau)


def perturbed(
    graph: Bipartite, users: Tensor, items: Tensor, batch: Batch, config: MENTORConfig
) -> tuple[Tensor, Tensor]:
    """Return the users' and the items' part of x + y + y', y = Âx + noise and y' = Ây + noise, [n, a] each.

    The noise of a channel of a row is ε sign(y) ⊙ ξ / ‖ξ‖ with ξ uniform in [0, 1), as in SimGCL (arXiv 2112.08679);
    there is none without a seed.
    """
    sums = layer = (users, items)
    for number in range(LAYERS):
        layer = (graph.to_users(layer[1]), graph.to_items(layer[0]))
        layer = (
            _noisy(layer[0], batch, config, f"users {number}"),
            _noisy(layer[1], batch, config, f"items {number}"),
        )
        sums = (sums[0] + layer[0], sums[1] + layer[1])
    return sums


def _noisy(x: Tensor, batch: Batch, config: MENTORConfig, name: str) -> Tensor:
    generator = batch.noise(f"views {name}")
    if generator is None or config.noise == 0:
        return x
    drawn = _drawn(x, generator).view(-1, config.latent_width)
    return x + x.detach().sign() * (config.noise * unit_rows(drawn)).view_as(x)


def _drawn(x: Tensor, generator: torch.Generator) -> Tensor:
    """Return ξ, as large as x."""
    return torch.rand(x.shape, generator=generator, dtype=x.dtype, device=x.device)


def moments(users: Tensor, items: Tensor, copies: int) -> Tensor:
    """Return the unbiased variance and the mean of all entries of two tables [n, d], each repeated, as a vector [2]."""
    size = users.numel() + items.numel()
    mean = (users.sum() + items.sum()) / size
    squares = (users - mean).square().sum() + (items - mean).square().sum()
    return torch.stack([copies * squares / (copies * size - 1), mean])


def whole_contrast(queries: Tensor, keys: Tensor, temperature: float) -> Tensor:
    """Return the mean over the rows [n, d] of -ln of the softmax, over all keys, of the cosines / τ at the own key.

    The logits [n, n] are made and dropped in chunks of rows.
    """
    queries, keys = unit_rows(queries) / temperature, unit_rows(keys)
    own = (queries * keys).sum()
    return (total_log_partition(queries, keys, least_rows=ROWS) - own) / queries.shape[0]


def _beside(parts: Sequence[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Return the tables of users and those of items, each side by side."""
    users, items = (torch.cat(side, dim=1) for side in zip(*parts, strict=True))
    return users, items
