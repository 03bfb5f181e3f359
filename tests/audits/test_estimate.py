"""Time and disk of a plan: from what the home folder has measured, else from shipped rates, said which."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from PIL import Image

from robustrec.audits.estimate import estimate_of
from robustrec.audits.kind import Cost
from robustrec.audits.plan import Plan, cost_of, make_plan
from robustrec.config import Settings
from robustrec.datasets.interactions import TRAIN
from robustrec.hardware import describe_environment
from robustrec.runs.records import RECORD
from robustrec.runs.specs import evaluations_per_step, spec_json
from robustrec.runs.store import record_text
from robustrec.units import seconds_text


@pytest.fixture
def plan(tiny_folder: Path, tmp_path: Path) -> Plan:
    """A plan with a training, noise and edits on a small data set with texts and a picture."""
    folder = tmp_path / "shop"
    (folder / "pictures").mkdir(parents=True)
    for file in tiny_folder.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    Image.new("RGB", (8, 8), "red").save(folder / "pictures" / "0.png")
    titles = [f'{{"itemID": {item}, "title": "Cup number {item}", "image": "0.png"}}' for item in range(60)]
    (folder / "items.jsonl").write_text("\n".join(titles))
    settings = Settings(
        home=tmp_path / "home",
        dataset=str(folder),
        model=("vbpr",),
        strategy=("sgbd",),
        features="basic",
        suite="quick",
    )
    return make_plan(settings)


def _store(plan: Plan, seconds: float, gradients: int, epochs: int, **changes: object) -> None:
    folder = plan.home / "runs" / f"{len(changes):032x}"
    folder.mkdir(parents=True)
    record = {
        "format": 2,
        "key": folder.name,
        "dataset": {"name": plan.dataset.name, "edition": plan.dataset.edition, "digest": plan.dataset.digest},
        "features": "basic",
        "features_digest": "f",
        **spec_json(plan.specs[0]),
        "seconds": seconds,
        "gradient_evaluations": gradients,
        "epochs": epochs,
        **changes,
    }
    (folder / RECORD).write_text(record_text(record))


def _report(plan: Plan, cost: Cost, seconds: float, **changes: object) -> None:
    (plan.home / "reports").mkdir(parents=True, exist_ok=True)
    content = {
        "findings": [],
        "dataset": {"digest": plan.dataset.digest},
        "environment": {"device": describe_environment(torch.device("cpu"))["device"]},
        "costs": {"rankings": cost.rankings, "encodings": cost.encodings, "gradients": cost.gradients},
        "durations": {"training": 1e6, "noise": seconds},
        "subjects": [{"subject": {"features": "basic"}}],
        **changes,
    }
    (plan.home / "reports" / f"2026-{plan.dataset.name}-quick.json").write_text(json.dumps(content))


def test_without_anything_stored_the_rates_are_the_shipped_ones_and_said_to_be(plan: Plan) -> None:
    found = estimate_of(plan)
    assert [step.name for step in found.steps] == ["train", "encode", "rank", "report"]
    assert found.seconds == sum(step.seconds for step in found.steps if step.seconds is not None)
    assert all("shipped rates" in source for source in found.sources)
    assert found.free > 0


def test_trainings_take_the_measured_time_of_this_model_and_data(plan: Plan) -> None:
    _store(plan, seconds=20.0, gradients=1000, epochs=30, seed=7)
    n_train = int((plan.dataset.interactions.labels == TRAIN).sum())
    spec = plan.specs[0]
    steps = -(-n_train // spec.training.batch_size)
    train = estimate_of(plan).steps[0]
    assert train.seconds == pytest.approx(0.02 * 30 * steps * evaluations_per_step(spec))
    assert "stored trainings" in estimate_of(plan).sources[0]


def test_a_training_that_is_stored_takes_no_time(plan: Plan) -> None:
    _store(plan, seconds=20.0, gradients=1000, epochs=30)
    train = estimate_of(plan).steps[0]
    assert (train.seconds, train.size) == (0.0, 0)
    assert "1 stored" in train.work


def test_measuring_takes_the_time_of_a_report_of_the_same_work(plan: Plan) -> None:
    cost = cost_of(plan)
    _report(plan, cost, 17.0)
    _, encode, rank, report = estimate_of(plan).steps
    assert encode.seconds is not None
    assert rank.seconds is not None
    assert encode.seconds + rank.seconds == pytest.approx(17.0)
    assert report.size == sum(file.stat().st_size for file in (plan.home / "reports").iterdir())
    assert "1 report of this data" in estimate_of(plan).sources[1]


def test_reports_of_other_data_encoders_or_devices_say_nothing(plan: Plan) -> None:
    expected = estimate_of(plan).seconds
    for other in (
        {"dataset": {"digest": "other"}},
        {"subjects": [{"subject": {"features": "tiny-blip"}}]},
        {"environment": {"device": "cuda"}},
        {"costs": {}},
    ):
        _report(plan, cost_of(plan), 999.0, **other)
        assert estimate_of(plan).seconds == expected


def test_times_are_written_for_people_who_wait() -> None:
    assert [seconds_text(each) for each in (0.2, 21, 130, 3600, 9000)] == ["< 1 s", "21 s", "2 min", "60 min", "2.5 h"]
