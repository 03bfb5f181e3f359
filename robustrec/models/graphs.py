"""The normalised user-item graph and its products, differentiable to any order."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

# PyTorch says so once per process; users of the command line can do nothing about it.
warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta state")


class _Csr(NamedTuple):
    """A sparse matrix in CSR parts; int32 indices, for which the CPU and CUDA kernels are fastest."""

    starts: Tensor
    columns: Tensor
    values: Tensor
    shape: tuple[int, int]


class _Product(torch.autograd.Function):
    """M x for a constant sparse M whose transpose is at hand; the backward is the same with the two swapped.

    PyTorch's own backward of a sparse product transposes M in every call, and it is not differentiable again.
    """

    @staticmethod
    def forward(matrix: _Csr, transposed: _Csr, x: Tensor) -> Tensor:  # noqa: ARG004 - kept for the backward
        sparse = torch.sparse_csr_tensor(
            matrix.starts, matrix.columns, matrix.values, matrix.shape, check_invariants=False
        )
        return sparse @ x

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[_Csr, _Csr, Tensor], output: Tensor) -> None:  # noqa: ARG004
        ctx.matrix, ctx.transposed = inputs[0], inputs[1]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, None, Tensor]:
        return None, None, _product(ctx.transposed, ctx.matrix, gradient)


def _product(matrix: _Csr, transposed: _Csr, x: Tensor) -> Tensor:
    return _Product.apply(matrix, transposed, x.contiguous())  # type: ignore[no-any-return, no-untyped-call]


class Propagated(NamedTuple):
    """Mean over the layers of a propagation, parted by where the signal started.

    Attributes:
        users_from_users: [U, a].
        users_from_items: [U, b].
        items_from_users: [I, a].
        items_from_items: [I, b].
    """

    users_from_users: Tensor
    users_from_items: Tensor
    items_from_users: Tensor
    items_from_items: Tensor


class UserItemGraph(nn.Module):
    """R̂ = D_u^-1/2 R D_i^-1/2, the off-diagonal block of the symmetrically normalised adjacency, and R̂ᵀ.

    Its tensors are buffers that are not saved with the parameters: they follow from the training edges.

    Args:
        n_users: U.
        n_items: I.
        edges: int64 [2, E], distinct pairs (user, item).
        offset: added to every degree before the root (spec section 4); it is what the published code adds.
    """

    def __init__(self, n_users: int, n_items: int, edges: Tensor, *, offset: float) -> None:
        super().__init__()
        self.n_users = n_users
        self.n_items = n_items
        users, items = edges.detach().cpu()
        # In float64, so that no degree's root is rounded twice.
        user_scale = (torch.bincount(users, minlength=n_users).double() + offset).rsqrt()
        item_scale = (torch.bincount(items, minlength=n_items).double() + offset).rsqrt()
        weights = (user_scale[users] * item_scale[items]).to(torch.get_default_dtype())
        by_user, by_item = torch.argsort(users * n_items + items), torch.argsort(items * n_users + users)
        self._register("user", users[by_user], items[by_user], weights[by_user], n_users)
        self._register("item", items[by_item], users[by_item], weights[by_item], n_items)

    def _register(self, side: str, rows: Tensor, columns: Tensor, values: Tensor, height: int) -> None:
        starts = torch.zeros(height + 1, dtype=torch.int32)
        starts[1:] = torch.bincount(rows, minlength=height).cumsum(0)
        self.register_buffer(f"{side}_starts", starts, persistent=False)
        self.register_buffer(f"{side}_columns", columns.to(torch.int32), persistent=False)
        self.register_buffer(f"{side}_values", values, persistent=False)

    def _matrix(self, side: str, shape: tuple[int, int]) -> _Csr:
        part = self.get_buffer
        return _Csr(part(f"{side}_starts"), part(f"{side}_columns"), part(f"{side}_values"), shape)

    def to_users(self, items: Tensor) -> Tensor:
        """Return R̂ x [U, a] for x on the items [I, a]."""
        shape = (self.n_users, self.n_items)
        return _product(self._matrix("user", shape), self._matrix("item", shape[::-1]), items)

    def to_items(self, users: Tensor) -> Tensor:
        """Return R̂ᵀ x [I, a] for x on the users [U, a]."""
        shape = (self.n_users, self.n_items)
        return _product(self._matrix("item", shape[::-1]), self._matrix("user", shape), users)

    def propagate(self, users: Tensor, items: Tensor, layers: int) -> Propagated:
        """Return the mean of x, Âx, …, Â^L x (LightGCN, arXiv 2002.02126, eq. 7) for x = [users; items].

        The graph is bipartite: what starts on the users is on the items after one layer and back after two.
        So the two starts never mix, each costs half a product a layer, and several item inputs can share one
        user input.

        Args:
            users: [U, a].
            items: [I, b].
            layers: L ≥ 0.
        """
        share = 1 / (layers + 1)
        users_at_users, users_at_items = _alternate(users, self.to_items, self.to_users, layers)
        items_at_items, items_at_users = _alternate(items, self.to_users, self.to_items, layers)
        if users_at_items is None or items_at_users is None:
            users_at_items = users.new_zeros(self.n_items, users.shape[1])
            items_at_users = items.new_zeros(self.n_users, items.shape[1])
        return Propagated(
            users_at_users * share, items_at_users * share, users_at_items * share, items_at_items * share
        )


def _alternate(
    start: Tensor, across: Callable[[Tensor], Tensor], back: Callable[[Tensor], Tensor], layers: int
) -> tuple[Tensor, Tensor | None]:
    """Return the sums over layers 0, 2, … (on the start's own side) and 1, 3, … (on the other side)."""
    here, there = start, None
    signal = start
    for layer in range(1, layers + 1):
        if layer % 2:
            signal = across(signal)
            there = signal if there is None else there + signal
        else:
            signal = back(signal)
            here = here + signal
    return here, there
