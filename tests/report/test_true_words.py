"""What the glossary, the plots and the pages claim, held against numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from labelled import condition_of
from made_up_exhibits import full_report
from made_up_report import SGBD, VANILLA, drift, made_up_report

from robustrec.audits.suites import Suite, load_suite, parse_suite, suite_names
from robustrec.cli.main import run
from robustrec.evaluation.ranking import Ranking
from robustrec.evaluation.stability import per_user_stability
from robustrec.reading.conditions import condition_words
from robustrec.reading.glossary import glossary
from robustrec.reading.limits import RowLimit, limit_words, relative_limits
from robustrec.reading.summary import gate_lines
from robustrec.results.findings import AuditStatus
from robustrec.results.gates import Gate
from robustrec.results.judging import judge
from robustrec.results.verdict import verdict_with_reason


def meaning(word):
    return dict(glossary(made_up_report()))[word]


def test_changed_is_about_sets_and_not_about_order():
    lists = np.array([[1, 2, 3], [1, 2, 3]], np.int32)
    other = np.array([[3, 2, 1], [1, 2, 4]], np.int32)
    made = [Ranking(np.arange(2), each) for each in (lists, other)]
    assert per_user_stability(*made, ["changed@3"])["changed@3"].tolist() == [0.0, 1.0]


def test_the_glossary_says_of_changed_what_is_computed():
    assert "set of items" in meaning("changed@k")
    assert "order alone does not count" in meaning("changed@k")


@pytest.mark.parametrize(
    ("relative", "margin"),
    [(-0.010, 0.006), (-0.030, -0.014), (-0.018, -0.002), (0.0, 0.016)],
)
def test_the_margin_is_that_of_the_end_that_lies_worst(relative, margin):
    gate = Gate(name="g", select={"metric": "ndcg@20"}, quantity="relative_drift", min=-0.02)
    rows = [drift(SGBD, relative, half_width=0.004)]
    report = made_up_report().model_copy(update={"gates": judge([gate], rows)})
    (line,) = gate_lines(report)
    assert line.margin == pytest.approx(margin)
    assert "the worst end of the interval" in meaning("margin")


def test_limits_are_drawn_only_where_a_gate_judges_every_row():
    report = full_report()
    gated = [drift(VANILLA, metric="ndcg@20"), drift(SGBD, metric="ndcg@20")]
    assert relative_limits(report, gated) == (RowLimit(-0.02, 0.02, blocking=True),)
    assert limit_words(relative_limits(report, gated)) == "limit −2 to +2 %, blocking"
    assert relative_limits(report, [drift(VANILLA, metric="precision@20")]) == ()
    assert relative_limits(report, [*gated, drift(VANILLA, metric="precision@20")]) == ()
    assert relative_limits(report, [drift(VANILLA, condition="sigma2=0.01")]) == ()
    assert relative_limits(report, []) == ()


def test_the_mean_over_two_edits_is_not_called_all_edits():
    for name in ("edit=all severity=3 share=0.1", "all edits severity=1"):
        assert condition_words(condition_of(name)).startswith("mean of the edits, severity")


@pytest.mark.parametrize("name", suite_names())
def test_config_show_prints_a_suite_as_toml_that_can_be_read(name, capsys):
    assert run(["config", "show", "--suite", name]) == 0
    text = capsys.readouterr().out.partition("\nsuite\n")[2]
    assert isinstance(parse_suite(text, source="shown"), Suite)
    assert parse_suite(text, source="shown") == load_suite(name)


@pytest.mark.parametrize(
    ("other", "wrong_picture", "verdict", "failed"),
    [
        (-0.01, -0.20, "pass", set()),
        (-0.01, -0.54, "pass", {"exposure of edited items"}),
        (-0.54, -0.20, "fail", {"exposure of edited items", "exposure under"}),
        (-0.01, -0.80, "fail", {"exposure of edited items", "exposure of edited items, lower limit"}),
    ],
)
@pytest.mark.parametrize("name", ["quick", "merchant", "full"])
def test_suites_of_merchant_edits_limit_the_exposure_of_edited_items(name, other, wrong_picture, verdict, failed):
    """By planted losses: under an edit that leaves the product recognisable, and under wrong pictures."""
    suite = load_suite(name)
    gates = tuple(gate for gate in suite.gates if gate.select.metric_name == "exposure@20_edited")
    assert gates
    assert all(gate.select.severity == 3 for gate in gates)
    found = {"wrong_picture": wrong_picture, "truncation" if name == "quick" else "promo_badge": other}
    rows = [
        drift(SGBD, loss, audit="merchant", condition=f"edit={edit} severity=3 share=0.1", metric="exposure@20_edited")
        for edit, loss in found.items()
    ]
    results = judge(gates, rows)
    ok = AuditStatus(audit="merchant", subject=SGBD, status="ok")
    word, reason = verdict_with_reason(results, [ok])
    assert word == verdict
    breached = {result.gate for result in results if result.status == "fail"}
    assert {gate.partition(" truncation")[0].partition(" promotions")[0] for gate in breached} == failed
    assert all(gate in reason for gate in breached), "the verdict line names every breached gate"
