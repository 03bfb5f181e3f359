"""Which items are edited, and what is measured of them, against closed forms."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy.sparse import csr_array

from robustrec.audits.merchant.conditions import EvaluationTargets, Lists, Tally, lists_of, scene_of
from robustrec.audits.merchant.config import MerchantAudit
from robustrec.audits.merchant.items import choose_items, popularity_strata
from robustrec.audits.merchant.rows import part_rows
from robustrec.audits.quality import MetricSuite
from robustrec.audits.rows import Intervals
from robustrec.audits.suites import Bootstrap, parse_suite
from robustrec.datasets.interactions import TRAIN, Interactions
from robustrec.encoders.chosen import features_label
from robustrec.encoders.features import ItemFeatures
from robustrec.errors import RobustrecError
from robustrec.evaluation.beyond import Catalogue
from robustrec.evaluation.ranking import Ranking
from robustrec.models.contract import Scored
from robustrec.results.conditions import Condition
from robustrec.results.selection import matches, plain_label
from robustrec.runs.prepared import Split
from robustrec.subject import Subject

SUBJECT = Subject(model="vbpr", strategy="vanilla", features="basic", seed=0)
EDITED = Condition(kind="other", name="edit")


@given(st.integers(1, 300), st.integers(2, 5), st.floats(0.01, 1.0), st.integers(0, 5))
def test_every_stratum_gives_its_share_and_the_choice_is_repeatable(n: int, k: int, share: float, draw: int) -> None:
    strata = np.arange(n) * k // n
    chosen = choose_items(strata, share, seed=1, draw=draw)
    assert len(chosen) == max(1, round(share * n))
    assert np.array_equal(chosen, np.unique(chosen))
    counts = np.bincount(strata[chosen], minlength=k)
    assert np.all(np.abs(counts - share * np.bincount(strata, minlength=k)) <= 1.5)
    assert np.array_equal(chosen, choose_items(strata, share, seed=1, draw=draw))


def test_draws_differ_and_a_smaller_share_lies_within_a_larger() -> None:
    strata = np.arange(300) * 3 // 300
    small, large = (choose_items(strata, share, seed=1, draw=0) for share in (0.1, 0.3))
    assert set(small.tolist()) <= set(large.tolist())
    assert set(choose_items(strata, 0.1, seed=1, draw=1).tolist()) != set(small.tolist())
    assert set(choose_items(strata, 0.1, seed=2, draw=0).tolist()) != set(small.tolist())


def test_strata_are_quantiles_of_training_interactions() -> None:
    items = np.repeat([4, 2, 0], [5, 3, 1])
    interactions = Interactions(np.zeros(9, np.int64), items, np.full(9, TRAIN, np.int8), 1, 6)
    assert popularity_strata(interactions, 3).tolist() == [1, 0, 2, 0, 2, 1]


def _scene() -> EvaluationTargets:
    # Four users, six items; users 0 and 1 should get item 0, user 2 items 1 and 0, user 3 item 5.
    relevant = csr_array(np.array([[1, 0, 0, 0, 0, 0], [1, 0, 0, 0, 0, 0], [1, 1, 0, 0, 0, 0], [0, 0, 0, 0, 0, 1]]))
    masked = csr_array(np.array([[0, 1, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0], [0, 0, 1, 0, 0, 0], [0, 0, 0, 0, 0, 1]]))
    split = Split(np.arange(4), relevant, masked)
    return scene_of(split, MetricSuite(("ndcg@2",), ("rbo@2",)), np.array([2, 0, 1, 1, 0, 2]), metric="ndcg@2", k=2)


def test_wanted_items_are_those_that_can_be_recommended() -> None:
    targets = _scene()
    assert list(zip(targets.wanted.rows.tolist(), targets.wanted.items.tolist(), strict=True)) == [
        (0, 0),
        (1, 0),
        (2, 0),
        (2, 1),
    ]


def _lists(targets: EvaluationTargets, places: list[int], ndcg: list[float], items: list[list[int]]) -> Lists:
    ranking = Ranking(np.arange(4), np.array(items, dtype=np.int32))
    return Lists(ranking, {"ndcg@2": np.array(ndcg)}, np.array(places), np.zeros(6, np.int64))


def test_parts_average_over_the_items_and_draws_that_concern_a_user() -> None:
    targets = _scene()
    before = _lists(targets, [1, 2, 3, 4], [1.0, 0.5, 0.25, 0.0], [[0, 2], [3, 0], [4, 5], [1, 2]])
    tally = Tally(targets, before)
    first = _lists(targets, [4, 2, 5, 4], [0.0, 0.5, 0.25, 0.0], [[2, 3], [3, 0], [4, 5], [1, 2]])
    second = _lists(targets, [1, 2, 3, 6], [1.0, 0.5, 0.05, 0.0], [[0, 2], [3, 0], [4, 5], [2, 3]])
    tally.add(first, np.array([0]))
    tally.add(second, np.array([1]))

    edited = tally.of_part("edited")
    # Users 0, 1, 2; user 2 by item 0 in the first draw (3 to 5) and item 1 in the second (4 to 6).
    assert edited.clean["rank_edited"].tolist() == [1.0, 2.0, 3.5]
    assert edited.perturbed["rank_edited"].tolist() == [4.0, 2.0, 5.5]
    assert edited.clean["exposure@2_edited"].tolist() == [1.0, 1.0, 0.0]
    assert edited.perturbed["exposure@2_edited"].tolist() == [0.0, 1.0, 0.0]
    assert sorted(edited.shifts.tolist()) == [0.0, 2.0, 2.0, 3.0]
    head, tail = tally.of_part("head"), tally.of_part("tail")
    assert head.perturbed["rank_head"].tolist() == [4.0, 2.0, 5.0]
    assert tail.clean["rank_tail"].tolist() == [4.0]
    assert tail.perturbed["rank_tail"].tolist() == [6.0]
    untouched = tally.of_part("untouched")
    # Users 0 and 1 by the second draw, user 2 by item 1 in the first and item 0 in the second.
    assert untouched.clean["rank_untouched"].tolist() == [1.0, 2.0, 3.5]
    assert untouched.perturbed["rank_untouched"].tolist() == [1.0, 2.0, 3.5]

    clean, perturbed = tally.of_users("edited")
    assert clean["ndcg@2_edited"].tolist() == [1.0, 0.5, 0.25]
    assert perturbed["ndcg@2_edited"].tolist() == pytest.approx([0.0, 0.5, 0.15])
    clean, perturbed = tally.of_users("untouched")
    assert clean["ndcg@2_untouched"].tolist() == [1.0, 0.5, 0.0]
    assert perturbed["ndcg@2_untouched"].tolist() == [1.0, 0.5, 0.0]

    before_all, after_all = tally.of_all({})
    drift = after_all["exposure@2_all"] - before_all["exposure@2_all"]
    assert drift.tolist() == [[-0.5, 0, 0, 0], [0, 0, 0, -0.5]]


def _with_values(values: list[float]) -> EvaluationTargets:
    targets, catalogue = _scene(), Catalogue(np.ones(6, np.int64), 4, values=np.array(values))
    return replace(targets, metric_suite=replace(targets.metric_suite, catalogue=catalogue))


def _valued(values: list[float]) -> Tally:
    targets = _with_values(values)
    tally = Tally(targets, _lists(targets, [1, 2, 3, 4], [1.0] * 4, [[0, 2], [3, 0], [4, 5], [1, -1]]))
    # The first draw edits item 0, wanted by users 0, 1, 2; the second item 1, wanted by user 2.
    tally.add(_lists(targets, [4, 2, 1, 4], [1.0] * 4, [[2, 3], [3, 0], [0, 5], [1, -1]]), np.array([0]))
    tally.add(_lists(targets, [1, 2, 3, 1], [1.0] * 4, [[0, 2], [3, 0], [1, 5], [2, 3]]), np.array([1]))
    return tally


def test_exposure_weighted_by_value_is_a_ratio_of_sums_by_hand() -> None:
    tally = _valued([10.0, 30.0, 0.0, 5.0, 5.0, 0.0])
    rows = {row.metric: row for row in part_rows(SUBJECT, EDITED, tally, 2, Intervals(Bootstrap(), 0))}
    edited = rows["value_exposure@2_edited"]
    # Values 10, 10, 10 of the first draw and 30 of the second: places 1, 2, 3, 4 before, and 4, 2, 1, 1 after.
    assert (edited.clean, edited.perturbed) == (pytest.approx(20 / 60), pytest.approx(50 / 60))
    assert (edited.n_users, edited.n_draws, edited.group, edited.unit) == (3, 2, "edited", "share")
    assert (edited.ci_low or 0) < (edited.drift or 0) < (edited.ci_high or 0)
    head = rows["value_exposure@2_head"]
    assert (head.clean, head.perturbed) == (pytest.approx(2 / 3), pytest.approx(2 / 3))
    assert "value_exposure@2_tail" not in rows, "one user only"
    # Untouched: item 1 of user 2 in the first draw (30), item 0 of users 0, 1, 2 in the second.
    other = rows["value_exposure@2_untouched"]
    assert (other.clean, other.perturbed) == (pytest.approx(20 / 60), pytest.approx(20 / 60))

    clean, perturbed = tally.of_values()
    # Shares of the value of the lists: user 0 holds 10 of 10, then 0 of 5; user 1 10 of 15; user 3 30 of 30.
    first = [[1, 2 / 3, 0, 0], [0, 2 / 3, 10 / 10, 0]]
    second = [[0, 0, 0, 1], [0, 0, 1, 0]]
    assert clean["value_exposure@2_all"].tolist() == pytest.approx(np.mean([first[0], second[0]], axis=0).tolist())
    drift = perturbed["value_exposure@2_all"] - clean["value_exposure@2_all"]
    assert drift.ravel().tolist() == pytest.approx(np.array([np.subtract(first[1], first[0]), np.subtract(second[1], second[0])]).ravel().tolist())  # fmt: skip  # noqa: E501


def test_equal_values_count_pairs_and_no_value_has_no_row() -> None:
    tally = _valued([7.0] * 6)
    cells = tally.value_cells("edited")
    assert cells is not None
    assert float(cells.weights @ cells.after) == 3 / 4
    alike, plain = tally.of_values(), tally.of_all({})
    for values, exposures in zip(alike, plain, strict=True):
        np.testing.assert_allclose(values["value_exposure@2_all"], exposures["exposure@2_all"], atol=1e-15)
    worthless = _valued([0.0, 0.0, 1.0, 1.0, 1.0, 1.0])
    rows = part_rows(SUBJECT, EDITED, worthless, 2, Intervals(Bootstrap(), 0))
    assert not any(row.metric.startswith("value_") for row in rows), "what is worth nothing has no weight"
    assert Tally(_scene(), worthless.before).of_values() == ({}, {})


def test_lists_hold_the_exact_places_of_wanted_items() -> None:
    targets = _scene()
    scores = np.array([[0, 9, 1, 1, 5, 0], [3, 1, 1, 4, 0, 5], [2, 7, 9, 2, 3, 8], [1, 1, 1, 1, 1, 1]], np.float32)
    found = lists_of(Scored(lambda users: torch.from_numpy(scores[users]), 4, 6), targets)
    # User 0: item 1 is masked, then 4, 2, 3 and by id 0 before 5. User 2: item 2 masked, 5, 1, 4, then 0 before 3.
    assert found.places.tolist() == [4, 3, 4, 2]
    assert found.shown.sum() == 4 * targets.k


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ('edits = ["promo_badge+"]', "not a combination"),
        ('edits = ["all+typos"]', "not a combination"),
        ('edits = ["typos", "typos"]', "duplicate value"),
        ("severities = [6]", "severities"),
        ("shares = [0]", "shares"),
        ('metric = "ndcg@10"', "not in the metrics of the suite"),
    ],
)
def test_a_suite_with_a_bad_merchant_audit_is_refused(change: str, message: str) -> None:
    head = 'schema_version = 1\nname = "x"\nmetrics = ["ndcg@20"]\n[[audits]]\nkind = "merchant"\n'
    with pytest.raises((RobustrecError, ValidationError), match=message):
        parse_suite(head + change + "\n", source="x.toml")


def test_gates_name_conditions_by_pattern_and_may_use_the_audits_own_metrics() -> None:
    text = (
        'schema_version = 1\nname = "x"\nmetrics = ["ndcg@20"]\n[[audits]]\nkind = "merchant"\n[[gates]]\nname = "g"\n'
        'quantity = "relative_drift"\nmin = -0.1\n'
    )
    gate = 'select = { audit = "merchant", severity = 3, metric = "METRIC" }\n'
    for metric in ("exposure@20_edited", "ndcg@20_untouched", "rank_tail"):
        parse_suite(text + gate.replace("METRIC", metric), source="x.toml")
    with pytest.raises(RobustrecError, match="exposure@50_edited"):
        parse_suite(text + gate.replace("METRIC", "exposure@50_edited"), source="x.toml")
    label = plain_label("edit=typos+crop severity=3 share=0.1")
    for pattern, fits in {
        "edit=* severity=3 *": True,
        "edit=typos+* severity=3 share=0.10": True,
        "edit=crop *": False,
    }.items():
        assert matches(label, plain_label(pattern)) == fits


def test_the_metrics_of_a_configuration_are_named_after_its_lengths() -> None:
    names = MerchantAudit(kind="merchant", metric="recall@10", exposure=5).own_metrics
    assert {"exposure@5_edited", "recall@10_untouched", "rank_edited"} <= set(names)


def test_denoised_features_have_a_name_of_their_own() -> None:
    identity = {"networks": {"blip": {"capfilt": None}, "minilm": {}}}
    plain = ItemFeatures("blip+minilm", {}, "", (), identity)
    denoised = ItemFeatures("blip", {}, "", (), {"networks": {"blip": {"capfilt": {"threshold": 0.5}}}})
    assert (plain.label, denoised.label) == ("blip+minilm", "blip+capfilt")
    assert ItemFeatures("basic", {}, "", ()).label == "basic"
    assert (features_label("blip", "none"), features_label("blip", "capfilt")) == ("blip", "blip+capfilt")
