"""Rows of the table hold what the statistics say at the suite's level, of the arrays they are made from."""

from __future__ import annotations

import numpy as np
import pytest
from labelled import condition_of

from robustrec.audits.rows import Intervals, difference_rows, drift_rows, quality_rows
from robustrec.audits.suites import Bootstrap
from robustrec.evaluation.statistics import difference_of_drifts, paired_interval, value_intervals
from robustrec.seeds import derive_seed
from robustrec.subject import Subject

SUBJECT = Subject(model="vbpr", strategy="sgbd", features="basic", seed=0)
CLEAN = np.random.default_rng(1).random(90)
NOISY = CLEAN - 0.1 * np.random.default_rng(2).random((5, 90))
OTHER = CLEAN - 0.2 * np.random.default_rng(3).random((5, 90))


@pytest.mark.parametrize("level", [0.8, 0.99])
def test_rows_have_intervals_of_the_suite_s_level_and_replicates(level: float) -> None:
    intervals = Intervals(Bootstrap(level=level, replicates=300), 7)
    options = {"level": level, "replicates": 300}
    seed = derive_seed(7, "bootstrap", "noise", "c")
    wanted = paired_interval(CLEAN, NOISY, seed=seed, **options)
    (row,) = drift_rows(SUBJECT, "noise", condition_of("c"), {"ndcg@20": CLEAN}, {"ndcg@20": NOISY}, intervals)
    assert (row.drift, row.ci_low, row.ci_high) == tuple(wanted.drift)
    assert wanted.relative is not None
    assert (row.relative_drift, row.relative_ci_low, row.relative_ci_high) == tuple(wanted.relative)
    assert (row.clean, row.perturbed) == pytest.approx((CLEAN.mean(), NOISY.mean()), rel=1e-12)
    assert (row.n_users, row.n_draws, row.degrees) == (90, 5, wanted.degrees)


def test_rows_of_quality_and_of_differences() -> None:
    intervals = Intervals(Bootstrap(level=0.9, replicates=300), 7)
    options = {"level": 0.9, "replicates": 300}
    quality = value_intervals({"ndcg@20": CLEAN}, seed=derive_seed(7, "bootstrap", "clean"), **options)["ndcg@20"]
    (row,) = quality_rows(SUBJECT, {"ndcg@20": CLEAN}, intervals)
    assert (row.clean, row.ci_low, row.ci_high) == tuple(quality.drift)
    ours, theirs = ({"ndcg@20": CLEAN}, {"ndcg@20": NOISY}), ({"ndcg@20": CLEAN}, {"ndcg@20": OTHER})
    (found,) = difference_rows(SUBJECT, "vanilla", "noise", condition_of("c"), ours, theirs, intervals)
    wanted = difference_of_drifts(CLEAN, NOISY, CLEAN, OTHER, seed=derive_seed(7, "bootstrap", "noise", "c"), **options)
    assert (found.drift, found.ci_low, found.ci_high) == tuple(wanted.drift)
    assert found.drift == pytest.approx((NOISY - OTHER).mean())
    assert found.reference == "vanilla"
