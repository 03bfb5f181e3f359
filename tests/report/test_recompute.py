"""The numbers of a report, its page and its screen, by a second implementation that follows docs/recompute.md."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from made_up_report import SGBD, VANILLA
from measured_report import measured, written

import benchmarks.recompute
from benchmarks.recompute.__main__ import NOT_DONE, differences, main
from robustrec.audits.over_seeds import rows_over_seeds
from robustrec.cli.main import run
from robustrec.evaluation.bootstrap import degrees_of_freedom, effects_of
from robustrec.report.html.page import html_page
from robustrec.results.report import read_report


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """A measured report of two subjects, with few users who differ in one metric of one of them."""
    folder = tmp_path_factory.mktemp("recompute")
    return written(folder, users=120, noise=0.3)


def test_a_second_implementation_imports_nothing_of_robustrec():
    for path in Path(benchmarks.recompute.__file__).parent.glob("*.py"):
        assert not re.search(r"^\s*(from|import) robustrec", path.read_text(encoding="utf-8"), re.M), path


def test_numbers_gates_page_and_screen_are_those_of_a_second_implementation(report, capsys):
    assert run(["report", "show", str(report)]) == 0
    found, counts = differences(report, html_page(read_report(report)), capsys.readouterr().out)
    assert not found
    assert counts["noise"] == 2 * (2 * 12 + 10)
    assert counts["clean"] == 2 * 2 * 4
    assert counts["rows on the page"] == 10
    assert counts[NOT_DONE] == 0


def test_rows_that_are_not_recomputed_are_counted(report, tmp_path, capsys, monkeypatch):
    data = json.loads(report.read_text())
    data["segments"] = [data["findings"][0]]
    (tmp_path / "report.json").write_text(json.dumps(data))
    arrays = report.parent / data["arrays"]["file"]
    (tmp_path / arrays.name).write_bytes(arrays.read_bytes())
    monkeypatch.setattr("sys.argv", ["recompute", str(tmp_path / "report.json")])
    assert main() == 0
    assert "not recomputed: 1 rows of segments" in capsys.readouterr().out


def test_means_over_seeds_are_those_of_a_second_implementation(tmp_path):
    path = written(tmp_path, users=60)
    _, arrays = measured(users=60)
    other, moved = measured(users=60, seed=1, level={VANILLA: 0.9, SGBD: 1.1})
    second = {VANILLA: VANILLA.model_copy(update={"seed": 1}), SGBD: SGBD.model_copy(update={"seed": 1})}
    names = {name: name.replace("seed 0", "seed 1") for name in moved}
    arrays |= {names[name]: values for name, values in moved.items()}
    rows = [row.model_copy(update={"subject": second[row.subject]}) for row in other.findings]
    findings = (*read_report(path).findings, *rows)
    data = json.loads(path.read_text())
    data["findings"] = [json.loads(row.model_dump_json()) for row in findings]
    data["over_seeds"] = [json.loads(row.model_dump_json()) for row in rows_over_seeds(findings, arrays, level=0.95)]
    np.savez(tmp_path / "report.users.npz", **arrays)
    path.write_text(json.dumps(data))
    found, counts = differences(path)
    # The gate of the first training is not judged again here, and the arrays have another digest.
    assert not [line for line in found if not line.startswith(("gate", "the digest"))]
    assert len(data["over_seeds"]) == 10
    assert counts["noise"] > 2 * 2 * (2 * 12 + 10)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda page: page.replace("<td>0.", "<td>1.").replace('data-v="0.', 'data-v="1.'), "is no number from"),
        (lambda page: re.sub(r"(h-verdict.*?)(Pass|Fail|Inconclusive)", r"\1Error", page, flags=re.S), "page: verdict"),
        (
            lambda page: page.replace('<span class="hidden">PASS', '<span class="hidden">FAIL'),
            "gate stands noise: F",
        ),
        (lambda page: re.sub(r'(class="number">)−', r"\1+", page), "gate stands noise: +"),
    ],
    ids=["findings", "verdict", "status", "sign"],
)
def test_a_number_that_the_page_changes_is_found(report, change, sentence):
    page = html_page(read_report(report))
    assert change(page) != page
    found, _ = differences(report, change(page))
    assert sentence in "\n".join(found)


def test_numbers_that_do_not_follow_from_the_arrays_are_found(report, tmp_path):
    data = json.loads(report.read_text())
    row = next(each for each in data["findings"] if each["audit"] == "noise")
    row["ci_low"] -= 1e-6
    data["gates"][0]["p_adjusted"] = 0.5
    data["verdict"] = "fail"
    path = tmp_path / report.name
    path.write_text(json.dumps(data))
    (tmp_path / "report.users.npz").write_bytes((report.parent / "report.users.npz").read_bytes())
    text = "\n".join(differences(path)[0])
    assert "ci_low of ndcg@20, noise" in text
    assert "gate stands noise: p_adjusted is 0.5" in text
    assert "the verdict is fail" in text


def test_the_rounding_of_a_sum_does_not_decide_the_degrees_of_freedom():
    # One user differs in one draw: MS_d and MS_e are equal, whatever the order of the sums says.
    for value in (-1 / 3, 0.1, 0.125, 0.7):
        for n in (97, 1200):
            effects = np.zeros((8, n))
            effects[3, n // 2] = value
            table = effects_of(effects, np.ones(n))
            assert not table.by_draw.any()
            users = 2 / (2 / (n - 1) + max(0.0, (table.by_user**4).mean() / (table.by_user**2).mean() ** 2 - 3) / n)
            assert degrees_of_freedom(table, table.by_user) == pytest.approx(max(1.0, users), rel=1e-9)
