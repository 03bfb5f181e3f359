"""Gradients and Hessian products of a loss, the graph of the gradient kept between products."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor

from robustrec.curvature.loss import LossFunction
from robustrec.curvature.operators import Multiply, Operator
from robustrec.curvature.spaces import Space, space_of
from robustrec.curvature.sums import inner
from robustrec.errors import RobustrecError

OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "not enough memory", "alloc_cpu")
NO_DERIVATIVE = (
    "derivative for",
    "not implemented",
    "does not require grad",
    "not supported",
    "modified by an inplace",
)


SPARSE = "for sparse products with weights that carry a graph: robustrec.models.graphs.product"

# Share of ‖Hu‖ + ‖Hv‖ that uᵀHv and vᵀHu may differ by; rounding stays far below.
ASYMMETRY = 1e-2


class Products(Operator):
    """v -> H v of one scalar, by reverse over reverse; every product is one pass back through the kept graph.

    Attributes:
        gradient: [N] where it was made.
        influential: whether the gradient depends on the point at all; else H is 0 and nothing is computed.
    """

    def __init__(self, value: Tensor, leaves: Mapping[str, Tensor]) -> None:
        space, points = space_of(leaves), tuple(leaves.values())
        gradients: tuple[Tensor, ...] = tuple(torch.zeros_like(each) for each in points)
        if value.requires_grad:
            with derivatives("first"):
                gradients = torch.autograd.grad(
                    value, points, create_graph=True, allow_unused=True, materialize_grads=True
                )
        # Not a bound method: the graph has to go as soon as its operator does, and not with the next collection.
        super().__init__(space, _backward(space, points, gradients))
        self.gradient = space.pack(each.detach() for each in gradients)
        self.influential = any(each.requires_grad for each in gradients)


def _backward(space: Space, leaves: tuple[Tensor, ...], gradients: tuple[Tensor, ...]) -> Multiply:
    """Return v -> H v, the pass back through a gradient's graph, which stays."""
    curved = [place for place, each in enumerate(gradients) if each.requires_grad]

    def multiply(vector: Tensor) -> Tensor:
        if not curved:
            return torch.zeros_like(vector)
        parts = list(space.unpack(vector).values())
        with derivatives("second"):
            rows = torch.autograd.grad(
                [gradients[place] for place in curved],
                leaves,
                [parts[place] for place in curved],
                retain_graph=True,
                allow_unused=True,
                materialize_grads=True,
            )
        return space.pack(rows)

    return multiply


def check_symmetry(products: Operator, generator: torch.Generator) -> None:
    """See that uᵀ(Hv) = vᵀ(Hu) for random signs u and v: two products, which every use of them should be worth.

    Some operations have a second derivative that is silently incomplete (`torch.sparse.mm` in learned weights); what
    comes out is no Hessian, and not symmetric.

    Raises:
        RobustrecError: it is not.
    """
    u, v = products.space.signs(generator), products.space.signs(generator)
    hu, hv = (finite(products(each), "a product with the Hessian") for each in (u, v))
    apart = abs(float(inner(u, hv) - inner(v, hu)))
    if apart > ASYMMETRY * float(hu.norm() + hv.norm()):
        raise RobustrecError(
            f"the second derivative of the scores is wrong: uᵀHv and vᵀHu differ by {apart:.2g}",
            where="model.represent",
            fix=f"look for an operation that PyTorch differentiates only once; {SPARSE}",
        )


def parameter_products(loss: LossFunction) -> Products:
    """Return the Hessian products of a loss in its parameters; those without influence have rows of zeros."""
    leaves = {name: each.clone().requires_grad_() for name, each in loss.parameters.items()}
    with derivatives("first"):
        value = loss.value(parameters=leaves)
    return Products(value, leaves)


def parameter_gradient(
    loss: LossFunction, parameters: Mapping[str, Tensor] | None = None
) -> tuple[float, dict[str, Tensor]]:
    """Return the loss at given parameters, by default where it was made, with its gradient."""
    leaves = {name: each.detach().clone().requires_grad_() for name, each in (parameters or loss.parameters).items()}
    with derivatives("first"):
        value = loss.value(parameters=leaves)
        rows = (
            torch.autograd.grad(value, list(leaves.values()), allow_unused=True, materialize_grads=True)
            if value.requires_grad
            else [torch.zeros_like(each) for each in leaves.values()]
        )
    dense = [row.to_dense() if row.is_sparse else row for row in rows]
    return float(value.detach()), dict(zip(leaves, dense, strict=True))


@contextmanager
def derivatives(order: str) -> Iterator[None]:
    """Turn what PyTorch raises for want of a derivative or of memory into an error that says so.

    Raises:
        RobustrecError: as said; anything else passes.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        text = " ".join(str(error).split())
        lowered = text.lower()
        if isinstance(error, MemoryError) or any(sign in lowered for sign in OUT_OF_MEMORY):
            raise RobustrecError(
                f"not enough memory for {order} derivatives: {text[:200]}",
                where="sharpness audit",
                fix="ask for fewer triples or a smaller memory_gib in the suite, or use a machine with more memory",
            ) from error
        if not any(sign in lowered for sign in NO_DERIVATIVE):
            raise
        raise RobustrecError(
            f"the {order} derivative of the scores cannot be computed: {text[:300]}",
            where="model.represent",
            fix=f"use operations that PyTorch differentiates twice; {SPARSE}",
        ) from error


def finite(estimate: Tensor, what: str) -> Tensor:
    """Return an estimate that is finite.

    Raises:
        RobustrecError: it is not, so that the number would be wrong.
    """
    if bool(torch.isfinite(estimate).all()):
        return estimate
    raise RobustrecError(
        f"{what} is not finite",
        where="model.represent",
        fix="look for a norm, a root or a logarithm of zero: robustrec.models.rows.unit_rows has second derivatives"
        " at rows of zeros, torch.nn.functional.normalize has none",
    )
