"""What reads the description of a metric: conclusions, quality, gates that cannot be judged."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from robustrec.audits.plan_checks import without_features
from robustrec.audits.suites import Suite, parse_suite
from robustrec.errors import RobustrecError
from robustrec.reading.names import headline
from robustrec.reading.summary import is_quality
from robustrec.report.tables.comparison import meaning
from robustrec.results.conditions import CLEAN_TEST, Condition
from robustrec.results.findings import AuditStatus, Finding
from robustrec.results.gates import Gate
from robustrec.results.inapplicable import inapplicable
from robustrec.results.judging import judge
from robustrec.subject import Subject

SUBJECT = Subject(model="bpr", strategy="sgbd", features="none", seed=0)


def difference(metric: str, sign: int) -> Finding:
    ends = sorted((sign * 0.1, sign * 0.3))
    return Finding(
        subject=SUBJECT,
        audit="clean",
        condition=CLEAN_TEST,
        metric=metric,
        reference="vanilla",
        quantity="drift",
        clean=1.0,
        perturbed=1.0 + sign * 0.2,
        drift=sign * 0.2,
        ci_low=ends[0],
        ci_high=ends[1],
        n_users=10,
        n_draws=0,
        unit="share",
    )


def suite_with(gate: str = "") -> Suite:
    text = 'schema_version = 1\nname = "mine"\nmetrics = ["ndcg@10", "ild@10"]\n[[audits]]\nkind = "noise"\n'
    return parse_suite(text + gate, source="mine.toml")


GATE = '[[gates]]\nname = "g"\nselect = { audit = "clean", metric = "ild@10" }\nquantity = "value"\nmin = 0.5\n'


@pytest.mark.parametrize(
    ("metric", "more", "less"),
    [
        ("ndcg@20", "better", "worse"),
        ("coverage@20", "better", "worse"),
        ("gini@20", "worse", "better"),
        ("novelty@20", "higher", "lower"),
        ("ild@20", "higher", "lower"),
    ],
)
def test_a_conclusion_follows_the_better_direction(metric: str, more: str, less: str) -> None:
    assert meaning(difference(metric, 1)) == more
    assert meaning(difference(metric, -1)) == less


def test_only_metrics_of_relevant_items_are_quality_and_headlines_come_first() -> None:
    names = ["coverage@20", "novelty@5", "rbo@20", "hit_rate@20", "mrr@1000"]
    assert [name for name in names if is_quality(name)] == ["hit_rate@20", "mrr@1000"]
    assert headline(difference(name, 1) for name in ("gini@20", "ild@9", "mrr@9", "ndcg@10")) == ["ndcg@10", "mrr@9"]


def test_an_optional_gate_on_a_modality_that_nobody_has_is_skipped_with_the_reason() -> None:
    text = """[[gates]]
name = "pictures"
select = { audit = "noise", modality = "image", metric = "ndcg@10" }
quantity = "drift"
min = -0.5
optional = true
"""
    gate = suite_with(text).gates[0]
    noise = Condition(kind="noise", modality="text", graphs="rebuilt", trained=False, sigma2=0.1)
    row = difference("ndcg@10", 1).model_copy(update={"audit": "noise", "condition": noise, "reference": "clean"})
    reason = inapplicable(gate, [row], [AuditStatus(audit="noise", subject=SUBJECT, status="ok")])
    assert reason == (
        "gate 'pictures' was skipped: no measured model has features of modality 'image' (modalities: text)"
    )
    required = gate.model_copy(update={"optional": False})
    assert inapplicable(required, [row], []) == "", "a required gate must be judged"
    failed = [AuditStatus(audit="noise", subject=SUBJECT, status="error", message="no")]
    assert inapplicable(gate, [row], failed) == "", "what failed is no modality that is lacking"
    assert inapplicable(gate, [], []) == ""


def test_a_gate_on_the_relative_drift_of_nothing_says_what_to_do() -> None:
    row = difference("exposure@20", 1).model_copy(
        update={"audit": "noise", "reference": "clean", "clean": 0.0, "perturbed": 0.2, "segment_by": "category"}
    )
    row = row.model_copy(update={"segment": "hats", "note": "no relative drift: the clean mean is 0"})
    gate = {"name": "g", "select": {"audit": "noise", "metric": "exposure@20", "segment_by": "category"}}
    relative = Gate.model_validate({**gate, "quantity": "relative_drift", "min": -0.5})
    (result,) = judge([relative], [row])
    assert result.status == "error"
    assert result.message == (
        'category hats: exposure@20 is 0 on clean inputs, so it has no relative drift; set quantity = "drift", or '
        "select others"
    )
    assert judge([Gate.model_validate({**gate, "quantity": "drift", "min": -0.5})], [row])[0].status == "pass"


def test_a_metric_of_item_features_is_not_applicable_without_any() -> None:
    def plan(suite: Suite, encoder: str | None) -> Any:
        return SimpleNamespace(suite=suite, encoder=encoder)

    assert without_features(plan(suite_with(), "basic")) == []
    (line,) = without_features(plan(suite_with(), None))
    assert line == "ild@10: not applicable: no model of the run reads item features"
    with pytest.raises(RobustrecError, match="gate 'g' checks ild@10, but no model of the run reads item features"):
        without_features(plan(suite_with(GATE), None))
    optional = suite_with(GATE + "optional = true\n")
    assert without_features(plan(optional, None)) == [line]
    assert "was skipped: ild@10 requires a model that reads item features" in inapplicable(optional.gates[0], [], [])
