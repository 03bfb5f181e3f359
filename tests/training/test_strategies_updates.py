"""What one step of each strategy does: closed forms on a quadratic, the expansion of spec 3.5, equalities."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from robustrec.errors import RobustrecError
from robustrec.training.strategies import STRATEGY_NAMES, Strategy, StrategyConfig

ETA = 0.05
A1, A2, RHO = 0.9, 0.3, 0.2
DIAGONAL = torch.tensor([3.0, 1.0, 0.5, 2.0, 1.5], dtype=torch.float64)


def matrix() -> Tensor:
    generator = torch.Generator().manual_seed(0)
    turn = torch.linalg.qr(torch.randn(5, 5, dtype=torch.float64, generator=generator)).Q
    return turn @ torch.diag(DIAGONAL) @ turn.T


START = torch.tensor([1.0, -2.0, 0.5, 0.3, -0.7], dtype=torch.float64)


class Quadratic:
    """L = ½ θᵀAθ with θ in two parameters, and a third that the loss does not read."""

    def __init__(self) -> None:
        self.head = START[:2].clone().requires_grad_()
        self.tail = START[2:].clone().requires_grad_()
        self.idle = torch.full((2,), 7.0, dtype=torch.float64, requires_grad=True)
        self.calls = 0

    @property
    def parameters(self) -> list[Tensor]:
        return [self.head, self.tail, self.idle]

    @property
    def theta(self) -> Tensor:
        return torch.cat([self.head, self.tail])

    def loss(self) -> Tensor:
        self.calls += 1
        return 0.5 * self.theta @ matrix() @ self.theta


def probe_point(theta: Tensor) -> Tensor:
    gradient = matrix() @ theta
    return theta + RHO * gradient / (gradient.norm() + 1e-12)


def adam(theta: Tensor, gradients: list[Tensor], decay: float = 0.0) -> tuple[Tensor, Tensor]:
    """Take Adam steps by the book; return the parameters and the last bias-corrected second moments."""
    first, second = torch.zeros(5, dtype=torch.float64), torch.zeros(5, dtype=torch.float64)
    corrected = second
    for t, gradient in enumerate(gradients, 1):
        given = gradient + decay * theta
        first, second = 0.9 * first + 0.1 * given, 0.999 * second + 0.001 * given**2
        corrected = second / (1 - 0.999**t)
        theta = theta - ETA * (first / (1 - 0.9**t)) / (corrected.sqrt() + 1e-8)
    return theta, corrected


def first_half(name: str) -> Tensor:
    """Gradient that the first (or only) half-step descends, without α1."""
    return matrix() @ (probe_point(START) if name in {"sam", "sgbd"} else START)


def config(name: str, **changes: object) -> StrategyConfig:
    return StrategyConfig(**{"name": name, "alpha1": A1, "alpha2": A2, "rho": RHO, "beta": 1, **changes})


def plain_expected(name: str) -> Tensor:
    if name in {"vanilla", "sam"}:
        return START - ETA * first_half(name)
    middle = START - ETA * A1 * first_half(name)
    return middle + ETA * A2 * (matrix() @ middle)


@pytest.mark.parametrize("name", STRATEGY_NAMES)
def test_exact_update_with_sgd(name: str) -> None:
    toy = Quadratic()
    loss = Strategy(config(name), torch.optim.SGD(toy.parameters, lr=ETA)).step(toy.loss)
    torch.testing.assert_close(toy.theta.detach(), plain_expected(name), rtol=1e-13, atol=1e-15)
    assert loss.item() == pytest.approx((0.5 * START @ matrix() @ START).item(), rel=1e-14)
    assert not loss.requires_grad
    assert toy.idle.tolist() == [7.0, 7.0]


@pytest.mark.parametrize("name", STRATEGY_NAMES)
def test_exact_update_of_the_reading_sgd_around_adam(name: str) -> None:
    toy = Quadratic()
    optimizer = torch.optim.Adam(toy.parameters, lr=ETA)
    Strategy(config(name, reading="sgd"), optimizer).step(toy.loss)
    torch.testing.assert_close(toy.theta.detach(), plain_expected(name), rtol=1e-13, atol=1e-15)
    assert not optimizer.state, "no optimiser state"


@pytest.mark.parametrize("name", STRATEGY_NAMES)
def test_reading_sgd_is_torch_sgd_with_weight_decay(name: str) -> None:
    toys = Quadratic(), Quadratic()
    wrapped = Strategy(config(name), torch.optim.SGD(toys[0].parameters, lr=ETA, weight_decay=0.1))
    direct = Strategy(config(name, reading="sgd"), torch.optim.Adam(toys[1].parameters, lr=ETA, weight_decay=0.1))
    for _ in range(5):
        wrapped.step(toys[0].loss)
        direct.step(toys[1].loss)
    assert torch.equal(toys[0].theta, toys[1].theta)


@pytest.mark.parametrize("decay", [0.0, 0.1])
@pytest.mark.parametrize("name", ["mirror", "sgbd"])
def test_exact_update_of_the_reading_shared(name: str, decay: float) -> None:
    toy = Quadratic()
    optimizer = torch.optim.Adam(toy.parameters, lr=ETA, weight_decay=decay)
    Strategy(config(name), optimizer).step(toy.loss)
    descent = A1 * first_half(name)
    middle, _ = adam(START, [descent], decay)
    # Adam's first moments mix both half-steps; replayed from the start so that the book's formula does it.
    end, _ = adam(START, [descent, -A2 * matrix() @ middle], decay)
    torch.testing.assert_close(toy.theta.detach(), end, rtol=1e-12, atol=1e-14)
    assert optimizer.state[toy.head]["step"] == 2


@pytest.mark.parametrize("kind", ["plain", "fused", "amsgrad"])
@pytest.mark.parametrize("name", ["mirror", "sgbd"])
def test_exact_update_of_the_reading_preconditioned(name: str, kind: str) -> None:
    toy = Quadratic()
    switches = {} if kind == "plain" else {kind: True}
    optimizer = torch.optim.Adam(toy.parameters, lr=ETA, **switches)
    Strategy(config(name, reading="preconditioned"), optimizer).step(toy.loss)
    middle, moments = adam(START, [A1 * first_half(name)])
    end = middle + ETA * A2 * (matrix() @ middle) / (moments.sqrt() + 1e-8)
    torch.testing.assert_close(toy.theta.detach(), end, rtol=1e-12, atol=1e-14)
    state = optimizer.state[toy.head]
    assert state["step"] == 1, "the second half-step leaves the count alone"
    torch.testing.assert_close(state["exp_avg"], 0.1 * A1 * first_half(name)[:2])


@pytest.mark.parametrize("optimizer_class", [torch.optim.SGD, torch.optim.Adamax, torch.optim.RMSprop])
def test_preconditioned_needs_second_moments(optimizer_class: type[torch.optim.Optimizer]) -> None:
    toy = Quadratic()
    with pytest.raises(RobustrecError, match="second moments"):
        Strategy(config("mirror", reading="preconditioned"), optimizer_class(toy.parameters, lr=ETA)).step(toy.loss)


@pytest.mark.parametrize(
    "make",
    [
        lambda p: torch.optim.AdamW(p, lr=ETA),
        lambda p: torch.optim.RMSprop(p, lr=ETA),
        lambda p: torch.optim.SGD(p, lr=ETA, momentum=0.9, nesterov=True, foreach=True),
        lambda p: torch.optim.Adagrad(p, lr=ETA),
    ],
)
@pytest.mark.parametrize("name", STRATEGY_NAMES)
def test_any_torch_optimizer_lowers_the_loss(name: str, make: Callable[..., torch.optim.Optimizer]) -> None:
    toy = Quadratic()
    strategy = Strategy(StrategyConfig(name=name), make(toy.parameters))
    losses = [strategy.step(toy.loss).item() for _ in range(30)]
    assert losses[-1] < 0.8 * losses[0]


# ---- the second-order expansion (spec 3.5)


def wavy(theta: Tensor) -> Tensor:
    """A loss with third and fourth derivatives."""
    return 0.5 * theta @ matrix() @ theta + torch.sin(2 * theta).sum() + 0.1 * (theta**4).sum()


def expansion_remainder(scale: float) -> float:
    """‖θ' - [θ - (α1-α2) g - α1ρ H ĝ - α1α2 H g]‖ with α1, α2 and ρ scaled."""
    a1, a2, rho = A1 * scale, A2 * scale, RHO * scale
    theta = START.clone().requires_grad_()
    settings = StrategyConfig(name="sgbd", alpha1=a1, alpha2=a2, rho=rho, beta=1)
    Strategy(settings, torch.optim.SGD([theta], lr=1.0)).step(lambda: wavy(theta))
    g = torch.autograd.functional.jacobian(wavy, START)
    H = torch.autograd.functional.hessian(wavy, START)
    unit = g / g.norm()
    predicted = START - (a1 - a2) * g - a1 * rho * H @ unit - a1 * a2 * H @ g
    return (theta.detach() - predicted).norm().item()


def test_expansion_is_exact_to_third_order() -> None:
    scales = 2.0 ** -np.arange(9, 14)
    remainders = [expansion_remainder(scale) for scale in scales]
    order = np.polyfit(np.log(scales), np.log(remainders), 1)[0]
    assert order == pytest.approx(3.0, abs=0.05)


def test_the_published_factor_is_not_the_expansion() -> None:
    """Spec A8: with α1/(‖g‖+δ) - α2 in place of α1 - α2 the remainder would be of first order."""
    g = torch.autograd.functional.jacobian(wavy, START)
    for scale in (2.0**-6, 2.0**-8):
        wrong = abs(A1 * scale / g.norm().item() - A1 * scale) * g.norm().item()
        assert wrong > 100 * expansion_remainder(scale)


# ---- equalities, bit by bit


def trained(settings: StrategyConfig, *, steps: int = 40, clip_norm: float | None = None) -> tuple[Tensor, int]:
    """Train a small nonlinear problem with a loss that changes from step to step."""
    generator = torch.Generator().manual_seed(3)
    weights = [torch.randn(6, 4, generator=generator).requires_grad_(), torch.randn(4, generator=generator)]
    weights[1].requires_grad_()
    inputs = torch.randn(steps, 8, 6, generator=generator)
    optimizer = torch.optim.Adam(weights, lr=1e-2, weight_decay=1e-3)
    strategy = Strategy(settings, optimizer, clip_norm=clip_norm)
    calls = 0

    def closure(batch: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        return (torch.tanh(batch @ weights[0]) @ weights[1] - 1).pow(2).mean()

    for batch in inputs:
        strategy.step(lambda batch=batch: closure(batch))
    return torch.cat([w.detach().flatten() for w in weights]), calls


READINGS = ["shared", "preconditioned", "sgd"]


@pytest.mark.parametrize("clip_norm", [None, 0.5])
@pytest.mark.parametrize("reading", READINGS)
@pytest.mark.parametrize(
    ("left", "right"),
    [
        ({"name": "sgbd", "rho": 0}, {"name": "mirror"}),
        ({"name": "sgbd", "alpha2": 0, "beta": 1}, {"name": "sam"}),
        ({"name": "mirror", "alpha2": 0}, {"name": "vanilla"}),
        ({"name": "sam", "rho": 0}, {"name": "vanilla"}),
        ({"name": "sgbd", "rho": 0, "alpha2": 0}, {"name": "vanilla"}),
    ],
)
def test_switched_off_parts_leave_nothing_behind(
    left: dict[str, object], right: dict[str, object], reading: str, clip_norm: float | None
) -> None:
    ours, calls = trained(StrategyConfig(reading=reading, **left), clip_norm=clip_norm)
    theirs, other_calls = trained(StrategyConfig(reading=reading, **right), clip_norm=clip_norm)
    assert torch.equal(ours, theirs)
    assert calls == other_calls


@pytest.mark.parametrize("reading", READINGS)
def test_strategies_and_readings_differ(reading: str) -> None:
    ends = [trained(StrategyConfig(name=name, reading=reading))[0] for name in STRATEGY_NAMES]
    assert all(not torch.equal(a, b) for a, b in itertools.combinations(ends, 2))


@pytest.mark.parametrize("reading", READINGS)
@pytest.mark.parametrize("beta", [1, 2, 3, 7])
@pytest.mark.parametrize("name", STRATEGY_NAMES)
def test_passes_are_those_promised(name: str, beta: int, reading: str) -> None:
    settings = StrategyConfig(name=name, beta=beta, reading=reading)
    steps = 6 * beta
    calls = trained(settings, steps=steps)[1]
    special = {"vanilla": 1, "sam": 2, "mirror": 2, "sgbd": 3}[name]
    expected = steps * special if name in {"vanilla", "sam"} else 6 * (special + beta - 1)
    assert calls == expected
    assert settings.evaluations_per_step * steps == pytest.approx(expected)
