"""Training triples drawn on the device: shuffled positives, and negatives rejected against the user's positives."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from robustrec.errors import RobustrecError
from robustrec.models.contract import Batch


@dataclass(frozen=True)
class Positives:
    """The training interactions in the form that sampling needs, all on one device.

    Attributes:
        users: int64 [E].
        items: int64 [E].
        keys: int64 [E], sorted `user * n_items + item`, for membership by binary search.
        candidates: int64 [J], the items that occur in training: the candidates of negative sampling.
        n_items: I.
    """

    users: Tensor
    items: Tensor
    keys: Tensor
    candidates: Tensor
    n_items: int


def positives_of(edges: Tensor, n_items: int, device: torch.device) -> Positives:
    """Index the training edges for sampling.

    Args:
        edges: int64 [2, E], users and items.
        n_items: I.
        device: where sampling will run.

    Raises:
        RobustrecError: there are no edges, or a user has every candidate item, so that there is no negative item.
    """
    if edges.shape[1] == 0:
        raise RobustrecError("no training interactions", where="dataset", fix="check x_label: 0 marks training rows")
    users, items = edges.to(device)
    candidates = torch.unique(items)
    fullest = int(torch.bincount(users).max())
    if fullest >= len(candidates):
        user = int(torch.bincount(users).argmax())
        raise RobustrecError(
            f"user {user} has interacted with all {len(candidates)} training items, so that there is no negative item",
            where="dataset, x_label 0",
            fix="remove this user, or import more items",
        )
    keys = torch.sort(users * n_items + items).values
    return Positives(users, items, keys, candidates, n_items)


def is_positive(positives: Positives, users: Tensor, items: Tensor) -> Tensor:
    """Return whether (user, item) pairs occur in training: bool, shape of `users`."""
    wanted = users * positives.n_items + items
    place = torch.searchsorted(positives.keys, wanted).clamp_(max=len(positives.keys) - 1)
    return positives.keys[place] == wanted


def sample_negatives(positives: Positives, users: Tensor, generator: torch.Generator) -> Tensor:
    """Draw one negative item per user, uniform over the training items outside the user's positives.

    Vectorized rejection sampling: only rejected rows are drawn again.

    Args:
        positives: the index of the training interactions.
        users: int64 [n].
        generator: on the device of `positives`.

    Returns:
        int64 [n] item ids.
    """

    def draw(count: int) -> Tensor:
        places = torch.randint(len(positives.candidates), (count,), generator=generator, device=users.device)
        return positives.candidates[places]

    negatives = draw(len(users))
    open_rows = is_positive(positives, users, negatives).nonzero().squeeze(1)
    while len(open_rows):
        fresh = draw(len(open_rows))
        negatives[open_rows] = fresh
        open_rows = open_rows[is_positive(positives, users[open_rows], fresh)]
    return negatives


def sample_epoch(positives: Positives, generator: torch.Generator, negatives: int = 1) -> Batch:
    """Return one epoch's triples: every training interaction once, in random order, each with fresh negatives."""
    order = torch.randperm(len(positives.users), generator=generator, device=positives.users.device)
    users = positives.users[order]
    drawn = [sample_negatives(positives, users, generator) for _ in range(negatives)]
    more = torch.stack(drawn[1:]) if negatives > 1 else None
    return Batch(users, positives.items[order], drawn[0], more=more)


def batches_of(epoch: Batch, batch_size: int) -> Iterator[Batch]:
    """Split the triples of an epoch into batches; the last one may be smaller."""
    for start in range(0, len(epoch.users), batch_size):
        part = slice(start, start + batch_size)
        more = None if epoch.more is None else epoch.more[:, part]
        yield Batch(epoch.users[part], epoch.positives[part], epoch.negatives[part], more=more)
