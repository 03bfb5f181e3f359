"""The missing audit: what a model does not read costs nothing, what decides its scores costs quality, and A/A is 0."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from merchant_shop import make_shop
from small_plans import small_plan

from robustrec.audits import run as runner
from robustrec.audits.missing import audit as missing
from robustrec.audits.missing import kind
from robustrec.audits.missing.audit import MissingCondition, conditions_of, replaced_items
from robustrec.audits.missing.config import MissingAudit
from robustrec.audits.outcome import make_report
from robustrec.audits.plan import Plan, cost_of
from robustrec.audits.suites import load_suite, parse_suite
from robustrec.errors import RobustrecError
from robustrec.reading.conditions import condition_words
from robustrec.results.findings import Finding
from robustrec.results.report import Report

SUITE = """
schema_version = 1
name = "gone"
metrics = ["recall@10", "ndcg@20"]
stability = ["rbo@20", "changed@20"]
bootstrap = { replicates = 200 }
[[audits]]
kind = "missing"
shares = [0.0, 0.3, 1.0]
scopes = ["image", "text", "all"]
draws = 2
"""
GATE = """
[[gates]]
name = "gone"
select = { audit = "missing", SELECT, metric = "ndcg@20" }
quantity = "relative_drift"
min = -0.05
bound = "estimate"
"""
TEXT_ONLY = """
import torch
from torch import nn
from robustrec.models.contract import RecommenderModule, Representation, Loss
from robustrec.models.vbpr import VBPR


class TextVBPR(VBPR):
    modalities = ("text",)
"""


def plan_of(folder: Path, home: Path, suite: str = SUITE, **settings: Any) -> Plan:
    return small_plan(folder, home, suite, **settings)


def audited(plan: Plan) -> Report:
    run = runner.measure(plan)
    assert run.context.costs.rankings <= cost_of(plan).rankings
    return make_report(plan, run, command=["robustrec", "audit"])[0]


def rows_of(report: Report, **wanted: Any) -> list[Finding]:
    fields = ("fill", "modality", "share", "graphs")
    return [
        row
        for row in report.findings
        if row.audit == "missing"
        and all(getattr(row.condition if key in fields else row, key) == value for key, value in wanted.items())
    ]


@pytest.fixture(scope="module")
def report(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Report:
    plan = plan_of(tiny_folder, tmp_path_factory.mktemp("home"), strategy=("vanilla", "mirror"))
    return audited(plan)


def test_no_item_missing_is_exactly_nothing(report: Report) -> None:
    still = rows_of(report, share=0.0)
    assert {row.reference for row in still} == {"clean", "vanilla"}
    for row in still:
        assert (row.drift, row.ci_low, row.ci_high) == (0.0, 0.0, 0.0), row
        assert row.relative_drift in (0.0, None)
        assert row.n_draws == 0


def test_equal_lists_of_two_subjects_do_not_show_that_no_user_can_change(
    tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kind, "features_of", lambda audited, _, draws: [audited.tables] * draws)
    suite = SUITE.replace("[0.0, 0.3, 1.0]", "[0.0, 1.0]").replace('"image", "text", "all"', '"text"')
    suite = suite.replace("draws = 2", 'draws = 2\nfills = ["mean"]')
    found = audited(plan_of(tiny_folder, tmp_path, suite, strategy=("vanilla", "mirror")))
    for reference in ("clean", "vanilla"):
        off, same = (rows_of(found, reference=reference, metric="ndcg@20", share=share)[0] for share in (1.0, 0.0))
        assert off.drift == same.drift == 0
        assert off.ci_low < 0 < off.ci_high, "lists that happen to be equal"  # type: ignore[operator]
        assert same.ci_low == same.ci_high == 0, "nothing is missing"


def test_a_modality_off_costs_more_than_a_part_of_it_and_says_what_is_random(report: Report) -> None:
    (off,) = rows_of(report, fill="mean", modality="all", share=1.0, metric="ndcg@20", reference="clean")[:1]
    (part,) = rows_of(report, fill="mean", modality="all", share=0.3, metric="ndcg@20", reference="clean")[:1]
    assert off.drift is not None
    assert part.drift is not None
    assert off.drift < part.drift < 0
    assert (off.n_draws, part.n_draws) == (0, 2)
    assert "one draw" not in off.note
    use = next(each for each in report.content_use if each.subject == off.subject)
    assert off.relative_drift is not None
    assert use.kept == pytest.approx(1 + off.relative_drift), "content use is the same condition"
    other = rows_of(report, fill="other", modality="all", share=1.0, metric="ndcg@20", reference="clean")[0]
    assert other.n_draws == 2
    differences = rows_of(report, fill="mean", share=0.3, reference="vanilla", metric="ndcg@20")
    assert {row.subject.strategy for row in differences} == {"mirror"}


def test_a_model_of_texts_loses_nothing_when_pictures_are_missing(
    tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "text_vbpr.py").write_text(TEXT_ONLY)
    monkeypatch.syspath_prepend(tmp_path)
    report = audited(plan_of(tiny_folder, tmp_path / "home", model=("text_vbpr:TextVBPR",)))
    pictures = rows_of(report, modality="image")
    assert len(pictures) == 9 * 4
    for row in pictures:
        assert (row.drift, row.ci_low, row.ci_high, row.n_draws) == (0.0, 0.0, 0.0, 0)
        assert "the scores do not depend on the image features" in row.note
    texts, both = (rows_of(report, modality=each, share=1.0, fill="mean", metric="ndcg@20") for each in ("text", "all"))
    assert texts[0].drift == both[0].drift
    assert texts[0].drift is not None
    assert texts[0].drift < 0


def test_item_graphs_are_rebuilt_or_frozen(tiny_folder: Path, tmp_path: Path) -> None:
    suite = SUITE.replace("draws = 2", 'draws = 1\ngraphs = ["rebuilt", "frozen"]\nfills = ["mean"]')
    report = audited(plan_of(tiny_folder, tmp_path, suite, model=("freedom",)))
    rebuilt, frozen = (
        rows_of(report, graphs=each, modality="all", share=1.0, metric="changed@20") for each in ("rebuilt", "frozen")
    )
    assert rebuilt[0].drift != 0
    assert frozen[0].drift == 0, "its scores use features by the item graph alone"


def test_kept_graphs_alone_measure_nothing_of_a_model_that_reads_features_by_them_only(
    tiny_folder: Path, tmp_path: Path
) -> None:
    suite = SUITE.replace("draws = 2", 'draws = 1\nfills = ["zero"]\ngraphs = ["frozen"]')
    suite += GATE.replace("SELECT", 'fill = "zero", share = 1.0, modality = "all"')
    found = audited(plan_of(tiny_folder, tmp_path, suite, model=("freedom",)))
    (status,) = [each for each in found.statuses if each.audit == "missing"]
    assert status.status == "not_applicable"
    assert 'graphs = ["rebuilt"]' in status.message
    assert not rows_of(found)
    assert [each.status for each in found.gates] == ["error"], "a drift that is 0 whatever is missing passes no gate"


def test_the_features_of_the_chosen_items_alone_are_replaced(tiny_folder: Path, tmp_path: Path) -> None:
    plan = plan_of(tiny_folder, tmp_path)
    seen: list[dict[str, torch.Tensor]] = []
    whole = runner.TrainedSubject.represent

    def looked(self: Any, features: Any = None, **options: Any) -> Any:
        if features is not None:
            seen.append({name: table.clone() for name, table in features.items()})
        return whole(self, features, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runner.TrainedSubject, "represent", looked)
        patch.setattr(runner, "measure_content_use", lambda *_: None)
        run = runner.measure(plan)
    clean = run.prepared.tables
    changed = [
        {name: ((table != clean[name]).any(dim=1)).sum().item() for name, table in each.items()} for each in seen
    ]
    # 18 of 60 items are chosen: 0.3 of each stratum.
    assert {"image": 18, "text": 0} in changed
    assert {"image": 0, "text": 18} in changed
    assert {"image": 18, "text": 18} in changed
    assert {"image": 60, "text": 0} in changed


def test_choices_are_nested_and_an_item_never_gets_its_own_row(tiny_folder: Path, tmp_path: Path) -> None:
    from robustrec.audits.by_subject import AuditedSubject

    plan = plan_of(tiny_folder, tmp_path)
    work = runner.work_of(plan)
    audited_subject = AuditedSubject("missing", None, None, work)  # type: ignore[arg-type]
    small, large = (replaced_items(audited_subject, share, 0) for share in (0.1, 0.5))
    assert set(small.items.tolist()) < set(large.items.tolist())
    assert not bool((large.items == large.others).any())
    again = replaced_items(audited_subject, 0.5, 0)
    assert torch.equal(again.items, large.items)
    assert not torch.equal(replaced_items(audited_subject, 0.5, 1).items, large.items)


def test_models_without_features_are_not_applicable(tiny_folder: Path, tmp_path: Path) -> None:
    report = audited(plan_of(tiny_folder, tmp_path, model=("bpr", "bm3", "vbpr")))
    status = {each.subject.model: each.status for each in report.statuses if each.audit == "missing"}
    assert status["bpr"] == "not_applicable"
    assert status["vbpr"] == "ok"
    assert all(row.drift == 0 for row in rows_of(report, reference="clean") if row.subject.model == "bm3")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ('scopes = ["image", "text", "all"]', 'scopes = ["audio"]'),
        ("shares = [0.0, 0.3, 1.0]", "shares = [1.5]"),
        ("draws = 2", 'draws = 2\nfills = ["median"]'),
    ],
)
def test_wrong_settings_are_refused_before_any_work(change: str, says: str, tiny_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(RobustrecError):
        plan_of(tiny_folder, tmp_path, SUITE.replace(change, says))
    assert not (tmp_path / "runs").exists()


def test_gates_select_by_fill_share_and_modality(tiny_folder: Path, tmp_path: Path) -> None:
    suite = SUITE + GATE.replace("SELECT", 'fill = "mean", share = 1.0, modality = "all"')
    report = audited(plan_of(tiny_folder, tmp_path, suite))
    assert [(gate.status, gate.selected) for gate in report.gates] == [("fail", 1)]
    with pytest.raises(RobustrecError, match="share"):
        plan_of(tiny_folder, tmp_path, SUITE + GATE.replace("SELECT", "share = 0.2"))


def test_labels_words_and_the_shipped_suite() -> None:
    config = MissingAudit(kind="missing")
    labels = {each.condition.label: condition_words(each.condition) for each in conditions_of(config)}
    assert labels["fill=zero share=0.3 image"] == "image features set to zero, 30 % of items"
    assert labels["fill=other share=1 text"] == "text features of another item, 100 % of items"
    suite = load_suite("missing")
    assert {gate.select.audit for gate in suite.gates} == {"missing", "content_use"}
    with pytest.raises(RobustrecError, match="duplicate"):
        parse_suite(SUITE.replace("[0.0, 0.3, 1.0]", "[0.3, 0.3]"), source="x")


@pytest.fixture(scope="module")
def shop_report(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Report:
    """Content is taken away and encoded again; one model reads texts alone."""
    folder = make_shop(tmp_path_factory.mktemp("shop") / "shop", next(tiny_folder.glob("*.inter")))
    home = tmp_path_factory.mktemp("home")
    (home / "text_vbpr_shop.py").write_text(TEXT_ONLY)
    suite = SUITE.replace("draws = 2", 'draws = 2\nfills = ["removed"]').replace('"all"]', '"all"]')
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(home)
        plan = plan_of(folder, home / "home", suite, model=("vbpr", "text_vbpr_shop:TextVBPR"), features="basic")
        run = runner.measure(plan)
        assert 0 < run.context.costs.encodings <= cost_of(plan).encodings
        return make_report(plan, run, command=["robustrec", "audit"])[0]


def test_removed_content_is_encoded_again(shop_report: Report) -> None:
    assert {status.status for status in shop_report.statuses} == {"ok"}
    rows = [row for row in rows_of(shop_report, fill="removed", share=1.0, metric="rbo@20", reference="clean")]
    drift = {(row.subject.model, row.condition.modality): row.drift for row in rows}
    assert all(drift["vbpr", scope] < -0.01 for scope in ("image", "text", "all"))
    still = rows_of(shop_report, fill="removed", share=0.0)
    assert {row.drift for row in still} == {0.0}


def test_a_model_of_texts_loses_nothing_when_pictures_are_removed(shop_report: Report) -> None:
    own = [row for row in rows_of(shop_report, modality="image") if row.subject.model.startswith("text_vbpr")]
    assert own
    for row in own:
        assert (row.drift, row.ci_low, row.ci_high) == (0.0, 0.0, 0.0)
    text = [row for row in rows_of(shop_report, modality="text", share=1.0) if row.subject.model.startswith("text_")]
    assert any(row.drift for row in text)


def test_imported_features_have_no_content_to_remove(tiny_folder: Path, tmp_path: Path) -> None:
    suite = SUITE.replace("draws = 2", 'draws = 1\nfills = ["mean", "removed"]')
    report = audited(plan_of(tiny_folder, tmp_path / "a", suite))
    assert any(each.startswith("missing image, removed: not measured, because imported") for each in report.warnings)
    assert len(report.warnings) == len(set(report.warnings)), "each warning once, not for each condition"
    assert {row.condition.fill for row in report.findings if row.audit == "missing"} == {"mean"}
    with pytest.raises(RobustrecError, match="imported features cannot be computed again"):
        plan_of(tiny_folder, tmp_path / "b", SUITE.replace("draws = 2", 'draws = 1\nfills = ["removed"]'))


@pytest.mark.parametrize(("changing", "touched"), [((), False), ((0,), True), ((2,), True)])
def test_what_any_draw_changes_is_measured(
    monkeypatch: pytest.MonkeyPatch, changing: tuple[int, ...], *, touched: bool
) -> None:
    text = torch.zeros(3, 2)

    def drawn(_audited: object, _condition: object, draws: int) -> Any:
        for draw in range(draws):
            yield {"text": text + 1 if draw in changing else text}

    monkeypatch.setattr(missing, "features_of", drawn)
    audited: Any = SimpleNamespace(trained=SimpleNamespace(scored_tables={"text": text}))
    assert MissingCondition("removed", "image", 0.5).touches(audited, 3) == touched
