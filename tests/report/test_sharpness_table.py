"""The sharpness audit on the console."""

from __future__ import annotations

import io

from labelled import finding
from made_up_exhibits import full_report
from rich.console import Console

from robustrec.reading.flatness import flatness_sentence
from robustrec.report.console.sheet import page_of
from robustrec.report.tables.sharpness import print_sharpness
from robustrec.results.exhibits import Relation
from robustrec.results.findings import Finding
from robustrec.subject import Subject


def _value(subject: Subject, condition: str, metric: str, value: float, *, interval: bool = False) -> Finding:
    bounds = {"ci_low": value * 0.9, "ci_high": value * 1.1} if interval else {}
    return finding(
        subject=subject,
        audit="sharpness",
        condition=condition,
        metric=metric,
        quantity="value",
        clean=value,
        n_users=0,
        n_draws=4,
        unit="nats",
        **bounds,
    )


def _printed(rows: list[Finding], relations: tuple[Relation, ...] = (), width: int = 120) -> str:
    buffer = io.StringIO()
    console = Console(file=buffer, width=width, color_system=None)
    print_sharpness(page_of(full_report(relations=relations), console), rows)
    return buffer.getvalue()


def _relation(measure: str, tau: float | None, p: float | None, sentence: str = "cannot be told because") -> Relation:
    labels = tuple(f"{model}/{strategy}/basic/seed 0" for model in ("a", "b") for strategy in "wxyz")
    return Relation(
        audit="sharpness",
        measure=measure,
        outcome="ndcg@20 under noise sigma_rel=0.5",
        n_subjects=8,
        tau=tau,
        p=p,
        labels=labels,
        sentence=sentence,
    )


def test_a_row_a_subject_and_blocks_side_by_side() -> None:
    subject = full_report().subjects[0].subject
    rows = [
        _value(subject, "clean standardised", "audit_loss", 0.6543),
        _value(subject, "sigma_std=0.1 standardised", "input_sharpness", 0.0123, interval=True),
        _value(subject, "sigma_std=0.1 image standardised", "input_sharpness", 0.01),
        _value(subject, "sigma_std=0.1 standardised", "delta_loss", 0.0125),
        _value(subject, "sigma_std=0.1 standardised", "delta_loss_ratio", 1.0163),
        _value(subject, "sigma_std=0.1", "input_sharpness", 0.0321),
        _value(subject, "parameters rho=0.5 steps=1 standardised", "asam_sharpness", 0.0411),
        _value(subject, "parameters standardised", "lambda_1", 0.0693),
        _value(subject, "parameters standardised", "lambda_min", -0.0776),
        _value(subject, "parameters standardised", "trace", -0.9649),
        _value(subject, "parameters standardised: users", "trace", -0.3386),
        _value(subject, "parameters", "lambda_1", 0.0999),
    ]
    text = _printed(rows)
    for shown in ("0.6543", "0.0123", "[0.0111, 0.0135]", "1.0163", "0.0693", "-0.0776", "-0.9649", "-0.3386"):
        assert shown in text
    features, _, rest = text.partition("the same for raw margins; depends on the scale of the scores")
    assert "margins scaled to variance 1" in " ".join(features.split())
    assert "0.0123" in features, "the headline comes before the raw one"
    assert "0.0321" not in features
    assert "0.0321" in rest
    assert "0.0411" in rest
    assert "0.0999" not in text
    assert "not scale-invariant" in text
    assert "projections" not in text, "a block that is not there has no column"


def test_features_or_parameters_alone() -> None:
    subject = full_report().subjects[0].subject
    short = _printed([_value(subject, "sigma_std=0.1", "input_sharpness", 0.0123)], width=80)
    assert "0.0123" in short
    assert "depends on the scale of the scores" in " ".join(short.split()), "a report without standardised margins"
    assert "not scale-invariant" not in short
    without = _printed([_value(subject, "parameters", "lambda_1", 0.5)])
    assert "in the features" not in without
    assert "0.5000" in without


def test_the_sentence_follows_from_the_first_outcome() -> None:
    relations = (
        _relation("input sharpness", 0.87, 0.02),
        _relation("input sharpness, within models", None, None),
        _relation("row-adaptive sharpness", 0.07, 0.9),
        _relation("row-adaptive sharpness", 1.0, 0.001).model_copy(update={"outcome": "another"}),
    )
    sentence = flatness_sentence(relations)
    assert sentence == (
        "for these 8 subjects (a, b) input sharpness correlates positively with the drift of ndcg@20 under noise"
        " sigma_rel=0.5 (τ = 0.87, p = 0.02); within models, it has no defined τ; row-adaptive sharpness does not"
        " correlate (τ = 0.07)"
    )
    assert len(sentence) <= 230, "one screen's line"
    subject = full_report().subjects[0].subject
    assert "input sharpness correlates positively" in _printed([_value(subject, "clean", "audit_loss", 1.0)], relations)


def test_a_report_from_before_margins_were_standardised_says_so() -> None:
    told = (_relation("input sharpness", -0.79, 0.006), _relation("λ₁", -0.5, 0.1))
    assert flatness_sentence(told).endswith("; measured on raw margins, so it depends on the scale of the scores")
    marked = (told[0], _relation("λ₁ (scale-dependent)", -0.5, 0.1))
    assert "raw margins" not in flatness_sentence(marked)


def test_an_inconclusive_correlation_is_stated() -> None:
    assert flatness_sentence([_relation("input sharpness", None, None)]) == "cannot be told because"
