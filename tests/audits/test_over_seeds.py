"""Means over training seeds: closed forms, and coverage where seeds differ."""

from __future__ import annotations

import datetime

import numpy as np
import pytest
from labelled import condition_of
from scipy import stats

from benchmarks.seed_coverage import Setting, cells_of_seeds, coverage
from robustrec.audits.over_seeds import rows_over_seeds
from robustrec.audits.rows import Intervals, difference_rows, drift_rows, quality_rows
from robustrec.audits.suites import Bootstrap
from robustrec.evaluation.cells import cell_intervals, cell_intervals_over_seeds
from robustrec.results.arrays import array_key
from robustrec.results.conditions import CLEAN_TEST, MEAN_FEATURES
from robustrec.results.gates import Gate
from robustrec.results.judging import judge_all
from robustrec.results.waivers import Waiver
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


@pytest.mark.parametrize(("of_seed", "of_cells"), [(0.0, 0.1), (0.3, 0.1)])
def test_intervals_of_edited_items_cover_other_trainings(of_seed, of_cells):
    """Nominal 95 %, where the seeds add nothing and where they dominate; benchmarks/results has 2,000 audits each."""
    found = coverage(Setting(3, of_seed, of_cells), 60)
    assert min(found.drift, found.relative) >= 0.87
    assert (found.one_seed < 0.4) == (of_seed > 0), "one training says nothing of another"


def test_trainings_far_apart_have_students_interval_of_their_means():
    seeds = cells_of_seeds(Setting(3, 50.0, 0.0), 1)
    found = cell_intervals_over_seeds(seeds, level=LEVEL, largest=None)
    means = np.array([each.weights @ (each.after - each.before) for each in seeds])
    assert found.drift.estimate == pytest.approx(means.mean())
    reach = stats.t.ppf(0.975, 2) * means.std(ddof=1) / np.sqrt(3)
    assert (found.drift.high - found.drift.low) / 2 == pytest.approx(reach, rel=1e-3)
    assert found.degrees == pytest.approx(2, rel=1e-3)


@pytest.mark.parametrize(("seeds", "place"), [(2, 1), (2, 5), (3, 4)])
def test_the_quantile_is_that_of_cochran_and_cox(seeds, place):
    # What a training adds is the same in all cells, so that V_s is the variance of the seeds' means over their number.
    cells = [each._replace(before=0 * each.before) for each in cells_of_seeds(Setting(seeds, 0.03, 0.0), place)]
    averaged = cells[0]._replace(after=np.mean([each.after for each in cells], axis=0))
    alone = cell_intervals(averaged, level=LEVEL, largest=None)
    quantiles = stats.t.ppf(0.975, [alone.degrees, seeds - 1])
    of_cells = ((alone.drift.high - alone.drift.low) / 2 / quantiles[0]) ** 2
    of_seeds = np.var([each.weights @ each.after for each in cells], ddof=1) / seeds
    reach = (of_cells * quantiles[0] + of_seeds * quantiles[1]) / np.sqrt(of_cells + of_seeds)
    found = cell_intervals_over_seeds(cells, level=LEVEL, largest=None).drift
    assert (found.high - found.low) / 2 == pytest.approx(reach)


def test_equal_trainings_have_the_interval_of_one():
    one = cells_of_seeds(Setting(3, 0.0, 0.0), 2)[0]
    alone, found = cell_intervals(one, level=LEVEL), cell_intervals_over_seeds([one] * 3, level=LEVEL)
    assert found.drift == pytest.approx(alone.drift)
    assert found.relative == pytest.approx(alone.relative)
    assert found.degrees == pytest.approx(alone.degrees)


def test_trainings_of_other_cells_are_refused():
    one, two, _ = cells_of_seeds(Setting(3, 0.0, 0.0), 3)
    with pytest.raises(ValueError, match="same cells"):
        cell_intervals_over_seeds([one, two._replace(items=two.items[::-1])], level=LEVEL)


def test_the_difference_of_drifts_of_two_strategies_is_paired_by_seed_draw_and_user():
    generator = np.random.default_rng(4)
    where, findings, arrays = condition_of("c"), [], {"users": np.arange(40)}
    for seed in range(3):
        clean = {"vanilla": generator.uniform(0.1, 0.4, 40), "sgbd": generator.uniform(0.1, 0.4, 40)}
        noise = 0.05 * generator.standard_normal((4, 40)) + 0.1 * seed
        moved = {"vanilla": clean["vanilla"] - 0.05 + noise, "sgbd": clean["sgbd"] - 0.03 + noise}
        for strategy, values in clean.items():
            arrays[array_key(subject(seed, strategy), "clean", CLEAN_TEST, "ndcg@20")] = values
            arrays[array_key(subject(seed, strategy), "merchant", where, "ndcg@20")] = moved[strategy]
        ours, theirs = (({"ndcg@20": clean[s]}, {"ndcg@20": moved[s]}) for s in ("sgbd", "vanilla"))
        findings += difference_rows(subject(seed, "sgbd"), "vanilla", "merchant", where, ours, theirs, INTERVALS)
    (row,) = rows_over_seeds(findings, arrays, level=LEVEL)
    assert row.drift == pytest.approx(0.02)
    assert row.clean == pytest.approx(np.mean([each.clean for each in findings]))
    assert row.ci_high - row.ci_low < 1e-9, "levels of seeds, draws and users cancel"


def test_content_use_over_seeds_follows_from_the_loss_of_quality():
    generator = np.random.default_rng(5)
    findings, arrays = [], {"users": np.arange(80)}
    for seed in range(3):
        clean = generator.uniform(0.1, 0.4, 80)
        after = clean * (0.4 + 0.05 * generator.standard_normal())
        one = subject(seed)
        findings += drift_rows(
            one, "content_use", MEAN_FEATURES, {"ndcg@20": clean}, {"ndcg@20": after[None]}, INTERVALS
        )
        arrays[array_key(one, "clean", CLEAN_TEST, "ndcg@20")] = clean
        arrays[array_key(one, "content_use", MEAN_FEATURES, "ndcg@20")] = after[None]
    drift, use = rows_over_seeds(findings, arrays, level=LEVEL)
    assert (use.metric, use.quantity, use.clean) == ("content_use", "value", -drift.relative_drift)
    assert (use.ci_low, use.ci_high) == (-drift.relative_ci_high, -drift.relative_ci_low)
    assert use.degrees == drift.degrees


def test_a_gate_judges_the_mean_over_seeds_once():
    """Three trainings far apart: each alone passes or fails surely, their mean says how little is known."""
    findings, arrays = [], {"users": np.arange(300)}
    for seed, loss in enumerate((0.01, 0.2, 0.01)):
        clean = np.full(300, 0.4) + 1e-3 * np.arange(300)
        moved = (clean * (1 - loss))[None] + 1e-4 * np.sin(np.arange(300) + np.arange(4)[:, None])
        one = subject(seed)
        findings += drift_rows(one, "noise", condition_of("c"), {"ndcg@20": clean}, {"ndcg@20": moved}, INTERVALS)
        arrays[array_key(one, "clean", CLEAN_TEST, "ndcg@20")] = clean
        arrays[array_key(one, "noise", condition_of("c"), "ndcg@20")] = moved
    means = rows_over_seeds(findings, arrays, level=LEVEL)
    gate = Gate(
        name="g", select={"audit": "noise", "metric": "ndcg@20"}, quantity="relative_drift", min=-0.1, severity="error"
    )
    (alone,) = judge_all([gate], findings).gates
    assert (alone.status, alone.selected, alone.seeds) == ("fail", 3, ())
    judged = judge_all([gate], findings, over_seeds=means)
    (found,) = judged.gates
    assert (found.status, found.selected, found.family, found.seeds) == ("inconclusive", 1, 1, (0, 1, 2))
    assert found.estimate == pytest.approx(-0.22 / 3, rel=1e-2)
    assert "over 3 training seeds, 2.0 degrees of freedom" in found.message


@pytest.mark.parametrize(("covered", "status"), [("m/vanilla/*", "pass"), ("m/vanilla/f/seed 0", "fail")])
def test_a_waiver_of_one_training_does_not_waive_the_mean(covered, status):
    findings, arrays = [], {"users": np.arange(300)}
    for seed in range(3):
        clean = np.full(300, 0.4) + 1e-3 * np.arange(300)
        moved = (clean * 0.7)[None] + 1e-4 * np.sin(np.arange(300) + np.arange(4)[:, None])
        findings += drift_rows(
            subject(seed), "noise", condition_of("c"), {"ndcg@20": clean}, {"ndcg@20": moved}, INTERVALS
        )
        arrays[array_key(subject(seed), "clean", CLEAN_TEST, "ndcg@20")] = clean
        arrays[array_key(subject(seed), "noise", condition_of("c"), "ndcg@20")] = moved
    gate = Gate(name="g", select={"audit": "noise", "metric": "ndcg@20"}, quantity="relative_drift", min=-0.1)
    waiver = Waiver(gate="g", subject=covered, reason="r", expires=datetime.date(2100, 1, 1))
    means = rows_over_seeds(findings, arrays, level=LEVEL)
    found = judge_all([gate], findings, over_seeds=means, waivers=[waiver])
    assert found.gates[0].effective == status
