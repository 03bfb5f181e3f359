"""Whether the vector of a row depends on this row only, and not on the batch, the order or earlier calls."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Encode = Callable[[Sequence[int]], Mapping[str, NDArray[np.float32]]]
"""Positions of rows -> modality -> float32 [n, D]; NaN in rows without what the vector needs."""

TOLERANCE = {"full": 1e-5, "half": 0.02}
"""Largest difference of two encodings of a row by precision, as a share of the largest value of the modality."""


class Difference(NamedTuple):
    """Largest difference of two encodings of the same rows.

    Attributes:
        modality: where it was found.
        share: the difference as a share of the largest value of the modality.
        row: the row where it was found.
    """

    modality: str
    share: float
    row: int


class Way(NamedTuple):
    """Another way to encode the same rows.

    Attributes:
        encode: returns the vectors of rows 0 … n-1 in this order.
        fault: what is wrong if they differ, and what to check.
    """

    encode: Callable[[Encode, int], Mapping[str, NDArray[np.float32]]]
    fault: str


def difference(before: Mapping[str, NDArray[np.float32]], after: Mapping[str, NDArray[np.float32]]) -> Difference:
    """Return the largest difference of two encodings of the same rows, over all modalities."""
    found = [Difference(name, *_difference(table, after[name])) for name, table in before.items()]
    return max(found, key=lambda each: each.share)


def _difference(before: NDArray[np.float32], after: NDArray[np.float32]) -> tuple[float, int]:
    a, b = before.astype(np.float64), after.astype(np.float64)
    has = ~np.isnan(a).any(axis=1)
    if not has.any():
        return 0.0, 0
    largest = float(np.abs(a[has]).max())
    apart = np.where(has, np.nan_to_num(np.abs(a - b).max(axis=1), nan=np.inf), 0.0)
    row = int(apart.argmax())
    return float(apart[row] / largest) if largest > 0 else float(apart[row] > 0), row


def _joined(parts: Sequence[Mapping[str, NDArray[np.float32]]]) -> dict[str, NDArray[np.float32]]:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _alone(encode: Encode, n: int) -> Mapping[str, NDArray[np.float32]]:
    return _joined([encode([row]) for row in range(n)])


def _two_batches(encode: Encode, n: int) -> Mapping[str, NDArray[np.float32]]:
    first = min(3, max(1, n - 1))
    return _joined([encode(rows) for rows in (range(first), range(first, n)) if rows])


def _reversed(encode: Encode, n: int) -> Mapping[str, NDArray[np.float32]]:
    return {name: table[::-1] for name, table in encode(range(n)[::-1]).items()}


WAYS: dict[str, Way] = {
    "repeatable": Way(
        lambda encode, n: encode(range(n)),
        "a second call with the same rows returns other vectors; use evaluation mode, no random numbers, and no state "
        "of earlier calls",
    ),
    "one row at a time": Way(
        _alone,
        "a row alone gets another vector than in a batch; do not normalise over the batch, and let padding be masked",
    ),
    "other batches": Way(
        _two_batches,
        "a row gets another vector in another batch; do not normalise over the batch, and let padding be masked",
    ),
    "other order": Way(
        _reversed,
        "a row gets another vector in another order of the rows; return vectors in the order of the rows, and keep no "
        "state between rows",
    ),
}
"""Name of a check -> another way to encode the same rows; the vectors must be the same."""


def fault_of(
    name: str, encode: Encode, n: int, before: Mapping[str, NDArray[np.float32]], tolerance: float
) -> tuple[str, Difference]:
    """Return what is wrong if another way to encode gives other vectors, "" if nothing is, and the difference.

    Args:
        name: key of WAYS.
        encode: encodes some of the rows.
        n: number of rows.
        before: vectors of all rows in one call.
        tolerance: largest share that is allowed.
    """
    way = WAYS[name]
    found = difference(before, way.encode(encode, n))
    if found.share <= tolerance:
        return "", found
    size = "no number" if np.isinf(found.share) else f"{found.share:.2g} of the largest value"
    return f"{way.fault} ({found.modality} vectors differ by {size}, but at most {tolerance:g} is allowed)", found
