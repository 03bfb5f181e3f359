"""`doctor --model` on recommenders: a sound one passes, and each check finds the fault that is planted for it."""

from __future__ import annotations

import planted_in_calls
import planted_in_learning
import pytest
import torch
from planted import Sound, verdict
from torch import nn

from robustrec.checking import Toy, check_model, checks_of, run_checks
from robustrec.errors import RobustrecError
from robustrec.models import MODELS
from robustrec.models.contract import Representation

FAULTS = planted_in_calls.FAULTS + planted_in_learning.FAULTS


def test_a_sound_model_passes_every_check():
    rows = run_checks("shop:Model", checks_of(Toy("shop:Model", Sound)))
    assert [row for row in rows if row.status == "PROBLEM"] == []
    skipped = [row.name for row in rows if row.status == "not applicable"]
    assert skipped == ["item graphs", "epoch state"]
    assert all(row.detail for row in rows)


@pytest.mark.parametrize("name", ["lightgcn", "bm3", "freedom"])
def test_built_in_models_pass(name):
    assert [row for row in check_model(name) if row.status == "PROBLEM"] == []
    assert name in MODELS


@pytest.mark.parametrize("check", list(checks_of(Toy("shop:Model", Sound))))
def test_every_check_has_a_planted_fault(check):
    # "single modality" only informs.
    planted = {each.values[0] for each in FAULTS}
    assert check in planted or check in ("single modality", "reach of text", "gradients in text")


def test_checks_after_a_failed_required_one_are_skipped():
    class Broken(Sound):
        def represent(self, features):
            raise KeyError("audio")

    rows = run_checks("shop:Model", checks_of(Toy("shop:Model", Broken)), required=("built", "represent", "loss"))
    broken = next(row for row in rows if row.name == "represent")
    assert broken.status == "PROBLEM"
    assert "KeyError: 'audio'" in broken.detail
    assert "test_checking_recommenders.py, line " in broken.detail
    later = rows[rows.index(broken) + 1 :]
    assert later
    assert {row.status for row in later} == {"not applicable"}
    assert {row.detail for row in later} == {"skipped; fix 'represent' first"}


def test_settings_reach_the_model():
    def width(options):
        return next(row for row in check_model("vbpr", options) if row.name == "represent").detail

    assert "(30, 6)" in width({"latent_width": 3})


def test_unknown_names_are_errors():
    with pytest.raises(RobustrecError, match="unknown model"):
        check_model("vbrp")


def test_the_check_leaves_the_global_generator_alone():
    before = torch.get_rng_state()
    check_model("bpr")
    assert torch.equal(before, torch.get_rng_state())


class TrainsOnImages(Sound):
    modalities_in_scores = ("text",)

    def represent(self, features):
        users, items = self.vectors({**features, "image": torch.zeros_like(features["image"])})
        return Representation(users, items)


def test_a_modality_used_in_training_only_is_reported():
    row = verdict(TrainsOnImages, "reach of image")
    assert row.status == "ok"
    assert "used in training only" in row.detail
    assert "through the loss only" in verdict(TrainsOnImages, "gradients in image").detail


def test_models_built_with_a_single_modality_are_reported():
    class NeedsBoth(Sound):
        def __init__(self, problem, config, generator):
            if "image" not in problem.feature_widths:
                raise RobustrecError("needs pictures", where="features", fix="add some")
            super().__init__(problem, config, generator)
            self.layers["text"].to(problem.feature_widths["text"])

    row = verdict(NeedsBoth, "single modality")
    assert row.status == "ok"
    assert "image alone raises KeyError: 'text'" in row.detail
    assert "text alone is rejected (needs pictures)" in row.detail


def test_item_graphs_that_follow_the_features_pass():
    row = verdict(planted_in_learning.Graphed, "item graphs")
    assert (row.status, row.detail) == ("ok", "graphs items depend on the features only")


def test_parameters_that_nothing_uses_are_listed():
    class Idle(Sound):
        def __init__(self, *args):
            super().__init__(*args)
            self.unused = nn.Parameter(torch.zeros(3))

    row = verdict(Idle, "gradients of parameters")
    assert row.status == "ok"
    assert "no gradient in unused" in row.detail


def test_detached_values_of_a_loss_stay_constant():
    class Bootstrapped(Sound):
        def terms(self, features, batch):
            users, items = self.vectors(features)
            return {"pull": (users[batch.users] - items[batch.positives].detach()).square().sum(1).mean()}

    assert verdict(Bootstrapped, "derivatives of loss").status == "ok"
    assert verdict(Bootstrapped, "second derivatives of loss").status == "ok"


@pytest.mark.parametrize(("check", "kind", "error_text", "status"), FAULTS)
def test_planted_faults_are_found(check, kind, error_text, status):
    row = verdict(kind, check)
    assert row.status == status, row.detail
    assert error_text in row.detail
    assert "\n" not in row.detail


class Attention(Sound):
    """Items look at each other, as with attention in their projection."""

    def vectors(self, features):
        users, items = super().vectors(features)
        rows = items[None, None]
        return users, torch.nn.functional.scaled_dot_product_attention(rows, rows, rows)[0, 0]


class ModuleAttention(Sound):
    """The same by torch's own module."""

    def __init__(self, problem, config, generator):
        super().__init__(problem, config, generator)
        self.attention = nn.MultiheadAttention(config.width, 1, batch_first=True, bias=False)
        with torch.no_grad():
            for parameter in self.attention.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=generator))

    def vectors(self, features):
        users, items = super().vectors(features)
        rows = items[None]
        return users, self.attention(rows, rows, rows, need_weights=False)[0][0]


@pytest.mark.parametrize("kind", [Attention, ModuleAttention])
@pytest.mark.parametrize("what", ["represent", "loss"])
def test_attention_has_second_derivatives_as_in_the_sharpness_audit(kind, what):
    _, status, detail = verdict(kind, f"second derivatives of {what}")
    assert (status, "agree" in detail) == ("ok", True), detail


def test_content_pooled_over_all_items_is_found():
    """Scores move with the features, and no list can."""

    class Pooled(Sound):
        def vectors(self, features):
            return super().vectors(
                {name: each.mean(0, keepdim=True).expand_as(each) for name, each in features.items()}
            )

    for modality in Pooled.modalities:
        _, status, detail = verdict(Pooled, f"reach of {modality}")
        assert (status, "its top-k lists do not depend on it" in detail) == ("PROBLEM", True), detail
