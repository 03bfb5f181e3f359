"""SLMRec's losses with features propagated once per training: the same numbers, and only for those features."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from robustrec.models import propagated_features
from robustrec.models.configs import SLMRecConfig
from robustrec.models.contract import Batch, Problem
from robustrec.models.propagated_features import row_scales
from robustrec.models.slmrec import SLMRec
from robustrec.seeds import torch_generator
from robustrec.training import content, trainer
from robustrec.training.config import TrainingConfig
from robustrec.training.sampling import positives_of
from robustrec.training.strategy_config import StrategyConfig

USERS, ITEMS, WIDTHS = 30, 40, {"image": 12, "text": 7}


def _model(layers: int = 3) -> SLMRec:
    generator = torch_generator(0, "edges")
    edges = torch.unique(
        torch.stack([torch.arange(90) % USERS, torch.randint(ITEMS, (90,), generator=generator)]), dim=1
    )
    config = SLMRecConfig(latent_width=6, layers=layers)
    return SLMRec(Problem(USERS, ITEMS, edges, WIDTHS), config, torch_generator(0, "model"))


def _features(seed: int = 1, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    generator = torch_generator(seed, "features")
    return {m: torch.randn(ITEMS, width, generator=generator).to(dtype) for m, width in WIDTHS.items()}


def _batch() -> Batch:
    return Batch(torch.tensor([3, 3, 0, 7, 21]), torch.tensor([1, 39, 1, 4, 8]), torch.tensor([0, 2, 5, 6, 7]))


def _loss_and_gradients(model: SLMRec, features: dict[str, Tensor], batch: Batch) -> list[Tensor]:
    loss = model.loss(features, batch).total
    return [loss, *torch.autograd.grad(loss, list(model.parameters()))]


@pytest.mark.parametrize("layers", [0, 1, 2, 3])
def test_loss_and_gradients_are_the_same(layers: int) -> None:
    model, features = _model(layers).double(), _features(dtype=torch.float64)
    features["image"][4] = 0.0  # a row of norm 0
    constants = model.training_constants(features, 5)
    assert set(constants.propagated) == set(WIDTHS)
    plain = _loss_and_gradients(model, features, _batch())
    known = _loss_and_gradients(model, features, _batch()._replace(constants=constants))
    for expected, found in zip(plain, known, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)


def test_only_rows_of_the_batch_are_projected(monkeypatch: pytest.MonkeyPatch) -> None:
    model, features = _model(), _features()
    batch = _batch()._replace(constants=model.training_constants(features, 5))
    rows: list[int] = []
    plain = propagated_features.times_transposed
    monkeypatch.setattr(propagated_features, "times_transposed", lambda a, b: (rows.append(a.shape[0]), plain(a, b))[1])
    monkeypatch.setattr(SLMRec, "_propagate", lambda *_: pytest.fail("the whole catalogue was projected"))
    model.loss(features, batch)
    assert rows == [4, 4, 4, 4]  # of each modality, the distinct users and items


def test_other_features_are_never_replaced_by_the_constants() -> None:
    model = _model()
    batch = _batch()._replace(constants=model.training_constants(_features(), 5))
    other = _features(seed=2)
    assert torch.equal(model.loss(other, batch).total, model.loss(other, _batch()).total)
    edited = {m: table.clone() for m, table in _features().items()}
    assert torch.equal(model.loss(edited, batch).total, model.loss(edited, _batch()).total)


def test_features_changed_in_place_are_noticed() -> None:
    model, features = _model(), _features()
    batch = _batch()._replace(constants=model.training_constants(features, 5))
    features["text"].mul_(-1.0)
    assert torch.equal(model.loss(features, batch).total, model.loss(features, _batch()).total)


def test_gradients_reach_features_that_require_them() -> None:
    model, features = _model(), _features()
    batch = _batch()._replace(constants=model.training_constants(features, 5))
    features["image"].requires_grad_()
    model.loss(features, batch).total.backward()  # type: ignore[no-untyped-call]
    assert features["image"].grad is not None
    assert float(features["image"].grad.abs().max()) > 0


@pytest.mark.parametrize(("batch_size", "most"), [(20, 2**31), (5, 4 * (USERS + ITEMS) * 19 - 1)])
def test_nothing_is_propagated_where_it_is_too_large_or_not_worth_it(
    batch_size: int, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(propagated_features, "LARGEST_ON_CPU", most)
    model, features = _model(), _features()
    constants = model.training_constants(features, batch_size)
    assert not constants.propagated
    with_scales = _loss_and_gradients(model, features, _batch()._replace(constants=constants))
    for expected, found in zip(_loss_and_gradients(model, features, _batch()), with_scales, strict=True):
        assert torch.equal(found, expected)


def test_scales_in_parts_are_those_of_the_whole() -> None:
    x = torch.randn(700, 130, generator=torch_generator(0, "x"))
    whole = x.clone().requires_grad_()
    assert torch.equal(row_scales(x), row_scales(whole).detach())


def test_a_training_computes_them_once_and_gives_them_to_every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    model, features = _model(), _features()
    made: list[Any] = []
    plain = content.training_constants
    monkeypatch.setattr(content, "training_constants", lambda *given: (made.append(plain(*given)), made[-1])[1])
    seen: list[Any] = []
    loss = model.loss
    monkeypatch.setattr(model, "loss", lambda tables, batch: (seen.append(batch.constants), loss(tables, batch))[1])
    matrix = model.graph.matrix()
    edges = torch.stack([matrix.pattern.rows(), matrix.pattern.columns.long()])
    trainer.train(
        model,
        features,
        positives_of(edges, ITEMS, torch.device("cpu")),
        lambda: 0.1,
        config=TrainingConfig(batch_size=8, max_epochs=2),
        strategy_config=StrategyConfig(name="sgbd"),
        seed=0,
    )
    assert len(made) == 1
    assert made[0].propagated
    assert len(seen) > 20
    assert all(each is made[0] for each in seen)
