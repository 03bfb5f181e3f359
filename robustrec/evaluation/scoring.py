"""Scores of all items for a few users at a time, with what may not be recommended at -inf."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from robustrec.errors import RobustrecError
from robustrec.evaluation.user_items import UserItems
from robustrec.models.contract import Representation, Scored
from robustrec.models.dense import multiplier

# Bytes of scores held at once on an accelerator, and what a score function is asked for at once.
DEVICE_SCORE_BYTES = 256 * 2**20
CPU_SCORE_BYTES = 32 * 2**20
# A processor takes a part of them at a time, which stays in its caches from the product to the last comparison. With
# fewer rows, products take longer.
PART_BYTES, FEWEST_ROWS = 4 * 2**20, 64
# Columns come in whole blocks, see `ranking`; measured at 7,050 and at 23,033 items.
SMALL_BLOCK, BLOCK, FEW_ITEMS = 16, 32, 12_000


class Part(NamedTuple):
    """Scores of neighbouring rows of the ranked users.

    Attributes:
        start: the first row.
        stop: behind the last.
        scores: float32 or float64 [stop - start, columns]: -inf for masked items and in the columns beyond I.
    """

    start: int
    stop: int
    scores: Tensor


def masked_scores(rep: Representation | Scored, mask: UserItems, chunk: int | None) -> Iterator[Part]:
    """Yield the scores of the mask's users; the tensor of a part is used again for the next.

    Nothing is copied to the device and nothing waited for between parts, unless scores may not be finite.

    Raises:
        RobustrecError: scores that are not finite, after the last part.
    """
    if chunk is not None and chunk < 1:
        raise RobustrecError(f"chunk is {chunk}", where="rank: chunk", fix="use 1 or more, or omit it")
    source = _of_function(rep) if isinstance(rep, Scored) else _of_vectors(rep, mask)
    n_items, device = source.n_items, source.device
    columns = whole_blocks(n_items)
    pairs = mask.on(device)
    cells = pairs.rows * columns + pairs.items
    budget = CPU_SCORE_BYTES if device.type == "cpu" else DEVICE_SCORE_BYTES
    broken = 0
    for part in source.parts(mask.users, chunk or max(1, budget // (4 * n_items))):
        scores = part.scores
        if source.check:
            broken += int((~torch.isfinite(scores[:, :n_items]).all(dim=1)).sum())
            if broken:
                continue
        scores[:, n_items:] = -torch.inf
        own = cells[mask.starts[part.start] : mask.starts[part.stop]]
        scores.view(-1).index_fill_(0, own - part.start * columns, -torch.inf)
        yield part
    if broken:
        raise RobustrecError(
            f"the scores of {broken} of {len(mask.users)} users are not finite",
            where=f"ranking: {source.name}",
            fix=source.fix,
        )


def device_of(rep: Representation | Scored) -> torch.device:
    """Return where the scores are."""
    return torch.device("cpu") if isinstance(rep, Scored) else rep.items.device


def whole_blocks(n_items: int) -> int:
    """Return the number of columns of scores: items, and what fills the last block."""
    return -(-n_items // block_of(n_items)) * block_of(n_items)


def block_of(n_items: int) -> int:
    """Return the number of columns in a block."""
    return SMALL_BLOCK if n_items < FEW_ITEMS else BLOCK


class _Source(NamedTuple):
    """Where scores come from.

    Attributes:
        parts: (user ids [n], rows at once) -> parts in order, of whole blocks of items; columns added hold anything.
        n_items: I.
        device: where the scores are.
        check: whether a score may not be finite.
        name: whose scores they are, for errors.
        fix: what to do where they are not finite.
    """

    parts: Callable[[NDArray[np.int64], int], Iterator[Part]]
    n_items: int
    device: torch.device
    check: bool
    name: str
    fix: str


def _of_vectors(rep: Representation, mask: UserItems) -> _Source:
    device, (n_items, width) = rep.items.device, rep.items.shape
    columns = whole_blocks(n_items)
    padded = torch.zeros(columns, width, device=device, dtype=torch.float32)
    padded[:n_items] = rep.items.detach()
    users, product = mask.on(device).users, multiplier(padded)

    def parts(ids: NDArray[np.int64], step: int) -> Iterator[Part]:
        rows = _rows_of_part(columns) if device.type == "cpu" else step
        buffer = torch.empty(min(step, rows, len(ids)), columns, device=device, dtype=torch.float32)
        for first in range(0, len(ids), step):
            last = min(first + step, len(ids))
            for start, stop in _near_equal(first, last, rows):
                vectors = rep.users.detach()[users[start:stop]].to(torch.float32)
                yield Part(start, stop, product(vectors, buffer[: stop - start], last - first))

    fix = "check the features (robustrec data describe) and train again with a lower learning rate"
    return _Source(parts, n_items, device, not _surely_finite(rep), "user and item vectors of the model", fix)


def _of_function(rep: Scored) -> _Source:
    def parts(ids: NDArray[np.int64], step: int) -> Iterator[Part]:
        for first in range(0, len(ids), step):
            asked = ids[first : first + step]
            found = rep.score(asked)
            padded = torch.zeros(len(asked), whole_blocks(rep.n_items), dtype=found.dtype)
            padded[:, : rep.n_items] = found
            for start, stop in _near_equal(0, len(asked), _rows_of_part(padded.shape[1])):
                yield Part(first + start, first + stop, padded[start:stop])

    fix = "correct the return value of the function, and check it: robustrec doctor --model PLACE:NAME"
    return _Source(parts, rep.n_items, torch.device("cpu"), True, "the score function", fix)


def _rows_of_part(columns: int) -> int:
    return max(FEWEST_ROWS, PART_BYTES // (4 * columns))


def _near_equal(first: int, last: int, rows: int) -> Iterator[tuple[int, int]]:
    """Cut first..last into parts of at most `rows`, alike in size: products of very few rows are rounded otherwise."""
    parts = -(-(last - first) // rows)
    edges = [first + (last - first) * part // parts for part in range(parts + 1)]
    yield from pairwise(edges)


def _surely_finite(rep: Representation) -> bool:
    """Return whether the norms alone show that no score can leave float32."""
    largest = torch.stack(
        [torch.linalg.vector_norm(table.detach(), dim=1).max().double() for table in (rep.users, rep.items)]
    )
    bound = float(largest.prod())
    return bool(np.isfinite(bound)) and bound < 1e38


def check_ranked(rep: Representation | Scored, mask: UserItems, k: int) -> None:
    """Refuse what cannot be ranked.

    Raises:
        RobustrecError: no users, k below 1, or ids or shapes that do not fit.
    """
    where, users = "ranking", mask.users
    if isinstance(rep, Scored):
        n_users, n_items = rep.n_users, rep.n_items
        fits, shapes = True, f"{n_users} users and {n_items} items"
    else:
        n_users, n_items = rep.users.shape[0], rep.items.shape[0]
        fits = rep.users.shape[1] == rep.items.shape[1]
        shapes = f"vectors of users {tuple(rep.users.shape)} and items {tuple(rep.items.shape)}"
    if mask.shape != (n_users, n_items) or not fits:
        raise RobustrecError(
            f"a mask of shape {mask.shape} does not fit {shapes}",
            where=where,
            fix="train the model on the same data set that it is evaluated on",
        )
    if users.ndim != 1 or len(users) == 0:
        raise RobustrecError(
            "there are no users to rank for",
            where=where,
            fix="evaluated users have training rows too; see what was filtered: robustrec data describe",
        )
    if users.min() < 0 or users.max() >= n_users:
        raise RobustrecError(
            f"user ids reach from {users.min()} to {users.max()}, the model knows 0 to {n_users - 1}",
            where=where,
            fix="train the model on the same data set that it is evaluated on",
        )
    if k < 1:
        raise RobustrecError(
            f"cannot make lists of {k} items", where=f"ranking: k={k}", fix="use metrics of at least 1 place"
        )
