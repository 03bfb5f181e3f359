"""What MGCN and SMORE share: vectors that are smoothed embeddings plus modalities spread over the same graph."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from robustrec.models.configs import MGCNConfig, SMOREConfig
from robustrec.models.contract import Loss
from robustrec.models.graphs import Bipartite, Sparse, chosen_rows, product
from robustrec.models.losses import bpr_loss, half_squares
from robustrec.models.rows import unit_rows


class Views(NamedTuple):
    """What a user or item vector is the sum of, [n, d] each: smoothed embeddings, and the fused modalities."""

    content: Tensor
    side: Tensor


class Spread(NamedTuple):
    """Smoothed embeddings [n, d] of users or items, and what the items carry, spread to them [n, a]."""

    content: Tensor
    carried: Tensor


def spread(
    graph: Bipartite,
    tables: tuple[Tensor, Tensor],
    carried: Tensor,
    layers: int,
    rows: tuple[Tensor | None, Tensor | None],
) -> tuple[Spread, Spread]:
    """Return for the given users and for the given items the mean of x, Âx, …, Â^L x, and [R̂ y ; y].

    Only the wanted rows take the last propagation of a CPU.

    Args:
        graph: R̂.
        tables: x, of users [U, d] and of items [I, d].
        carried: y [I, a].
        layers: L ≥ 1.
        rows: int64 ids of users and of items, None meaning all.
    """
    users, items = tables
    user_rows, item_rows = rows
    # The sum of layers 0 to L by Horner's rule, x + Â(x + Â(…)): so the last product alone gives the rows wanted.
    at_users, at_items = users, items
    for _ in range(layers - 1):
        at_users, at_items = users + graph.to_users(at_items), items + graph.to_items(at_users)
    to_users = _product_at(graph.matrix, torch.cat([at_items, carried], dim=1), user_rows)
    to_items = _rows(graph.to_items(at_users), item_rows)
    share, d = 1 / (layers + 1), users.shape[1]
    return (
        Spread(share * (_rows(users, user_rows) + to_users[:, :d]), to_users[:, d:]),
        Spread(share * (_rows(items, item_rows) + to_items), _rows(carried, item_rows)),
    )


def views_loss(views: tuple[Views, Views], places: tuple[Tensor, Tensor], config: MGCNConfig | SMOREConfig) -> Loss:
    """Return the BPR loss, the squared norms of the batch vectors, and κ times the contrastive loss.

    Args:
        views: of the rows of users and of items that the batch has.
        places: int64, where the batch stands among the rows: users [B], and positives then negatives [2B].
        config: the weights.
    """
    (users, items), (user_places, item_places) = views, places
    at_users = functional.embedding(user_places, users.content + users.side)
    at_items = functional.embedding(item_places, items.content + items.side)
    positives, negatives = at_items.chunk(2)
    squares = half_squares(at_users, at_items)
    weight, temperature = config.contrast_weight, config.temperature
    terms = {
        "bpr": bpr_loss((at_users * positives).sum(1), (at_users * negatives).sum(1)),
        "regularisation": config.reg_weight / config.nominal_batch * squares,
        "contrast_users": weight * view_contrast(users, user_places, temperature),
        "contrast_items": weight * view_contrast(items, item_places[: len(user_places)], temperature),
    }
    return Loss(torch.stack(list(terms.values())).sum(), terms)


def view_contrast(views: Views, ids: Tensor, temperature: float) -> Tensor:
    """Return the contrast of the side vectors with the content vectors of a batch, by cosines, in one direction.

    A row that occurs n times in the batch stands for n queries and n keys.

    Args:
        views: of rows of users or items.
        ids: int64 [B], places of the batch among the rows.
        temperature: divides the cosines.
    """
    places, counts = ids, None
    if ids.device.type == "cpu":
        places, counts = torch.unique(ids, return_counts=True)
    side = unit_rows(functional.embedding(places, views.side)) / temperature
    content = unit_rows(functional.embedding(places, views.content))
    own = (side * content).sum(1)
    if counts is None:
        return ((side @ content.T).logsumexp(1) - own).mean()
    counts = counts.to(side.dtype)
    logits = torch.addmm(counts.log(), side, content.T)
    mean: Tensor = (counts * (logits.logsumexp(1) - own)).sum() / len(ids)
    return mean


def _rows(x: Tensor, rows: Tensor | None) -> Tensor:
    return x if rows is None else functional.embedding(rows, x)


def _product_at(matrix: Sparse, x: Tensor, rows: Tensor | None) -> Tensor:
    """Return the given rows of M x, None meaning all."""
    if rows is None or rows.device.type != "cpu":
        # Elsewhere the number of entries in the rows would have to travel to the host; all of them cost less.
        return _rows(product(matrix, x), rows)
    return product(chosen_rows(matrix, rows), x)
