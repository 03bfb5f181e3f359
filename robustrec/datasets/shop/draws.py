"""Randomness that is the same on every machine: numpy's raw PCG64 stream and nothing built upon it elsewhere."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")


class Draws:
    """A named stream of random draws.

    numpy guarantees the raw stream of a bit generator for good, but not what its distributions make of it; so those
    few that the shop needs are made here. Streams of different names are independent: a change in how one part of the
    shop draws leaves the others as they were.
    """

    def __init__(self, *name: str | int) -> None:
        key = hashlib.sha256("\x1f".join(str(part) for part in name).encode()).digest()
        self._bits = np.random.PCG64(int.from_bytes(key[:16], "little"))

    def uniforms(self, n: int) -> NDArray[np.float64]:
        """Return n numbers in [0, 1), multiples of 2^-53."""
        raw = self._bits.random_raw(n) >> np.uint64(11)
        return np.asarray(raw, dtype=np.float64) * 2.0**-53

    def uniform(self) -> float:
        """Return one number in [0, 1)."""
        return float(self.uniforms(1)[0])

    def chance(self, rate: float) -> bool:
        """Return True with probability `rate`."""
        return self.uniform() < rate

    def integers(self, high: int, n: int) -> NDArray[np.int64]:
        """Return n integers in 0..high-1, evenly drawn."""
        return np.floor(self.uniforms(n) * high).astype(np.int64)

    def integer(self, low: int, high: int) -> int:
        """Return one integer in low..high, both included."""
        return low + int(self.integers(high - low + 1, 1)[0])

    def one_of(self, choices: Sequence[T]) -> T:
        """Return one of the choices, evenly drawn."""
        return choices[self.integer(0, len(choices) - 1)]

    def order(self, n: int) -> NDArray[np.int64]:
        """Return 0..n-1 shuffled."""
        return np.argsort(self.uniforms(n), kind="stable").astype(np.int64)

    def some_of(self, choices: Sequence[T], n: int) -> list[T]:
        """Return n different choices in drawn order."""
        return [choices[i] for i in self.order(len(choices))[:n]]

    def weighted(self, weights: Sequence[int], n: int) -> NDArray[np.int64]:
        """Return n indices drawn with replacement, each as often as its integer weight says."""
        borders = np.cumsum(np.asarray(weights, dtype=np.int64))
        return np.searchsorted(borders, np.floor(self.uniforms(n) * int(borders[-1])), side="right").astype(np.int64)
