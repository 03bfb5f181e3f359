"""Scorers whose scores are inner products of user and item vectors, computed by chunks of rows."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from robustrec.errors import RobustrecError
from robustrec.models.contract import Problem, Representation
from robustrec.models.feature_chunks import ChunkedFeatures, chunks_of
from robustrec.models.own import attributed_to

USERS = 65_536
"""Users whose vectors are asked for at once."""
# Rows computed alone to test that they do not depend on the others; how close both must be, as a share of the largest.
_ALONE, _CLOSE = 5, 1e-4


class VectorScorer:
    """The vectors of a class with `item_vectors` and `user_vectors`.

    `item_vectors(rows)` returns the vectors [n, d] of n items for their features, modality -> float32 [n, D_m], each
    from its own row alone. `user_vectors(users)` returns the vectors [m, d] of users, int64 [m], from no features.

    Args:
        name: of the model, for errors.
        instance: an object of the class.
        problem: whose users and items.
    """

    def __init__(self, name: str, instance: Any, problem: Problem) -> None:
        self.name, self.instance, self.problem = name, instance, problem

    def __call__(self, features: Mapping[str, NDArray[np.float32]], users: NDArray[np.int64]) -> Tensor:
        """Return the scores [n, I], as any scorer does."""
        items = self._items({name: torch.from_numpy(np.array(table)) for name, table in features.items()})
        return self._users(users, items.shape[1]) @ items.T

    def represent(self, features: Mapping[str, Tensor] | ChunkedFeatures) -> Representation:
        """Return the user vectors [U, d], computed once, and the item vectors [I, d] of features.

        Raises:
            RobustrecError: vectors are no numbers of the right shape, or those of an item depend on other items.
        """
        items = self._items(features)
        users = self._all_users
        if users.shape[1] != items.shape[1]:
            raise self._wrong(f"user vectors have {users.shape[1]} numbers, but item vectors {items.shape[1]}")
        return Representation(users, items)

    @cached_property
    def _all_users(self) -> Tensor:
        everyone = np.arange(self.problem.n_users)
        return torch.cat([self._users(everyone[start : start + USERS]) for start in range(0, len(everyone), USERS)])

    def _users(self, users: NDArray[np.int64], width: int | None = None) -> Tensor:
        with attributed_to(self.name, "user_vectors"):
            found = self.instance.user_vectors(_locked(np.array(users)))
        return self._checked("user_vectors", found, len(users), width)

    def _items(self, features: Mapping[str, Tensor] | ChunkedFeatures) -> Tensor:
        table: Tensor | None = None
        start = 0
        for rows in chunks_of(features):
            vectors = self._of_rows(rows, None if table is None else table.shape[1])
            if table is None:
                self._refuse_pooled(rows, vectors)
                table = vectors.new_empty(self.problem.n_items, vectors.shape[1])
            table[start : start + len(vectors)] = vectors
            start += len(vectors)
        if table is None:
            raise self._wrong("there are no features to compute item vectors from")
        return table

    def _of_rows(self, rows: Mapping[str, Tensor], width: int | None) -> Tensor:
        arrays = {name: _locked(table.detach().cpu().numpy().copy()) for name, table in rows.items()}
        n = len(next(iter(rows.values())))
        with attributed_to(self.name, "item_vectors"):
            found = self.instance.item_vectors(arrays)
        return self._checked("item_vectors", found, n, width)

    def _refuse_pooled(self, rows: Mapping[str, Tensor], vectors: Tensor) -> None:
        """Refuse vectors of items that depend on the other items of the chunk."""
        alone = self._of_rows({name: table[:_ALONE] for name, table in rows.items()}, vectors.shape[1])
        furthest = float((alone - vectors[: len(alone)]).abs().max())
        if furthest > _CLOSE * float(vectors.abs().max()):
            raise self._wrong(
                "item_vectors returns other vectors for the same rows among other rows: each vector must depend on its"
                " own row alone"
            )

    def _checked(self, what: str, found: Any, n: int, width: int | None) -> Tensor:
        """Return vectors as float32 on the CPU."""
        values = found.detach().cpu().numpy() if isinstance(found, Tensor) else np.asarray(found)
        fits = values.ndim == 2 and len(values) == n and values.shape[1] and width in (None, values.shape[1])
        if values.dtype.kind not in "fiu" or not fits:
            wanted = f"({n}, {'d' if width is None else width})"
            raise self._wrong(
                f"{what} must return numbers of shape {wanted}, but got {values.dtype} of shape {values.shape}"
            )
        vectors = torch.from_numpy(np.array(values, dtype=np.float32, order="C"))
        if not bool(torch.isfinite(vectors).all()):
            raise self._wrong(f"{what} returns NaN, infinity or a number too large for float32")
        return vectors

    def _wrong(self, what: str) -> RobustrecError:
        return RobustrecError(what, where=f"--model {self.name}", fix=f"check it: robustrec doctor --model {self.name}")


def _locked(array: NDArray[Any]) -> NDArray[Any]:
    array.flags.writeable = False
    return array
