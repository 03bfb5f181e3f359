"""What holds for an epoch or a step: step sizes, what a model draws, its noise, and which parameters a probe moves."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from robustrec.models.contract import Batch, item_graphs
from robustrec.runs.specs import SubjectSpec
from robustrec.runs.subjects import validation_metric
from robustrec.runs.trained import build_model
from robustrec.training.config import TrainingConfig
from robustrec.training.content import Content
from robustrec.training.strategies import FEATURE_TABLES, Strategy
from robustrec.training.strategy_config import StrategyConfig
from robustrec.training.trainer import Checkpointing, make_optimizer, run_epoch, train

QUICK = TrainingConfig(learning_rate=0.01, batch_size=64, max_epochs=5, patience=4)


class _Killed(Exception):
    pass


def _train(prepared: Any, model: str, *, config: TrainingConfig = QUICK, seed: int = 3, **options: Any) -> Any:
    spec = SubjectSpec(model, {}, config, StrategyConfig(name="sgbd"), seed=seed)
    built = build_model(spec, prepared)
    graphs = item_graphs(built, prepared.tables)
    validate = validation_metric(built, prepared.tables, prepared, config.validation_metric, graphs)
    outcome = train(
        built,
        prepared.tables,
        prepared.positives,
        validate,
        config=config,
        strategy_config=spec.strategy,
        seed=seed,
        graphs=graphs,
        **options,
    )
    return built, outcome


@pytest.mark.parametrize("model", ["freedom", "bm3", "lattice"])
def test_a_killed_training_draws_the_same_again(tiny: Any, tmp_path: Any, model: str) -> None:
    """Pruned graphs, dropout and graphs of an epoch's start follow from the seed and the step, not from a state."""
    whole, outcome = _train(tiny, model)
    kept = Checkpointing(tmp_path / "state.safetensors", "key", seconds=0.0)

    def kill(stage: str, done: int, total: int, note: str = "") -> None:
        if done == 2:
            raise _Killed

    with pytest.raises(_Killed):
        _train(tiny, model, checkpointing=kept, progress=kill)
    resumed, again = _train(tiny, model, checkpointing=kept)
    assert again.counters.starts == 2
    assert again.counters.losses == outcome.counters.losses
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name


def test_the_step_size_shrinks_by_the_decay_from_epoch_to_epoch(tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[float] = []

    def look(self: Strategy) -> None:
        seen.append(self.optimizer.param_groups[0]["lr"])
        start(self)

    start = Strategy.start_epoch
    # The step size of epoch e is set after the strategy is told, so what it sees is that of the epoch before.
    monkeypatch.setattr(Strategy, "start_epoch", look)
    config = QUICK.model_copy(update={"decay_rate": 0.5, "decay_epochs": 2.0, "max_epochs": 4})
    _train(tiny, "bpr", config=config)
    assert seen == pytest.approx([0.01, 0.01, 0.01 * 0.5**0.5, 0.01 * 0.5])


def test_passes_of_one_step_share_their_noise_and_steps_do_not(tiny: Any) -> None:
    built = build_model(SubjectSpec("bm3", {"dropout": 0.5}, QUICK, StrategyConfig(), seed=0), tiny)
    drawn: list[tuple[int, torch.Tensor]] = []
    loss = built.loss

    def watched(features: Any, batch: Any, *rest: Any) -> Any:
        drawn.append((batch.step, torch.rand(3, generator=batch.noise("any"))))
        return loss(features, batch, *rest)

    built.loss = watched  # type: ignore[method-assign]
    triples = [tiny.positives.users[:8], tiny.positives.items[:8], tiny.positives.items[8:16]]
    batches = [Batch(*triples), Batch(*triples)]
    strategy = Strategy(StrategyConfig(name="sgbd", beta=1), make_optimizer(built.module(), QUICK))
    run_epoch(Content(built, tiny.tables, None), batches, strategy, 0, seed=1)
    first = [values for step, values in drawn if step == 0]
    second = [values for step, values in drawn if step == 1]
    assert len(first) >= 3
    assert all(torch.equal(values, first[0]) for values in first)
    assert not torch.equal(first[0], second[0])


@pytest.mark.parametrize("probe_features", [True, False])
def test_the_ascent_step_can_leave_fine_tuned_features_unchanged(tiny: Any, probe_features: bool) -> None:
    built = build_model(SubjectSpec("bm3", {}, QUICK, StrategyConfig(), seed=0), tiny)
    optimizer = make_optimizer(built.module(), QUICK)
    groups = [group for group in optimizer.param_groups if group.get(FEATURE_TABLES)]
    assert [id(p) for group in groups for p in group["params"]] == [id(p) for p in built.deltas.values()]
    seen: list[dict[str, torch.Tensor]] = []

    def closure() -> torch.Tensor:
        seen.append({name: p.detach().clone() for name, p in built.named_parameters()})
        batch = Batch(tiny.positives.users[:16], tiny.positives.items[:16], tiny.positives.items[16:32])
        return built.loss(tiny.tables, batch).total

    config = StrategyConfig(name="sam", rho=0.1, probe_features=probe_features)
    Strategy(config, optimizer).step(closure)
    moved = {name for name in seen[0] if not torch.equal(seen[0][name], seen[1][name])}
    tables = {name for name in moved if name.startswith("deltas.")}
    assert bool(tables) == probe_features
    assert moved - tables
    distance = sum(float((seen[1][name] - seen[0][name]).double().square().sum()) for name in seen[0]) ** 0.5
    assert distance == pytest.approx(0.1, rel=1e-4), "the radius is that of what is moved"
