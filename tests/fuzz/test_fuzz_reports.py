"""Damaged and edited reports and baselines: never a traceback, an exit code of 1 without a gate, or a false PASS."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from fuzzing import fuzzed, mutations, rewritten, told
from hypothesis import strategies as st

sys.path.append(str(Path(__file__).parents[1] / "report"))
from measured_report import AGAINST, SUITE, written

PASSING = SUITE + AGAINST
FAILING = SUITE.replace("min = -0.9", "min = 0.5")


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A folder with a report that passes and one that fails, and a baseline of the first."""
    place = tmp_path_factory.mktemp("fuzz")
    (place / "passing.toml").write_text(SUITE)
    (place / "failing.toml").write_text(FAILING)
    (place / "against.toml").write_text(PASSING)
    report = str(written(place))
    assert told(["baseline", "accept", report, "--output", str(place / "baseline.json")])[0] == 0
    for name, code in (("passing", 0), ("failing", 1)):
        arguments = ["gate", report, "--suite", str(place / f"{name}.toml")]
        assert told([*arguments, "--output-format", f"json:{place / name}.json"])[0] == code
    return place


def _gated(arguments: list[str], codes: tuple[int, ...]) -> None:
    code, out = told(["gate", *arguments])
    assert code in codes, out
    assert (code == 1) == ("VERDICT: FAIL" in out), out
    assert (code == 0) == ("VERDICT: PASS" in out), out


@fuzzed(st.data())
def test_bytes_of_reports(place, data):
    verdict = data.draw(st.sampled_from(["passing", "failing"]))
    path = place / "damaged.json"
    path.write_bytes(data.draw(mutations([(place / f"{verdict}.json").read_bytes()])))
    _gated([str(path), "--suite", str(place / f"{verdict}.toml")], (0, 2) if verdict == "passing" else (1, 2))
    code, out = told(["report", "show", str(path)])
    assert code in (0, 2)
    assert verdict == "passing" or "VERDICT: PASS" not in out


@fuzzed(st.data())
def test_values_of_reports_without_digests(place, data):
    value = data.draw(rewritten((place / "failing.json").read_text()))
    value.pop("digests", None)
    if isinstance(value.get("judgement"), dict):
        value["judgement"]["rules"] = 1
    path = place / "edited.json"
    path.write_text(json.dumps(value))
    _gated([str(path)], (0, 1, 2))
    others = [["report", "show", "--full", str(path)], ["compare", str(path), str(place / "passing.json")]]
    others += [["report", "convert", str(path), "--output-format", form] for form in ("markdown", "junit", "html")]
    assert told(data.draw(st.sampled_from(others)))[0] in (0, 2)


@fuzzed(st.data())
def test_values_of_sealed_reports(place, data):
    value = data.draw(rewritten((place / "failing.json").read_text()))
    path = place / "edited.json"
    path.write_text(json.dumps(value))
    _gated([str(path), "--suite", str(place / "failing.toml")], (1, 2))


@fuzzed(st.data())
def test_bytes_of_baselines(place, data):
    path = place / "damaged-baseline.json"
    path.write_bytes(data.draw(mutations([(place / "baseline.json").read_bytes()])))
    against = [str(place / "passing.json"), "--suite", str(place / "against.toml"), "--baseline", str(path)]
    _gated(against, (0, 2))
    assert told(["baseline", "show", str(path)])[0] in (0, 2)


@fuzzed(st.data())
def test_values_of_baselines_without_digests(place, data):
    value = data.draw(rewritten((place / "baseline.json").read_text()))
    value.pop("digests", None)
    path = place / "edited-baseline.json"
    path.write_text(json.dumps(value))
    against = [str(place / "passing.json"), "--suite", str(place / "against.toml"), "--baseline", str(path)]
    _gated(against, (0, 1, 2))
    assert told(["baseline", "show", str(path)])[0] in (0, 2)
