"""A baseline in a real audit: missing is refused before any work, the same model passes, a worse one fails."""

import json

import pytest

from robustrec.cli.main import run
from robustrec.results.report import read_report, report_json

SUITE = """
schema_version = 1
name = "own"
metrics = ["ndcg@20", "recall@20"]
stability = ["rbo@20"]
bootstrap = { replicates = 200 }
[[audits]]
kind = "noise"
sigma2 = [1e-2]
draws = 2
[[gates]]
name = "as accepted"
select = { audit = "clean", metric = "ndcg@20" }
against = "baseline"
quantity = "relative_drift"
min = -0.2
"""


@pytest.fixture(autouse=True)
def _own_home(tmp_path, monkeypatch):
    monkeypatch.setenv("ROBUSTREC_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "strict.toml").write_text(SUITE)
    (tmp_path / "first.toml").write_text(SUITE + "optional = true\n")


def _audit(folder, *more, epochs=12, rate=0.05):
    options = ["--set", f"training.learning_rate={rate}", "--set", "training.batch_size=128", "--quiet"]
    options += ["--set", f"training.max_epochs={epochs}"]
    return run(["audit", "-m", "vbpr", "-s", "vanilla", "-d", str(folder), *options, *more])


def test_a_baseline_through_the_life_of_a_model(tiny_folder, tmp_path, capsys):
    assert _audit(tiny_folder, "--suite", "strict.toml") == 2
    assert "compares with the baseline, but no baseline was given" in capsys.readouterr().err
    assert not list((tmp_path / "home").glob("runs/*")), "refused before any work"

    assert _audit(tiny_folder, "--suite", "first.toml", "--output-format", "json:first.json") == 0
    assert run(["baseline", "accept", "first.json", "--quiet"]) == 0
    again = ["--suite", "strict.toml", "--baseline", "baseline.json", "--output-format", "json:again.json"]
    assert _audit(tiny_folder, *again) == 0
    report = json.loads((tmp_path / "again.json").read_text())
    rows = [row for row in report["findings"] if row["reference"] == "baseline" and row["ci_low"] is not None]
    assert {row["drift"] for row in rows} == {0.0}
    # Of content use, four conditions have the drifts of two metrics, and one value each, which has no users of its own.
    assert report["baseline"]["by_users"] == len(rows) - 4 == 2 + 3 + 4 * 2

    # At this learning rate nothing is learned.
    worse = ["--suite", "strict.toml", "--baseline", "baseline.json", "--output-format", "json:worse.json"]
    assert _audit(tiny_folder, *worse, epochs=1, rate=1e-9) == 1
    assert "below the baseline's" in json.loads((tmp_path / "worse.json").read_text())["gates"][0]["message"]
    capsys.readouterr()
    assert run(["compare", "first.json", "worse.json", "--json"]) == 2
    assert "not ranked: vanilla (worse): content-free: " in capsys.readouterr().err, "its quality is that of chance"
    assert run(["compare", "first.json", "again.json", "--json"]) == 0


def test_a_baseline_of_a_sample_is_refused_for_other_data_before_any_work(tiny_folder, tmp_path, capsys):
    assert _audit(tiny_folder, "--suite", "first.toml", "--output-format", "json:first.json", epochs=1) == 0
    report = read_report(tmp_path / "first.json")
    dataset = report.dataset.model_copy(update={"edition": "sample", "synthetic": True})
    (tmp_path / "sample.json").write_text(report_json(report.model_copy(update={"dataset": dataset})))
    assert run(["baseline", "accept", "sample.json", "--quiet"]) == 0
    kept = sorted((tmp_path / "home").glob("reports/*"))
    capsys.readouterr()
    assert _audit(tiny_folder, "--suite", "strict.toml", "--baseline", "baseline.json", epochs=1) == 2
    assert "a report of the full edition cannot be compared with a baseline of the sample" in capsys.readouterr().err
    assert sorted((tmp_path / "home").glob("reports/*")) == kept
