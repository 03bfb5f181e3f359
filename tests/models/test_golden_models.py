"""Every model against the published numbers: loss, gradients, scores, and parameters after four batches."""

from __future__ import annotations

import json
from typing import Any

import golden_core
import golden_item_graph
import golden_mentor
import golden_modality_graph
import golden_recent
import golden_user_graph
import numpy as np
import pytest
import torch
from goldens import GOLDEN, Case, load
from scipy.sparse import csr_array
from torch import Tensor

from robustrec.evaluation.metrics import per_user_metrics
from robustrec.evaluation.ranking import rank
from robustrec.training.strategies import Strategy
from robustrec.training.strategy_config import StrategyConfig

CASES = {
    **golden_core.CASES,
    **golden_user_graph.CASES,
    **golden_item_graph.CASES,
    **golden_modality_graph.CASES,
    **golden_recent.CASES,
    **golden_mentor.CASES,
}
# Gradients are compared to this absolute tolerance. Adam divides by their size, so an entry whose gradient plus weight
# decay is smaller than that at some step has no settled direction there.
GRADIENT_TOLERANCE = 1e-6
# Largest entry of a gradient that is zero but for rounding.
ROUNDING = 1e-8
# Models whose published code ranks by vectors of an earlier step.
STALE = {"SLMRec", "SLMRec with constants", "DualGNN", "MMGCN", "GRCN", "MENTOR"}


@pytest.fixture(params=list(CASES))
def case(request: pytest.FixtureRequest) -> Case:
    return load(request.param, CASES[request.param])


def test_loss_and_gradients(case: Case) -> None:
    loss = case.model.loss(case.features, case.batches[0])
    assert loss.total.item() == pytest.approx(case.summary["loss"], rel=1e-6)
    assert sum(loss.terms.values()).item() == pytest.approx(loss.total.item(), rel=1e-6)
    loss.total.backward()
    published = case.group("grad")
    for name, parameter in case.model.named_parameters():
        expected = published.pop(name)
        torch.testing.assert_close(parameter.grad, expected, rtol=1e-5, atol=GRADIENT_TOLERANCE)
        largest = float(expected.abs().max())
        if largest > ROUNDING:  # some gradients are smaller in all than the tolerance
            torch.testing.assert_close(parameter.grad, expected, rtol=0, atol=case.golden.relative * largest)
    assert not published, "published gradients without a parameter of ours"


def test_scores(case: Case) -> None:
    users, items = case.model.represent(case.features)
    scores = case.golden.score(users @ items.T)
    torch.testing.assert_close(scores, torch.from_numpy(case.numbers["scores"]), rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", sorted(set(CASES) - STALE))
def test_metrics_after_four_batches(name: str) -> None:
    """The published metrics, rounded to four decimals, are those of the published parameters after training."""
    case = load(name, CASES[name])
    case.model.load_state_dict(case.group("after_adam"))
    published = json.loads(str(case.numbers["metrics_test_json"]))
    with np.load(GOLDEN / "tiny_data.npz", allow_pickle=False) as archive:
        inter = archive["inter"]
    size = tuple(case.numbers["scores"].shape)
    train, test = (
        csr_array((np.ones(len(rows)), (rows[:, 0], rows[:, 1])), shape=size)
        for rows in (inter[inter[:, 2] == label] for label in (0, 2))
    )
    with torch.no_grad():
        ranking = rank(case.model.represent(case.features), np.arange(size[0]), train, k=5)
    found = per_user_metrics(ranking, test, list(published))
    assert {key: float(values.mean()) for key, values in found.items()} == pytest.approx(published, abs=5.001e-5)


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize(("strategy", "group"), [("vanilla", "after_adam"), ("mirror", "after_mg")])
def test_parameters_after_four_batches(case: Case, strategy: str, group: str, fused: bool) -> None:
    """Batches 0 and 3 are mirrored, with alpha1 = 1, alpha2 = .1."""
    optimizer = torch.optim.Adam(
        case.model.parameters(), lr=case.summary["lr"], weight_decay=case.summary["wd"], fused=fused
    )
    smallest = _watch_gradients(case.model, optimizer, case.summary["wd"])
    config = StrategyConfig(name=strategy, alpha1=1.0, alpha2=0.1, beta=3)
    total = _train(case, Strategy(config, optimizer))

    assert total == pytest.approx(case.summary["total_adam" if strategy == "vanilla" else "total_mg"], rel=1e-6)
    published = case.group(group)
    exempt = 0
    for name, parameter in case.model.named_parameters():
        off = (parameter.detach() - published[name]).abs() > 1e-5
        if name not in case.golden.zero_gradient:
            assert not (off & (smallest[name] >= GRADIENT_TOLERANCE)).any(), name
            exempt += int(off.sum())
    assert exempt <= case.golden.exempt


def _watch_gradients(model: torch.nn.Module, optimizer: torch.optim.Optimizer, decay: float) -> dict[str, Tensor]:
    """Return, filled in while training, each entry's smallest size of what Adam is given."""
    smallest = {name: torch.full_like(p, float("inf")) for name, p in model.named_parameters()}

    def watch(*_: Any) -> None:
        for name, parameter in model.named_parameters():
            if parameter.grad is not None:
                given = (parameter.grad + decay * parameter).detach().abs()
                smallest[name] = smallest[name].minimum(given)

    optimizer.register_step_pre_hook(watch)
    return smallest


def _train(case: Case, strategy: Strategy) -> float:
    return sum(
        strategy.step(lambda batch=batch: case.model.loss(case.features, batch).total).item() for batch in case.batches
    )
