"""Sharpness in the item features: trace and top eigenvalue of ∇²_X L, by modality and by item, flips, measured loss.

Everything is in units of the features' own spread: X = X₀ + σ s_m Z with s_m the standard deviation of modality m.
Items without a modality (rows of zeros) stay as they are: many models have no derivative there, and the noise of a
missing picture is none.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from robustrec.curvature.lanczos import Extremes, extremes
from robustrec.curvature.loss import AuditLoss
from robustrec.curvature.operators import Operator
from robustrec.curvature.products import Products, derivatives, finite
from robustrec.curvature.spaces import Space
from robustrec.curvature.traces import WHOLE, Estimate, estimate
from robustrec.models.contract import Representation
from robustrec.seeds import torch_generator


@dataclass(frozen=True)
class Inputs:
    """The features as a space to move in.

    Attributes:
        tables: modality -> clean [I, D_m].
        live: modality -> int64 [J_m], items that have it.
        spread: modality -> s_m, the root of the mean variance of its columns over those items.
    """

    tables: dict[str, Tensor]
    live: dict[str, Tensor]
    spread: dict[str, float]

    def zeros(self, modalities: Sequence[str]) -> dict[str, Tensor]:
        """Return Z = 0 of the given modalities [J_m, D_m], leaves of a graph."""
        return {m: torch.zeros_like(self.tables[m][self.live[m]]).requires_grad_() for m in modalities}

    def moved(self, steps: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the tables X₀ + s_m Z for Z [J_m, D_m] of some modalities."""
        tables = dict(self.tables)
        for modality, step in steps.items():
            clean, moved = tables[modality], self.spread[modality] * step
            if len(moved) < len(clean):
                moved = torch.zeros_like(clean).index_copy(0, self.live[modality], moved)
            tables[modality] = clean + moved
        return tables

    def normal(self, modalities: Sequence[str], seed: int, *names: str | int) -> dict[str, Tensor]:
        """Draw Z ~ N(0, 1) for every item and entry on their device, whether the item has the modality or not."""
        drawn = {}
        for modality in modalities:
            clean = self.tables[modality]
            generator = torch_generator(seed, "sharpness", "input noise", modality, *names, device=clean.device)
            draw = torch.randn(clean.shape, generator=generator, device=clean.device)
            drawn[modality] = draw.to(clean)[self.live[modality]]
        return drawn

    def share_lost(self, steps: dict[str, Tensor]) -> dict[str, float]:
        """Return, of each modality of Z, the share of the entries that rounding leaves as they were."""
        moved = self.moved(steps)
        return {
            m: float((moved[m] == self.tables[m])[self.live[m]].double().mean()) for m in steps if len(self.live[m])
        }


def inputs_of(tables: dict[str, Tensor]) -> Inputs:
    """Return the features of a subject as a space to move in."""
    live = {m: table.ne(0).any(dim=1).nonzero().squeeze(1) for m, table in tables.items()}
    spread = {m: _spread(table[live[m]]) for m, table in tables.items()}
    return Inputs(tables, live, spread)


def input_products(loss: AuditLoss, inputs: Inputs, modalities: Sequence[str]) -> Products:
    """Return the products with s² ∇²_X L, the Hessian in Z at 0."""
    leaves = inputs.zeros(modalities)
    with derivatives("first"):
        value = loss.value(tables=inputs.moved(leaves))
    return Products(value, leaves)


class InputTraces(NamedTuple):
    """½ s² tr ∇²_X L: times σ² it is the expected increase of the loss under noise of σ standard deviations.

    Attributes:
        modalities: name -> estimate, all of them under "all".
        items: modality -> float64 [I], each item's part; 0 for items without it.
    """

    modalities: dict[str, Estimate]
    items: dict[str, NDArray[np.float64]]


def input_traces(
    products: Operator, inputs: Inputs, *, probes: int, generator: torch.Generator, only: Tensor | None = None
) -> InputTraces:
    """Estimate the traces by Hutchinson's method, all modalities and items from the same probes.

    Args:
        products: see `input_products`.
        inputs: the space.
        probes: how many products.
        generator: of the probes, on the CPU or the device of the features.
        only: int64 items that probes are confined to, which spares the others' share of the error.

    Raises:
        RobustrecError: a product is not finite.
    """
    space = products.space
    mask = None if only is None else space.pack(_rows_mask(space, inputs, only).values())
    totals = [inputs.tables[m].new_zeros(shape[0], dtype=torch.float64) for m, shape in space.shapes.items()]
    sums = []
    for _ in range(probes):
        signs = space.signs(generator)
        signs = signs if mask is None else signs * mask
        parts = space.unpack(signs * products(signs) / 2)
        rows = [part.sum(dim=1, dtype=torch.float64) for part in parts.values()]
        totals = [total + row / probes for total, row in zip(totals, rows, strict=True)]
        sums.append(torch.stack([row.sum() for row in rows]))
    # Read once, so that a device is never waited for in between.
    table = finite(torch.stack(sums).cpu(), "the input sharpness").numpy()
    found = {WHOLE: estimate(table.sum(axis=1))}
    found |= {name: estimate(table[:, place]) for place, name in enumerate(space.shapes)}
    items = {m: np.zeros(len(inputs.tables[m])) for m in space.shapes}
    for modality, total in zip(space.shapes, totals, strict=True):
        items[modality][inputs.live[modality].cpu().numpy()] = total.cpu().numpy()
    return InputTraces(found, items)


def worst_items(
    products: Operator, inputs: Inputs, first: InputTraces, count: int, *, probes: int, generator: torch.Generator
) -> dict[str, list[tuple[int, Estimate]]]:
    """Return the sharpest items of each modality, worst first, measured once more with probes of their own.

    The first traces choose the items; the fresh probes, confined to them, are free of that choice.
    """
    found = {}
    for modality, values in first.items.items():
        chosen = np.argsort(-values, kind="stable")[:count]
        only = torch.from_numpy(chosen)
        draws = [
            input_traces(products, inputs, probes=1, generator=generator, only=only).items[modality][chosen]
            for _ in range(probes)
        ]
        table = np.stack(draws) if draws else values[None, chosen]
        rated = [(int(item), estimate(table[:, place])) for place, item in enumerate(chosen)]
        found[modality] = sorted(rated, key=lambda pair: -pair[1].value)
    return found


def input_eigenvalue(
    products: Operator, *, steps: int, generator: torch.Generator, memory: float = math.inf
) -> Extremes:
    """Return the ends of the spectrum of s² ∇²_X L in what the products vary."""
    return extremes(products, generator, count=1, steps=steps, memory=memory)


class Slopes(NamedTuple):
    """Margins m and their first derivatives ∂m/∂Z · z along random draws z.

    Attributes:
        margins: float64 [n].
        along: float64 [draws, n].
    """

    margins: Tensor
    along: Tensor

    def flips(self, sigma: float) -> Estimate:
        """Return the share of triples that rank wrongly under noise of σ standard deviations, to first order.

        In expectation it is the mean of Φ(-m / (σ‖∂m/∂Z‖)): m + σ ∂m/∂Z·z is normal with that standard deviation. Each
        draw counts with its opposite.
        """
        steps = sigma * self.along
        wrong = ((self.margins + steps < 0).double() + (self.margins - steps < 0).double()) / 2
        return estimate(wrong.mean(dim=1).cpu().numpy())


def slopes(loss: AuditLoss, inputs: Inputs, modalities: Sequence[str], *, draws: int, seed: int) -> Slopes:
    """Return the margins' derivatives along random draws of the features, each at two gradients.

    Args:
        loss: whose margins.
        inputs: the space.
        modalities: that move.
        draws: how many.
        seed: of the audit.
    """
    leaves = inputs.zeros(modalities)
    with derivatives("first"):
        found = loss.margins(tables=inputs.moved(leaves))
    # The derivative of weightsᵀm in Z is linear in the weights; its own derivative in them along z is ∂m/∂Z · z.
    weights = torch.zeros_like(found).requires_grad_()
    rows: tuple[Tensor, ...] = ()
    if found.requires_grad:
        with derivatives("first"):
            rows = torch.autograd.grad(
                found, list(leaves.values()), weights, create_graph=True, allow_unused=True, materialize_grads=True
            )
    along = []
    for draw in range(draws):
        z = list(inputs.normal(modalities, seed, "slopes", draw).values())
        curved = [(row, part) for row, part in zip(rows, z, strict=False) if row.requires_grad]
        if not curved:
            along.append(torch.zeros_like(found).detach())
            continue
        with derivatives("second"):
            (step,) = torch.autograd.grad(
                [row for row, _ in curved], weights, [part for _, part in curved], retain_graph=True
            )
        along.append(step)
    return Slopes(found.detach(), finite(torch.stack(along), "the derivative of the margins"))


def pair_noise(inputs: Inputs, modalities: Sequence[str], seed: int, pair: int) -> dict[str, Tensor]:
    """Draw Z of one pair of `noisy_pairs`, of which the second member is -Z."""
    return inputs.normal(modalities, seed, "pair", pair)


def noisy_pairs(
    loss: AuditLoss, inputs: Inputs, modalities: Sequence[str], sigma: float, *, pairs: int, seed: int, rebuilt: bool
) -> Iterator[tuple[Representation, Representation]]:
    """Yield the representations under pairs of opposite noise of σ standard deviations.

    Args:
        loss: whose subject.
        inputs: the space.
        modalities: that get noise.
        sigma: as a share of the features' standard deviation.
        pairs: how many; the same draws at every σ and for every subject.
        seed: of the audit.
        rebuilt: derive item graphs from the noisy features; else they stay those of training time.
    """
    for pair in range(pairs):
        z = pair_noise(inputs, modalities, seed, pair)
        with torch.no_grad():
            up, down = (
                loss.subject.represent(
                    tables=inputs.moved({m: sign * sigma * each for m, each in z.items()}), rebuilt=rebuilt
                )
                for sign in (1.0, -1.0)
            )
        yield up, down


def _spread(rows: Tensor) -> float:
    return float(rows.double().var(dim=0, correction=0).mean().sqrt()) if len(rows) else 0.0


def _rows_mask(space: Space, inputs: Inputs, only: Tensor) -> dict[str, Tensor]:
    mask = {}
    for modality, shape in space.shapes.items():
        there = torch.isin(inputs.live[modality], only.to(inputs.live[modality].device))
        mask[modality] = there.to(space.dtype)[:, None].expand(shape)
    return mask
