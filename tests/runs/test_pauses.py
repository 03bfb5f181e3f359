"""A training that pauses goes on to the same parameters, and k negatives are the mean over k losses of a step."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from robustrec.comparison.budget import at_budget, gradient_evaluations
from robustrec.models.contract import batch_loss
from robustrec.runs.specs import SubjectSpec, spec_json
from robustrec.runs.subjects import forget_pause, obtain_subject, paused_subject
from robustrec.runs.trained import build_model
from robustrec.seeds import torch_generator
from robustrec.training import trainer
from robustrec.training.config import TrainingConfig
from robustrec.training.content import Content
from robustrec.training.sampling import batches_of, is_positive, sample_epoch
from robustrec.training.strategy_config import StrategyConfig

QUICK = TrainingConfig(learning_rate=0.01, batch_size=64, max_epochs=6, patience=6)
SPEC = SubjectSpec("vbpr", {}, QUICK, StrategyConfig(name="sgbd"), seed=3)


def test_a_paused_training_goes_on_with_the_same_bits(tiny, tmp_path, monkeypatch):
    steps = []
    plain = trainer.run_epoch
    monkeypatch.setattr(trainer, "run_epoch", lambda *given, **more: steps.append(1) or plain(*given, **more))
    whole = obtain_subject(SPEC, tiny, home=tmp_path / "whole")
    assert len(steps) == 6
    first = paused_subject(SPEC, tiny, 2, home=tmp_path / "parts")
    assert (first.record["epochs"], first.record["metrics"]) == (2, whole.record["metrics"][:2])
    assert not (tmp_path / "parts" / "runs" / first.key).exists(), "what is not finished is no stored run"
    second = paused_subject(SPEC, tiny, 4, home=tmp_path / "parts")
    assert (second.record["epochs"], second.record["starts"]) == (4, 2)
    last = obtain_subject(SPEC, tiny, home=tmp_path / "parts")
    assert len(steps) == 12, "no epoch is trained twice"
    assert last.record["parameters_digest"] == whole.record["parameters_digest"]
    assert last.record["metrics"] == whole.record["metrics"]


def test_a_pause_before_there_is_an_average_has_the_last_parameters(tiny, tmp_path):
    late = replace(SPEC, strategy=StrategyConfig(name="swa", swa_start=4))
    early = paused_subject(late, tiny, 2, home=tmp_path)
    assert early.record["best_epoch"] == 0
    plain = replace(SPEC, strategy=StrategyConfig(), training=QUICK.model_copy(update={"max_epochs": 2}))
    after = obtain_subject(
        replace(plain, training=plain.training.model_copy(update={"patience": 9})), tiny, home=tmp_path
    )
    assert after.record["best_epoch"] == 2
    assert early.record["parameters_digest"] == after.record["parameters_digest"], "trained, not as initialised"
    whole = obtain_subject(late, tiny, home=tmp_path / "whole")
    assert obtain_subject(late, tiny, home=tmp_path).record["parameters_digest"] == whole.record["parameters_digest"]


def test_epochs_of_a_training_that_is_further_are_trained_beside_it(tiny, tmp_path):
    two = paused_subject(SPEC, tiny, 2, home=tmp_path / "other")
    paused_subject(SPEC, tiny, 4, home=tmp_path)
    kept = next((tmp_path / "runs").glob(".partial-*.checkpoint")).read_bytes()
    again = paused_subject(SPEC, tiny, 2, home=tmp_path)
    assert again.record["parameters_digest"] == two.record["parameters_digest"]
    (left,) = (tmp_path / "runs").glob(".partial-*.checkpoint")
    assert left.read_bytes() == kept
    forget_pause(SPEC, tiny, tmp_path)
    assert not list((tmp_path / "runs").glob(".partial-*.checkpoint"))


def test_a_training_that_ends_before_its_pause_is_stored(tiny, tmp_path):
    short = replace(SPEC, training=QUICK.model_copy(update={"max_epochs": 3}))
    ended = paused_subject(short, tiny, 5, home=tmp_path)
    assert ended.record["epochs"] == 3
    assert (tmp_path / "runs" / ended.key / "run.json").is_file()
    assert not list((tmp_path / "runs").glob(".partial-*.checkpoint"))
    assert (
        paused_subject(short, tiny, 5, home=tmp_path).record["parameters_digest"] == ended.record["parameters_digest"]
    )


def test_one_negative_draws_and_counts_what_it_did_and_changes_no_key(tiny):
    before = sample_epoch(tiny.positives, torch_generator(1, "triples"))
    assert before.more is None
    more = sample_epoch(tiny.positives, torch_generator(1, "triples"), 3)
    assert torch.equal(more.negatives, before.negatives)
    assert "negatives" not in spec_json(SPEC)["training"]
    assert spec_json(replace(SPEC, training=QUICK.model_copy(update={"negatives": 2})))["training"]["negatives"] == 2


def test_further_negatives_are_no_positives_and_their_losses_are_averaged(tiny):
    epoch = sample_epoch(tiny.positives, torch_generator(1, "triples"), 3)
    assert epoch.more is not None
    assert epoch.more.shape == (2, len(epoch.users))
    assert not any(bool(is_positive(tiny.positives, epoch.users, row).any()) for row in epoch.more)
    batch = list(batches_of(epoch, 50))[1]
    model = build_model(SPEC, tiny)
    each = [
        batch_loss(model, tiny.tables, batch._replace(negatives=negatives, more=None), None).total
        for negatives in (batch.negatives, *batch.more)
    ]
    found = Content(model, tiny.tables, None).loss(batch)
    assert found.item() == pytest.approx(sum(one.item() for one in each) / 3)


def test_negatives_count_as_gradient_evaluations():
    three = replace(SPEC, strategy=StrategyConfig(), training=QUICK.model_copy(update={"negatives": 3}))
    at = at_budget(three, "gradients", 30)
    assert at.training.max_epochs == 10
    plain = at_budget(replace(SPEC, strategy=StrategyConfig()), "gradients", 30)
    assert gradient_evaluations(at, 640) == gradient_evaluations(plain, 640)
