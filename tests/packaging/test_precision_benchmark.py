"""The benchmark of bf16 inputs: differences by seed, their interval, and the page."""

from __future__ import annotations

import math

import pytest

from benchmarks.precision import compare, page

VALUES = {"float32": [0.10, 0.14], "bf16": [0.11, 0.13]}


def test_differences_are_by_seed_with_the_interval_of_their_mean() -> None:
    found = compare(VALUES)
    assert found["difference"] == pytest.approx(0.0, abs=1e-12)
    # The differences +0.01 and -0.01 have the standard deviation 0.01 √2; t of 1 degree of freedom at 97.5 % is 12.706.
    assert found["high"] == pytest.approx(12.706 * 0.01 * math.sqrt(2) / math.sqrt(2), rel=1e-4)
    assert found["low"] == pytest.approx(-found["high"])
    assert found["seed_sd"] == pytest.approx(0.04 / math.sqrt(2))


@pytest.mark.parametrize(("bf16", "within"), [([0.11, 0.13], "yes"), ([0.20, 0.24], "no")])
def test_the_page_says_whether_the_difference_is_within_the_seed_spread(bf16: list[float], within: str) -> None:
    text = page([{"model": "vbpr", "values": {**VALUES, "bf16": bf16}}], "python -m benchmarks.precision", {})
    assert text.splitlines()[-1].endswith(f"| {within} |")
