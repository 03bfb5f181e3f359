"""Checks of gradients, of first and second derivatives, and of a short training."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn.attention import sdpa_kernel
from torch.overrides import TorchFunctionMode

from robustrec.checking.toy import Toy, demand, error_text, not_applicable
from robustrec.curvature.loss import TWICE_DIFFERENTIABLE
from robustrec.seeds import torch_generator

STEPS = 40
STEP = 1e-6  # of the central differences
TOLERANCE = 1e-4  # allowed error relative to the derivative
ROUNDING = 1e-14  # rounding error relative to the differentiated value
TRIES = 3  # points; a single one may lie near a kink
JITTER = 0.01  # distance of the points from the initial parameters

What = Literal["represent", "loss"]


def parameter_gradients(toy: Toy) -> str:
    """Check that the loss has a gradient in every parameter that the scores depend on."""
    model, features = toy.build(), toy.features()
    named = {name: value for name, value in model.module().named_parameters() if value.requires_grad}
    demand(bool(named), "no parameter requires a gradient")
    model.module().train()
    of_loss = _gradients(model.loss(features, toy.batch()).total, named)
    model.module().eval()
    of_scores = _gradients(_nonlinear(*model.represent(features)), named)
    broken = [name for name, gradient in of_loss.items() if gradient is not None and not _all_finite(gradient)]
    demand(not broken, f"the gradient of the loss is NaN or infinite for {', '.join(broken)}")
    forgotten = [name for name in named if of_loss[name] is None and of_scores[name] is not None]
    demand(
        not forgotten,
        f"scores depend on {', '.join(forgotten)}, but the loss has no gradient in it; set requires_grad = False if "
        "this is intended",
    )
    idle = [name for name, gradient in of_loss.items() if gradient is None]
    if idle:
        return f"no gradient in {', '.join(idle)}, which scores do not depend on; all other parameters have one"
    return f"all {len(named)} parameters have a gradient"


def feature_gradients(toy: Toy, modality: str) -> str:
    """Check that scores or loss have a gradient in the features of a modality, and report which."""
    model, features = toy.build(), toy.features()
    given = {modality: features[modality].requires_grad_()}
    found = {}
    model.module().eval()
    found["scores"] = _gradients(_nonlinear(*model.represent(features)), given)[modality]
    model.module().train()
    found["loss"] = _gradients(model.loss(features, toy.batch()).total, given)[modality]
    broken = [name for name, gradient in found.items() if gradient is not None and not _all_finite(gradient)]
    demand(not broken, f"the gradient of the {' and the '.join(broken)} is NaN or infinite")
    there = [name for name, gradient in found.items() if gradient is not None and bool(gradient.any())]
    demand(
        bool(there),
        "neither scores nor loss have a gradient in these features: it is detached, or computed outside torch; audits "
        "that need gradients cannot use this model",
    )
    if there == ["loss"]:
        return "through the loss only: scores depend on these features through an item graph, or not at all"
    return f"through the {' and the '.join(there)}"


def float64(toy: Toy) -> str:
    """Check that the model runs in float64, which the derivative checks need."""
    for what in ("represent", "loss"):
        _Point(toy, what, 0).value()
    return "the model runs in float64"


def first_derivatives(toy: Toy, what: What) -> str:
    """Compare the gradients of `represent` or `loss` with finite differences."""

    def disagreeing(point: _Point) -> set[str]:
        slopes, directions = point.gradients(), point.directions(0)
        return {
            name
            for name, direction in directions.items()
            if not point.agree(_along(slopes[name], direction), point.number, name, direction)
        }

    _demand_agreement(f"gradients of {what} do not match finite differences", disagreeing, toy, what)
    return f"gradients of {what} agree with finite differences"


def second_derivatives(toy: Toy, what: What) -> str:
    """Compare second derivatives, which the sharpness audit needs, with finite differences of the gradients."""

    def disagreeing(point: _Point) -> set[str]:
        along, directions = point.directions(0), point.directions(1)
        try:
            hessian_products = point.hessian_products(along)
        except RuntimeError as error:
            raise not_applicable(
                f"{what} has no second derivatives, which the sharpness audit needs: {error_text(toy.name, error)}"
            ) from error

        def slope() -> float:
            slopes = point.gradients()
            return sum(_along(slopes[name], along[name]) for name in along)

        return {
            name
            for name, direction in directions.items()
            if not point.agree(_along(hessian_products[name], direction), slope, name, direction)
        }

    fault = f"second derivatives of {what}, which the sharpness audit needs, do not match finite differences"
    _demand_agreement(fault, disagreeing, toy, what)
    return (
        f"second derivatives of {what}, which the sharpness audit needs, agree with finite differences of the gradients"
    )


def training(toy: Toy) -> str:
    """Report whether a short training lowers the loss of its batch."""
    model, losses = toy.trained(STEPS)
    demand(
        all(map(math.isfinite, losses)),
        f"the loss becomes {losses[-1]} within {STEPS} steps of Adam with learning rate 0.01",
    )
    with torch.no_grad():
        before, after = (float(each.loss(toy.features(), toy.batch()).total) for each in (toy.build(), model))
    fell = "the loss decreased" if after < before else "the loss did not decrease"
    return f"{fell} from {before:.4g} to {after:.4g} in {STEPS} steps of Adam with learning rate 0.01 on one batch"


def _gradients(value: Tensor, inputs: Mapping[str, Tensor], *, create_graph: bool = False) -> dict[str, Tensor | None]:
    if not value.requires_grad:
        return dict.fromkeys(inputs)
    found = torch.autograd.grad(value, list(inputs.values()), allow_unused=True, create_graph=create_graph)
    return dict(zip(inputs, found, strict=True))


def _nonlinear(users: Tensor, items: Tensor) -> Tensor:
    return torch.tanh(users).sum() + (items**3).sum()


class _Point:
    """`represent` or `loss` as a float64 scalar, at parameters that are not zero by initialization.

    Attributes:
        inputs: parameters and features to differentiate with respect to.
    """

    def __init__(self, toy: Toy, what: What, seed: int) -> None:
        self.toy, self.what, self.seed = toy, what, seed
        self.model = toy.build()
        module = self.model.module().to(torch.float64)
        module.train(what == "loss")
        named = {name: value for name, value in module.named_parameters() if value.requires_grad}
        self.features = {name: table.requires_grad_() for name, table in toy.features(dtype=torch.float64).items()}
        self.inputs: dict[str, Tensor] = {**named, **{f"{name} features": t for name, t in self.features.items()}}
        with torch.no_grad():
            for name, jitter in self.directions(-1).items():
                self.inputs[name].add_(jitter, alpha=JITTER)
        # Values that the loss detaches stay those of this point, so that finite differences see the same constants.
        self.held = _DetachedValues()

    def value(self) -> Tensor:
        """Return the scalar with its graph, computed as in the sharpness audit."""
        try:
            with sdpa_kernel(TWICE_DIFFERENTIABLE):
                number = self._number()
        except (RuntimeError, TypeError) as error:
            raise not_applicable(
                f"{self.what} does not run in float64 ({error_text(self.toy.name, error)}); the sharpness audit cannot "
                "use it"
            ) from error
        if number.dtype != torch.float64:
            raise not_applicable(f"not checked: {self.what} returns {number.dtype} for float64 inputs")
        return number

    def _number(self) -> Tensor:
        if self.what == "loss":
            with self.held.start():
                return self.model.loss(self.features, self.toy.batch()).total
        # Nonlinear, so that second derivatives are not zero.
        return _nonlinear(*self.model.represent(self.features))

    def number(self) -> float:
        """Return the scalar."""
        with torch.no_grad():
            return float(self.value())

    def gradients(self, *, create_graph: bool = False) -> dict[str, Tensor]:
        """Return the gradient in each input, zeros for none."""
        found = _gradients(self.value(), self.inputs, create_graph=create_graph)
        return {name: torch.zeros_like(self.inputs[name]) if each is None else each for name, each in found.items()}

    def hessian_products(self, along: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the Hessian-vector product with a direction, by input."""
        slopes = self.gradients(create_graph=True)
        slope = torch.stack([(slopes[name] * along[name]).sum() for name in along]).sum()
        if slope.requires_grad:
            # Not `torch.autograd.grad`, which ignores functions marked as once differentiable.
            slope.backward()  # type: ignore[no-untyped-call]
        found = {name: torch.zeros_like(each) if each.grad is None else each.grad for name, each in self.inputs.items()}
        for each in self.inputs.values():
            each.grad = None
        return found

    def directions(self, seed: int) -> dict[str, Tensor]:
        """Return a random direction for each input."""
        generators = {name: torch_generator(self.seed, "direction", seed, name) for name in self.inputs}
        return {
            name: torch.randn(value.shape, generator=generators[name], dtype=value.dtype)
            for name, value in self.inputs.items()
        }

    def agree(self, found: float, function: Callable[[], float], name: str, direction: Tensor) -> bool:
        """Return whether a derivative agrees with a central difference of a function along a direction of an input."""
        kept, ends = self.inputs[name].detach().clone(), []
        for step in (STEP, -STEP):
            with torch.no_grad():
                self.inputs[name].copy_(kept).add_(direction, alpha=step)
            ends.append(function())
        with torch.no_grad():
            self.inputs[name].copy_(kept)
        difference = (ends[0] - ends[1]) / (2 * STEP)
        rounding = ROUNDING * max(1.0, *map(abs, ends)) / STEP
        return abs(found - difference) <= TOLERANCE * max(abs(found), abs(difference)) + rounding


class _DetachedValues(TorchFunctionMode):
    """Return, from the second call on, the tensors detached in the first call."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: list[Tensor] = []
        self.given: Iterator[Tensor] | None = None

    def start(self) -> _DetachedValues:
        """Start a call; the first one records the detached tensors, later ones reuse them."""
        self.given = iter(self.kept) if self.kept else None
        return self

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is not torch.Tensor.detach:
            return func(*args, **(kwargs or {}))
        held = next(self.given, None) if self.given is not None else None
        if held is not None:
            return held
        self.kept.append(func(*args, **(kwargs or {})).clone())
        return self.kept[-1]


def _along(slopes: Tensor, direction: Tensor) -> float:
    return float((slopes.detach() * direction).sum())


def _demand_agreement(fault: str, disagreeing: Callable[[_Point], set[str]], toy: Toy, what: What) -> None:
    wrong = disagreeing(_Point(toy, what, 0))
    for seed in range(1, TRIES):
        if wrong:
            wrong &= disagreeing(_Point(toy, what, seed))
    hint = "; use tensor.detach() for values that are constant on purpose" if what == "loss" else ""
    demand(not wrong, f"{fault} in {', '.join(sorted(wrong))}{hint}")


def _all_finite(value: Tensor) -> bool:
    return bool(torch.isfinite(value).all())
