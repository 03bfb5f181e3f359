"""ASAM, GSAM and LookSAM on a quadratic, where every step has a closed form."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from test_strategies_updates import ETA, START, Quadratic, matrix, trained
from torch import Tensor

from robustrec.config import Settings
from robustrec.errors import RobustrecError
from robustrec.runs.plan import subject_specs
from robustrec.training.strategies import Strategy
from robustrec.training.strategy_config import StrategyConfig

RHO = 0.3


def stepped(steps: int = 1, **settings: Any) -> tuple[Tensor, Quadratic]:
    """Return the parameters after steps of gradient descent."""
    toy = Quadratic()
    strategy = Strategy(StrategyConfig(**{"rho": RHO, **settings}), torch.optim.SGD(toy.parameters, lr=ETA))
    for _ in range(steps):
        strategy.step(toy.loss)
    return toy.theta.detach(), toy


def probed(theta: Tensor) -> Tensor:
    """Return the gradient at the end of SAM's ascent step."""
    gradient = matrix() @ theta
    return matrix() @ (theta + RHO * gradient / gradient.norm())


def across(vector: Tensor, to: Tensor) -> Tensor:
    return vector - (vector @ to) / (to @ to) * to


def test_asam_scales_its_ascent_step_by_the_size_of_each_parameter() -> None:
    gradient, size = matrix() @ START, START.abs() + 0.2
    moved = START + 0.7 * size**2 * gradient / (size * gradient).norm()
    found, _ = stepped(name="asam", asam_rho=0.7, asam_eta=0.2)
    torch.testing.assert_close(found, START - ETA * (matrix() @ moved), rtol=1e-12, atol=1e-14)


def test_asam_does_not_depend_on_the_scale_of_a_parameter_and_sam_does() -> None:
    """With θ = c w, the ascent step of w times c is that of θ, if η is 0."""

    def ascended(name: str, scale: float) -> Tensor:
        weight = (torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64) / scale).requires_grad_()
        seen: list[Tensor] = []

        def loss() -> Tensor:
            theta = weight * scale
            seen.append(theta.detach().clone())
            return (torch.arange(1.0, 4.0) * theta**2).sum()

        config = StrategyConfig(name=name, asam_eta=0.0, asam_rho=RHO, rho=RHO)
        Strategy(config, torch.optim.SGD([weight], lr=0.1)).step(loss)
        return seen[1]

    torch.testing.assert_close(ascended("asam", 1.0), ascended("asam", 10.0))
    assert not torch.allclose(ascended("sam", 1.0), ascended("sam", 10.0))


def test_gsam_subtracts_the_orthogonal_part_of_the_gradient() -> None:
    before, after = matrix() @ START, probed(START)
    found, _ = stepped(name="gsam", gsam_alpha=0.4)
    torch.testing.assert_close(found, START - ETA * (after - 0.4 * across(before, after)), rtol=1e-12, atol=1e-14)


def test_gsam_lowers_the_gap_more_than_sam() -> None:
    def gap(theta: Tensor) -> float:
        gradient = matrix() @ theta
        far = theta + RHO * gradient / gradient.norm()
        return float(0.5 * far @ matrix() @ far - 0.5 * theta @ matrix() @ theta)

    assert gap(stepped(name="gsam", gsam_alpha=1.0)[0]) < gap(stepped(name="sam")[0])


def test_looksam_stores_the_orthogonal_direction_and_uses_it_in_between() -> None:
    found, toy = stepped(3, name="looksam", looksam_every=3, looksam_alpha=0.7)
    direction = across(probed(START), matrix() @ START)
    theta = START - ETA * probed(START)
    for _ in range(2):
        gradient = matrix() @ theta
        theta = theta - ETA * (gradient + 0.7 * gradient.norm() * direction / direction.norm())
    torch.testing.assert_close(found, theta, rtol=1e-10, atol=1e-12)
    assert toy.calls == 4, "one ascent step in three steps"


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ({"name": "gsam", "gsam_alpha": 0.0}, {"name": "sam"}),
        ({"name": "looksam", "looksam_every": 1}, {"name": "sam"}),
        ({"name": "looksam", "rho": 0.0}, {"name": "vanilla"}),
        ({"name": "asam", "asam_rho": 0.0}, {"name": "vanilla"}),
        ({"name": "gsam", "rho": 0.0}, {"name": "vanilla"}),
    ],
)
def test_variants_without_their_own_part_are_equal_and_are_known_to_be(
    left: dict[str, Any], right: dict[str, Any]
) -> None:
    ours, theirs = StrategyConfig(**left), StrategyConfig(**right)
    torch.testing.assert_close(trained(ours)[0], trained(theirs)[0], rtol=1e-5, atol=1e-6)
    assert trained(ours)[1] == trained(theirs)[1]
    assert ours.effective == theirs.effective
    assert StrategyConfig(name=left["name"]).effective != theirs.effective


@pytest.mark.parametrize(("name", "calls"), [("asam", 20), ("gsam", 20), ("looksam", 12), ("looksam+ema", 12)])
def test_passes_are_those_promised(name: str, calls: int) -> None:
    config = StrategyConfig(name=name)
    assert stepped(10, name=name)[1].calls == calls
    assert config.evaluations_per_step * 10 == pytest.approx(calls)


def test_a_zero_radius_is_refused_by_its_setting() -> None:
    with pytest.raises(RobustrecError, match="asam_rho = 0 takes no ascent step") as caught:
        subject_specs(Settings(strategy=("asam+ema",), set={"strategy": {"asam_rho": 0}}), "sample")
    assert caught.value.fix == "use --set strategy.asam_rho=0.5, or --strategy ema"
