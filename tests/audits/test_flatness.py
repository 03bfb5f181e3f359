"""Rank correlations of flatness with drift: closed forms, confounding by the model, and when nothing can be told."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from labelled import finding
from scipy.stats import kendalltau

from robustrec.audits.sharpness.relation import arrangements, rank_correlation, relations
from robustrec.reading.flatness import flatness_sentence
from robustrec.results.conditions import MEAN_FEATURES
from robustrec.results.exhibits import WITHIN
from robustrec.results.findings import Finding
from robustrec.subject import Subject

SEED = np.random.default_rng(0)


def _rank(x: list[float], y: list[float], groups: list[int] | None = None) -> tuple[float | None, float | None]:
    return rank_correlation(np.array(x), np.array(y), np.array(groups or [0] * len(x)), 0)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=2, max_size=7))
def test_tau_is_kendalls_with_ties(pairs: list[tuple[int, int]]) -> None:
    x, y = (list(map(float, each)) for each in zip(*pairs, strict=True))
    tau, p = _rank(x, y)
    expected = kendalltau(x, y).statistic
    if np.isnan(expected):
        assert tau is None
        return
    assert tau == pytest.approx(expected)
    assert p is not None
    assert 0 < p <= 1


@pytest.mark.parametrize(("n", "p"), [(5, 2 / 120), (6, 2 / 720), (7, 2 / 5040)])
def test_perfect_order_has_the_exact_p_value(n: int, p: float) -> None:
    assert _rank(list(range(n)), list(range(n))) == pytest.approx((1.0, p))
    assert _rank(list(range(n)), list(range(n, 0, -1))) == pytest.approx((-1.0, p))


def test_p_values_without_ties_are_the_exact_ones_of_kendall() -> None:
    for _ in range(5):
        x, y = SEED.normal(size=7), SEED.normal(size=7)
        expected = kendalltau(x, y, method="exact")
        assert _rank(list(x), list(y)) == pytest.approx((expected.statistic, expected.pvalue))


def test_many_subjects_are_permuted_at_random() -> None:
    x = list(range(12))
    tau, p = _rank(x, x)
    assert tau == 1.0
    assert p == pytest.approx(1 / 20_001)


def test_pairs_of_two_models_do_not_count_within_models() -> None:
    """Pooled, the model decides: within each the order is the opposite."""
    x, groups = [1.0, 2.0, 3.0, 4.0, 11.0, 12.0, 13.0, 14.0], [0, 0, 0, 0, 1, 1, 1, 1]
    y = [4.0, 3.0, 2.0, 1.0, 14.0, 13.0, 12.0, 11.0]
    pooled, within = _rank(x, y), _rank(x, y, groups)
    assert pooled[0] > 0
    assert within[0] == -1.0
    assert within[1] == pytest.approx(2 / 576)
    assert arrangements(np.array(groups)) == 576


def _subject(model: str, strategy: str) -> Subject:
    return Subject(model=model, strategy=strategy, features="basic", seed=0)


def _findings(
    models: list[str], strategies: list[str], flat: dict[str, list[float]], drift: list[float]
) -> list[Finding]:
    subjects = [_subject(model, strategy) for model in models for strategy in strategies]
    rows = []
    for place, subject in enumerate(subjects):
        common = {
            "subject": subject,
            "n_users": 0,
            "n_draws": 0,
            "unit": "nats",
            "audit": "sharpness",
            "quantity": "value",
        }
        rows += [finding(condition=_where(m), metric=m, clean=values[place], **common) for m, values in flat.items()]
        for condition, scale in (("sigma2=1e-06", 0.01), ("sigma_rel=0.5", 1.0)):
            lost = -scale * drift[place]
            rows.append(
                finding(
                    subject=subject,
                    audit="noise",
                    condition=condition,
                    metric="ndcg@20",
                    quantity="drift",
                    clean=1.0,
                    perturbed=1.0 + lost,
                    drift=lost,
                    relative_drift=lost,
                    n_users=10,
                    n_draws=3,
                    unit="share",
                )
            )
    return rows


def _where(metric: str) -> str:
    return {
        "input_sharpness": "sigma_std=0.1 standardised",
        "average_case": "parameters rho=0.1 standardised",
    }.get(metric, "parameters")


def test_six_subjects_give_a_conclusion() -> None:
    drift = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]
    flat = {"input_sharpness": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0], "average_case": [3.0, 1.0, 2.0, 2.5, 0.5, 2.0]}
    found = relations(_findings(["slmrec"], list("abcdef"), flat, drift), seed=0)
    first = found[0]
    assert first.outcome == "ndcg@20 under noise sigma_rel=0.5", "the larger drift first, whatever goes with it"
    assert (first.measure, first.tau, first.n_subjects) == ("input sharpness", 1.0, 6)
    assert first.y == pytest.approx(drift)
    assert not [each for each in found if each.measure.endswith(WITHIN)]
    sentence = flatness_sentence(found)
    assert sentence.startswith(
        "for these 6 subjects (slmrec) input sharpness correlates positively with the drift of ndcg@20"
    )
    assert "τ = 1.00, p = 0.0028" in sentence
    assert "row-adaptive sharpness does not" in sentence


def test_a_content_free_subject_is_no_evidence_that_flat_subjects_drift_less() -> None:
    drift = [0.0, 0.4, 0.3, 0.5, 0.2, 0.6]
    rows = _findings(["vbpr"], list("abcdef"), {"input_sharpness": [0.0, 2.0, 5.0, 1.0, 4.0, 3.0]}, drift)
    for strategy, left in (("a", 0.99), ("b", 0.4)):
        use = {"audit": "content_use", "condition": MEAN_FEATURES, "perturbed": left, "relative_drift": left - 1}
        (of_noise,) = (row for row in rows[:3] if row.audit == "noise" and row.condition.sigma_rel == 0.5)
        rows.append(of_noise.model_copy(update={**use, "subject": _subject("vbpr", strategy)}))
    found = relations(rows, seed=0)
    assert (found[0].n_subjects, found[0].left_out) == (5, ("vbpr/a/basic/seed 0",))
    assert 0.0 not in found[0].y
    assert "left out because content-free: vbpr/a/basic/seed 0" in flatness_sentence(found)


def test_fewer_than_five_subjects_tell_nothing() -> None:
    found = relations(_findings(["slmrec"], list("abcd"), {"input_sharpness": [1, 2, 3, 4]}, [1, 2, 3, 4]), seed=0)
    assert all(each.tau is None and each.p is None for each in found)
    assert "is not defined" in flatness_sentence(found)
    assert "4 subjects" in flatness_sentence(found)


def test_two_models_are_correlated_within_models_too_and_equal_values_are_not() -> None:
    values = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]
    flat = {"input_sharpness": values, "average_case": [1.0] * 8}
    found = relations(_findings(["slmrec", "dragon"], list("abcd"), flat, values), seed=0)
    named = {each.measure: each for each in found if each.outcome == found[0].outcome}
    assert named["input sharpness" + WITHIN].p == pytest.approx(2 / 576)
    assert named["row-adaptive sharpness"].tau is None
    assert "equal" in named["row-adaptive sharpness"].sentence
    sentence = flatness_sentence(found)
    assert "(slmrec, dragon)" in sentence
    assert "within models, it correlates positively (τ = 1.00" in sentence
    assert "row-adaptive sharpness has no defined τ" in sentence


def test_the_reverse_order_is_said() -> None:
    values = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    found = relations(_findings(["a"], list("abcdef"), {"input_sharpness": values}, values[::-1]), seed=0)
    assert "correlates negatively" in found[0].sentence
    assert "correlates negatively with the drift" in flatness_sentence(found)


def test_nothing_measured_is_no_relation() -> None:
    assert relations([], seed=0) == []
    assert flatness_sentence([]) == ""
