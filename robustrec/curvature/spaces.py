"""What is varied, as one flat vector: packing, blocks, and the lengths of its latent vectors."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from robustrec.curvature.sums import norm

USERS, ITEMS, BOTH, FEATURES, PROJECTIONS = "users", "items", "users and items", "fine-tuned features", "projections"


@dataclass(frozen=True)
class Space:
    """Named tensors side by side in one vector [N].

    Attributes:
        shapes: name -> shape, in the order of the vector.
        dtype: of the vector.
        device: of the vector.
    """

    shapes: dict[str, torch.Size]
    dtype: torch.dtype
    device: torch.device

    @property
    def size(self) -> int:
        """N, how many entries there are."""
        return sum(shape.numel() for shape in self.shapes.values())

    def pack(self, tensors: Iterable[Tensor]) -> Tensor:
        """Return tensors in the order of the space as one vector [N]."""
        flat = [(each.to_dense() if each.is_sparse else each).reshape(-1) for each in tensors]
        return torch.cat(flat) if flat else torch.empty(0, dtype=self.dtype, device=self.device)

    def unpack(self, vector: Tensor) -> dict[str, Tensor]:
        """Return a vector [N] as named views of it."""
        parts = vector.split([shape.numel() for shape in self.shapes.values()])  # type: ignore[no-untyped-call]
        return {name: part.view(shape) for (name, shape), part in zip(self.shapes.items(), parts, strict=True)}

    def normal(self, generator: torch.Generator) -> Tensor:
        """Draw N(0, 1) [N] on the device of the generator; another one draws other numbers."""
        drawn = torch.randn(self.size, generator=generator, dtype=torch.float32, device=generator.device)
        return drawn.to(self.device, self.dtype)

    def signs(self, generator: torch.Generator) -> Tensor:
        """Draw ±1 with equal chances [N] (Rademacher) on the device of the generator; another one draws other signs."""
        drawn = torch.randint(0, 2, (self.size,), generator=generator, dtype=torch.int8, device=generator.device)
        return (2 * drawn - 1).to(self.device, self.dtype)


def space_of(tensors: Mapping[str, Tensor]) -> Space:
    """Return the space that named tensors of one kind and device span."""
    first = next(iter(tensors.values()), torch.empty(0))
    return Space({name: each.shape for name, each in tensors.items()}, first.dtype, first.device)


def length_of(vector: Tensor) -> float:
    """Return the length of a vector; see `sums`."""
    return float(norm(vector))


def block_of(name: str, shape: torch.Size, n_users: int, n_items: int) -> str:
    """Return the block a parameter belongs to: users, items, both in one table, fine-tuned features, projections.

    It follows from the number of rows, which for U = I leaves the name to decide.
    """
    rows = shape[0] if len(shape) > 1 else 0
    if name.startswith("deltas."):
        block = FEATURES
    elif rows == n_users + n_items:
        block = BOTH
    elif rows == n_users == n_items:
        block = ITEMS if "item" in name else USERS
    else:
        block = {n_users: USERS, n_items: ITEMS}.get(rows, PROJECTIONS)
    return block


def blocks_of(space: Space, n_users: int, n_items: int) -> dict[str, list[str]]:
    """Return block -> names of its parameters, in the order of the space."""
    found: dict[str, list[str]] = {}
    for name, shape in space.shapes.items():
        found.setdefault(block_of(name, shape, n_users, n_items), []).append(name)
    return found


def latent_scales(parameters: Mapping[str, Tensor], n_users: int, n_items: int) -> dict[str, Tensor]:
    """Return the root mean square of each latent vector, in a shape that broadcasts over its parameter.

    The latent vectors of a table of users or items are its rows; those of a projection [d, D] its columns, the latent
    vector that an input feature is mapped to; a bias is one. So the scales follow an orthogonal change of the latent
    basis.
    """
    return {name: _latent_scale(name, each, n_users, n_items) for name, each in parameters.items()}


def _latent_scale(name: str, parameter: Tensor, n_users: int, n_items: int) -> Tensor:
    if parameter.dim() < 2:
        axes = tuple(range(parameter.dim()))
    elif block_of(name, parameter.shape, n_users, n_items) == PROJECTIONS:
        axes = (0,)
    else:
        axes = tuple(range(1, parameter.dim()))
    if not axes:
        return parameter.abs()
    width = math.prod(parameter.shape[axis] for axis in axes)
    norm: Tensor = torch.linalg.vector_norm(parameter, dim=axes, keepdim=True)
    return norm / math.sqrt(max(1, width))
