"""DA-MRS: LightGCN with item graphs that features and interactions choose, trained to denoise feedback by them."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from robustrec.errors import RobustrecError
from robustrec.models.configs import DAMRSConfig
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
from robustrec.models.frozen_item_graph import propagated
from robustrec.models.graphs import SparseBuffer, UserItemGraph, cosine_neighbours, denoised_graphs, session_graph
from robustrec.models.initial import table
from robustrec.models.pseudo_neighbours import discrimination
from robustrec.models.rows import unit_rows

# What is added to degrees before the root.
OFFSET = 1e-7
SESSION = "session"


class _Vectors(NamedTuple):
    """Smoothed embeddings, and item embeddings spread over each item graph.

    Attributes:
        users: g_u [U, d].
        items: g_i [I, d].
        spread: name of a graph -> h_m [I, d], the modalities first, the session graph last.
    """

    users: Tensor
    items: Tensor
    spread: dict[str, Tensor]

    def mean(self) -> Tensor:
        """Return h̄ [I, d]."""
        return torch.stack(list(self.spread.values())).mean(0)


class DAMRS(RecommenderModule):
    """DA-MRS: LightGCN with item graphs chosen by features and interactions, trained to denoise feedback by them.

    Source: Xv et al., KDD 2024, arXiv 2406.12501. An item is g_i + h̄_i, g from LightGCN and h̄ the mean of H_m^N E_i
    over the graphs H_m: the `denoised_graphs` of all modalities, and the `session_graph` of items that users take
    together. Features choose the neighbours of the first and are read nowhere else, neither in scores nor in the
    loss: with given graphs, nothing depends on them. Nothing is random.

    The loss has three parts: BPR on each triple and on its reverse, weighted by how sure the graphs are of them;
    discrimination of pseudo-neighbours (`discrimination`); and alignment, the mean over pairs of the
    batch's users and items of the symmetric Kullback-Leibler divergence of σ(g_u · rn(g_i)) and σ(g_u · rn(h̄_i)).

    With M modalities, a graph has the weight M where pseudo-neighbours are chosen, and the others have the weight 1, as
    published for two. With one modality, its graph has its own threshold only; there is no published behaviour.
    """

    Config = DAMRSConfig
    modalities: tuple[str, ...] = DAMRSConfig.modalities

    def __init__(self, problem: Problem, config: DAMRSConfig, generator: torch.Generator) -> None:
        super().__init__()
        self.config = config
        self.n_users, self.n_items = problem.n_users, problem.n_items
        self.modalities = read_modalities("da-mrs", problem, type(self).modalities)
        _check_pseudo_positives(config, problem.n_items)
        self.widths = {m: problem.feature_widths[m] for m in self.modalities}
        self.users = table(problem.n_users, config.latent_width, "xavier_uniform", generator)
        self.items = table(problem.n_items, config.latent_width, "xavier_uniform", generator)
        self.graph = UserItemGraph(problem.n_users, problem.n_items, problem.edges, offset=OFFSET)
        together = session_graph(problem.edges, problem.n_users, problem.n_items, config.session_neighbours)
        self.session = SparseBuffer(together)

    def item_graphs(self, features: Features, neighbours: FindNeighbours = cosine_neighbours) -> Graphs:  # noqa: ARG002 - survivors of all modalities are found together
        """Return the denoised graph of every modality under its name."""
        tables = [feature_table(features, m, self.n_items, width) for m, width in self.widths.items()]
        found = denoised_graphs(tables, self.config.item_neighbours)
        return dict(zip(self.modalities, found, strict=True))

    def represent(self, features: Features, graphs: Graphs | None = None) -> Representation:
        """Return user and item vectors [U, d] and [I, d]."""
        found = self._vectors(self.item_graphs(features) if graphs is None else graphs)
        return Representation(found.users, found.items + found.mean())

    def loss(self, features: Features, batch: Batch, graphs: Graphs | None = None) -> Loss:
        """Return the weighted BPR loss plus ν times the discrimination of neighbours plus ζ times the alignment."""
        found = self._vectors(self.item_graphs(features) if graphs is None else graphs)
        mean = found.mean()
        users = functional.embedding(batch.users, found.users)
        drawn = torch.cat([batch.positives, batch.negatives])
        terms = {"bpr": _weighted_bpr(users, drawn, found, mean)}
        item_rows, item_shares = _shares(drawn, self.n_items, mean.dtype)
        if self.config.neighbour_weight > 0:
            units = [unit_rows(each) for each in found.spread.values()]
            lost = discrimination(units, item_rows, item_shares, self.config.pseudo_positives)
            terms["neighbours"] = self.config.neighbour_weight * lost
        if self.config.alignment_weight > 0:
            user_rows, user_shares = _shares(batch.users, self.n_users, mean.dtype)
            sides = [unit_rows(functional.embedding(item_rows, each)) for each in (found.items, mean)]
            own, spread = (functional.embedding(user_rows, found.users) @ side.T for side in sides)
            divergence = (torch.sigmoid(own) - torch.sigmoid(spread)) * (own - spread)
            terms["alignment"] = self.config.alignment_weight * (user_shares @ divergence @ item_shares)
        return Loss(torch.stack(list(terms.values())).sum(), terms)

    def _vectors(self, graphs: Graphs) -> _Vectors:
        users, items = self.graph.smooth(self.users, self.items, self.config.layers)
        spread = {m: propagated(graphs[m], self.items, self.config.item_layers) for m in self.modalities}
        spread[SESSION] = propagated(self.session.matrix(), self.items, self.config.item_layers)
        return _Vectors(users, items, spread)


def _weighted_bpr(users: Tensor, drawn: Tensor, found: _Vectors, mean: Tensor) -> Tensor:
    """Return the mean of w⁺ softplus(-Δ) + w⁻ softplus(Δ) over a batch, the weights without gradient.

    q_m are σ(g_u · rn(h_m)) over the graphs m. A positive has w⁺ = mean e^{-2 var} of its q_m, with the unbiased
    variance. If that mean is below M, the mean q of all negatives, it also has w⁻ = max q_m - M, as if it were a
    negative. Both weights are clipped to [0, 1].

    Args:
        users: g_u of the batch [B, d].
        drawn: int64 [2B], positives and then negatives.
        found: vectors.
        mean: h̄ [I, d].
    """
    positive, negative = (users.repeat(2, 1) * functional.embedding(drawn, found.items + mean)).sum(1).chunk(2)
    with torch.no_grad():
        rows = [unit_rows(functional.embedding(drawn, each)) for each in found.spread.values()]
        affinities = torch.stack([torch.sigmoid((users.repeat(2, 1) * row).sum(1)) for row in rows])
        own, others = affinities.chunk(2, dim=1)
        level = others.mean()
        sure = (own.mean(0) * (-2 * own.var(0)).exp()).clamp(0, 1)
        doubted = torch.where(own.mean(0) < level, (own.amax(0) - level).clamp(0, 1), 0.0)
        weights = torch.stack([sure, doubted])
    sure, doubted = weights.detach()
    difference = positive - negative
    weighted: Tensor = sure * functional.softplus(-difference) + doubted * functional.softplus(difference)
    return weighted.mean()


def _shares(ids: Tensor, size: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Return rows [n] that hold all the ids, and shares [n] by which a sum over the rows is the mean over distinct ids.

    On a CPU every row occurs once. Elsewhere the number of distinct ids would have to travel to the host.

    Args:
        ids: int64 [B].
        size: one more than the largest id there can be.
        dtype: of the shares.
    """
    if ids.device.type != "cpu":
        return shares_of_repeated(ids, size, dtype)
    rows = torch.unique(ids)
    return rows, torch.full((len(rows),), 1 / len(rows), dtype=dtype)


def shares_of_repeated(ids: Tensor, size: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Return the ids themselves, or all there can be if these are fewer, and their shares, as `_shares` does."""
    ones = torch.ones(len(ids), device=ids.device, dtype=dtype)
    counts = ones.new_zeros(size).index_add(0, ids, ones)
    if len(ids) < size:
        shares = counts[ids].reciprocal()
        return ids, shares / shares.sum()
    there = (counts > 0).to(dtype)
    return torch.arange(size, device=ids.device), there / there.sum()


def _check_pseudo_positives(config: DAMRSConfig, n_items: int) -> None:
    """Check that there are items for two sets of pseudo-neighbours.

    Raises:
        RobustrecError: there are fewer.
    """
    if config.neighbour_weight > 0 and 2 * config.pseudo_positives > n_items:
        most = n_items // 2
        setting = f"da-mrs.pseudo_positives={most}" if most else "da-mrs.neighbour_weight=0"
        raise RobustrecError(
            f"da-mrs chooses 2 × {config.pseudo_positives} pseudo-neighbours of an item, but the data set has"
            f" {n_items:,} items",
            where="--model da-mrs, setting da-mrs.pseudo_positives",
            fix=f"set it to at most half the number of items: --set {setting}",
        )
