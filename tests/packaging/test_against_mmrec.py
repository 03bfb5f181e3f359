"""The comparison with MMRec: what is timed per epoch, the data in MMRec's layout, and the page."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.against_mmrec import Times, page
from benchmarks.mmrec_checkout import CLASSES, SETTINGS, load, write_data
from benchmarks.workload import Size, make_workload
from robustrec.datasets.user_graph import UserGraph
from robustrec.errors import RobustrecError
from robustrec.hardware import pick_device
from robustrec.models import MODELS, model_class

TINY = Size(20, 10, 60, 20, 20, 6, 4, 16)


def test_an_epoch_is_its_beginning_and_the_further_steps() -> None:
    times = Times(begin=[3.0, 2.0], step=[0.5, 1.0], evaluation=[1.0])
    assert times.epoch(5) == 2.0 + 4 * 0.5
    assert times.epochs(5) == [3.0 + 4 * 0.5, 2.0 + 4 * 1.0]


def test_every_model_has_its_class_and_existing_settings() -> None:
    assert set(CLASSES) == set(SETTINGS) == set(MODELS) - {"mentor"}, "MMRec has no MENTOR"
    for name, settings in SETTINGS.items():
        assert set(settings) <= set(model_class(name).Config.model_fields), name


def test_the_data_are_those_of_the_workload_in_mmrecs_layout(tmp_path: Path) -> None:
    work = make_workload(TINY)
    graph = UserGraph(np.arange(21), np.roll(np.arange(20), 1), np.ones(20, np.int64))
    write_data(work, graph, tmp_path)
    lines = (tmp_path / "baby" / "baby.inter").read_text().splitlines()
    assert lines[0] == "userID\titemID\tx_label"
    table = np.array([line.split("\t") for line in lines[1:]], dtype=int)
    for label in range(3):
        users, items = work.interactions.pairs(label)
        assert sorted(map(tuple, table[table[:, 2] == label][:, :2])) == sorted(zip(users, items, strict=True))
    assert np.array_equal(np.load(tmp_path / "baby" / "image_feat.npy"), work.features["image"].numpy())


def test_another_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RobustrecError, match="not a checkout of MMRec"):
        load(tmp_path, pick_device("cpu"))


@pytest.mark.parametrize("device", ["cpu (x86_64)", "cuda (NVIDIA H100)"])
def test_the_page_has_ratio_rate_and_load_in_each_row(device: str) -> None:
    result = {
        "model": "slmrec",
        "batches_per_epoch": 58,
        "setup_seconds": [1.25, 30.0],
        "seconds_per_epoch": [2.0, 6.0],
        "ratios": [2.5, 3.5],
        "seconds_per_evaluation": [0.5, 2.0],
        "evaluation_ratios": [3.0, 5.0],
        "largest_metric_difference": 4.9e-5,
        "gemm_gflops": 150.0,
        "load": [1.0, 2.0],
        "peak_bytes": [2**20, 2**21],
    }
    settings = {"size": TINY._asdict(), "commit": "abc", "command": "python -m benchmarks.against_mmrec"}
    text = page([result], settings, {"device": device})
    head, row = (line for line in text.splitlines() if line.startswith(("| model", "| slmrec")))
    assert head.count("|") == row.count("|") == next(x for x in text.splitlines() if x.startswith("|---")).count("|")
    for part in ("3.0 (2.5–3.5)", "4.0 (3.0–5.0)", "150", "1.2 / 30.0", "1.0–2.0", "4.9e-05"):
        assert part in row
