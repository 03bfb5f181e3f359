"""Inner products of long vectors: blocks in the vectors' own precision, their sum in float64, all on the device.

One float32 sum over millions of entries is off by 1e-4 of what it should be, and so would be the eigenvalues; a
float64 copy of a float32 vector takes as long as a product with a small model's Hessian.
"""

from __future__ import annotations

import torch
from torch import Tensor

BLOCK = 2**15
"""Entries of one sum in the vectors' own precision."""

NARROW = 2**12
"""The same where one vector is held against many: a batched product adds less exactly than a plain one."""


def inner(a: Tensor, b: Tensor) -> Tensor:
    """Return a · b of two vectors [N], a float64 scalar on their device."""
    if a.device.type != "cpu" or a.dtype == torch.float64:
        return torch.dot(a.double(), b.double())
    sums = [torch.dot(x, y) for x, y in zip(a.split(BLOCK), b.split(BLOCK), strict=True)]  # type: ignore[no-untyped-call]
    return torch.stack(sums).sum(dtype=torch.float64)


def norm(vector: Tensor) -> Tensor:
    """Return the length of a vector [N], a float64 scalar on its device."""
    return inner(vector, vector).sqrt()


def coordinates(rows: Tensor, vector: Tensor) -> Tensor:
    """Return rows @ vector for rows [m, N], float64 [m] on their device."""
    if rows.dtype == torch.float64:
        return rows @ vector
    whole = vector.numel() // NARROW * NARROW
    found = rows[:, whole:].double() @ vector[whole:].double()
    if whole:
        left = rows[:, :whole].unflatten(1, (-1, NARROW)).transpose(0, 1)  # type: ignore[no-untyped-call]
        found += torch.bmm(left, vector[:whole].view(-1, NARROW, 1)).squeeze(2).sum(0, dtype=torch.float64)
    return found
