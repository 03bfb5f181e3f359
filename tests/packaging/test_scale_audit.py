"""The benchmark of one audit by size: its data are what it says, and it measures what an audit measures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import scale_audit
from robustrec.cli.main import run
from robustrec.datasets.interactions import TRAIN
from robustrec.datasets.registry import load_dataset

SIZE = scale_audit.Size(1200, 400, 150)


def test_the_data_have_the_size_and_every_user_has_distinct_items_of_one_cluster(tmp_path: Path) -> None:
    scale_audit.make_data(tmp_path, SIZE)
    dataset = load_dataset(str(tmp_path / "shop"), home=tmp_path / "home")
    found = dataset.interactions
    assert (found.n_users, found.n_items) == (1200, 400)
    assert len(found.users) == 6 * 1200
    assert len(np.unique(found.users * 400 + found.items)) == 6 * 1200
    clusters = found.items % (400 // scale_audit.CLUSTER)
    assert all(len(np.unique(clusters[found.users == user])) == 1 for user in range(0, 1200, 100))
    assert len(np.unique(found.pairs(TRAIN)[1])) == 400, "no cold items"
    assert np.load(tmp_path / "shop" / "image_feat.npy").shape == (400, scale_audit.WIDTH)


def test_the_audit_of_a_sample_of_users_is_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def in_process(command: list[str], *_: Any) -> None:
        assert run(command[3:]) == 0

    scale_audit.make_data(tmp_path, SIZE)
    monkeypatch.setattr(scale_audit, "_run", in_process)
    monkeypatch.chdir(tmp_path)
    row = scale_audit.run_audit(tmp_path, SIZE, threads=1)
    assert row["ndcg@20"] > 0.1
    drift, low, high = row["relative drift"]["sigma2=4"]
    assert low < drift < high
    assert row["rankings"] >= 7
    text = scale_audit.markdown(SIZE, row, {"threads": 1}, "python -m benchmarks.scale_audit")
    assert "| 1,200 | 400 | 512 |" in text
    assert "[-" in text
