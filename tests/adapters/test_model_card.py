"""Model cards: the published metadata form, the numbers of the report, and texts that cannot change the page."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from huggingface_hub import ModelCard

from robustrec.adapters.model_card import candidate_of, model_card
from robustrec.audits.checked import checked_report
from robustrec.errors import RobustrecError
from robustrec.reading.glance import largest_loss, quality_of
from robustrec.reading.summary import summary_of
from robustrec.results.report import Report

TUTORIAL = Path(__file__).resolve().parents[2] / "docs" / "tutorial-report.json"


@pytest.fixture(scope="module")
def report() -> Report:
    return checked_report(TUTORIAL)


def test_metadata_is_the_published_form_and_has_the_numbers_of_the_candidate(report: Report) -> None:
    """The library of the Hub reads the results back; sgbd's numbers, not vanilla's."""
    summary = summary_of(report)
    sgbd = candidate_of(summary, "sgbd")
    results = ModelCard(model_card(report, model_name="shop/slmrec", candidate="sgbd")).data.eval_results
    assert results is not None
    quality = quality_of(summary, sgbd)
    assert quality is not None
    assert (results[0].metric_value, results[0].dataset_revision) == (quality.mean, report.dataset.digest)
    for result in results[1:]:
        assert result.metric_args is not None
        worst = largest_loss(summary, result.metric_args["audit"], sgbd)
        assert worst is not None
        assert worst.row.subject.strategy == "sgbd"
        assert result.metric_value == worst.row.relative_drift
        assert result.metric_args["condition"] == worst.row.condition.label
        assert result.metric_args["low"] <= result.metric_value <= result.metric_args["high"]
    assert {result.dataset_name for result in results} == {"clothing, SYNTHETIC sample"}


def test_section_says_verdict_synthetic_data_and_every_gate(report: Report) -> None:
    text = model_card(report, model_name="m", candidate="vanilla").partition("\n---\n")[2]
    assert f"**{report.verdict.upper()}**" in text
    assert "SAMPLE EDITION" in text
    assert all(gate.gate in text.replace("\\", "") for gate in report.gates)


def test_names_with_markup_stay_texts(report: Report) -> None:
    """A name cannot end the metadata, start a key, or become markup."""
    name = "a: b\n---\nlicense: mit\n# <img src=x>"
    hostile = report.model_copy(
        update={"dataset": report.dataset.model_copy(update={"name": name}), "verdict_reason": "<b>[x](y)</b>"}
    )
    card = ModelCard(model_card(hostile, model_name=name, candidate="sgbd"))
    assert card.data.license is None
    assert card.data.eval_results is not None
    assert card.data.eval_results[0].dataset_type == name
    assert not re.search(r"(?<!\\)[<\[](img|b|x)", card.text)
    assert "\\<img" in card.text


def test_a_candidate_must_be_named_where_there_are_several(report: Report) -> None:
    for name in ("", "amr"):
        with pytest.raises(RobustrecError, match="vanilla, sgbd"):
            model_card(report, model_name="m", candidate=name)


def test_a_candidate_is_found_without_the_mark_on_its_name(report: Report) -> None:
    summary = summary_of(report)
    marked = [replace(each, name=f"{each.name} (content-free, uncertain)") for each in summary.candidates]
    found = candidate_of(replace(summary, candidates=marked), "sgbd")
    assert found.name == "sgbd (content-free, uncertain)"
