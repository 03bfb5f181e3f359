"""Users and items without training interactions: measured on their own, counted, and never dropped in silence."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from robustrec.audits import run as runner
from robustrec.audits.outcome import make_report, write_outcome
from robustrec.audits.plan import Plan, make_plan
from robustrec.audits.run import Measurements
from robustrec.config import Settings
from robustrec.errors import RobustrecError
from robustrec.reading.cold_start import cold_table
from robustrec.reading.summary import summary_of
from robustrec.report.forms.markdown import markdown
from robustrec.report.html.page import html_page
from robustrec.results.findings import Finding
from robustrec.results.gates import Gate, selects
from robustrec.results.report import Report, read_report

COLD_ITEMS = range(12)
COLD_USER = 0
SUITE = """
schema_version = 1
name = "cold"
metrics = ["ndcg@20", "recall@10", "coverage@20"]
stability = ["rbo@20"]
bootstrap = { replicates = 200 }
[[audits]]
kind = "noise"
sigma2 = [0.0, 1e-1]
draws = 2
"""
GATE = """
[[gates]]
name = "found"
select = { audit = "AUDIT", metric = "ndcg@20", group = "GROUP" }
quantity = "value"
min = 0.001
optional = OPTIONAL
"""


def _plan(folder: Path, home: Path, suite: str, **settings: Any) -> Plan:
    home.mkdir(parents=True, exist_ok=True)
    path = home / "suite.toml"
    path.write_text(suite)
    overrides = {"training": {"max_epochs": 2, "learning_rate": 0.01, "batch_size": 128}}
    given = Settings(
        home=home, model=("vbpr",), dataset=str(folder), suite=str(path), device="cpu", set=overrides, **settings
    )
    return make_plan(given)


@pytest.fixture(scope="module")
def cold_folder(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny data without the training rows of some items and of one user."""
    folder = tmp_path_factory.mktemp("cold") / "tiny"
    folder.mkdir()
    for path in tiny_folder.iterdir():
        if path.suffix != ".inter":
            (folder / path.name).write_bytes(path.read_bytes())
    header, *lines = next(tiny_folder.glob("*.inter")).read_text().splitlines()
    rows = [(int(line.split("\t")[0]), int(line.split("\t")[1]), line.split("\t")[-1], line) for line in lines]
    kept = [line for user, item, label, line in rows if label != "0" or not (item in COLD_ITEMS or user == COLD_USER)]
    (folder / "tiny.inter").write_text("\n".join([header, *kept]) + "\n")
    return folder


@pytest.fixture(scope="module")
def audited(cold_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Measurements, Report]:
    home = tmp_path_factory.mktemp("home")
    gate = GATE.replace("AUDIT", "clean").replace("GROUP", "cold_items").replace("OPTIONAL", "false")
    plan = _plan(cold_folder, home, SUITE + gate, strategy=("vanilla", "sgbd"), seeds=2)
    run = runner.measure(plan)
    report, arrays = make_report(plan, run, command=["robustrec", "audit"])
    return run, write_outcome(report, arrays, home / "report.json")


def _rows(report: Report, **wanted: Any) -> list[Finding]:
    return [row for row in report.findings if all(getattr(row, key) == value for key, value in wanted.items())]


def test_the_metrics_of_cold_items_are_those_of_the_same_lists(audited: tuple[Measurements, Report]) -> None:
    """Recall and NDCG, computed anew with the cold test items alone as relevant, over the users who have one."""
    run, report = audited
    for subject, clean in run.subjects:
        for group, is_wanted in (("cold_items", True), ("warm_items", False)):
            recalls, gains = [], []
            for user, items in zip(clean.ranking.users.tolist(), clean.ranking.items.tolist(), strict=True):
                relevant = run.prepared.test.relevant[[user]].indices.tolist()
                wanted = {item for item in relevant if (item in COLD_ITEMS) == is_wanted}
                if not wanted:
                    continue
                recalls.append(len(wanted & set(items[:10])) / len(wanted))
                gain = sum(1 / math.log2(place + 2) for place, item in enumerate(items[:20]) if item in wanted)
                gains.append(gain / sum(1 / math.log2(place + 2) for place in range(min(20, len(wanted)))))
            for metric, values in ((f"recall@10_{group}", recalls), (f"ndcg@20_{group}", gains)):
                (row,) = _rows(
                    report, subject=subject.subject, audit="clean", metric=metric, reference="clean", quantity="value"
                )
                assert (row.group, row.n_users) == (group, len(values))
                assert row.clean == pytest.approx(np.mean(values), abs=1e-12)
                assert row.ci_low is not None
                assert row.ci_high is not None
                assert row.ci_low <= row.clean <= row.ci_high


def test_the_other_metrics_do_not_change(audited: tuple[Measurements, Report]) -> None:
    """Nothing else is split: a metric of all lists has no stratum, and the mean of both strata is of other users."""
    metrics = {row.metric for row in audited[1].findings if row.audit == "clean"}
    own = {f"{name}_{group}" for name in ("ndcg@20", "recall@10") for group in ("cold_items", "warm_items")}
    users = {f"{name}_cold_users" for name in ("ndcg@20", "recall@10")}
    assert metrics == {"ndcg@20", "recall@10", "coverage@20"} | own | users


def test_drifts_and_differences_have_the_strata_too(audited: tuple[Measurements, Report]) -> None:
    report = audited[1]
    still = _rows(report, audit="noise", metric="ndcg@20_cold_items", reference="clean", group="cold_items")
    assert len(still) == 8
    assert {row.drift for row in still if row.condition.label == "sigma2=0"} == {0.0}
    assert any(row.drift for row in still if row.condition.label != "sigma2=0")
    assert _rows(report, audit="noise", metric="ndcg@20_cold_items", reference="vanilla", group="cold_items")
    pooled = [row for row in report.over_seeds if row.metric == "ndcg@20_cold_items" and row.audit == "clean"]
    assert [row.group for row in pooled if row.quantity == "value"] == ["cold_items", "cold_items"]


def test_cold_users_are_counted_in_every_report(audited: tuple[Measurements, Report], cold_folder: Path) -> None:
    """A finding without a number for each metric, which a gate can only end in an error on."""
    report = audited[1]
    lines = next(cold_folder.glob("*.inter")).read_text().splitlines()[1:]
    own = [line.split("\t")[-1] for line in lines if line.split("\t")[0] == str(COLD_USER)]
    found = report.dataset.cold_start
    assert found is not None
    assert (found.users.users, found.users.validation, found.users.test) == (1, own.count("1"), own.count("2"))
    assert found.items >= len(COLD_ITEMS)
    rows = _rows(report, group="cold_users")
    assert len(rows) == 2 * 4
    assert {(row.clean, row.ci_low, row.n_users) for row in rows} == {(None, None, 1)}
    assert all(row.note.startswith("not measured: models have no trained vector") for row in rows)


def test_every_form_of_the_report_shows_the_strata_and_the_split(audited: tuple[Measurements, Report]) -> None:
    report = audited[1]
    table = cold_table(summary_of(report))
    assert table is not None
    assert table.columns[1] == "ndcg@20 of cold items"
    assert len(table.rows) == 4
    assert table.lines[0].startswith("users without training interactions: 1, with ")
    for text in (markdown(report, 60_000), html_page(report)):
        assert "no trained" in text
        assert "of cold items" in text
        assert "published, taken as it is" in text


def test_a_gate_selects_a_stratum_by_its_group_and_never_by_a_wildcard(audited: tuple[Measurements, Report]) -> None:
    run, report = audited
    (gate,) = report.gates
    judged = {each.subject.model_copy(update={"seed": 0}) for each, _ in run.subjects}
    assert len(judged) < len(run.subjects)
    assert gate.selected == len(judged)  # the mean over seeds is judged
    assert gate.metric == "ndcg@20_cold_items"

    def chosen(**select: Any) -> set[str]:
        gate = Gate.model_validate({"name": "g", "select": select, "quantity": "value", "min": 0.1})
        return {row.metric for row in report.findings if selects(gate, row)}

    assert chosen(audit="clean", metric="ndcg@20*") == {"ndcg@20"}
    assert chosen(audit="clean", metric="ndcg@20_warm_items") == {"ndcg@20_warm_items"}
    assert chosen(audit="clean", metric="*", group="cold_items") == {"ndcg@20_cold_items", "recall@10_cold_items"}


@pytest.mark.parametrize("group", ["cold_items", "warm_items", "cold_users"])
def test_a_required_gate_on_a_stratum_that_is_not_there_is_refused_before_any_work(
    tiny_folder: Path, tmp_path: Path, group: str
) -> None:
    gate = GATE.replace("AUDIT", "clean").replace("GROUP", group)
    with pytest.raises(RobustrecError, match=f"gate 'found' selects group {group}, but the data set has no"):
        _plan(tiny_folder, tmp_path, SUITE + gate.replace("OPTIONAL", "false"), strategy=("vanilla",))


def test_an_optional_gate_on_a_stratum_that_is_not_there_is_skipped(tiny_folder: Path, tmp_path: Path) -> None:
    gate = GATE.replace("AUDIT", "clean").replace("GROUP", "cold_items").replace("OPTIONAL", "true")
    plan = _plan(tiny_folder, tmp_path, SUITE + gate, strategy=("vanilla",))
    report, _ = make_report(plan, runner.measure(plan), command=["robustrec", "audit"])
    assert not report.gates
    assert any(each.startswith("gate 'found' was skipped: the data set has no") for each in report.warnings)
    assert cold_table(summary_of(report)) is None


def test_a_gate_on_cold_users_is_refused_where_there_are_some(cold_folder: Path, tmp_path: Path) -> None:
    gate = GATE.replace("AUDIT", "clean").replace("GROUP", "cold_users").replace("OPTIONAL", "false")
    with pytest.raises(RobustrecError, match="counted and not measured"):
        _plan(cold_folder, tmp_path, SUITE + gate, strategy=("vanilla",))


def test_a_report_without_split_and_cold_start_is_read_as_it_was_written(
    audited: tuple[Measurements, Report], tmp_path: Path
) -> None:
    """Reports of earlier versions lack both keys, and their digests still match."""
    report = audited[1]
    older = report.model_copy(
        update={"dataset": report.dataset.model_copy(update={"split": None, "cold_start": None}), "arrays": None}
    )
    path = tmp_path / "older.json"
    write_outcome(older, b"", path)
    data = json.loads(path.read_text())
    for key in ("split", "cold_start"):
        del data["dataset"][key]
    path.write_text(json.dumps(data))
    assert read_report(path).dataset.split is None
    assert markdown(read_report(path), 60_000)
