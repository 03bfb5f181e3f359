"""Replayed passes: the same training as without, to the bit."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from robustrec.models import MODELS, modalities_of, model_class
from robustrec.models.contract import Batch, Problem, item_graphs
from robustrec.seeds import torch_generator
from robustrec.training.config import TrainingConfig
from robustrec.training.content import Content
from robustrec.training.replay import Captured, ReplayedPasses, replayed_passes
from robustrec.training.strategies import STRATEGY_NAMES, Strategy
from robustrec.training.strategy_config import StrategyConfig
from robustrec.training.trainer import make_optimizer, run_epoch
from robustrec.training.treatments import treatments_of

N_USERS, N_ITEMS, SIZE = 30, 20, 16
STATIC = [name for name in MODELS if vars(model_class(name)).get("static_passes")]
GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")


class FakeGraph:
    """Computes the passes anew and writes what they give into the memory of the capture, as a CUDA graph would."""

    def __init__(self, passes: Callable[[], None], parameters: list[Tensor]) -> None:
        passes()
        self.passes, self.parameters = passes, parameters
        self.gradients = [parameter.grad for parameter in parameters]
        self.at = [parameter.data_ptr() for parameter in parameters]
        self.replays = 0

    def replay(self) -> None:
        """Compute the passes; parameters that have been moved would not be seen by a CUDA graph."""
        assert [parameter.data_ptr() for parameter in self.parameters] == self.at
        self.passes()
        for parameter, gradient in zip(self.parameters, self.gradients, strict=True):
            assert (parameter.grad is None) == (gradient is None)
            if gradient is not None:
                gradient.copy_(parameter.grad)
        self.replays += 1


def batches(device: str) -> list[Batch]:
    """Return an epoch of two batches, the last one smaller."""
    generator = torch_generator(2, "triples")
    users, items = (
        torch.randint(N_USERS, (28,), generator=generator),
        torch.randint(N_ITEMS, (2, 28), generator=generator),
    )
    whole = [each.to(device) for each in (users, *items)]
    return [Batch(*(each[start : start + SIZE] for each in whole)) for start in range(0, 28, SIZE)]


def trained(name: str, strategy: str, device: str, make: Callable[..., ReplayedPasses | None]) -> dict[str, Tensor]:
    """Return the parameters after three epochs."""
    generator = torch_generator(1, "features")
    tables = {m: torch.randn(N_ITEMS, 12, generator=generator) for m in ("image", "text")}
    edges = torch.stack([torch.arange(N_USERS).repeat(3), torch.arange(3 * N_USERS) * 7 % N_ITEMS])
    cls = model_class(name)
    model = cls(
        Problem(N_USERS, N_ITEMS, edges.unique(dim=1), {m: 12 for m in tables}), cls.Config(), torch_generator(1, "m")
    )
    model = model.to(device)
    features = {m: table.to(device) for m, table in tables.items() if m in model.modalities}
    edited = {m: table + torch.randn(2, *table.shape, generator=generator).to(device) for m, table in features.items()}
    graphs = item_graphs(model, features)
    config = TrainingConfig(learning_rate=0.01, weight_decay=0.01)
    optimizer = make_optimizer(model, config)
    settings = StrategyConfig(name=strategy, beta=2, amr_epsilon=0.3, consistency=0.5)
    steps = Strategy(settings, optimizer, clip_norm=1.0)
    content = Content(model, features, graphs, treatments_of(settings, model, features, graphs, seed=4, edited=edited))
    replayed = make(model, model.module(), content.loss)
    for epoch in range(3):
        content.start_epoch(epoch)
        # An odd number, so that each size of batch has steps with a probe and without.
        run_epoch(content, batches(device), steps, 3 * epoch, replayed=replayed)
    return {key: value.detach().clone() for key, value in model.state_dict().items()}


TREATED = [
    pytest.param(name, strategy, id=f"{name}-{strategy}")
    for name in STATIC
    if modalities_of(name)
    for strategy in ("sgbd+amr", "noise-aug+modality-dropout+ema", "sgbd+edit-aug")
    if (name, strategy) != ("freedom", "sgbd+amr")  # its ranking has no derivative with respect to features
]
PLAIN = [pytest.param(name, strategy, id=f"{name}-{strategy}") for name in STATIC for strategy in STRATEGY_NAMES]


@pytest.mark.parametrize(("name", "strategy"), PLAIN + TREATED)
def test_replayed_training_is_the_same(name: str, strategy: str) -> None:
    """All strategies, in particular those that move the parameters for a probe."""
    made: list[FakeGraph] = []

    def make(_: object, module: nn.Module, loss_of: Callable[[Batch], Tensor]) -> ReplayedPasses:
        parameters = list(module.parameters())

        def capture(passes: Callable[[], None]) -> Captured:
            made.append(FakeGraph(passes, parameters))
            return made[-1]

        return ReplayedPasses(loss_of, parameters, capture)

    plain = trained(name, strategy, "cpu", lambda *_: None)
    found = trained(name, strategy, "cpu", make)
    assert [graph.replays > 0 for graph in made] == [True, True], "one graph for each batch size"
    assert all(torch.equal(found[key], value) for key, value in plain.items())


def test_only_models_that_say_so_are_replayed() -> None:
    """A subclass may draw noise in its loss; a replayed graph would draw the same again and again."""
    assert set(STATIC).isdisjoint({"bm3", "lgmrec", "lattice"})
    bpr = model_class("bpr")
    noisy = type("Noisy", (bpr,), {})
    edges = torch.tensor([[0, 1], [0, 1]])
    for cls in (noisy, bpr):
        model = cls(Problem(2, 2, edges, {}), cls.Config(), torch_generator(1, "m"))
        assert replayed_passes(model, model, lambda batch: batch.users.sum()) is None, "on a CPU nothing is replayed"
    assert not vars(noisy).get("static_passes", False)


@pytest.mark.parametrize(("dropout", "replayed"), [(0.0, True), (0.1, False)])
def test_an_instance_that_draws_noise_is_not_replayed(dropout: float, replayed: bool) -> None:
    smore = model_class("smore")
    problem = Problem(2, 2, torch.tensor([[0, 1], [0, 1]]), {"text": 3})
    model = smore(problem, smore.Config(dropout=dropout), torch_generator(1, "m"))
    on_gpu: Any = SimpleNamespace(parameters=lambda: [SimpleNamespace(requires_grad=True, is_cuda=True)])
    assert (replayed_passes(model, on_gpu, lambda batch: batch.users.sum()) is not None) == replayed


@pytest.mark.gpu
@GPU
@pytest.mark.parametrize(("name", "strategy"), PLAIN + TREATED)
def test_cuda_graphs_train_alike(name: str, strategy: str) -> None:
    """Sums of scattered gradients come in another order on a GPU, so equal up to rounding."""
    plain = trained(name, strategy, "cuda", lambda *_: None)
    found = trained(name, strategy, "cuda", replayed_passes)
    for key, value in plain.items():
        torch.testing.assert_close(found[key], value, rtol=1e-3, atol=1e-4)
