"""What rows need: nothing is replaced silently, and what is missing is named with a command."""

import dataclasses

import numpy as np
import pytest

from robustrec.cli.main import run
from robustrec.config import Settings
from robustrec.datasets.registry import load_dataset
from robustrec.errors import RobustrecError
from robustrec.reproduce.cost import Speed, duration_words, parse_duration
from robustrec.reproduce.inputs import check_weights, inputs_of, load_place, prepare_command, settings_for
from robustrec.reproduce.plan import Asked, plan_reproduction
from robustrec.reproduce.result import Reproduction
from robustrec.reproduce.rows import Place


@pytest.fixture
def baby(tiny_folder, tmp_path):
    """The tiny data set under the name of one of the paper's, with its feature files."""
    folder = tmp_path / "baby"
    folder.mkdir()
    (folder / "baby.inter").write_bytes((tiny_folder / "tiny.inter").read_bytes())
    for name in ("image_feat.npy", "text_feat.npy"):
        (folder / name).write_bytes((tiny_folder / name).read_bytes())
    return folder


def inputs(folder, tmp_path, kind="minilm+cnn", encoder=None):
    dataset = load_dataset(str(folder), home=tmp_path / "home")
    return inputs_of(dataset, Place("baby", str(folder)), kind, encoder or kind, Settings(home=tmp_path / "home"))


def test_feature_files_are_the_original_features_and_their_widths_are_compared(baby, tmp_path):
    found = inputs(baby, tmp_path)
    assert (found.encoder, found.missing) == ("imported", None)
    data, features = found.unlike
    assert (
        data == "data: 80 users, the paper's 19,445; 60 items, the paper's 7,050; 720 interactions, the paper's 160,792"
    )
    assert (
        features
        == "features: 12 image and 8 text values from the feature files of the data set, the paper's 4,096 and 384"
    )
    for name, width in (("image_feat.npy", 4096), ("text_feat.npy", 384)):
        np.save(baby / name, np.ones((60, width), np.float32))
    assert inputs(baby, tmp_path).unlike == (data,)


@pytest.mark.parametrize("kind", ["minilm+cnn", "blip", "blip2"])
def test_without_content_every_kind_of_features_is_missing(baby, tmp_path, kind):
    (baby / "image_feat.npy").unlink()
    found = inputs(baby, tmp_path, kind)
    assert found.missing.what == "baby has no pictures and no texts of its items"
    assert found.missing.fix.startswith(prepare_command("baby", pictures=True))
    assert f"--features {kind}=ENCODER" in found.missing.fix


@pytest.mark.parametrize("encoder", ["imported", "basic", "minilm"])
def test_a_substitute_needs_what_it_reads(baby, tmp_path, encoder):
    for name in ("image_feat.npy", "text_feat.npy"):
        (baby / name).unlink()
    found = inputs(baby, tmp_path, "blip", encoder)
    assert "baby has no" in found.missing.what


def test_a_sample_never_stands_in_for_the_papers_data(baby, tmp_path):
    place = Place("baby", "baby")
    missing = load_place(place, Settings(home=tmp_path))
    assert missing.what == "data set baby is not prepared"
    assert not (tmp_path / "samples").exists()
    sample = dataclasses.replace(load_dataset(str(baby), home=tmp_path), synthetic=True)
    found = inputs_of(sample, place, "minilm+cnn", "minilm+cnn", Settings(home=tmp_path, edition="sample"))
    assert found.unlike[0] == "data: synthetic sample edition"


def test_weights_are_given_by_network():
    settings = Settings(weights=("blip=/a", "captioner=/c", "blip2=/b", "minilm=/m"))
    assert settings_for(settings, "blip").weights == ("blip=/a", "captioner=/c")
    assert settings_for(settings, "minilm+cnn").weights == ("minilm=/m",)
    assert settings_for(settings, "basic").weights == ()
    with pytest.raises(RobustrecError, match="without the name of their network"):
        check_weights(Settings(weights=("/a",)))


def test_durations_are_read_and_written():
    assert parse_duration("4h") == 4 * 3600
    assert parse_duration("1h30m") == 5400
    assert parse_duration("90s") == 90
    assert parse_duration("0.5h") == 1800
    for wrong in ("", "4", "0h", "h", "4d", "-1h", "4h "[:2] + "x"):
        with pytest.raises(RobustrecError):
            parse_duration(wrong)
    assert [duration_words(seconds) for seconds in (0.2, 80, 1500, 16200)] == ["1 s", "80 s", "25 min", "4.5 h"]


def test_time_is_estimated_from_what_was_measured(baby, tmp_path):
    asked = Asked(tables=(3,), datasets=(str(baby),), patterns=("slmrec/minilm+cnn/sgbd",), epochs=10)
    plan = plan_reproduction(Settings(home=tmp_path, seeds=2, device="cpu"), asked)
    jobs = {(job.what, job.spec.seed): seconds for job, seconds in plan.trainings(plan.groups[0])}
    assert len(jobs) == 6
    assert jobs["gradients", 0] < jobs["epochs", 0] < jobs["early-stop", 0]
    speed = Speed()
    speed.learn("baby", "slmrec", 10, 5.0)
    spec = next(plan.trainings(plan.groups[0]))[0].at(10)
    assert speed.seconds(spec, "baby", 100, 60) == pytest.approx(0.5 * 100 * 5 / 3, rel=0.01)
    assert Speed(gpu=True).seconds(spec, "sports", 10**6, 10**4) < Speed().seconds(spec, "sports", 10**6, 10**4)


def test_a_budget_of_time_starts_no_further_training_and_names_them(baby, tmp_path, capsys):
    """The clock is not waited for: the first figures say that a training takes longer than the budget."""
    words = ["reproduce", "sgbd", "--table", "3", "--dataset", str(baby), "--row", "slmrec/minilm+cnn", "--no-tune"]
    words += ["--epochs", "0", "--seeds", "1", "--home", str(tmp_path / "home"), "--device", "cpu", "--quiet", "--json"]
    small = ["--set", "training.max_epochs=2", "--set", "training.batch_size=256"]
    assert run([*words, *small, "--budget", "0.01s"]) == 2
    told = capsys.readouterr()
    report = Reproduction.model_validate_json(told.out)
    assert {row.verdict for row in report.rows} == {"left"}
    assert report.left[0] == "baby/minilm+cnn/slmrec/vanilla seed 0, until early stopping"
    assert len(report.left) == 3
    assert not (tmp_path / "home" / "runs").exists()
    assert "--budget" in told.err
    # What is stored is measured whatever the budget.
    assert run([*words, *small, "--budget", "1h"]) == 0
    capsys.readouterr()
    assert run([*words, *small, "--budget", "0.01s"]) == 0
    report = Reproduction.model_validate_json(capsys.readouterr().out)
    assert [row.verdict for row in report.rows] == ["not usable", "not usable", "not usable"]


def test_settings_of_other_commands_in_a_configuration_file_change_no_row(baby, tmp_path):
    other = {"users": 5, "checkpoint": "some-run", "denoise": "capfilt"}
    asked = Asked(tables=(3,), datasets=(str(baby),), patterns=("slmrec/minilm+cnn/vanilla",))
    (group,) = plan_reproduction(Settings(home=tmp_path, **other), asked).groups
    own = group.settings
    assert (own.users, own.checkpoint, own.denoise) == (None, None, "none")
