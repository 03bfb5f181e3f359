"""Names, defaults, and what a model does without one of its modalities."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from pydantic import ValidationError

from robustrec.errors import RobustrecError
from robustrec.models import (
    MODELS,
    _defaults,
    model_class,
    training_defaults,
)
from robustrec.models.contract import Batch, Problem
from robustrec.plugins import distinct_names
from robustrec.training.config import TrainingConfig

EDGES = torch.tensor([[0, 1, 2, 3, 0], [0, 1, 2, 3, 2]])


def problem(**widths: int) -> Problem:
    return Problem(4, 5, EDGES, widths)


@pytest.mark.parametrize("edition", ["full", "sample"])
@pytest.mark.parametrize("name", MODELS)
def test_defaults_are_valid_and_complete(name: str, edition: str) -> None:
    settings = training_defaults(name, edition)
    training = {key: settings.pop(key) for key in list(settings) if key in TrainingConfig.model_fields}
    assert set(training) >= {"learning_rate", "weight_decay", "batch_size"}
    assert TrainingConfig(**training)
    model = settings
    config = model_class(name).Config(**model)
    fields = set(type(config).model_fields) - {"modality_weights"}  # of the modalities of a data set, by name
    assert set(model) == fields, "defaults.toml states every field"
    for field in type(config).model_fields.values():
        assert field.description


def test_every_table_of_defaults_belongs_to_a_model() -> None:
    assert set(_defaults()) == set(MODELS)


def test_slmrec_trains_with_weight_decay() -> None:
    assert training_defaults("slmrec", "full")["weight_decay"] == 1e-4


def test_sample_overrides_do_not_leak_into_full() -> None:
    before = training_defaults("bpr", "full")
    training_defaults("bpr", "sample")["learning_rate"] = 7
    assert training_defaults("bpr", "full") == before
    assert "sample" not in before


def test_duplicate_names_are_refused() -> None:
    with pytest.raises(ValueError, match="bpr"):
        distinct_names("model", [("bpr", "a:A"), ("bpr", "b:B")])


@pytest.mark.parametrize("call", [model_class, training_defaults])
def test_unknown_names_suggest_one(call: object) -> None:
    with pytest.raises(RobustrecError, match="slmrec"):
        call("slmrek")  # type: ignore[operator]


def test_names_and_defaults_need_no_torch() -> None:
    code = (
        "import sys, robustrec.models as m, robustrec.training.strategy_config\n"
        "m.training_defaults('bpr', 'full')\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("name", MODELS)
def test_configs_refuse_unknown_keys_and_changes(name: str) -> None:
    config_class = model_class(name).Config
    with pytest.raises(ValidationError):
        config_class(latent_widht=3)
    with pytest.raises(ValidationError):
        config_class().latent_width = 3


@pytest.mark.parametrize(
    "widths", [{"image": 6}, {"text": 3}, {"audio": 6}, {"image": 6, "text": 3}, {"audio": 2, "text": 3, "image": 6}]
)
@pytest.mark.parametrize("name", ["vbpr", "slmrec"])
def test_models_read_the_modalities_there_are(name: str, widths: dict[str, int]) -> None:
    kind = model_class(name)
    model = kind(problem(**widths), kind.Config(latent_width=4), torch.Generator().manual_seed(0))
    features = {m: torch.randn(5, width, requires_grad=True) for m, width in widths.items()}
    batch = Batch(torch.tensor([0, 1, 2]), torch.tensor([0, 1, 2]), torch.tensor([4, 4, 3]))
    loss = model.loss(features, batch)
    loss.total.backward()
    assert model.modalities == tuple(m for m in ("image", "text", "audio") if m in widths)
    for table in features.values():
        assert table.grad is not None
        assert table.grad.abs().sum() > 0
    assert all(parameter.grad is not None for parameter in model.parameters()), "no dead parameter"
    if name == "slmrec":
        assert set(loss.terms) == {"contrast", *(f"ssl_{m}" for m in widths)}


@pytest.mark.parametrize("name", ["vbpr", "slmrec"])
def test_models_say_when_there_are_no_features_at_all(name: str) -> None:
    kind = model_class(name)
    with pytest.raises(RobustrecError, match="lightgcn"):
        kind(problem(), kind.Config(), torch.Generator())


@pytest.mark.parametrize("features", [{}, {"image": torch.zeros(5, 7)}, {"image": torch.zeros(4, 6)}])
@pytest.mark.parametrize("name", ["vbpr", "slmrec"])
def test_features_of_another_shape_are_an_error(name: str, features: dict[str, torch.Tensor]) -> None:
    kind = model_class(name)
    model = kind(problem(image=6), kind.Config(), torch.Generator().manual_seed(0))
    with pytest.raises(RobustrecError, match="image features"):
        model.represent(features)


@pytest.mark.parametrize(
    "edges",
    [
        torch.zeros(2, 0, dtype=torch.int64),
        torch.tensor([[0, 4], [0, 0]]),
        torch.tensor([[0, 1], [0, 5]]),
        torch.tensor([[0, -1], [0, 0]]),
        torch.zeros(3, 2, dtype=torch.int64),
        torch.zeros(2, 2),
    ],
)
def test_problems_refuse_edges_that_are_none(edges: torch.Tensor) -> None:
    with pytest.raises(RobustrecError):
        Problem(4, 5, edges, {})


def test_vbpr_projects_text_columns_before_image_columns() -> None:
    kind = model_class("vbpr")
    model = kind(problem(image=6, text=3), kind.Config(latent_width=4), torch.Generator().manual_seed(0))
    features = {"image": torch.randn(5, 6), "text": torch.randn(5, 3)}
    whole = model.projection(torch.cat([features["text"], features["image"]], dim=1))
    torch.testing.assert_close(model.represent(features).items[:, 4:], whole)


def test_slmrec_normalises_rows_and_takes_zero_rows() -> None:
    kind = model_class("slmrec")
    model = kind(problem(image=6, text=3), kind.Config(latent_width=4), torch.Generator().manual_seed(0))
    features = {"image": torch.randn(5, 6), "text": torch.randn(5, 3)}
    features["text"][2] = 0
    scaled = {m: table * torch.tensor([[2.0], [9.0], [0.5], [1.0], [30.0]]) for m, table in features.items()}
    for plain, stretched in zip(model.represent(features), model.represent(scaled), strict=True):
        assert plain.isfinite().all()
        torch.testing.assert_close(plain, stretched)
