"""Random treatments of the features: what is drawn, in which memory, constants, resuming and replayed passes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from test_trainer import QUICK, _killed_in, _run
from torch import Tensor

from robustrec.errors import RobustrecError
from robustrec.models.contract import Batch
from robustrec.runs.specs import SubjectSpec, check_modalities
from robustrec.seeds import torch_generator
from robustrec.training.config import TrainingConfig
from robustrec.training.content import Content, Treatment
from robustrec.training.strategy_config import StrategyConfig
from robustrec.training.trainer import Checkpointing
from robustrec.training.treatments import ModalityDropout, NoiseAugmentation, treatments_of


def tables(n: int = 400) -> dict[str, Tensor]:
    """Return two tables whose rows have very different norms."""
    generator = torch_generator(5, "features")
    scale = torch.logspace(-2, 2, n)[:, None]
    return {m: scale * torch.randn(n, width, generator=generator) for m, width in (("image", 64), ("text", 32))}


def test_noise_has_a_share_of_the_norm_of_each_row() -> None:
    features = tables()
    treatment = NoiseAugmentation(StrategyConfig(name="noise-aug", noise_sigma=0.2), features, seed=1)
    found = treatment.of_epoch(features, 0)
    for modality, table in features.items():
        shares = (found[modality] - table).norm(dim=1) / table.norm(dim=1)
        assert shares.mean().item() == pytest.approx(0.2, rel=0.03)
        assert shares.max() < 0.35
    assert treatment.of_step(found, 3) is found


@pytest.mark.parametrize("redraw", ["epoch", "step"])
@pytest.mark.parametrize("kind", [NoiseAugmentation, ModalityDropout])
def test_draws_are_a_function_of_the_number_and_stay_in_their_memory(kind: Any, redraw: str) -> None:
    features = tables(40)
    before = {modality: table.clone() for modality, table in features.items()}
    treatment = kind(StrategyConfig(name=kind.name, redraw=redraw), features, seed=1)
    draw = treatment.of_epoch if redraw == "epoch" else treatment.of_step
    other = treatment.of_step if redraw == "epoch" else treatment.of_epoch
    assert other(features, 7) is features
    draws = []
    for number in (4, 5, 4):
        found = draw(features, number)
        draws.append({modality: (table.data_ptr(), table.clone()) for modality, table in found.items()})
    for modality in features:
        assert torch.equal(draws[0][modality][1], draws[2][modality][1])
        assert not torch.equal(draws[0][modality][1], draws[1][modality][1])
        assert len({draw[modality][0] for draw in draws}) == 1, "replayed passes read the features where they were"
        assert torch.equal(features[modality], before[modality])
    seeds = [kind(StrategyConfig(name=kind.name, redraw=redraw), features, seed) for seed in (1, 2)]
    one, two = ((each.of_epoch if redraw == "epoch" else each.of_step)(features, 0) for each in seeds)
    assert not torch.equal(one["image"], two["image"])


@pytest.mark.parametrize("of", ["rows", "modality"])
def test_an_item_loses_at_most_one_modality_with_the_given_probability(of: str) -> None:
    features = tables()
    config = StrategyConfig(name="modality-dropout", dropout_rate=0.3, dropout_of=of)
    treatment, lost = ModalityDropout(config, features, seed=1), []
    for epoch in range(400 if of == "modality" else 5):
        found = treatment.of_epoch(features, epoch)
        gone = {m: (found[m] == table.double().mean(0).float()).all(dim=1) for m, table in features.items()}
        kept = {m: (found[m] == table).all(dim=1) for m, table in features.items()}
        assert all((gone[m] | kept[m]).all() for m in features)
        assert not (gone["image"] & gone["text"]).any()
        if of == "modality":
            assert all(bool(gone[m].all()) or not bool(gone[m].any()) for m in features)
        lost.append([gone[m].double().mean().item() for m in features])
    image, text = torch.tensor(lost).mean(dim=0).tolist()
    assert image == pytest.approx(0.15, abs=0.05)
    assert text == pytest.approx(0.15, abs=0.05)


def test_modality_dropout_needs_two_modalities() -> None:
    with pytest.raises(RobustrecError, match="needs two modalities, but the model reads text"):
        ModalityDropout(StrategyConfig(name="modality-dropout"), {"text": tables(4)["text"]}, seed=0)


class Shifted(Treatment):
    """Adds 1 to all features, in each step."""

    changes_features = True

    def of_step(self, features: Any, step: int, /) -> Any:
        return {modality: table + 1 for modality, table in features.items()}


class Seen:
    """A model that keeps what it is asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, Any]] = []

    def loss(self, features: Any, batch: Batch) -> Any:
        from robustrec.models.contract import Loss

        self.asked.append((features["text"], batch.constants))
        return Loss(features["text"].sum(), {})


def test_constants_of_clean_features_are_not_passed_on_with_changed_ones() -> None:
    batch = Batch(*(torch.zeros(1, dtype=torch.int64) for _ in range(3)), constants="of the clean features")
    model, features = Seen(), {"text": torch.zeros(2, 2)}
    for treatments, constants, total in (((), "of the clean features", 0.0), ((Shifted(), Shifted()), None, 8.0)):
        content = Content(model, features, None, treatments)  # type: ignore[arg-type]
        content.start_epoch(0)
        content.start_step(0)
        assert content.loss(batch).item() == total
        assert model.asked[-1][1] == constants


def test_treatments_act_in_one_order_and_those_without_strength_are_left_out() -> None:
    config = StrategyConfig(name="amr+modality-dropout+noise-aug", noise_sigma=0.0)
    found = treatments_of(config, Seen(), tables(4), None, seed=1)  # type: ignore[arg-type]
    assert [type(each).__name__ for each in found] == ["ModalityDropout", "Adversarial"]


COMPOSED = [
    ("amr", {"amr_epsilon": 0.2}),
    ("sgbd+amr", {"amr_direction": "random", "amr_epsilon": 0.2}),
    ("noise-aug", {"redraw": "step", "noise_sigma": 0.5}),
    ("sam+noise-aug+modality-dropout+amr+ema", {"amr_steps": 2}),
]


@pytest.mark.parametrize(("strategy", "settings"), COMPOSED)
def test_a_killed_training_resumes_with_the_same_content(
    tiny: Any, tmp_path: Path, strategy: str, settings: Any
) -> None:
    whole, outcome, _ = _run(tiny, strategy=strategy, **settings)
    plain, _, _ = _run(tiny)
    assert not torch.equal(whole.projection.weight, plain.projection.weight)
    kept = Checkpointing(tmp_path / "state.checkpoint", "key", seconds=0.0)
    for epoch in (2, 5):
        _killed_in(tiny, kept, epoch, strategy=strategy, **settings)
    resumed, again, _ = _run(tiny, strategy=strategy, checkpointing=kept, **settings)
    assert again.resumed
    assert again.counters.losses == outcome.counters.losses
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name


@pytest.mark.parametrize("model", ["slmrec", "dragon"])
@pytest.mark.parametrize("strategy", ["sgbd+amr", "noise-aug+modality-dropout"])
def test_models_with_constants_and_item_graphs_train_on_treated_content(tiny, model: str, strategy: str) -> None:
    _, outcome, _ = _run(tiny, model=model, strategy=strategy)
    untreated = strategy.split("+", maxsplit=1)[0] if "sgbd" in strategy else "vanilla"
    first = QUICK.model_copy(update={"max_epochs": 1})
    _, plain, _ = _run(tiny, model=model, strategy=untreated, config=first)
    assert outcome.counters.losses[-1] < outcome.counters.losses[0]
    assert outcome.counters.losses[0] != plain.counters.losses[0]


def test_modality_dropout_of_one_modality_is_refused_before_any_training() -> None:
    vanilla = SubjectSpec("vbpr", {}, TrainingConfig(), StrategyConfig(), seed=0)
    dropping = replace(vanilla, strategy=StrategyConfig(name="sam+modality-dropout"))
    check_modalities([vanilla, dropping], ["text", "image"])
    with pytest.raises(RobustrecError, match="vbpr reads text"):
        check_modalities([vanilla, dropping], ["text"])
