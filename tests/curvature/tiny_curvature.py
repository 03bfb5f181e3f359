"""Every model on a problem small enough for dense Hessians, and naive forms of what is measured."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from robustrec.curvature.loss import Audited, AuditLoss, audited
from robustrec.curvature.spaces import space_of
from robustrec.curvature.triples import Triples, pairs_of
from robustrec.models import MODELS, model_class
from robustrec.models.contract import Problem, Representation, item_graphs

N_USERS, N_ITEMS = 6, 12
WIDTHS = {"image": 3, "text": 2}
EDGES = torch.tensor([[0, 0, 1, 1, 2, 2, 3, 4, 4, 5, 5], [0, 3, 1, 4, 2, 5, 6, 7, 8, 9, 10]])
TRIPLES = Triples(
    torch.tensor([0, 0, 1, 2, 3, 4, 5, 5, 0]),
    torch.tensor([0, 3, 1, 2, 6, 7, 9, 10, 0]),
    torch.tensor([5, 1, 7, 11, 2, 0, 3, 3, 4]),
)
# Widths that do not follow from `latent_width`, and depths that cost time.
OPTIONS: dict[str, dict[str, Any]] = {
    "mmgcn": {"image_width": 2, "layers": 2},
    "grcn": {"routings": 1, "layers": 1},
    "da-mrs": {"pseudo_positives": 3},
}
READING = [name for name in MODELS if model_class(name).modalities]

__all__ = ["MODELS", "READING", "TRIPLES", "WIDTHS"]


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def features(seed: int = 5, scale: float = 1.0) -> dict[str, Tensor]:
    """Random features, as models are given them."""
    source = generator(seed)
    return {m: scale * torch.randn(N_ITEMS, width, generator=source) for m, width in WIDTHS.items()}


def build(name: str, seed: int = 1) -> Any:
    kind = model_class(name)
    problem = Problem(N_USERS, N_ITEMS, EDGES, WIDTHS)
    return kind(problem, kind.Config(latent_width=2, **OPTIONS.get(name, {})), generator(seed))


def tiny_loss(
    name: str,
    *,
    dtype: torch.dtype = torch.float64,
    tables: dict[str, Tensor] | None = None,
    standardised: bool = False,
    model: Any = None,
) -> AuditLoss:
    """The audited loss of a model, or of one's own, on the tiny problem."""
    model = build(name) if model is None else model
    tables = features() if tables is None else tables
    read = {m: tables[m] for m in model.modalities}
    subject = audited(model, read, item_graphs(model, read), dtype)
    return AuditLoss(subject, pairs_of(TRIPLES, N_USERS, N_ITEMS), standardised)


def naive_value(subject: Audited, parameters: dict[str, Tensor], standardised: bool = False) -> Tensor:
    """The same loss with gathered rows, as one would write it down."""
    users, positives, negatives = TRIPLES
    found: Representation = subject.represent(parameters)
    margins = (found.users[users] * (found.items[positives] - found.items[negatives])).sum(1).double()
    if standardised:
        margins = margins / margins.std(correction=0)
    return -functional.logsigmoid(margins).mean()


def dense(multiply: Any, size: int, dtype: torch.dtype = torch.float64) -> Tensor:
    """The whole matrix [N, N] of a product."""
    return torch.stack([multiply(row) for row in torch.eye(size, dtype=dtype)])


def dense_by_hand(subject: Audited, standardised: bool = False) -> Tensor:
    """The Hessian of the naive loss, row by row, without any of the code that is tested."""
    leaves = {name: each.clone().requires_grad_() for name, each in subject.parameters.items()}
    value = naive_value(subject, leaves, standardised)
    rows = torch.autograd.grad(value, list(leaves.values()), create_graph=True, materialize_grads=True)
    gradient = _flat(rows)
    hessian = []
    for entry in gradient:
        if not entry.requires_grad:
            hessian.append(torch.zeros_like(gradient).detach())
            continue
        columns = torch.autograd.grad(entry, list(leaves.values()), retain_graph=True, materialize_grads=True)
        hessian.append(_flat(columns))
    return torch.stack(hessian)


def space_for(size: int, dtype: torch.dtype = torch.float64) -> Any:
    return space_of({"x": torch.zeros(size, dtype=dtype)})


def _flat(rows: Any) -> Tensor:
    return torch.cat([(row.to_dense() if row.is_sparse else row).reshape(-1) for row in rows])
