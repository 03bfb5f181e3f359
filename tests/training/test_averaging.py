"""Averages of the parameters: closed forms, what validation judges, and resuming."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from test_trainer import QUICK, _killed_in, _run
from torch import Tensor

from robustrec.errors import RobustrecError
from robustrec.training.strategies import Strategy
from robustrec.training.strategy_config import StrategyConfig
from robustrec.training.trainer import Checkpointing


def quadratic(name: str, **settings: Any) -> tuple[Strategy, Tensor]:
    """Return a strategy on ½θ² with θ = 1 and gradient descent at a rate of .5: θ halves in every step."""
    theta = torch.nn.Parameter(torch.ones(1))
    return Strategy(StrategyConfig(name=name, **settings), torch.optim.SGD([theta], lr=0.5)), theta


def test_ema_is_the_weighted_mean_of_the_parameters_after_each_step() -> None:
    strategy, theta = quadratic("ema", ema_decay=0.15)
    expected = None
    for step in range(6):
        strategy.step(lambda: (theta**2).sum() / 2)
        value = 0.5 ** (step + 1)
        decay = min(0.15, (1 + step) / (10 + step))
        expected = value if expected is None else decay * expected + (1 - decay) * value
    assert theta.item() == 0.5**6
    with strategy.judged() as ready:
        assert ready
        assert theta.item() == pytest.approx(expected, rel=1e-6)
        assert theta.item() != pytest.approx(0.5**6, rel=1e-2)
    assert theta.item() == 0.5**6, "training goes on from its own parameters"


def test_swa_is_the_mean_over_epochs_from_its_first_on() -> None:
    strategy, theta = quadratic("swa", swa_start=3)
    place, ready = theta.data_ptr(), []
    for epoch in range(1, 7):
        strategy.step(lambda: (theta**2).sum() / 2)
        strategy.end_epoch(epoch)
        with strategy.judged() as judged:
            ready.append(judged)
            if judged:
                mean = sum(0.5**each for each in range(3, epoch + 1)) / (epoch - 2)
                assert theta.item() == pytest.approx(mean, rel=1e-6)
                assert theta.data_ptr() == place, "replayed passes read the parameters where they are"
        assert theta.item() == 0.5**epoch
    assert ready == [False, False, False, True, True, True], "a mean of one epoch is that of plain training"


@pytest.mark.parametrize("strategy", ["ema", "sgbd+swa"])
def test_validation_and_early_stopping_judge_the_average_and_its_parameters_are_kept(tiny, strategy) -> None:
    settings = {"swa_start": 2} if "swa" in strategy else {}
    plain, before, _ = _run(tiny, strategy=strategy.split("+")[0].replace("ema", "vanilla"))
    averaged, outcome, validate = _run(tiny, strategy=strategy, **settings)
    assert outcome.counters.losses[:3] == before.counters.losses[:3], "an average does not change the steps"
    assert validate() == outcome.counters.best_metric
    if strategy == "sgbd+swa":
        assert len(outcome.counters.metrics) == outcome.counters.epoch - 2
        assert outcome.counters.best_epoch > 2
    assert not torch.equal(averaged.projection.weight, plain.projection.weight)


@pytest.mark.parametrize("strategy", ["ema", "mirror+swa"])
def test_a_killed_training_resumes_with_its_average(tiny, tmp_path: Path, strategy: str) -> None:
    settings = {"swa_start": 2} if "swa" in strategy else {}
    whole, outcome, _ = _run(tiny, strategy=strategy, **settings)
    kept = Checkpointing(tmp_path / "state.checkpoint", "key", seconds=0.0)
    for epoch in (2, 4, 6):
        _killed_in(tiny, kept, epoch, strategy=strategy, **settings)
    resumed, again, _ = _run(tiny, strategy=strategy, checkpointing=kept, **settings)
    assert again.resumed
    assert again.counters.metrics == outcome.counters.metrics
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name


def test_a_training_too_short_for_its_mean_is_refused(tiny) -> None:
    with pytest.raises(RobustrecError, match="swa") as caught:
        _run(tiny, strategy="swa", config=QUICK.model_copy(update={"max_epochs": 10}))
    assert caught.value.fix.startswith("--set strategy.swa_start=")
