"""Content use: a model that ignores content is marked, and neither recommended nor ranked; one that uses it is not."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console
from small_plans import small_plan

from robustrec.audits import run as runner
from robustrec.audits.content_use import conditions_of
from robustrec.audits.fills import exchanged, filled
from robustrec.audits.outcome import make_report, write_outcome
from robustrec.audits.plan import Plan, cost_of
from robustrec.errors import RobustrecError
from robustrec.models import MODELS
from robustrec.reading.glance import at_a_glance
from robustrec.reading.summary import cautions, summary_of
from robustrec.report.console.console import print_report
from robustrec.report.html.page import html_page
from robustrec.results.conditions import MEAN_FEATURES
from robustrec.results.content_use import ContentUse
from robustrec.results.report import Report, read_report
from robustrec.runs.subjects import obtain_subject

SUITE = """
schema_version = 1
name = "use"
metrics = ["recall@10", "ndcg@20"]
stability = ["rbo@20"]
bootstrap = { replicates = 200 }
[[audits]]
kind = "noise"
relative = [0.05]
sigma2 = []
draws = 2
[[gates]]
name = "noise"
select = { audit = "noise", metric = "ndcg@20" }
quantity = "relative_drift"
min = -0.99
"""
GATE = """
[[gates]]
name = "uses content"
select = { audit = "content_use", fill = "mean", modality = "all", graphs = "rebuilt", metric = "content_use" }
quantity = "value"
min = 0.05
bound = "estimate"
"""


def plan_of(folder: Path, home: Path, suite: str = SUITE, **settings: Any) -> Plan:
    return small_plan(folder, home, suite, **settings)


def audited(plan: Plan) -> Report:
    run = runner.measure(plan)
    report, arrays = make_report(plan, run, command=["robustrec", "audit"])
    assert run.context.costs.rankings <= cost_of(plan).rankings
    return write_outcome(report, arrays, plan.home / "report.json")


def planted(monkeypatch: pytest.MonkeyPatch, strategy: str, factor: float) -> None:
    """Scale the projection of the features of VBPR after the training with one strategy."""

    def obtain(spec: Any, *rest: Any, **options: Any) -> Any:
        subject = obtain_subject(spec, *rest, **options)
        if spec.strategy_name == strategy:
            with torch.no_grad():
                subject.model.projection.weight.mul_(factor)
        return subject

    monkeypatch.setattr(runner, "obtain_subject", obtain)


def uses(report: Report) -> dict[str, ContentUse]:
    return {each.subject.strategy: each for each in report.content_use}


@pytest.mark.parametrize(("factor", "seeds"), [(0.0, 1), (1e-3, 2)])
def test_a_model_that_ignores_content_is_marked_and_not_recommended(
    factor: float, seeds: int, tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    planted(monkeypatch, "mirror", factor)
    report = audited(plan_of(tiny_folder, tmp_path, SUITE + GATE, strategy=("vanilla", "mirror"), seeds=seeds))
    found = uses(report)
    assert {name: each.state for name, each in found.items()} == {
        "vanilla": "uses content",
        "mirror": "content-free",
    }
    assert found["mirror"].kept == pytest.approx(1.0, abs=0.05)
    assert found["mirror"].overlap == pytest.approx(1.0, abs=0.05)
    assert "robustness to content edits is trivial" in found["mirror"].sentence
    assert found["vanilla"].kept is not None
    assert found["vanilla"].kept < 0.8
    (gate,) = [each for each in report.gates if each.gate == "uses content"]
    assert gate.status == "fail"
    assert gate.subject is not None
    assert gate.subject.strategy == "mirror"
    assert report.recommendation is not None
    assert report.recommendation.chosen == ""
    summary = summary_of(report)
    by_strategy = {each.subjects[0].strategy: each for each in summary.candidates}
    name = by_strategy["mirror"].name
    assert name in ("mirror (content-free)", "mirror (content-free, uncertain)")
    assert by_strategy["vanilla"].name == "vanilla"
    assert all("(content-free" in summary.names[each] for each in by_strategy["mirror"].subjects)
    assert any("mirror: content-free: robustness" in line for line in cautions(report))
    glance = at_a_glance(summary)
    cells = {row.name: row.cells[1] for row in glance.rows}
    assert glance.columns[1].title == "left with mean features"
    assert "content-free" in cells[name].remark
    assert "uses content" in cells["vanilla"].remark
    if factor == 0.0:  # the reach check says so too
        assert report.verdict == "error"
        assert found["mirror"].kept_low == found["mirror"].kept_high == 1.0, "no list of any user can differ"
    console = io.StringIO()
    print_report(report, Console(file=console, width=140, color_system=None))
    assert "(content-free" in console.getvalue()
    assert "(content-free" in html_page(report)
    assert read_report(tmp_path / "report.json").content_use == report.content_use
    if seeds > 1:
        assert_no_conclusion_on_robustness(report)


def assert_no_conclusion_on_robustness(report: Report) -> None:
    """A content-free model that drifts less than another one, beyond doubt, is not said to: in no form."""
    rows = [row for row in report.over_seeds if row.reference == "vanilla" and row.audit == "noise"]
    assert rows, "the drift of mirror is compared with that of vanilla"
    less = {"clean": -0.1, "perturbed": -0.001, "drift": 0.099, "ci_low": 0.09, "ci_high": 0.11}
    sure = tuple(row.model_copy(update=less) if row in rows else row for row in report.over_seeds)
    report = report.model_copy(update={"over_seeds": sure})
    console = io.StringIO()
    print_report(report, Console(file=console, width=200, color_system=None))
    for shown in (console.getvalue(), html_page(report)):
        assert "drifts less" not in shown
        assert "none: content-free" in shown


def test_models_without_features_and_those_that_read_them_in_training_only_are_trivial(
    tiny_folder: Path, tmp_path: Path
) -> None:
    report = audited(plan_of(tiny_folder, tmp_path, model=("bpr", "bm3", "vbpr")))
    found = {each.subject.model: each for each in report.content_use}
    assert [found[name].state for name in ("bpr", "bm3", "vbpr")] == [
        "reads no content",
        "reads no content",
        "uses content",
    ]
    assert found["bpr"].sentence == "reads no item features: robustness to content edits is trivial"
    assert found["bm3"].sentence.startswith("its features affect training only and have no effect on its scores:")
    assert all(found[name].trivial for name in ("bpr", "bm3"))
    assert report.recommendation is not None
    requirement = next(each for each in report.recommendation.requirements if each.name == "alternatives")
    assert requirement.text == "only vbpr/vanilla uses content, so there is no alternative to compare with"


@pytest.mark.parametrize(
    "fields", ['fill = "mean", modality = "all"', 'fill = "mean", modality = "image"', 'fill = "other"']
)
def test_a_gate_on_content_use_judges_models_that_read_no_content(
    fields: str, tiny_folder: Path, tmp_path: Path
) -> None:
    gate = GATE.replace('fill = "mean", modality = "all"', fields)
    report = audited(plan_of(tiny_folder, tmp_path, SUITE + gate, model=("vbpr", "bpr", "bm3")))
    (outcome,) = [each for each in report.gates if each.gate == "uses content"]
    assert outcome.status == "fail"
    assert outcome.selected == 3
    assert outcome.subject is not None
    assert outcome.subject.model in ("bpr", "bm3")
    assert report.verdict == "fail"


def test_scores_without_features_are_not_measured_and_say_why(
    tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "only_scores_use.py").write_text(
        "import numpy as np\nmodalities = ()\n"
        "def score(features, users): return np.cos(np.outer(users + 1, np.arange(60)))\nscore.modalities = ()\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    report = audited(plan_of(tiny_folder, tmp_path / "home", model=("only_scores_use:score", "vbpr")))
    found = {each.subject.model: each for each in report.content_use}
    own = found["only_scores_use:score"]
    assert (own.state, own.kept, own.trivial) == ("not measured", None, False)
    assert own.reason == "robustrec has only its scores and no item features to replace"


def test_item_graphs_are_rebuilt_and_frozen_and_modalities_replaced_alone(tiny_folder: Path, tmp_path: Path) -> None:
    report = audited(plan_of(tiny_folder, tmp_path, model=("freedom",)))
    rows = [row for row in report.findings if row.audit == "content_use" and row.metric == "overlap@20"]
    assert [row.condition.label for row in rows] == [
        "fill=mean share=1",
        "fill=mean share=1 frozen graphs",
        "fill=mean share=1 image",
        "fill=mean share=1 text",
        "fill=other share=1",
    ]
    overlap = {row.condition.label: row for row in rows}
    frozen = overlap["fill=mean share=1 frozen graphs"]
    assert (frozen.drift, frozen.ci_low, frozen.ci_high) == (0.0, 0.0, 0.0), "its scores use features by graphs alone"
    assert overlap["fill=mean share=1"].drift != 0
    assert [row.n_draws for row in rows] == [0, 0, 0, 0, 1]
    assert not any("one draw" in row.note for row in rows[:4])


@pytest.mark.parametrize("name", MODELS)
def test_every_model_ranks_with_mean_features(name: str, tiny: Any) -> None:
    """Rows that are all equal give finite scores and graphs that depend on no rounding."""
    from robustrec.models import model_class
    from robustrec.runs.specs import SubjectSpec, modalities_read
    from robustrec.runs.trained import build_model
    from robustrec.training.config import TrainingConfig
    from robustrec.training.strategy_config import StrategyConfig

    read = modalities_read(name, tiny.tables)
    if not read:
        assert model_class(name).modalities == ()
        return
    model = build_model(SubjectSpec(name, {}, TrainingConfig(), StrategyConfig(), seed=0), tiny)
    with torch.no_grad():
        once, again = (model.represent(filled(read, read, "mean")) for _ in range(2))
    assert torch.isfinite(once.items).all()
    assert torch.isfinite(once.users).all()
    assert torch.equal(once.items, again.items)


def test_cold_items_are_ranked_among_themselves(tiny_folder: Path, tmp_path: Path) -> None:
    """Twelve items lose their training interactions: only content finds them, and nothing does with mean features."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    for path in tiny_folder.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    header, *lines = (folder / "tiny.inter").read_text().splitlines()
    kept = [line for line in lines if not (int(line.split("\t")[1]) < 24 and line.endswith("\t0"))]
    (folder / "tiny.inter").write_text("\n".join([header, *kept]) + "\n")
    report = audited(plan_of(folder, tmp_path / "home", SUITE.replace("ndcg@20", "ndcg@5")))
    (use,) = report.content_use
    assert use.metric == "ndcg@5"
    assert use.cold is not None
    assert use.cold_mean is not None
    assert use.cold > use.cold_mean + 0.1
    rows = [row for row in report.findings if row.metric == "ndcg@5_among_cold_items" and row.quantity == "drift"]
    assert {row.group for row in rows} == {"cold_items"}
    arrays = np.load(tmp_path / "home" / "report.users.npz")
    cold = arrays[f"{use.subject.label.replace('/', ':')}|clean|test|ndcg@5_among_cold_items"]
    assert cold.mean() == pytest.approx(use.cold)
    assert len(cold) == rows[0].n_users


def test_a_gate_by_a_wildcard_does_not_select_content_use(tiny_folder: Path, tmp_path: Path) -> None:
    suite = SUITE.replace('select = { audit = "noise", metric = "ndcg@20" }', 'select = { metric = "ndcg@20" }')
    report = audited(plan_of(tiny_folder, tmp_path, suite.replace("-0.99", "-0.5")))
    assert [gate.selected for gate in report.gates] == [1], "noise alone, though mean features cost more"
    assert report.verdict == "pass"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ('metric = "content_use" }', 'metric = "content_uze" }'),
        ('fill = "mean"', 'fill = "median"'),
        ('fill = "mean"', 'fill = "zero"'),
        ("min = 0.05\nbound", "min = 1.5\nbound"),
    ],
)
def test_a_gate_on_what_is_never_measured_is_refused(change: str, told: str, tiny_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(RobustrecError):
        plan_of(tiny_folder, tmp_path, (SUITE + GATE).replace(change, told))


def test_a_report_without_content_use_is_read_and_said_to_lack_it(tiny_folder: Path, tmp_path: Path) -> None:
    plan = plan_of(tiny_folder, tmp_path)
    run = runner.measure(plan)
    run.results.findings[:] = [row for row in run.results.findings if row.audit != "content_use"]
    report = make_report(plan, run, command=["robustrec", "audit"])[0]
    assert report.content_use == ()
    assert "content use was not measured: the report does not have it" in cautions(report)
    assert report.recommendation is not None
    assert "content use was not measured" in report.recommendation.headline
    assert at_a_glance(summary_of(report)).rows[0].cells[1].number == "not measured"


def test_rows_are_exchanged_in_one_cycle_and_named_streams() -> None:
    others = exchanged(101, "x", seed=3)
    assert sorted(others.tolist()) == list(range(101))
    assert not (others == torch.arange(101)).any()
    assert torch.equal(others, exchanged(101, "x", seed=3))
    assert not torch.equal(others, exchanged(101, "y", seed=3))
    tables = {"image": torch.arange(12.0).reshape(4, 3), "text": torch.eye(4)}
    held = {name: table.clone() for name, table in tables.items()}
    mean = filled(tables, ["image"], "mean")
    assert torch.equal(mean["image"], torch.tensor([4.5, 5.5, 6.5]).expand(4, 3))
    assert mean["text"] is tables["text"]
    some = filled(tables, tables, "zero", torch.tensor([1, 3]))
    assert some["image"][[1, 3]].abs().sum() == 0
    assert torch.equal(some["image"][[0, 2]], tables["image"][[0, 2]])
    other = filled(tables, ["text"], "other", torch.tensor([0]), torch.tensor([2]))
    assert torch.equal(other["text"][0], held["text"][2])
    assert all(torch.equal(tables[name], held[name]) for name in tables)
    assert conditions_of(["text"], item_graphs=False)[0] == MEAN_FEATURES
