"""The cost of a step of Lanczos in plain gradients, and of a Hessian product by each way.

Part of `python -m benchmarks.curvature`. All times are of the processor; of several rounds the smallest counts.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.func import grad, jvp

from robustrec.curvature.lanczos import Extremes, extremes
from robustrec.curvature.loss import AuditLoss
from robustrec.curvature.operators import Operator
from robustrec.curvature.products import parameter_gradient, parameter_products
from robustrec.seeds import torch_generator

ROUNDS, BETWEEN = 3, 8
"""Runs of Lanczos, and products between two plain gradients."""

GEMM = 1024
"""Rows and columns of the float32 matrix product whose best rate is given."""

GOALS = {"gradients per step": 3.0, "error": 1e-5}
BEFORE = "53-61 % with two full orthogonalisations a step"

Function = Callable[[Mapping[str, Tensor]], Tensor]


def cost_of(loss: AuditLoss, function: Function, steps: int) -> dict[str, Any]:
    """Return what Lanczos took in the best of some rounds, and the time of a product by each way.

    Args:
        loss: audited.
        function: the same as plain PyTorch, from parameters to the loss.
        steps: of Lanczos.
    """
    load = os.getloadavg()[0]
    rounds = [_round(loss, steps) for _ in range(ROUNDS)]
    best = min(rounds, key=lambda each: each["gradients per step"])
    rates = [each["gflops"] for each in rounds]
    return best | {"gflops": max(rates), "load": [load, os.getloadavg()[0]], "ways": _ways(loss, function)}


def _round(loss: AuditLoss, steps: int) -> dict[str, Any]:
    products, rates = parameter_products(loss), [_gflops()]
    spent: list[float] = []
    gradients: list[float] = []

    def multiply(vector: Tensor) -> Tensor:
        if len(spent) % BETWEEN == 0:
            gradients.append(_seconds(lambda: parameter_gradient(loss)))
        start = time.process_time()
        image = products(vector)
        spent.append(time.process_time() - start)
        return image

    start = time.process_time()
    found: Extremes = extremes(Operator(products.space, multiply), torch_generator(0, "start"), count=5, steps=steps)
    total = time.process_time() - start - sum(gradients)
    rates.append(_gflops())
    unit = min(gradients)
    return {
        "steps": found.products,
        "seconds per product": sum(spent) / len(spent),
        "seconds per step": total / steps,
        "own share": 1 - sum(spent) / total,
        "gradient": unit,
        "gradients per product": sum(spent) / len(spent) / unit,
        "gradients per step": total / steps / unit,
        "overlaps per step": found.overlaps / steps,
        "eigenvalues": [each.value for each in found.largest],
        "residuals": [each.residual for each in found.largest],
        "gflops": max(rates),
    }


def _ways(loss: AuditLoss, function: Function) -> dict[str, float]:
    """Return the gradients that one product takes: as the audit does, and in plain PyTorch by three ways."""
    products = parameter_products(loss)
    vector = products.space.normal(torch_generator(0, "way"))
    own = {name: each.detach() for name, each in loss.parameters.items()}
    along = {name: each.clone() for name, each in products.space.unpack(vector).items()}
    leaves = {name: each.clone().requires_grad_() for name, each in own.items()}
    rows = torch.autograd.grad(function(leaves), list(leaves.values()), create_graph=True)

    def backward(of: tuple[Tensor, ...], at: Mapping[str, Tensor]) -> Any:
        return torch.autograd.grad(of, list(at.values()), list(along.values()), retain_graph=True)

    def rebuilt() -> Any:
        at = {name: each.clone().requires_grad_() for name, each in own.items()}
        return backward(torch.autograd.grad(function(at), list(at.values()), create_graph=True), at)

    plain = _best(lambda: grad(function)(own))
    return {
        "the audit's (second backward, graph kept)": _best(lambda: products(vector))
        / _best(lambda: parameter_gradient(loss)),
        "plain PyTorch, second backward, graph kept": _best(lambda: backward(rows, leaves)) / plain,
        "plain PyTorch, second backward, graph made again": _best(rebuilt) / plain,
        "plain PyTorch, forward over reverse": _best(lambda: jvp(grad(function), (own,), (along,))) / plain,
    }


def _best(work: Callable[[], Any]) -> float:
    work()  # what is loaded or cached at first use
    return min(_seconds(work) for _ in range(ROUNDS))


def _seconds(work: Callable[[], Any]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def _gflops() -> float:
    a = torch.ones(GEMM, GEMM)
    return 2 * GEMM**3 / _best(lambda: a @ a) / 1e9


def cost_lines(found: dict[str, Any], truth: list[float]) -> list[str]:
    """Return the cost as lines of Markdown, each number beside its goal."""
    pairs = zip(found["eigenvalues"], truth, strict=True)
    error = max(abs(ours - true) / true for ours, true in pairs)
    rows = [
        ("seconds per product", f"{found['seconds per product']:.4f}", "-"),
        ("seconds per step", f"{found['seconds per step']:.4f}", "-"),
        ("share of Lanczos' own work", f"{found['own share']:.0%}", f"less than before: {BEFORE}"),
        ("gradients per product", f"{found['gradients per product']:.2f}", "-"),
        ("gradients per step", f"{found['gradients per step']:.2f}", _held(found, "gradients per step")),
        ("inner products with earlier vectors per step", f"{found['overlaps per step']:.1f}", _full(found)),
        ("error of the top five", f"{error:.1e}", _held({"error": error}, "error")),
        ("largest residual over its eigenvalue", f"{max(_relative(found)):.1e}", "-"),
    ]
    loads = " to ".join(f"{each:.1f}" for each in found["load"])
    head = f"A step of {found['steps']}, in processor time, best of {ROUNDS} rounds; a plain gradient "
    head += f"({found['gradient']:.4f} s) is taken every {BETWEEN} products. Best float32 matrix product beside it "
    head += f"{found['gflops']:.0f} GFLOP/s; load {loads}."
    return [
        "",
        head,
        "",
        "| robustrec | measured | goal |",
        "|---|---|---|",
        *("| " + " | ".join(row) + " |" for row in rows),
        "",
        "| one Hessian product | gradients of the same loss |",
        "|---|---|",
        *(f"| {way} | {value:.2f} |" for way, value in found["ways"].items()),
    ]


def _held(found: dict[str, Any], name: str) -> str:
    goal = GOALS[name]
    return f"at most {goal:g}: {'met' if found[name] <= goal else 'missed'}"


def _full(found: dict[str, Any]) -> str:
    return f"{found['steps'] + 1} in two full orthogonalisations"


def _relative(found: dict[str, Any]) -> list[float]:
    return [bound / abs(value) for bound, value in zip(found["residuals"], found["eigenvalues"], strict=True)]
