"""LGMRec: local propagation on the interaction graph, and global propagation on learned hypergraphs."""

from __future__ import annotations

from itertools import combinations
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from robustrec.models.configs import LGMRecConfig
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
from robustrec.models.graphs import Sparse, UserItemGraph, product
from robustrec.models.initial import table
from robustrec.models.log_partition import total_log_partition
from robustrec.models.losses import bpr_loss, embedding_loss
from robustrec.models.rows import unit_rows

# Floor of a row's length in the contrast's cosines, as in `unit_rows`.
NORM_FLOOR = 1e-12
DEGREE_OFFSET = 1e-7


class NodeVectors(NamedTuple):
    """Components of the user vectors or of the item vectors; n users or items.

    Attributes:
        ids: [n, d] propagated.
        contents: modality -> [n, d], propagated.
        memberships: modality -> [n, H], membership in each hyperedge.
    """

    ids: Tensor
    contents: dict[str, Tensor]
    memberships: dict[str, Tensor]

    def rows(self, ids: Tensor) -> NodeVectors:
        """Return the components of the given users or items, int64 [B]."""
        return NodeVectors(
            functional.embedding(ids, self.ids),
            {m: functional.embedding(ids, values) for m, values in self.contents.items()},
            {m: functional.embedding(ids, values) for m, values in self.memberships.items()},
        )


class State(NamedTuple):
    """User and item components, and modality -> hyperedge embeddings [H, d]."""

    users: NodeVectors
    items: NodeVectors
    hyperedges: dict[str, Tensor]


class LGMRec(RecommenderModule):
    """LGMRec: local graph embeddings of ids and modalities, plus global embeddings from learned hypergraphs.

    Source: Guo et al., AAAI 2024, arXiv 2312.16400. The vectors are c + Σ_m rn(g_m) + α rn(Σ_m h_m).

    c are LightGCN's ids. g_m: an item starts as X_m T_m, a user as the mean over its items, and both are propagated.
    h_m: items belong to hyperedges by softmax(X_m V_m / τ), users by softmax(R X_m V_m / τ); hyperedges sum the c of
        their items, and users and items receive the sum of their hyperedges.

    Memberships have Gumbel noise and dropout in training steps only; the published code also adds the noise when it
    scores, so that its scores are random. With one modality there is no contrastive loss; with more than two it is the
    mean over all pairs of modalities.
    """

    Config = LGMRecConfig
    modalities: tuple[str, ...] = LGMRecConfig.modalities

    def __init__(self, problem: Problem, config: LGMRecConfig, generator: torch.Generator) -> None:
        super().__init__()
        self.config = config
        self.n_items = problem.n_items
        self.widths = dict(problem.feature_widths)
        self.modalities = read_modalities("lgmrec", problem, type(self).modalities)
        d = config.latent_width
        self.users = table(problem.n_users, d, "xavier_uniform", generator)
        self.items = table(problem.n_items, d, "xavier_uniform", generator)
        self.projections = nn.ParameterDict()
        self.hyperedges = nn.ParameterDict()
        for m in self.modalities:
            self.projections[m] = table(self.widths[m], d, "xavier_uniform", generator)
            self.hyperedges[m] = table(self.widths[m], config.hyperedges, "xavier_uniform", generator)
        self.graph = UserItemGraph(problem.n_users, problem.n_items, problem.edges, offset=DEGREE_OFFSET)

    def represent(self, features: Features) -> Representation:
        """Return user and item vectors [U, d] and [I, d], without noise."""
        state = self._state(features, None)
        return Representation(self._vectors(state.users, state), self._vectors(state.items, state))

    def loss(self, features: Features, batch: Batch) -> Loss:
        """Return the sum of the BPR loss, the contrastive loss between modalities, and the regularization."""
        state = self._state(features, batch.noise("hyperedges"))
        of_users, of_positives = state.users.rows(batch.users), state.items.rows(batch.positives)
        users, positive = self._vectors(of_users, state), self._vectors(of_positives, state)
        negative = self._vectors(state.items.rows(batch.negatives), state)
        terms = {
            "bpr": bpr_loss((users * positive).sum(1), (users * negative).sum(1)),
            "regularisation": self.config.reg_weight * embedding_loss(users, positive, negative),
        }
        if len(self.modalities) > 1:
            pairs = list(combinations(self.modalities, 2))
            contrasts = [
                self._contrast(of_users, state.users, batch.users, pair, state.hyperedges)
                + self._contrast(of_positives, state.items, batch.positives, pair, state.hyperedges)
                for pair in pairs
            ]
            terms["contrast"] = self.config.cl_weight * torch.stack(contrasts).sum() / len(pairs)
        return Loss(torch.stack(list(terms.values())).sum(), terms)

    def _state(self, features: Features, noise: torch.Generator | None) -> State:
        """Return the components of the vectors; `noise` is a generator in training steps."""
        d, n_hyper = self.config.latent_width, self.config.hyperedges
        user_ids, item_ids = self.graph.smooth(self.users, self.items, self.config.ui_layers)
        item_parts = [self._projected(m, features) for m in self.modalities]
        widths = [width for _ in self.modalities for width in (d, n_hyper)]
        interactions = self._interactions()
        user_parts = torch.split(product(interactions, torch.cat(item_parts, dim=1)), widths, dim=1)
        item_contents, user_contents = self._propagated(
            [part[:, :d] for part in item_parts], list(user_parts[::2]), interactions.pattern.starts.diff()
        )
        users = NodeVectors(user_ids, user_contents, {})
        items = NodeVectors(item_ids, item_contents, {})
        hyperedges = {}
        for m, item_part, user_logits in zip(self.modalities, item_parts, user_parts[1::2], strict=True):
            members = memberships(item_part[:, d:], self.config, noise)
            items.memberships[m], users.memberships[m] = members, memberships(user_logits, self.config, noise)
            held = members.T @ item_ids
            for _ in range(self.config.hyper_layers - 1):
                held = members.T @ (members @ held)
            hyperedges[m] = held
        return State(users, items, hyperedges)

    def _projected(self, modality: str, features: Features) -> Tensor:
        """Return [X T ; X V] of the items [I, d + H]."""
        raw = feature_table(features, modality, self.n_items, self.widths[modality])
        return times_transposed(raw, torch.cat([self.projections[modality], self.hyperedges[modality]], dim=1).T)

    def _interactions(self) -> Sparse:
        """Return R [U, I], the pattern of the normalized graph with ones as values."""
        graph = self.graph.matrix()
        ones = torch.ones_like(graph.values)
        return Sparse(graph.pattern, ones, graph.transpose, ones)

    def _propagated(
        self, item_contents: list[Tensor], user_sums: list[Tensor], degrees: Tensor
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Return propagated item and user contents, concatenated over modalities; [U] degrees."""
        items, users = torch.cat(item_contents, dim=1), torch.cat(user_sums, dim=1)
        users = users / (degrees.to(users.dtype) + DEGREE_OFFSET).unsqueeze(1)
        graph = self.graph.bipartite()
        for _ in range(self.config.mm_layers):
            users, items = graph.to_users(items), graph.to_items(users)
        parts = len(self.modalities)
        return (
            dict(zip(self.modalities, items.chunk(parts, dim=1), strict=True)),
            dict(zip(self.modalities, users.chunk(parts, dim=1), strict=True)),
        )

    def _vectors(self, side: NodeVectors, state: State) -> Tensor:
        """Return the vectors of users or items, or of some rows."""
        local = side.ids
        received = torch.zeros_like(local)
        for m in self.modalities:
            local = local + unit_rows(side.contents[m])
            received = received + side.memberships[m] @ state.hyperedges[m]
        return local + self.config.alpha * unit_rows(received)

    def _contrast(
        self, rows: NodeVectors, side: NodeVectors, ids: Tensor, pair: tuple[str, str], hyperedges: dict[str, Tensor]
    ) -> Tensor:
        """Return Σ_b -log of the softmax, over the whole side, of cos(h_m,b , h_n,j)/τ at b itself, for a pair (m, n).

        A vector h = m·l is H memberships times the hyperedge embeddings, so inner products need H numbers instead of d.

        Args:
            rows: components of the batch.
            side: components of all users or all items.
            ids: int64 [B], ids of the rows.
            pair: modality of the batch's vectors, and modality of the whole side's; image and text in this order.
            hyperedges: modality -> [H, d].
        """
        one, other = pair
        ours, theirs = hyperedges[one], hyperedges[other]
        per_length = _per_length(rows.memberships[one] @ ours) / self.config.temperature
        queries = rows.memberships[one] @ (ours @ theirs.T) * per_length
        keys = side.memberships[other] * _per_length(side.memberships[other] @ theirs)
        own = (queries * functional.embedding(ids, keys)).sum()
        return total_log_partition(queries, keys) - own


def memberships(logits: Tensor, config: LGMRecConfig, noise: torch.Generator | None) -> Tensor:
    """Return softmax(logits / τ) over the hyperedges [n, H]; noise: Gumbel noise before it and dropout after it."""
    if noise is None:
        return (logits / config.temperature).softmax(dim=1)
    exponential = torch.empty_like(logits).exponential_(generator=noise)
    gumbel = -exponential.clamp_min(torch.finfo(logits.dtype).tiny).log()
    members = ((logits + gumbel) / config.temperature).softmax(dim=1)
    kept = torch.empty_like(logits).bernoulli_(config.keep_rate, generator=noise)
    return members * kept / config.keep_rate


def _per_length(rows: Tensor) -> Tensor:
    """Return 1 / max(row norm, floor) for each row [n, 1]."""
    return rows.square().sum(1, keepdim=True).clamp_min(NORM_FLOOR**2).rsqrt()
