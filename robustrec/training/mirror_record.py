"""What the second half of mirrored steps really did, added up on the device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.utils import parameters_to_vector

# Places in the vector of sums.
_COSINE, _ASCENDING, _CHANGE, _RATIO, _RAISED = range(5)


class MirrorRecord(NamedTuple):
    """What the second half-steps did; None where nothing was measured.

    θ̃ → θ' is the second half-step and ∇L(θ̃) the gradient of the batch loss where it starts.
    A plain ascent has cosine 1.

    Attributes:
        mirrored_steps: second half-steps taken.
        mean_cosine: mean cosine of θ' - θ̃ with ∇L(θ̃), in [-1, 1].
        share_ascending: share of second half-steps with a positive cosine: to first order, rising loss.
        probed_steps: mirrored steps after which the batch loss was computed again.
        share_raised_loss: share of those with L(θ') > L(θ̃).
        mean_length_ratio: mean of ‖θ' - θ̃‖ / ‖θ̃ - θ‖, the lengths of the second and the first half-step.
        mean_first_order_change: mean of ⟨∇L(θ̃), θ' - θ̃⟩, what the loss changed by to first order.
    """

    mirrored_steps: int
    mean_cosine: float | None
    share_ascending: float | None
    probed_steps: int
    share_raised_loss: float | None
    mean_length_ratio: float | None
    mean_first_order_change: float | None


class MirrorMeter:
    """Sums over mirrored steps; nothing here waits for the device, except `record`.

    For each mirrored step call `begin` before the first half-step, `middle` between the two when the gradient
    of the second is there, and `end` after it.
    """

    def __init__(self) -> None:
        self.mirrored_steps = 0
        self.probed_steps = 0
        self._sums: Tensor | None = None
        self._origin = self._middle = self._gradient = torch.empty(0)

    def begin(self, parameters: Sequence[Tensor]) -> None:
        """Keep θ, for the parameters that the step moves."""
        self._origin = parameters_to_vector(parameters).detach()

    def middle(self, parameters: Sequence[Tensor], factor: float) -> None:
        """Keep θ̃ and ∇L(θ̃), the parameters' gradients being `factor` times that."""
        self._middle = parameters_to_vector(parameters).detach()
        self._gradient = parameters_to_vector([_gradient(parameter) for parameter in parameters]) / factor

    def end(self, parameters: Sequence[Tensor]) -> None:
        """Measure the step that ended at θ'."""
        first = torch.linalg.vector_norm(self._middle - self._origin)
        moved = parameters_to_vector(parameters).detach() - self._middle
        change = torch.dot(moved, self._gradient)
        length = torch.linalg.vector_norm(moved)
        cosine = _ratio(change, length * torch.linalg.vector_norm(self._gradient))
        self._origin = self._middle = self._gradient = torch.empty(0)
        self.mirrored_steps += 1
        zero = torch.zeros_like(change)
        self._add([cosine, (cosine > 0).to(change.dtype), change, _ratio(length, first), zero])

    def probed(self, before: Tensor, after: Tensor) -> None:
        """Count whether the batch loss rose from θ̃ to θ'."""
        self.probed_steps += 1
        zero = torch.zeros_like(before)
        self._add([zero, zero, zero, zero, (after > before).to(before.dtype)])

    def record(self) -> MirrorRecord:
        """Return the means; this waits for the device."""
        sums = [0.0] * 5 if self._sums is None else self._sums.tolist()

        def mean(place: int, count: int) -> float | None:
            return sums[place] / count if count else None

        return MirrorRecord(
            mirrored_steps=self.mirrored_steps,
            mean_cosine=mean(_COSINE, self.mirrored_steps),
            share_ascending=mean(_ASCENDING, self.mirrored_steps),
            probed_steps=self.probed_steps,
            share_raised_loss=mean(_RAISED, self.probed_steps),
            mean_length_ratio=mean(_RATIO, self.mirrored_steps),
            mean_first_order_change=mean(_CHANGE, self.mirrored_steps),
        )

    def state_dict(self) -> dict[str, int | Tensor]:
        """Return the sums as plain integers and a vector."""
        sums = torch.zeros(5, dtype=torch.float64) if self._sums is None else self._sums.clone()
        return {"mirrored_steps": self.mirrored_steps, "probed_steps": self.probed_steps, "mirror_sums": sums}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up sums that `state_dict` returned; they follow the parameters' device at the next step."""
        self.mirrored_steps = int(state["mirrored_steps"])
        self.probed_steps = int(state["probed_steps"])
        self._sums = torch.as_tensor(state["mirror_sums"], dtype=torch.float64).clone()

    def _add(self, scalars: list[Tensor]) -> None:
        values = torch.stack(scalars).double()
        # `.to` moves a loaded state once; afterwards the sums are there already.
        self._sums = values if self._sums is None else self._sums.to(values.device) + values


def _gradient(parameter: Tensor) -> Tensor:
    if parameter.grad is None:
        return torch.zeros_like(parameter)
    return parameter.grad


def _ratio(numerator: Tensor, denominator: Tensor) -> Tensor:
    """Return the quotient, 0 where nothing moved."""
    return torch.where(denominator > 0, numerator / denominator, torch.zeros_like(denominator))
