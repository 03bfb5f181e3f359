"""Every strategy with every reading trains every model."""

from __future__ import annotations

import pytest
import torch

from robustrec.models import MODELS, model_class
from robustrec.models.contract import Batch, Problem
from robustrec.training.strategies import STRATEGIES, STRATEGY_NAMES, Strategy, StrategyConfig

N_USERS, N_ITEMS = 30, 20
WIDTHS = {"image": 12, "text": 8}


def test_those_compared_by_default_are_the_first() -> None:
    assert tuple(STRATEGIES)[:4] == STRATEGY_NAMES == ("vanilla", "sam", "mirror", "sgbd")


@pytest.mark.parametrize("reading", ["shared", "preconditioned", "sgd"])
@pytest.mark.parametrize("name", STRATEGIES)
@pytest.mark.parametrize("model_name", MODELS)
def test_the_loss_falls(model_name: str, name: str, reading: str) -> None:
    generator = torch.Generator().manual_seed(0)
    edges = (torch.rand(N_USERS, N_ITEMS, generator=generator) < 0.2).nonzero().T.contiguous()
    features = {m: torch.randn(N_ITEMS, width, generator=generator) for m, width in WIDTHS.items()}
    kind = model_class(model_name)
    model = kind(Problem(N_USERS, N_ITEMS, edges, WIDTHS), kind.Config(latent_width=8), generator)
    rate = 0.2 if reading == "sgd" else 1e-2
    optimizer = torch.optim.Adam(model.parameters(), lr=rate)
    strategy = Strategy(StrategyConfig(name=name, reading=reading), optimizer)
    batch = Batch(edges[0], edges[1], torch.randint(N_ITEMS, (edges.shape[1],), generator=generator))

    losses = torch.stack([strategy.step(lambda: model.loss(features, batch).total) for _ in range(10)])

    assert losses.isfinite().all()
    assert losses[-5:].max() < losses[0]
    assert all(parameter.isfinite().all() for parameter in model.parameters())
