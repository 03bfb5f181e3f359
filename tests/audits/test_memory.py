"""The memory that a plan says item features take, and the refusal of what does not fit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from robustrec.audits import memory
from robustrec.audits.memory import feature_memory, machine_bytes
from robustrec.cli.main import run
from robustrec.config import Settings
from robustrec.runs.plan import subject_specs


def files(folder: Path, *, dtype: type = np.float32) -> dict[str, Path]:
    found = {}
    for name, width in (("image", 10), ("text", 6)):
        found[name] = folder / f"{name}_feat.npy"
        np.save(found[name], np.ones((100, width), dtype))
    return found


def needed(folder: Path, *models: str, dtype: type = np.float32) -> int:
    specs = subject_specs(Settings(model=models, strategy=("vanilla",)), "full")
    found = feature_memory(files(folder, dtype=dtype), specs)
    assert found is not None
    assert found.tables == 4 * 100 * 16
    return found.needed


def test_what_models_add(tmp_path: Path) -> None:
    table = 4 * 100 * 16
    assert needed(tmp_path, "bpr") == table + 0
    assert needed(tmp_path, "slmrec") == table * 3, "clean, noise, and the features with it"
    assert needed(tmp_path, "slmrec", "lattice") == table * (3 + 5)
    assert needed(tmp_path, "slmrec", dtype=np.float64) == table * 3, "read as float32"


def test_a_mapped_file_is_no_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "MAPPED_BYTES", 1000)
    assert needed(tmp_path, "slmrec") == 4 * 100 * 16 * 2
    assert needed(tmp_path, "slmrec", dtype=np.float64) == 4 * 100 * 16 * 3, "is converted"


def test_a_scorer_by_vectors_needs_less_than_one_by_a_function(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sized_shop.py").write_text(
        "class Scores:\n    def score(self, features, users): ...\n"
        "class Vectors:\n    def item_vectors(self, rows): ...\n    def user_vectors(self, users): ...\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert needed(tmp_path, "sized_shop:Scores") == 4 * 100 * 16 * 4
    assert needed(tmp_path, "sized_shop:Vectors") == 4 * 100 * 16 * 3


def test_a_file_without_a_header_is_left_to_the_encoder(tmp_path: Path) -> None:
    (tmp_path / "x.npy").write_bytes(b"no")
    specs = subject_specs(Settings(model=("slmrec",), strategy=("vanilla",)), "full")
    assert feature_memory({"image": tmp_path / "x.npy"}, specs) is None


def test_the_limit_of_a_container_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = machine_bytes()
    monkeypatch.setattr(memory, "_CGROUP", tmp_path / "memory.max")
    for text, limit in (("max\n", None), ("1048576\n", 1 << 20)):
        (tmp_path / "memory.max").write_text(text)
        assert machine_bytes() == limit or (limit is None and (machine_bytes() or 0) >= (whole or 0))


def test_a_plan_says_its_memory_and_refuses_what_does_not_fit(
    tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["audit", "-m", "slmrec", "-s", "vanilla", "-d", str(tiny_folder), "--home", str(tmp_path), "--dry-run"]
    monkeypatch.setattr(memory, "machine_bytes", lambda: 2**30)
    assert run(options) == 0
    assert "memory item features 0.00458 MiB; features with all that checks" in " ".join(
        capsys.readouterr().out.split()
    )
    monkeypatch.setattr(memory, "machine_bytes", lambda: 10_000)
    assert run(options) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "slmrec/vanilla seed 0 needs up to 0.0137 MiB for item features of 0.00458 MiB" in said
    assert "but this machine has" in said
