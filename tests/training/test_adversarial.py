"""AMR: the published numbers, the direction of the change, its length, and its place in a step."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from robustrec.config import Settings
from robustrec.errors import RobustrecError
from robustrec.models import MODELS, modalities_of, model_class
from robustrec.models.contract import Batch, Features, batch_loss, item_graphs, training_constants
from robustrec.runs.plan import subject_specs
from robustrec.training.adversarial import Adversarial, radius_of, radius_words, ranking_term
from robustrec.training.content import Content
from robustrec.training.strategies import Strategy
from robustrec.training.strategy_config import StrategyConfig

sys.path.insert(0, str(Path(__file__).parents[1] / "models"))
from goldens import MODALITY, Case, Golden, load, tiny_data

GOLDEN = Golden("vbpr", {"reg_weight": 0.1}, {"E_u": "users", "E_i": "items", "proj_vt": "projection"})
ENCODING = [name for name in MODELS if modalities_of(name) and name not in ("freedom", "bm3", "da-mrs")]


@pytest.fixture
def golden() -> Case:
    return load("AMR", GOLDEN)


def amr(model: Any, features: Features, *, name: str = "amr", graphs: Any = None, **settings: Any) -> Content:
    """Return the content of a training with amr."""
    config = StrategyConfig(name=name, **settings)
    return Content(model, features, graphs, [Adversarial(config, model, features, graphs, seed=1)])


def published(case: Case, **settings: Any) -> Content:
    """Return the content of a training with the published settings; ε is absolute there."""
    hp = case.summary["hp"]
    return amr(
        case.model,
        case.features,
        amr_epsilon=hp["epsilon"],
        amr_unit="absolute",
        amr_weight=hp["adv_weight"],
        **settings,
    )


def test_the_change_of_the_features_is_the_published_one(golden: Case) -> None:
    (treatment,) = published(golden).treatments
    found = treatment.change(golden.features, golden.batches[0])
    for letter, modality in MODALITY.items():
        expected = torch.from_numpy(golden.numbers[f"delta_{letter}"])
        torch.testing.assert_close(found[modality], expected, rtol=0, atol=1e-6)
        assert not found[modality].requires_grad


def test_loss_and_gradients_are_the_published_ones(golden: Case) -> None:
    loss = published(golden).loss(golden.batches[0])
    assert loss.item() == pytest.approx(golden.summary["loss"], rel=1e-6)
    loss.backward()
    expected = golden.group("grad")
    for name, parameter in golden.model.named_parameters():
        torch.testing.assert_close(parameter.grad, expected.pop(name), rtol=1e-5, atol=1e-6)
    assert not expected


@pytest.mark.parametrize(("name", "group", "total"), [("amr", "adam", "total_adam"), ("mirror+amr", "mg", "total_mg")])
def test_parameters_after_four_batches_are_the_published_ones(golden: Case, name: str, group: str, total: str) -> None:
    """With mirror, the change is computed again at each evaluation of the loss."""
    content = published(golden)
    optimizer = torch.optim.Adam(golden.model.parameters(), lr=golden.summary["lr"])
    strategy = Strategy(StrategyConfig(name=name, alpha1=1.0, alpha2=0.1, beta=3), optimizer)
    losses = [strategy.step(lambda batch=batch: content.loss(batch)).item() for batch in golden.batches]
    assert sum(losses) == pytest.approx(golden.summary[total], rel=1e-6)
    for name_, expected in golden.group(f"after_{group}").items():
        torch.testing.assert_close(golden.model.state_dict()[name_], expected, rtol=0, atol=1e-5)


def built(name: str) -> tuple[Any, dict[str, Tensor], Batch, Any]:
    """Return a model on the tiny problem with its features, a batch and its graphs."""
    problem, features, batches = tiny_data()
    cls = model_class(name)
    model = cls(problem, cls.Config(), torch.Generator().manual_seed(3)).eval()
    read = {modality: features[modality] for modality in model.modalities}
    return model, read, batches[0], item_graphs(model, read)


@pytest.mark.parametrize("name", ENCODING)
def test_the_loss_is_larger_where_the_features_move_and_smaller_at_the_wrong_sign(name: str) -> None:
    model, features, batch, graphs = built(name)
    (treatment,) = amr(model, features, graphs=graphs, amr_epsilon=0.01).treatments
    delta = treatment.change(features, batch)
    assert delta

    def loss(sign: int) -> float:
        moved = {modality: table + sign * delta.get(modality, 0.0) for modality, table in features.items()}
        return ranking_term(batch_loss(model, moved, batch, graphs)).item()

    assert loss(-1) < loss(0) < loss(1)


@pytest.mark.parametrize("name", ENCODING)
def test_the_term_is_that_of_the_changed_features_held_constant(name: str) -> None:
    """The gradient in the parameters is that of the loss on fixed tables: none flows through the change."""
    model, features, batch, graphs = built(name)
    content = amr(model, features, graphs=graphs, amr_weight=0.7, amr_epsilon=0.1)
    (treatment,) = content.treatments
    fixed = {**features, **{m: features[m] + d for m, d in treatment.change(features, batch).items()}}
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    expected = batch_loss(model, features, batch, graphs).total + 0.7 * ranking_term(
        batch_loss(model, fixed, batch, graphs)
    )
    known = batch._replace(constants=training_constants(model, features, 0))
    found = content.loss(known)
    assert found.item() == pytest.approx(expected.item(), rel=1e-6)
    pairs = zip(*(torch.autograd.grad(each, parameters, allow_unused=True) for each in (found, expected)), strict=True)
    for ours, theirs in pairs:
        if theirs is not None:
            torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)


def test_pgd_stays_within_the_radius_and_raises_the_loss_no_less_than_one_step() -> None:
    model, features, batch, graphs = built("grcn")
    losses = {}
    for steps in (1, 10):
        (treatment,) = amr(model, features, amr_epsilon=0.5, amr_steps=steps).treatments
        delta = treatment.change(features, batch)
        for modality, change in delta.items():
            norms = change.norm(dim=1)
            assert norms.max() <= treatment.radii[modality].length * (1 + 1e-5)
        moved = {modality: table + delta[modality] for modality, table in features.items()}
        losses[steps] = ranking_term(batch_loss(model, moved, batch, graphs)).item()
    assert losses[10] >= losses[1]


def test_a_random_direction_has_the_same_length_and_is_drawn_once_a_step() -> None:
    model, features, batch, _ = built("vbpr")
    content = amr(model, features, amr_direction="random")
    (treatment,) = content.treatments
    draws = []
    for step in (0, 1, 0):
        content.start_step(step)
        first, again = treatment.change(features, batch), treatment.change(features, batch)
        draws.append({modality: change.clone() for modality, change in first.items()})
        for modality, change in first.items():
            assert torch.equal(change, again[modality]), "all evaluations of a step see the same direction"
            lengths = change.norm(dim=1)
            torch.testing.assert_close(lengths, torch.full_like(lengths, treatment.radii[modality].length))
    assert all(torch.equal(draws[0][m], draws[2][m]) for m in features), "a step that is repeated draws the same"
    assert not any(torch.equal(draws[0][m], draws[1][m]) for m in features)


def test_the_radius_in_its_three_units() -> None:
    table = torch.tensor([[3.0, 4.0], [3.0, -4.0]])  # norms 5, spread 4
    for unit, length in (("norm", 0.5), ("spread", 0.4), ("absolute", 0.1)):
        found = radius_of(table, StrategyConfig(name="amr", amr_epsilon=0.1, amr_unit=unit))
        assert found == pytest.approx((length, length / 5, length / 4))


def test_a_report_says_the_radius_in_all_units() -> None:
    table = torch.tensor([[3.0, 4.0], [3.0, -4.0]])
    words = radius_words({"text": table}, StrategyConfig(name="amr", amr_epsilon=0.1))
    assert words == "text 0.5 (10.0% of the mean row norm, 12.5% of the spread)"


@pytest.mark.parametrize(
    ("settings", "per_step"),
    [
        ({"name": "amr"}, 3),
        ({"name": "amr", "amr_steps": 5}, 7),
        ({"name": "amr", "amr_direction": "random"}, 2),
        ({"name": "sam+amr"}, 6),
        ({"name": "sgbd+amr"}, 5),
        ({"name": "sgbd+amr+noise-aug+ema"}, 5),
    ],
)
def test_gradient_evaluations_count_those_of_the_features_and_of_the_second_loss(
    settings: dict[str, Any], per_step: float
) -> None:
    config = StrategyConfig(**settings)
    assert config.evaluations_per_step == pytest.approx(per_step)
    model, features, batch, _ = built("vbpr")
    content = Content(model, features, None, [Adversarial(config, model, features, None, seed=1)])
    backward = 0
    engine, plain = torch.autograd.grad, Tensor.backward

    def counted(*args: Any, **options: Any) -> Any:
        nonlocal backward
        backward += 1
        return engine(*args, **options)

    def counted_too(self: Tensor, *args: Any, **options: Any) -> Any:
        nonlocal backward
        backward += 2  # of the clean loss and of that on changed features
        return plain(self, *args, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.autograd, "grad", counted)
        patch.setattr(Tensor, "backward", counted_too)
        strategy = Strategy(config, torch.optim.SGD(model.parameters(), lr=0.1))
        for step in range(6):
            content.start_step(step)
            strategy.step(lambda: content.loss(batch))
    assert backward == pytest.approx(6 * per_step)


@pytest.mark.parametrize(
    ("model", "strategy", "what"),
    [
        ("lightgcn", "sgbd+amr", "lightgcn reads no item features, so amr can change nothing"),
        ("bpr", "noise-aug", "bpr reads no item features, so noise-aug can change nothing"),
        ("freedom", "amr", "has no gradient, so amr does not apply to it"),
        ("da-mrs", "amr", "da-mrs reads item features through item graphs only"),
        ("da-mrs", "sgbd+edit-aug", "so edit-aug can change nothing"),
        ("da-mrs", "noise-aug", "so noise-aug can change nothing"),
        ("bm3", "amr", "its scores do not depend on them, so amr does not apply to it"),
    ],
)
def test_models_without_differentiable_features_are_refused_before_any_work(
    model: str, strategy: str, what: str
) -> None:
    with pytest.raises(RobustrecError, match=what) as caught:
        subject_specs(Settings(model=(model,), strategy=("vanilla", strategy)), "sample")
    assert "--strategy" in caught.value.fix


def test_a_model_that_features_reach_through_graphs_alone_is_refused_in_training() -> None:
    model, features, batch, graphs = built("freedom")
    with pytest.raises(RobustrecError, match="no gradient in the item features"):
        amr(model, features, graphs=graphs).loss(batch)
