"""Diagnostics of the second half of mirrored steps, accumulated on the device."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.utils import get_total_norm


class MirrorRecord(NamedTuple):
    """Diagnostics of the second half-steps; None if no step was measured.

    θ̃ → θ' is the second half-step and ∇L(θ̃) the gradient of the batch loss where it starts.
    A plain ascent has cosine 1. All means and shares are over the probed steps.

    Attributes:
        mirrored_steps: second half-steps taken.
        mean_cosine: mean cosine of θ' - θ̃ with ∇L(θ̃), in [-1, 1].
        share_ascending: share of second half-steps with a positive cosine: to first order, rising loss.
        probed_steps: second half-steps that were measured.
        share_raised_loss: share of them with L(θ') > L(θ̃) on the batch.
        mean_length_ratio: mean of ‖θ' - θ̃‖ / ‖θ̃ - θ‖, the lengths of the second and the first half-step.
        mean_first_order_change: mean of ⟨∇L(θ̃), θ' - θ̃⟩, the first-order change of the loss.
    """

    mirrored_steps: int
    mean_cosine: float | None
    share_ascending: float | None
    probed_steps: int
    share_raised_loss: float | None
    mean_length_ratio: float | None
    mean_first_order_change: float | None


class Probe:
    """Measurement of one mirrored step; create it before the first half, call `middle` between the halves, then `end`.

    Args:
        parameters: the updated parameters, at θ.
    """

    def __init__(self, parameters: list[Tensor]) -> None:
        self._parameters = parameters
        self._held = [parameter.detach().clone() for parameter in parameters]
        self._gradients: list[Tensor] = []
        self._first = self._loss = torch.empty(0)

    @torch.no_grad()
    def middle(self, loss: Tensor, factor: float) -> None:
        """Record θ̃, L(θ̃) and ∇L(θ̃); the gradients of the parameters are `factor` times ∇L(θ̃)."""
        torch._foreach_sub_(self._held, self._parameters)
        self._first = get_total_norm(self._held)
        torch._foreach_copy_(self._held, self._parameters)
        # Copies: clipping changes gradients in place, and so do some optimisers.
        self._gradients = [_gradient(parameter) / factor for parameter in self._parameters]
        self._loss = loss

    @torch.no_grad()
    def end(self, loss: Tensor) -> Tensor:
        """Return the five quantities that `MirrorMeter` adds up, given L(θ')."""
        moved = torch._foreach_sub(self._parameters, self._held)
        change = torch.stack([(m * g).sum() for m, g in zip(moved, self._gradients, strict=True)]).sum()
        length = get_total_norm(moved)
        cosine = _ratio(change, length * get_total_norm(self._gradients))
        rose = (loss > self._loss).to(change.dtype)
        ascending = (cosine > 0).to(change.dtype)
        return torch.stack([cosine, ascending, change, _ratio(length, self._first), rose]).double()


class MirrorMeter:
    """Sums over measured mirrored steps; only `record` synchronizes with the device."""

    def __init__(self) -> None:
        self.mirrored_steps = 0
        self.probed_steps = 0
        self._sums: Tensor | None = None

    def add(self, measured: Tensor) -> None:
        """Add a result of `Probe.end`."""
        self.probed_steps += 1
        # `.to` moves a loaded state once.
        self._sums = measured if self._sums is None else self._sums.to(measured.device) + measured

    def record(self) -> MirrorRecord:
        """Return the means; this synchronizes with the device."""
        means: list[float | None] = [None] * 5
        if self._sums is not None and self.probed_steps:
            means = (self._sums / self.probed_steps).tolist()
        cosine, ascending, change, ratio, rose = means
        return MirrorRecord(
            mirrored_steps=self.mirrored_steps,
            mean_cosine=cosine,
            share_ascending=ascending,
            probed_steps=self.probed_steps,
            share_raised_loss=rose,
            mean_length_ratio=ratio,
            mean_first_order_change=change,
        )

    def state_dict(self) -> dict[str, int | Tensor]:
        """Return the sums as plain integers and a vector."""
        sums = torch.zeros(5, dtype=torch.float64) if self._sums is None else self._sums.clone()
        return {"mirrored_steps": self.mirrored_steps, "probed_steps": self.probed_steps, "mirror_sums": sums}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the sums of `state_dict`; they move to the device of the parameters at the next step."""
        self.mirrored_steps = int(state["mirrored_steps"])
        self.probed_steps = int(state["probed_steps"])
        self._sums = torch.as_tensor(state["mirror_sums"], dtype=torch.float64).clone()


def _gradient(parameter: Tensor) -> Tensor:
    if parameter.grad is None:
        return torch.zeros_like(parameter)
    return parameter.grad


def _ratio(numerator: Tensor, denominator: Tensor) -> Tensor:
    """Return the quotient, 0 for a zero denominator."""
    return torch.where(denominator > 0, numerator / denominator, torch.zeros_like(denominator))
