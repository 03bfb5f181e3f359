"""Step rules (vanilla, sam, mirror, sgbd and variants of sam): one training step with any PyTorch optimizer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from robustrec.errors import RobustrecError
from robustrec.training.ascent import ascent, close_gap, look, sideways
from robustrec.training.averaging import Average
from robustrec.training.mirror_record import MirrorMeter, MirrorRecord, Probe
from robustrec.training.replay import ReplayedClosure
from robustrec.training.strategy_config import STRATEGIES, STRATEGY_NAMES, StrategyConfig

__all__ = ["STRATEGIES", "STRATEGY_NAMES", "MirrorRecord", "Strategy", "StrategyConfig"]

Closure = Callable[[], Tensor]

FEATURE_TABLES = "feature_tables"
"""Key of an optimizer parameter group: true for fine-tuned feature tables."""


class Strategy:
    """Updates the parameters of an optimizer from the loss of a batch.

    One step of `sgbd` on a mirrored batch, η the learning rate, every gradient of the same batch:

        g = ∇L(θ);  g̃ = ∇L(θ + ρ g/(‖g‖+δ));  θ̃ = θ - η α1 g̃;  θ' = θ̃ + η α2 ∇L(θ̃)

    `mirror` is that with g̃ = g; `sam` is θ - η g̃ on every batch; all other batches take the plain step
    θ - η g. `asam`, `gsam` and `looksam` are variants of `sam` (see `robustrec.training.ascent`). The setting `reading`
    defines the two half-steps of an optimizer with a state. Weight decay is that of the optimizer in both half-steps
    (coupled for `sgd`); the preconditioned second half has none. Parameters without a gradient are in no norm and in no
    update. Gradient clipping applies before the last half-step of a batch only. No random numbers are drawn, and only
    `record` synchronizes with the device.

    Args:
        config: name and settings.
        optimizer: any torch optimizer; its parameters are trained.
        clip_norm: maximum gradient norm; None for no clipping.

    Raises:
        RobustrecError: the reading is `preconditioned` and the optimizer has no second moments.
    """

    def __init__(
        self, config: StrategyConfig, optimizer: torch.optim.Optimizer, *, clip_norm: float | None = None
    ) -> None:
        self.config = config
        self.optimizer = optimizer
        self.clip_norm = clip_norm
        self.count = 0
        self._meter = MirrorMeter()
        trained = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        self._places = {id(parameter): place for place, parameter in enumerate(trained)}
        self._across: dict[int, Tensor] = {}
        self.average = Average(config, trained) if config.parts.averaging else None
        if config.reading == "preconditioned" and config.active_steps.mirror and "betas" not in optimizer.defaults:
            raise _no_second_moments(optimizer)

    def step(self, closure: Closure, *, probe: bool = False) -> Tensor:
        """Take one step and return the loss at the initial parameters, detached, without synchronization.

        Args:
            closure: computes the loss of the same batch at the current parameters, with its graph.
            probe: if the step is a mirrored one, measure what its second half does; this computes the loss
                once more, without gradient, and copies the parameters twice.
        """
        kind, active = self.config.steps, self.config.active_steps
        due = self.count % self.config.period == 0
        self.count += 1
        mirrored = active.mirror and due
        factor = self.config.alpha1 if kind.mirror and due else 1.0
        if active.probe and due:
            loss = self._probe(closure, factor)
        else:
            loss = self._backward(closure, factor)
            if active.probe and self._across:
                self._look()
        if mirrored:
            self._mirrored_step(closure, probe=probe)
        else:
            self._clip()
            self._descend()
        if self.average:
            self.average.after_step()
        return loss

    def start_epoch(self) -> None:
        """Start an epoch; this resets a counter per epoch."""
        if self.config.counter == "per_epoch":
            self.count = 0

    def end_epoch(self, epoch: int) -> None:
        """End an epoch, counted from 1."""
        if self.average:
            self.average.after_epoch(epoch)

    @contextmanager
    def judged(self) -> Iterator[bool]:
        """Set the parameters to those that validation judges in a block; yield whether there are any yet."""
        if self.average is None:
            yield True
            return
        with self.average.in_place():
            yield self.average.ready

    def record(self) -> MirrorRecord:
        """Return the diagnostics of the mirrored steps so far; this synchronizes with the device."""
        return self._meter.record()

    def state_dict(self) -> dict[str, int | Tensor]:
        """Return counter and diagnostics as integers and one vector on the device."""
        average = self.average.state_dict() if self.average else {}
        across = {f"across.{place}": each for place, each in self._across.items()}
        return {"count": self.count, **self._meter.state_dict(), **average, **across}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore a state of `state_dict`."""
        self.count = int(state["count"])
        self._meter.load_state_dict(state)
        device = self.optimizer.param_groups[0]["params"][0].device
        stored = {name.removeprefix("across."): each for name, each in state.items() if name.startswith("across.")}
        self._across = {int(place): each.to(device).clone() for place, each in stored.items()}
        if self.average:
            self.average.load_state_dict(state)

    def _mirrored_step(self, closure: Closure, *, probe: bool) -> None:
        """Take both halves of a mirrored step; the gradient of the first is already computed."""
        measured = Probe(self._moved()) if probe else None
        self._descend()
        loss = self._backward(closure, -self.config.alpha2)
        if measured:
            measured.middle(loss, -self.config.alpha2)
        self._clip()
        if self.config.reading == "preconditioned":
            self._ascend_preconditioned()
        else:
            self._descend()
        self._meter.mirrored_steps += 1
        if measured:
            with torch.no_grad():
                after = closure().detach()
            self._meter.add(measured.end(after))

    def _probe(self, closure: Closure, factor: float) -> Tensor:
        """Set all gradients to those at the end of the ascent step, or what `gsam` makes of them; return the loss."""
        loss, rule = self._backward(closure, 1.0), self.config.parts.step
        before = [gradient.clone() for gradient in self._gradients()] if rule in ("gsam", "looksam") else []
        with self._perturbed(in_place=isinstance(closure, ReplayedClosure)):
            self._backward(closure, factor)
        if rule == "gsam":
            close_gap(before, self._gradients(), self.config.gsam_alpha)
        elif rule == "looksam":
            places = [self._places[id(parameter)] for parameter in self._moved()]
            self._across = dict(zip(places, sideways(before, self._gradients()), strict=True))
        return loss

    def _look(self) -> None:
        """Add the stored direction of `looksam` to the gradients."""
        placed = [(self._places[id(parameter)], gradient) for _, parameter, gradient in self._parameters()]
        known = [(gradient, self._across[place]) for place, gradient in placed if place in self._across]
        if known:
            gradients, across = zip(*known, strict=True)
            look(gradients, across, self.config.looksam_alpha, self.config.delta)

    def _backward(self, closure: Closure, factor: float) -> Tensor:
        """Set all gradients to those of `factor` times the loss, and return the detached loss."""
        if isinstance(closure, ReplayedClosure):
            return closure.backward(factor)
        self.optimizer.zero_grad(set_to_none=True)
        loss = closure()
        (loss * factor).backward()  # type: ignore[no-untyped-call]
        return loss.detach()

    def _parameters(self) -> Iterator[tuple[dict[str, Any], Tensor, Tensor]]:
        """Yield (group, parameter, gradient) for the parameters that have a gradient now."""
        for group in self.optimizer.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    yield group, parameter, parameter.grad

    def _moved(self) -> list[Tensor]:
        return [parameter for _, parameter, _ in self._parameters()]

    def _gradients(self) -> list[Tensor]:
        return [gradient for _, _, gradient in self._parameters()]

    def _clip(self) -> None:
        if self.clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(self._moved(), self.clip_norm)

    @contextmanager
    def _perturbed(self, *, in_place: bool) -> Iterator[None]:
        """Set the parameters to the end of the ascent step in a block; θ is copied and restored bit by bit.

        Args:
            in_place: keep the parameters in their memory, which costs one more copy of them.
        """
        probed = [
            (parameter, gradient)
            for group, parameter, gradient in self._parameters()
            if self.config.probe_features or not group.get(FEATURE_TABLES)
        ]
        moved, gradients = [parameter for parameter, _ in probed], [gradient for _, gradient in probed]
        directions, scale = ascent(self.config, moved, gradients)
        aside = [parameter.data.clone() if in_place else parameter.data for parameter in moved]
        for parameter, direction in zip(moved, directions, strict=True):
            if in_place:
                parameter.data.addcmul_(direction, scale)
            else:
                parameter.data = torch.addcmul(parameter.data, direction, scale)
        try:
            yield
        finally:
            for parameter, theta in zip(moved, aside, strict=True):
                if in_place:
                    parameter.data.copy_(theta)
                else:
                    parameter.data = theta

    @torch.no_grad()
    def _descend(self) -> None:
        """Take a descent step with the current gradients, by the optimizer or by gradient descent for `sgd`."""
        if self.config.reading != "sgd":
            self.optimizer.step()
            return
        for group, parameter, gradient in self._parameters():
            update = gradient
            if group.get("weight_decay", 0):
                update = update.add(parameter, alpha=group["weight_decay"])
            parameter.add_(update, alpha=-group["lr"])

    @torch.no_grad()
    def _ascend_preconditioned(self) -> None:
        """Move θ̃ by η α2 ∇L(θ̃)/(√v̂+ε), v̂ the bias-corrected second moments after the first half."""
        for group, parameter, gradient in self._parameters():
            state = self.optimizer.state[parameter]
            if "exp_avg_sq" not in state:
                raise _no_second_moments(self.optimizer)
            moments = state["max_exp_avg_sq"] if group.get("amsgrad") else state["exp_avg_sq"]
            steps = state["step"]
            if isinstance(steps, Tensor) and steps.device.type == "cpu":
                steps = steps.item()  # on a device it stays a tensor, to avoid synchronization
            scale = (1 - group["betas"][1] ** steps) ** 0.5
            # The gradient is that of -α2 L.
            parameter.sub_(group["lr"] * gradient / (moments.sqrt() / scale + group["eps"]))


def _no_second_moments(optimizer: torch.optim.Optimizer) -> RobustrecError:
    return RobustrecError(
        f"the reading 'preconditioned' requires second moments, but {type(optimizer).__name__} has none",
        where="strategy.reading",
        fix="use Adam or AdamW, or --set strategy.reading=shared",
    )
