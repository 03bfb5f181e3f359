"""Every model on a tiny problem; what the contract tests are made of."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from robustrec.models import MODELS, model_class
from robustrec.models.contract import Batch, Problem

# No parameter has as many rows as there are users, items, or both, unless they are theirs. There are more items than
# the ten neighbours that models take, so that a graph of neighbours leaves something out; and fewer users than the
# forty, so that no tie decides over who is one.
N_USERS, N_ITEMS = 11, 13
WIDTHS = {"image": 5, "text": 4}
EDGES = torch.tensor(
    [
        [0, 0, 1, 2, 3, 4, 5, 5, 6, 7, 7, 8, 9, 9, 10, 10],
        [0, 1, 1, 2, 3, 4, 5, 0, 2, 6, 7, 8, 9, 1, 10, 0],
    ]
)

# Settings that as few items need.
SMALL: dict[str, dict[str, Any]] = {"da-mrs": {"pseudo_positives": 3, "item_neighbours": 4}}
# Models that read features in the choice of item graphs only, so that nothing has a gradient in them.
GRAPHS_ONLY = {"da-mrs"}

__all__ = [
    "EDGES",
    "GRAPHS_ONLY",
    "MODELS",
    "N_ITEMS",
    "N_USERS",
    "WIDTHS",
    "LargestTensor",
    "build",
    "make_batch",
    "make_features",
    "make_problem",
]


def make_problem(edges: Tensor = EDGES, widths: dict[str, int] | None = None) -> Problem:
    """Return the tiny problem; items 11 and 12 have no edge."""
    return Problem(N_USERS, N_ITEMS, edges, WIDTHS if widths is None else widths)


def build(name: str, seed: int = 0, problem: Problem | None = None, **options: Any) -> Any:
    """Return a model, four numbers wide."""
    kind = model_class(name)
    config = kind.Config(**{"latent_width": 4, **SMALL.get(name, {}), **options})
    return kind(problem or make_problem(), config, torch.Generator().manual_seed(seed))


def make_features(dtype: torch.dtype = torch.float32, seed: int = 5) -> dict[str, Tensor]:
    """Return random features; another seed gives others."""
    generator = torch.Generator().manual_seed(seed)
    return {m: torch.randn(N_ITEMS, width, generator=generator).to(dtype) for m, width in WIDTHS.items()}


def make_batch() -> Batch:
    """Return five triples, in which a user and items occur twice."""
    return Batch(torch.tensor([0, 1, 2, 3, 5, 5]), torch.tensor([0, 1, 2, 3, 0, 5]), torch.tensor([4, 0, 5, 5, 1, 12]))


class LargestTensor(TorchDispatchMode):
    """Remembers the shape of the largest dense tensor that any operation returned."""

    def __init__(self) -> None:
        super().__init__()
        self.shape = torch.Size([0])

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        result = func(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, tuple | list) else [result]:
            if isinstance(tensor, Tensor) and tensor.layout == torch.strided:
                self.shape = max(self.shape, tensor.shape, key=torch.Size.numel)
        return result
