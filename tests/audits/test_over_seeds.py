"""Means over training seeds: closed forms, and coverage where seeds differ."""

from __future__ import annotations

import numpy as np
import pytest
from labelled import condition_of
from scipy import stats

from robustrec.audits.over_seeds import rows_over_seeds
from robustrec.audits.rows import Intervals, drift_rows, quality_rows
from robustrec.audits.suites import Bootstrap
from robustrec.results.arrays import array_key
from robustrec.results.conditions import CLEAN_TEST
from robustrec.subject import Subject

LEVEL = 0.95
INTERVALS = Intervals(Bootstrap(replicates=100), 0)


def subject(seed, strategy="vanilla"):
    return Subject(model="m", strategy=strategy, features="f", seed=seed)


def tables(generator, *, seeds=3, draws=4, users=60, spread=0.02):
    """Findings and arrays of one strategy: users' taste and draws are shared, each training has a level of its own."""
    taste = generator.uniform(0.1, 0.4, users)
    wobble = 0.01 * generator.standard_normal((draws, 1)) + 0.02 * generator.standard_normal((draws, users))
    findings, arrays = [], {"users": np.arange(users)}
    for seed in range(seeds):
        level = spread * generator.standard_normal()
        clean = taste + level + 0.02 * generator.standard_normal(users)
        moved = clean * 0.9 + wobble + level / 2
        one = subject(seed)
        findings += quality_rows(one, {"ndcg@20": clean}, INTERVALS)
        findings += drift_rows(one, "noise", condition_of("c"), {"ndcg@20": clean}, {"ndcg@20": moved}, INTERVALS)
        arrays[array_key(one, "clean", CLEAN_TEST, "ndcg@20")] = clean
        arrays[array_key(one, "noise", condition_of("c"), "ndcg@20")] = moved
    return findings, arrays


def test_the_mean_and_its_spread_over_seeds_are_those_of_the_closed_form():
    generator = np.random.default_rng(0)
    findings, arrays = tables(generator)
    value, drift = rows_over_seeds(findings, arrays, level=LEVEL)
    means = [row.clean for row in findings if row.audit == "clean"]
    assert value.clean == pytest.approx(np.mean(means))
    assert drift.drift == pytest.approx(np.mean([row.drift for row in findings if row.audit == "noise"]))
    assert drift.relative_drift == pytest.approx(drift.drift / drift.clean)
    assert drift.relative_ci_low < drift.relative_drift < drift.relative_ci_high
    # With trainings far apart, it is Student's interval of the seeds' means.
    findings, arrays = tables(generator, spread=5.0)
    value = rows_over_seeds(findings, arrays, level=LEVEL)[0]
    means = np.array([row.clean for row in findings if row.audit == "clean"])
    reach = stats.t.ppf(0.975, 2) * means.std(ddof=1) / np.sqrt(3)
    assert (value.ci_high - value.ci_low) / 2 == pytest.approx(reach, rel=0.01)
    assert "3 training seeds" in value.note


def test_one_seed_and_what_not_all_seeds_have_give_no_row():
    findings, arrays = tables(np.random.default_rng(1), seeds=1)
    assert rows_over_seeds(findings, arrays, level=LEVEL) == ()
    findings, arrays = tables(np.random.default_rng(1))
    assert len(rows_over_seeds(findings[:-1], arrays, level=LEVEL)) == 1
    del arrays[array_key(subject(0), "clean", CLEAN_TEST, "ndcg@20")]
    assert rows_over_seeds(findings, arrays, level=LEVEL) == ()


def test_the_difference_from_another_strategy_is_paired_by_seed_and_user():
    generator = np.random.default_rng(2)
    findings, arrays = [], {"users": np.arange(50)}
    for seed in range(3):
        base = generator.uniform(0.1, 0.4, 50) + seed
        for strategy, values in (("vanilla", base), ("sgbd", base + 0.01)):
            arrays[array_key(subject(seed, strategy), "clean", CLEAN_TEST, "ndcg@20")] = values
        row = drift_rows(
            subject(seed, "sgbd"),
            "clean",
            CLEAN_TEST,
            {"ndcg@20": base},
            {"ndcg@20": base[None] + 0.01},
            INTERVALS,
            reference="vanilla",
        )
        findings += row
    (row,) = rows_over_seeds(findings, arrays, level=LEVEL)
    assert row.drift == pytest.approx(0.01)
    assert row.ci_high - row.ci_low < 1e-9, "levels of seeds and users cancel"
    assert row.reference == "vanilla"


def test_intervals_cover_other_trainings_users_and_draws():
    """Seeds dominate: the intervals of single trainings cover their mean's truth far too seldom, these do not."""
    covered = single = 0
    for repeat in range(100):
        generator = np.random.default_rng(repeat)
        taste, levels = 0.2, 0.02 * generator.standard_normal(3)
        users = 0.05 * generator.standard_normal(300)
        findings, arrays = [], {"users": np.arange(300)}
        for seed, level in enumerate(levels):
            clean = taste + level + users
            findings += quality_rows(subject(seed), {"ndcg@20": clean}, Intervals(Bootstrap(replicates=100), repeat))
            arrays[array_key(subject(seed), "clean", CLEAN_TEST, "ndcg@20")] = clean
        (row,) = rows_over_seeds(findings, arrays, level=LEVEL)
        covered += row.ci_low <= taste <= row.ci_high
        single += findings[0].ci_low <= taste <= findings[0].ci_high
    assert 0.9 <= covered / 100 <= 0.99
    assert single / 100 < 0.6


def _few_changed(moved_users, *, users=200, idle=False):
    findings, arrays = [], {"users": np.arange(users)}
    clean = np.full(users, 0.3)
    for seed in range(3):
        moved = np.repeat(clean[None], 4, axis=0)
        moved[:, :moved_users] += 0.2
        row = drift_rows(
            subject(seed), "noise", condition_of("c"), {"ndcg@20": clean}, {"ndcg@20": moved}, INTERVALS, idle=idle
        )
        findings += row
        arrays[array_key(subject(seed), "clean", CLEAN_TEST, "ndcg@20")] = clean
        arrays[array_key(subject(seed), "noise", condition_of("c"), "ndcg@20")] = moved
    (row,) = rows_over_seeds(findings, arrays, level=LEVEL)
    return row


@pytest.mark.parametrize("changed", [0, 2])
def test_few_users_who_differ_bound_the_mean_over_seeds(changed):
    """Resampling 2 of 200 users, or none, says nothing of a third: the rule of three is the least that holds."""
    row = _few_changed(changed)
    assert row.n_changed == changed
    assert row.ci_high >= 3.6 / 200, "the share of users that may move and were not seen"
    assert row.ci_low <= -3.6 / 200
    assert row.relative_ci_low == pytest.approx(row.ci_low / 0.3)
    assert f"{changed} of 200 users differ" in row.note
    assert row.degrees <= 8


def test_an_idle_audit_and_many_users_who_differ_have_no_such_bound():
    idle = _few_changed(0, idle=True)
    assert (idle.ci_low, idle.ci_high) == (0.0, 0.0)
    assert "users differ" not in _few_changed(50).note


def test_a_mean_of_few_hits_is_bounded_from_above():
    clean = np.zeros(200)
    clean[:3] = 1.0
    findings, arrays = [], {"users": np.arange(200)}
    for seed in range(3):
        findings += quality_rows(subject(seed), {"recall@20": clean}, INTERVALS)
        arrays[array_key(subject(seed), "clean", CLEAN_TEST, "recall@20")] = clean
    (row,) = rows_over_seeds(findings, arrays, level=LEVEL)
    # Clopper-Pearson for 3 of 200 is [.3 %, 4.3 %]; Stringer's bound is it for whole hits.
    assert row.ci_high == pytest.approx(stats.beta.ppf(0.975, 4, 197))
