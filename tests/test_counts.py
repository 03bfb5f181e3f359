"""The work of the default audit is that of the committed table; benchmarks/counts.py says how to write it again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks import counts
from robustrec.audits import context


def test_the_work_of_an_audit_is_that_of_the_table() -> None:
    changed = counts.differences(counts.counts(), counts.read_table())
    assert not changed, "\n".join([*changed, "if this is meant: python -m benchmarks.counts"])


def test_an_extra_ranking_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data, home, suite = tmp_path / "shop", tmp_path / "home", tmp_path / "curvature.toml"
    counts.make_data(data)
    suite.write_text(counts.CURVATURE)
    counts.audit(data, home, suite)  # trains
    clean = context.measure_clean

    def twice(*arguments: Any) -> Any:
        clean(*arguments)
        return clean(*arguments)

    monkeypatch.setattr(context, "measure_clean", twice)
    with counts.counting() as found:
        counts.audit(data, home, suite)
    expected = {"curvature": counts.read_table()["curvature"]}
    rankings = expected["curvature"]["rankings"]
    assert counts.differences({"curvature": found}, expected) == [
        f"curvature, rankings: {rankings + 2}, expected {rankings}"  # of two subjects
    ]
