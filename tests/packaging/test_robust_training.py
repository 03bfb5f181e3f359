"""The benchmark of training against edits: its statistics, its edits and its page."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from benchmarks import training_table as bench
from robustrec.edits import FAULTS, PICTURE_EDITS, TEXT_EDITS


def test_the_interval_is_that_of_student_over_the_differences_of_seeds() -> None:
    gap, half = bench.paired([1.0, 2.0, 4.0], [0.0, 2.0, 2.0])
    assert gap == 1.0
    assert half == pytest.approx(4.302653 * 1.0 / math.sqrt(3), rel=1e-6)
    assert math.isnan(bench.paired([1.0], [0.0])[1])


def test_edits_are_seen_or_unseen_and_no_faults() -> None:
    seen, unseen = (set().union(*bench.names_of(seen=which)) for which in (True, False))
    assert not seen & unseen
    assert seen | unseen == {*TEXT_EDITS, *PICTURE_EDITS} - {*FAULTS}


def _result(arm: str, seed: int, clean: float, left: float) -> dict[str, Any]:
    measures = {name: clean for name in bench.COLUMNS if name != "cold items"} | {"mean features": left}
    return {
        "model": "vbpr",
        "arm": arm,
        "seed": seed,
        "epochs": 5,
        "gradients": 10,
        "cut_off": "",
        "measures": measures,
    }


def test_the_page_has_paired_differences_and_names_a_strategy_that_ignores_content() -> None:
    runs = [_result("vanilla", seed, 0.1 * (seed + 1), 0.01) for seed in range(3)]
    runs += [_result("amr", seed, 0.1 * (seed + 1) + 0.05, 0.1 * (seed + 1) + 0.05) for seed in range(3)]
    record = {"results": runs, "dataset": "d", "synthetic": True, "users": 1, "items": 1, "trained": 1, "features": "f"}
    record |= {"patience": 10, "machine": {"cpu": "c", "torch": "t"}}
    text = bench.page(record, ["vbpr"])
    reference, other = (line for line in text.splitlines() if line.startswith(("| vanilla", "| amr")))
    assert "SYNTHETIC" in text
    assert reference.startswith("| vanilla | 0.2000 |")
    assert other.startswith("| amr | **+0.0500 ± 0.0000** |")
    assert other.endswith("| content-free |")
    assert "content-free" not in reference


@pytest.mark.parametrize("data", ["movielens-cold", "clothing"])
def test_the_tables_of_the_recommendation_are_those_of_the_record(data: str) -> None:
    root = Path(__file__).parents[2]
    record = json.loads((root / f"benchmarks/results/robust-training-{data}-cpu.json").read_text(encoding="utf-8"))
    text = (root / "docs/recommendation.md").read_text(encoding="utf-8")
    lines = bench.summary(record, {"vbpr": "VBPR", "slmrec": "SLMRec", "dragon": "DRAGON"})
    assert len(lines) > 10
    assert "\n".join(lines) in text
