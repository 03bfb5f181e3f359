"""Numbers of the published implementations on a tiny data set (tests/golden)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor

from robustrec.models import model_class
from robustrec.models.contract import Batch, Problem, Recommender
from robustrec.training.strategies import Strategy
from robustrec.training.strategy_config import StrategyConfig

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
SUMMARY = json.loads((GOLDEN / "summary.json").read_text())

CASES = {
    "BPR": ("bpr", {"reg_weight": 0.1}),
    "LightGCN": ("lightgcn", {"layers": 3, "reg_weight": 0.01}),
    "VBPR": ("vbpr", {"reg_weight": 0.1}),
    "SLMRec": ("slmrec", {"layers": 3, "temperature": 0.2, "ssl_temp": 0.5, "ssl_alpha": 0.1}),
}
# Their names of tensors -> ours; a suffix such as .weight stays.
NAMES = {
    "E_u": "users",
    "E_i": "items",
    "proj_vt": "projection",
    "proj_v": "projections.image",
    "proj_t": "projections.text",
    "fuse_user": "fuse_users",
    "fuse_item": "fuse_items",
    "ssl1_id": "heads.id",
    "ssl1_v": "heads.image",
    "ssl2_mid": "heads.middle",
    "ssl3_id": "heads.id_to_text",
    "ssl3_t": "heads.text",
}
# A softmax over items does not see a bias that shifts all of them: the true gradient is zero, and Adam makes
# steps of full length out of its rounding noise (spec section 8).
ZERO_GRADIENT = {"heads.image.bias", "heads.text.bias"}
# Gradients are compared to this absolute tolerance. Adam divides by their size, so an entry whose gradient plus weight
# decay is smaller than that at some step has no settled direction there.
GRADIENT_TOLERANCE = 1e-6


class Case(NamedTuple):
    """A model at the published parameters, its inputs, and the published numbers."""

    model: Any
    features: dict[str, Tensor]
    batches: list[Batch]
    numbers: dict[str, Any]
    summary: dict[str, Any]

    def group(self, name: str) -> dict[str, Tensor]:
        return {
            _ours(key.removeprefix(f"{name}/")): torch.from_numpy(value)
            for key, value in self.numbers.items()
            if key.startswith(f"{name}/") and "unused" not in key
        }


def _ours(name: str) -> str:
    stem, dot, suffix = name.partition(".")
    return NAMES[stem] + dot + suffix


def load(name: str) -> Case:
    with np.load(GOLDEN / "tiny_data.npz", allow_pickle=False) as archive:
        tiny = dict(archive)
    with np.load(GOLDEN / f"{name}.npz", allow_pickle=False) as archive:
        numbers = dict(archive)
    inter = torch.from_numpy(tiny["inter"])
    features = {m: torch.from_numpy(tiny[f"{m}_feat"]) for m in ("image", "text")}
    problem = Problem(
        n_users=int(inter[:, 0].max()) + 1,
        n_items=int(inter[:, 1].max()) + 1,
        edges=inter[inter[:, 2] == 0, :2].T.contiguous(),
        feature_widths={m: table.shape[1] for m, table in features.items()},
    )
    ours, settings = CASES[name]
    kind = model_class(ours)
    model = kind(problem, kind.Config(**settings), torch.Generator().manual_seed(0))
    case = Case(model, features, [Batch(*rows) for rows in torch.from_numpy(tiny["batches"])], numbers, SUMMARY[name])
    model.load_state_dict(case.group("param"), strict=True)
    return case


@pytest.fixture(params=list(CASES))
def case(request: pytest.FixtureRequest) -> Case:
    return load(request.param)


def test_loss_and_gradients(case: Case) -> None:
    loss = case.model.loss(case.features, case.batches[0])
    assert loss.total.item() == pytest.approx(case.summary["loss"], rel=1e-6)
    assert sum(loss.terms.values()).item() == pytest.approx(loss.total.item(), rel=1e-6)
    loss.total.backward()
    published = case.group("grad")
    for name, parameter in case.model.named_parameters():
        torch.testing.assert_close(parameter.grad, published.pop(name), rtol=1e-5, atol=GRADIENT_TOLERANCE)
    assert not published, "published gradients without a parameter of ours"


def test_scores(case: Case) -> None:
    users, items = case.model.represent(case.features)
    scores = users @ items.T
    if type(case.model).__name__ == "SLMRec":
        scores = torch.sigmoid(scores)
    torch.testing.assert_close(scores, torch.from_numpy(case.numbers["scores"]), rtol=0, atol=1e-5)


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize(("strategy", "group"), [("vanilla", "after_adam"), ("mirror", "after_mg")])
def test_parameters_after_four_batches(case: Case, strategy: str, group: str, fused: bool) -> None:
    """Batches 0 and 3 are mirrored, with alpha1 = 1, alpha2 = .1."""
    optimizer = torch.optim.Adam(
        case.model.parameters(), lr=case.summary["lr"], weight_decay=case.summary["wd"], fused=fused
    )
    smallest = _watch_gradients(case.model, optimizer, case.summary["wd"])
    config = StrategyConfig(name=strategy, alpha1=1.0, alpha2=0.1, beta=3)
    total = _train(case.model, case, Strategy(config, optimizer))

    assert total == pytest.approx(case.summary["total_adam" if strategy == "vanilla" else "total_mg"], rel=1e-6)
    published = case.group(group)
    exempt = 0
    for name, parameter in case.model.named_parameters():
        off = (parameter.detach() - published[name]).abs() > 1e-5
        if name not in ZERO_GRADIENT:
            assert not (off & (smallest[name] >= GRADIENT_TOLERANCE)).any(), name
            exempt += int(off.sum())
    assert exempt <= 3, "one entry of SLMRec is known, where the weight decay cancels the gradient"


def _watch_gradients(model: torch.nn.Module, optimizer: torch.optim.Optimizer, decay: float) -> dict[str, Tensor]:
    """Return, filled in while training, each entry's smallest size of what Adam is given."""
    smallest = {name: torch.full_like(p, float("inf")) for name, p in model.named_parameters()}

    def watch(*_: Any) -> None:
        for name, parameter in model.named_parameters():
            given = (parameter.grad + decay * parameter).detach().abs()
            smallest[name] = smallest[name].minimum(given)

    optimizer.register_step_pre_hook(watch)
    return smallest


def _train(model: Recommender, case: Case, strategy: Strategy) -> float:
    return sum(
        strategy.step(lambda batch=batch: model.loss(case.features, batch).total).item() for batch in case.batches
    )
