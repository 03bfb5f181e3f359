"""The Python API gives what the commands give, changes nothing of the process, and takes names and objects."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch

import robustrec as rr
from robustrec import api
from robustrec.audits.suites import load_suite
from robustrec.cli.main import run

SUITE = """
schema_version = 1
name = "short"
metrics = ["ndcg@20", "recall@20"]
bootstrap = { replicates = 100 }
[[audits]]
kind = "noise"
sigma2 = [1e-2]
draws = 2
[[gates]]
name = "small drift"
select = { audit = "noise", sigma2 = 1e-2, metric = "ndcg@20" }
quantity = "drift"
min = -0.9
"""
MODULE = '''
"""A recommender of item vectors."""
import torch
from pydantic import BaseModel
from torch import nn
from robustrec.models.contract import Loss, Representation
from robustrec.models.initial import linear, table
from robustrec.models.losses import bpr_loss

class Nothing(BaseModel, frozen=True, extra="forbid"):
    pass

class Plain(nn.Module):
    Config = Nothing
    modalities = ("image", "text")
    def __init__(self, problem, config, generator):
        super().__init__()
        self.modalities = tuple(name for name in ("image", "text") if name in problem.feature_widths)
        self.users = table(problem.n_users, 8, "xavier_uniform", generator)
        widths = problem.feature_widths
        self.layers = nn.ModuleDict({name: linear(widths[name], 8, generator) for name in self.modalities})
    def represent(self, features):
        return Representation(self.users.clone(), sum(self.layers[name](features[name]) for name in self.modalities))
    def loss(self, features, batch):
        users, items = self.represent(features)
        u = users[batch.users]
        value = bpr_loss((u * items[batch.positives]).sum(1), (u * items[batch.negatives]).sum(1))
        return Loss(value, {"bpr": value})
    def module(self):
        return self
'''
TRAINING = {"training": {"max_epochs": 2, "learning_rate": 0.01, "batch_size": 128}}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("home")
    (folder / "suite.toml").write_text(SUITE)
    return folder


@pytest.fixture
def given(home: Path, tiny_folder: Path) -> dict[str, Any]:
    return {"dataset": tiny_folder, "home": home, "device": "cpu", "set": TRAINING}


@pytest.fixture(scope="module")
def report(home: Path, tiny_folder: Path) -> rr.Report:
    options: dict[str, Any] = {"dataset": tiny_folder, "home": home, "device": "cpu", "set": TRAINING}
    return rr.audit("vbpr", suite=home / "suite.toml", output=home / "api.json", **options)


def _content(path: Path) -> dict[str, Any]:
    """Return a report without times, command, and what a run took from the store."""
    found = json.loads(path.read_text())
    found["planned"].pop("time")
    for name in ("created", "command", "durations", "costs", "digests", "arrays"):
        del found[name]
    del found["judgement"]["judged"]
    for subject in found["subjects"]:
        del subject["training"]
    return dict(found)


def test_an_audit_is_that_of_the_command(report: rr.Report, home: Path, tiny_folder: Path) -> None:
    sets = [f"--set=training.{name}={value}" for name, value in TRAINING["training"].items()]
    suite, out = f"--suite={home / 'suite.toml'}", f"json:{home / 'command.json'}"
    words = ["audit", "--model=vbpr", f"--dataset={tiny_folder}", f"--home={home}", "--device=cpu", suite, *sets]
    assert run([*words, "--output-format", out, "--quiet"]) == 0
    assert _content(home / "api.json") == _content(home / "command.json")
    assert (home / "api.users.npz").read_bytes() == (home / "command.users.npz").read_bytes()
    assert report.passed
    assert report.verdict == "pass"


def test_a_suite_and_a_data_set_can_be_objects(report: rr.Report, given: dict[str, Any], home: Path) -> None:
    data = rr.load_dataset(given["dataset"], home=home)
    again = rr.audit("vbpr", suite=load_suite(str(home / "suite.toml")), **{**given, "dataset": data})
    assert again.findings == report.findings
    # Workers make the plan again, of a suite that lies in no file.
    spread = rr.audit("vbpr", suite=load_suite(str(home / "suite.toml")), workers=2, **given)
    assert spread.findings == report.findings


def test_a_report_is_a_table(report: rr.Report) -> None:
    frame, table = report.to_frame(), report.to_arrow()
    assert len(frame) == table.num_rows == len(report.findings)
    rows = frame[(frame.audit == "noise") & (frame.metric == "ndcg@20") & (frame.quantity == "drift")]
    wanted = [each for each in report.findings if (each.audit, each.metric) == ("noise", "ndcg@20")]
    assert rows.drift.tolist() == [each.drift for each in wanted if each.quantity == "drift"]
    assert set(frame.model) == {"vbpr"}
    assert table.column("audit").to_pylist() == frame.audit.tolist()


def test_a_report_says_whether_each_subject_uses_content(report: rr.Report) -> None:
    assert [use.subject for use in report.content_use] == [record.subject for record in report.subjects]
    for use in report.content_use:
        assert use.state in ("uses content", "content-free")
        assert use.kept is not None
        rows = [row for row in report.findings if row.audit == "content_use" and row.subject == use.subject]
        (row,) = [row for row in rows if row.metric == use.metric and row.condition.label == "fill=mean share=1"]
        assert row.relative_drift == pytest.approx(use.kept - 1)


def test_a_report_in_a_notebook_is_escaped(report: rr.Report) -> None:
    assert "<h3>robustrec: PASS</h3>" in report._repr_html_()
    evil = rr.Report.of(report.model_copy(update={"verdict_reason": "<script>alert(1)</script>"}))
    shown = evil._repr_html_()
    assert "&lt;script&gt;" in shown
    assert "<script" not in shown
    assert repr(report).startswith("<Report pass: ")


def test_a_report_is_saved_read_and_judged_again(report: rr.Report, home: Path, tmp_path: Path) -> None:
    saved = report.save(tmp_path / "report.json")
    assert (tmp_path / "report.users.npz").exists()
    read = rr.read_report(tmp_path / "report.json")
    assert read.findings == saved.findings
    assert isinstance(read, rr.Report)
    for name in ("report.html", "report.md", "report.csv", "report.xml", "report.parquet"):
        report.save(tmp_path / name)
        assert (tmp_path / name).stat().st_size > 100
    with pytest.raises(rr.RobustrecError, match=r"'\.pdf'"):
        report.save(tmp_path / "report.pdf")
    (tmp_path / "strict.toml").write_text(SUITE.replace("min = -0.9", "min = 0.9"))
    judged = rr.judge(tmp_path / "report.json", suite=tmp_path / "strict.toml")
    assert (judged.verdict, report.verdict) == ("fail", "pass")
    assert rr.judge(tmp_path / "report.json").verdict == "pass"


def test_reports_are_compared(report: rr.Report, tmp_path: Path) -> None:
    report.save(tmp_path / "a.json")
    report.save(tmp_path / "b.json")
    found = rr.compare([tmp_path / "a.json", tmp_path / "b.json"], metric="ndcg@20")
    assert len(found.standings) == 4
    assert not any(pair.apart for pair in found.pairs)


def test_steps_of_an_audit(given: dict[str, Any]) -> None:
    seen: list[str] = []

    def progress(stage: str, done: int, total: int, note: str = "", /) -> None:
        seen.append(stage)

    subjects = rr.train("vbpr", strategy="vanilla", seed=5, progress=progress, **given)
    assert [each.subject.seed for each in subjects] == [5]
    assert "training" in seen
    features = rr.encode(**{name: value for name, value in given.items() if name != "set"})
    assert set(features.tables) == set(subjects[0].tables)
    rows = rr.evaluate("vbpr", strategy="vanilla", seed=5, suite="quick", **given)
    assert {row.metric for row in rows} >= {"ndcg@20", "recall@20"}
    assert all(row.ci_low <= row.clean <= row.ci_high for row in rows)


def test_a_plan_does_no_work(given: dict[str, Any], tmp_path: Path) -> None:
    found = rr.plan("vbpr", strategy=["vanilla", "sgbd"], suite="quick", **{**given, "home": tmp_path / "new"})
    assert [spec.strategy_name for spec in found.specs] == ["vanilla", "sgbd"]
    assert not (tmp_path / "new" / "runs").exists()


def test_classes_and_trained_modules_are_audited(
    given: dict[str, Any], home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "plain_shop.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    from plain_shop import Plain  # type: ignore[import-not-found]

    by_class = rr.audit(Plain, strategy="vanilla", suite=home / "suite.toml", **given)
    by_name = rr.audit("plain_shop:Plain", strategy="vanilla", suite=home / "suite.toml", **given)
    assert by_class.findings == by_name.findings
    (trained,) = rr.train(Plain, strategy="vanilla", **given)
    loaded = rr.audit(Plain, checkpoint=trained.model.module(), suite=home / "suite.toml", **given)
    drift = {row.metric: row.drift for row in loaded.findings if row.quantity == "drift" and row.reference == "clean"}
    wanted = {row.metric: row.drift for row in by_class.findings if row.quantity == "drift"}
    assert drift == wanted


def test_a_class_without_a_module_is_refused(given: dict[str, Any]) -> None:
    class Local:
        pass

    with pytest.raises(rr.RobustrecError, match="cannot be imported") as caught:
        rr.audit(Local, **given)
    assert "a .py file" in caught.value.fix


def test_wrong_arguments_are_errors_that_name_them(given: dict[str, Any]) -> None:
    with pytest.raises(rr.RobustrecError, match="unknown setting 'sede'"):
        rr.audit("vbpr", sede=1, **given)  # type: ignore[call-arg]
    with pytest.raises(rr.RobustrecError, match="unknown model"):
        rr.audit("vbrp", **given)


def test_threads_audit_at_the_same_time(report: rr.Report, given: dict[str, Any], home: Path) -> None:
    numerics = torch.get_float32_matmul_precision(), torch.get_num_threads()
    with ThreadPoolExecutor(2) as pool:
        jobs = [pool.submit(rr.audit, "vbpr", suite=home / "suite.toml", **given) for _ in range(2)]
        found = [job.result() for job in jobs]
    assert [each.findings for each in found] == [report.findings] * 2
    assert (torch.get_float32_matmul_precision(), torch.get_num_threads()) == numerics


def test_the_package_offers_the_names_of_the_api() -> None:
    assert rr.__all__ == api.__all__
    assert all(getattr(rr, name) is getattr(api, name) for name in rr.__all__)
    assert set(rr.__all__) <= set(dir(rr))
    with pytest.raises(AttributeError, match="no attribute 'adit'"):
        _ = rr.adit


def test_importing_the_package_imports_no_torch() -> None:
    script = (
        "import sys, robustrec; print('torch' in sys.modules, callable(robustrec.audit), robustrec.compare.__name__)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True", "compare"]


def test_the_scripts_of_the_page_run(given: dict[str, Any], home: Path, tmp_path: Path, monkeypatch: Any) -> None:
    """Each block of the page, with a small data set in place of the sample and few epochs."""
    page = (Path(__file__).parents[2] / "docs" / "python-api.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", page, re.S)
    (tmp_path / "my_shop.py").write_text(MODULE.replace("class Plain", "class MyRecommender"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "robustrec.toml").write_text(
        f"home = {str(home)!r}\ndevice = 'cpu'\n"
        "[set.training]\nmax_epochs = 2\nlearning_rate = 0.01\nbatch_size = 128\n"
    )
    names: dict[str, Any] = {}
    for block in blocks:
        code = re.sub(r'"(clothing|my-data)"', repr(str(given["dataset"])), block)
        code = code.replace('suite="quick"', f"suite={str(home / 'suite.toml')!r}")
        code = code.replace("checkpoint=trained", f"suite={str(home / 'suite.toml')!r}, checkpoint=trained")
        if "trained_module" in block:
            (trained,) = rr.train("my_shop:MyRecommender", given["dataset"], strategy="vanilla")
            names["trained_module"] = trained.model.module()
        exec(code, names)
    assert len(blocks) == 3
    assert (tmp_path / "report.json").exists()
    assert names["frame"].metric.nunique() >= 2
    assert set(re.findall(r"`([a-z_]+)\(", page.split("## Your own")[0])) >= {
        name for name in rr.__all__ if name.islower()
    }
