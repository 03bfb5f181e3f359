"""Initial parameters, drawn on the CPU from an explicit generator."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

Scheme = Literal["xavier_normal", "xavier_uniform", "default"]


def table(rows: int, width: int, scheme: Scheme, generator: torch.Generator) -> nn.Parameter:
    """Return a parameter [rows, width] drawn by a scheme (gain 1)."""
    return nn.Parameter(_filled(torch.empty(rows, width), scheme, generator))


def linear(
    width_in: int,
    width_out: int,
    generator: torch.Generator,
    *,
    weight: Scheme = "default",
    bias: Literal["default", "zero"] = "default",
) -> nn.Linear:
    """Return a linear layer with weight and bias drawn from the generator.

    Args:
        width_in: input width.
        width_out: output width.
        generator: random generator.
        weight: initialization of the weight; "default" is that of `nn.Linear`, uniform in ±1/√width_in.
        bias: "default" is that of `nn.Linear`, uniform in ±1/√width_in.
    """
    layer = nn.Linear(width_in, width_out, device="meta")  # draws nothing from torch's own generator
    # `to_empty` would import sympy, most of a second in each process.
    layer.weight, layer.bias = (nn.Parameter(torch.empty(each.shape)) for each in (layer.weight, layer.bias))
    with torch.no_grad():
        _filled(layer.weight, weight, generator)
        if bias == "zero":
            layer.bias.zero_()
        else:
            bound = 1 / math.sqrt(width_in)
            layer.bias.uniform_(-bound, bound, generator=generator)
    return layer


def _filled(values: Tensor, scheme: Scheme, generator: torch.Generator) -> Tensor:
    if scheme == "xavier_normal":
        return nn.init.xavier_normal_(values, generator=generator)
    if scheme == "xavier_uniform":
        return nn.init.xavier_uniform_(values, generator=generator)
    bound = 1 / math.sqrt(values.shape[1])
    return values.uniform_(-bound, bound, generator=generator)
