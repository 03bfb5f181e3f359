"""The benchmark of sizes: what its steps compute, and which rows it keeps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks import scale
from benchmarks.workload import Size, make_workload
from robustrec.models import MODELS, lattice
from robustrec.models.graphs import Neighbours, cosine_neighbours

TINY = Size(60, 30, 300, 70, 70, 8, 4, 64)


def test_steps_of_lattice_after_the_first_use_the_graph_of_the_epoch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    searches = list[int]()

    def counted(x: torch.Tensor, k: int) -> Neighbours:
        searches.append(k)
        return cosine_neighbours(x, k)

    monkeypatch.setattr(lattice, "cosine_neighbours", counted)
    work = make_workload(TINY)
    for modality, table in work.features.items():
        np.save(tmp_path / f"{modality}.npy", cosine_neighbours(table, scale.K).items.numpy())
    row = scale.measure("lattice", work, tmp_path)
    assert len(searches) == 3 * 2, "two modalities: the beginning of the epoch, its first step, and the evaluation"
    assert row["batches"] == 5
    times = scale.times_of({**row, "model": "lattice"})
    seconds = row["seconds"]
    assert times["epoch"] == pytest.approx(seconds["begin_epoch"] + seconds["first_step"] + 4 * seconds["step"])


def rows() -> list[dict[str, Any]]:
    kept = {"model": "bpr", "size": "eighth", "method": scale.METHOD, "threads": 1}
    data = scale.SIZES["eighth"]._asdict()
    return [
        {**kept, "data": data},
        {**kept, "data": data, "threads": 2},
        {**kept, "data": data, "method": scale.METHOD - 1},
        {**kept, "data": {**data, "n_users": 1}},
        {"model": "bpr", "size": "quarter"},
    ]


def test_rows_of_another_method_size_or_number_of_threads_are_not_kept() -> None:
    assert scale.kept_rows(rows(), threads=1) == rows()[:1]


def test_models_at_a_size() -> None:
    assert scale.models_at("users x2", None) == list(scale.GROWTH)
    assert scale.models_at("electronics", None) == list(MODELS)
    assert scale.models_at("electronics", ["vbpr"]) == ["vbpr"]
