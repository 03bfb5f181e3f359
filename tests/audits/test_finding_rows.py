"""Rows of the table hold what the statistics say at the suite's level, of the arrays they are made from."""

from __future__ import annotations

import numpy as np
import pytest
from labelled import condition_of

from robustrec.audits.quality import PerUser
from robustrec.audits.rows import Draws, Intervals, difference_rows, drift_rows, quality_rows
from robustrec.audits.suites import Bootstrap
from robustrec.evaluation.beyond import Catalogue
from robustrec.evaluation.kinds import BEYOND
from robustrec.evaluation.sparse import bounds_of_change
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


def _states(moved: list[int], n: int = 60, draws: int = 4) -> tuple[PerUser, Draws]:
    """Return coverage, Gini and changed lists of n lists of 2 of 50 items, clean and with some of them moved."""
    rng = np.random.default_rng(0)
    catalogue = Catalogue(np.ones(50, dtype=np.int64), 50)
    lists = np.stack([rng.permutation(40)[:2] for _ in range(n)]).astype(np.int32)
    other = lists.copy()
    other[moved] = 48
    other[moved, 1] = 49
    clean, perturbed = (
        {f"{name}@2": BEYOND[name].function(items, catalogue, 2) for name in ("coverage", "gini")}
        for items in (lists, other)
    )
    changed = np.zeros(n)
    changed[moved] = 1
    clean["changed@2"], perturbed["changed@2"] = np.zeros(n), changed
    return clean, {name: np.tile(values, (draws, 1)) for name, values in perturbed.items()}


def test_rows_of_all_lists_count_the_lists_that_changed_and_are_wide_where_these_are_few() -> None:
    intervals = Intervals(Bootstrap(replicates=300), 7, 50)
    for moved in ([], [3], [3, 8, 20]):
        clean, perturbed = _states(moved)
        share = bounds_of_change(perturbed["changed@2"], largest=1.0, level=0.95).high
        rows = {row.metric: row for row in drift_rows(SUBJECT, "noise", condition_of("c"), clean, perturbed, intervals)}
        for metric, largest in (("coverage@2", 60 * share * 2 / 50), ("gini@2", 2 * share)):
            row = rows[metric]
            assert row.n_changed == len(moved)
            assert row.ci_low is not None
            assert row.ci_high is not None
            assert row.ci_low <= -largest * (1 - 1e-9)
            assert row.ci_high >= largest * (1 - 1e-9)
            assert row.relative_ci_high is not None
            assert f"{len(moved)} of 60 users differ" in row.note
        if not moved:
            assert rows["coverage@2"].ci_high == pytest.approx(60 * 0.0596 * 2 / 50, rel=0.02)
    clean, perturbed = _states(list(range(30)))
    rows = {row.metric: row for row in drift_rows(SUBJECT, "noise", condition_of("c"), clean, perturbed, intervals)}
    assert rows["coverage@2"].n_changed == 30
    assert "differ" not in rows["coverage@2"].note
    idle = drift_rows(SUBJECT, "noise", condition_of("c"), *_states([]), intervals, idle=True)
    assert all((row.ci_low, row.ci_high) == (0, 0) for row in idle)


def test_rows_of_all_lists_stay_in_range_and_have_no_count_between_two_models() -> None:
    intervals = Intervals(Bootstrap(replicates=300), 7, 50)
    clean, perturbed = _states(list(range(30)))
    (coverage, _) = quality_rows(SUBJECT, {name: clean[name] for name in ("coverage@2", "gini@2")}, intervals)
    assert coverage.clean == pytest.approx(0.8, abs=0.05)
    assert coverage.ci_high is not None
    assert coverage.ci_high <= 1
    ours = {name: perturbed[name][:1] for name in ("coverage@2", "gini@2")}
    theirs = {name: clean[name] for name in ours}
    assert {row.n_changed for row in drift_rows(SUBJECT, "clean", condition_of("test"), theirs, ours, intervals)} == {
        None
    }


def test_two_drifts_that_are_zero_but_for_rounding_are_a_row() -> None:
    noise = 1e-17 * np.random.default_rng(0).normal(size=(2, 4, 90))
    ours, theirs = (({"gini@2": CLEAN * 0}, {"gini@2": each}) for each in noise)
    (row,) = difference_rows(
        SUBJECT, "vanilla", "noise", condition_of("c"), ours, theirs, Intervals(Bootstrap(replicates=100), 7)
    )
    assert row.drift == pytest.approx(0, abs=1e-15)


def test_coverage_of_all_items_is_not_known_without_doubt() -> None:
    """Every item is in two lists: no list alone adds anything, which is no proof that another sample covers all."""
    items = np.stack([np.arange(60) % 30, (np.arange(60) + 7) % 30], axis=1).astype(np.int32)
    whole = BEYOND["coverage"].function(items, Catalogue(np.ones(30, dtype=np.int64), 60), 2)
    (row,) = quality_rows(SUBJECT, {"coverage@2": whole}, Intervals(Bootstrap(replicates=100), 7, 30))
    assert (row.clean, row.ci_high) == (1, 1)
    assert row.ci_low == pytest.approx(1 - 60 * 0.0596 / 30, rel=0.02)
