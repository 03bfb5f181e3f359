"""Items of the ranked users as pairs, kept on the device that ranks them, so that rankings share them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch
    from scipy.sparse import csr_array
    from torch import Tensor


class PairsOn(NamedTuple):
    """Pairs on a device, by user and item: `users` [n] ids, `rows` [P] positions in them and `items` [P], int64."""

    users: Tensor
    rows: Tensor
    items: Tensor


class UserItems:
    """Items of each of some users: what is never recommended to them, or what is relevant.

    It is made once for many rankings, and copied to a device once.

    Args:
        users: the n user ids, in the order they are ranked in.
        matrix: [U, I]; every stored value other than 0 counts.

    Attributes:
        users: int64 [n].
        shape: (U, I).
        starts: int64 [n + 1]; the pairs of row r are starts[r] to starts[r + 1].
        items: int64 [P], ascending for each user.
    """

    def __init__(self, users: NDArray[np.int64], matrix: csr_array) -> None:
        self.users = np.asarray(users, dtype=np.int64)
        self.shape: tuple[int, int] = matrix.shape
        self._matrix = _canonical(matrix)
        self._on: dict[torch.device, PairsOn] = {}
        self.starts, self.items = np.zeros(1, np.int64), np.zeros(0, np.int64)
        # Users that do not fit the matrix are refused by whoever ranks them, with a message.
        if self.users.ndim == 1 and len(users) and self.users.min() >= 0 and self.users.max() < self.shape[0]:
            first = self._matrix.indptr.astype(np.int64)[self.users]
            counts = np.diff(self._matrix.indptr).astype(np.int64)[self.users]
            self.starts = np.concatenate([[0], np.cumsum(counts)])
            within = np.arange(self.starts[-1]) - np.repeat(self.starts[:-1], counts)
            self.items = self._matrix.indices[np.repeat(first, counts) + within].astype(np.int64)

    @property
    def counts(self) -> NDArray[np.int64]:
        """Number of items of each user, [n]."""
        return np.diff(self.starts)

    @property
    def rows(self) -> NDArray[np.int64]:
        """Position of the user of each pair, [P]."""
        return np.repeat(np.arange(len(self.users)), self.counts)

    def on(self, device: torch.device) -> PairsOn:
        """Return the pairs on a device; they are copied the first time only."""
        import torch

        if device not in self._on:
            self._on[device] = PairsOn(
                *(torch.from_numpy(each).to(device) for each in (self.users, self.rows, self.items))
            )
        return self._on[device]

    def __getstate__(self) -> dict[str, object]:
        """Leave out what is on devices."""
        return {**self.__dict__, "_on": {}}


def user_items(users: NDArray[np.int64], items: csr_array | UserItems) -> UserItems:
    """Return the items of the users, as they are if they are these users' already."""
    if isinstance(items, UserItems) and (items.users is users or np.array_equal(items.users, users)):
        return items
    return UserItems(users, items._matrix if isinstance(items, UserItems) else items)


def _canonical(matrix: csr_array) -> csr_array:
    """Return the matrix with every pair once, sorted, and without zeros; the caller's is left alone."""
    if matrix.has_canonical_format and not bool((matrix.data == 0).any()):
        return matrix
    copy = matrix.copy()
    copy.eliminate_zeros()
    copy.sum_duplicates()
    return copy
