"""The triples whose mean is the audited loss, and their margins without a table [n, d]."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from robustrec.errors import RobustrecError
from robustrec.models.contract import Representation
from robustrec.models.graphs import sampled_products
from robustrec.models.graphs.sparse import Pattern, pattern_of, turning_order
from robustrec.seeds import torch_generator
from robustrec.training.sampling import positives_of, sample_negatives


class Triples(NamedTuple):
    """Users with an item they took and one they did not, int64 [n] each."""

    users: Tensor
    positives: Tensor
    negatives: Tensor


class ScoredPairs(NamedTuple):
    """The distinct (user, item) pairs of some triples, where a model is scored.

    Attributes:
        pattern: the pairs as places of a matrix [U, I].
        transpose: the same of its transpose.
        positives: int64 [n], which pair is the triple's (user, positive).
        negatives: int64 [n], which is its (user, negative).
        order: of the entries of the transpose in the pattern, sorted once for all derivatives.
    """

    pattern: Pattern
    transpose: Pattern
    positives: Tensor
    negatives: Tensor
    order: Tensor

    def to(self, device: torch.device) -> ScoredPairs:
        """Return the pairs on a device."""
        pattern, transpose = (
            Pattern(each.starts.to(device), each.columns.to(device), each.shape)
            for each in (self.pattern, self.transpose)
        )
        return ScoredPairs(pattern, transpose, *(ids.to(device) for ids in self[2:]))


def draw_triples(edges: Tensor, n_items: int, count: int, seed: int) -> Triples:
    """Draw training interactions without repetition (all where there are fewer), each with one negative.

    They follow from the data and the seed alone, so that every subject of a run is held against the same.

    Args:
        edges: int64 [2, E] training interactions.
        n_items: I.
        count: n wanted.
        seed: of the audit.

    Raises:
        RobustrecError: no triple is asked for or there is none.
    """
    if count < 1:
        raise RobustrecError(
            f"{count} triples asked for: the audited loss is a mean over triples",
            where="sharpness audit, triples",
            fix="ask for at least one, for example triples = 100000",
        )
    positives = positives_of(edges.cpu(), n_items, torch.device("cpu"))
    generator = torch_generator(seed, "sharpness", "triples")
    chosen = torch.randperm(edges.shape[1], generator=generator)[:count]
    users, items = edges.cpu()[:, chosen]
    return Triples(users, items, sample_negatives(positives, users, generator))


def pairs_of(triples: Triples, n_users: int, n_items: int) -> ScoredPairs:
    """Return the distinct pairs of triples.

    Raises:
        RobustrecError: there is no triple.
    """
    users, positives, negatives = triples
    count = len(users)
    if count == 0:
        raise RobustrecError(
            "there is no triple to average over", where="sharpness audit, triples", fix="ask for at least one"
        )
    keys = torch.cat([users * n_items + positives, users * n_items + negatives])
    places, inverse = torch.unique(keys, return_inverse=True)
    rows, columns = places // n_items, places % n_items
    pattern, _ = pattern_of(rows, columns, (n_users, n_items))
    transpose, _ = pattern_of(columns, rows, (n_items, n_users))
    return ScoredPairs(pattern, transpose, inverse[:count], inverse[count:], turning_order(pattern))


def margins(representation: Representation, pairs: ScoredPairs) -> Tensor:
    """Return s(u, p) - s(u, n) of every triple, float64 [n], differentiable as often as wanted.

    Scores are computed pair by pair as a sampled product, so that neither this nor its derivatives hold a table [n, d].
    """
    users, items = representation
    scores = sampled_products(pairs.pattern, pairs.transpose, users.contiguous(), items.contiguous(), pairs.order)
    return scores.index_select(0, pairs.positives).double() - scores.index_select(0, pairs.negatives).double()
