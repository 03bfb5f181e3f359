"""Users, their choices, the split, and the draws beneath."""

from __future__ import annotations

import numpy as np
import pytest

from robustrec.datasets.shop import ATTRIBUTES
from robustrec.datasets.shop.draws import Draws
from robustrec.datasets.shop.shoppers import FINE, MARKET, activity, chosen, split_labels
from robustrec.datasets.shop.vocabulary import vocabulary


def test_counts_are_a_five_core_without_duplicates(edition):
    users, items, _, _ = edition.interactions().T
    by_user, by_item = np.bincount(users), np.bincount(items)
    assert (len(by_user), len(by_item)) == (1200, 480)
    assert by_user.min() >= 5
    assert by_item.min() >= 5
    assert 8 <= by_user.mean() <= 9
    assert by_user.max() <= MARKET.most + 5
    assert len(np.unique(users * 480 + items)) == len(users)


def test_every_user_trains_validates_and_tests_by_the_rule(edition):
    users, _, times, labels = edition.interactions().T
    assert (np.diff(users) >= 0).all()
    assert (np.diff(times) > 0).all()
    for user in range(1200):
        mine = labels[users == user]
        n = len(mine)
        held = n // 5 if n >= 10 else 2
        assert np.bincount(mine, minlength=3).tolist() == [n - held, held // 2, held - held // 2]


def test_popularity_follows_a_power_law(edition):
    counts = np.sort(np.bincount(edition.interactions()[:, 1]))[::-1]
    ranks = np.arange(1, 481)
    body = slice(9, 400)  # beyond: the floor of five; before: ten items at most, much noise
    x, y = np.log(ranks[body]), np.log(counts[body])
    slope, _ = np.polyfit(x, y, 1)
    assert -0.85 < slope < -0.5
    assert np.corrcoef(x, y)[0, 1] ** 2 > 0.9
    assert counts[:48].sum() / counts.sum() > 0.25


def test_taste_for_attributes_finds_more_than_popularity(edition):
    """What the hidden attributes of a user's training items say, against the best sellers: Recall@20 on test."""
    table = edition.interactions()
    seen, wanted = np.zeros((2, 1200, 480))
    for into, label in ((seen, 0), (wanted, 2)):
        rows = table[table[:, 3] == label]
        into[rows[:, 0], rows[:, 1]] = 1
    columns = []
    for name in ATTRIBUTES:
        values = vocabulary(edition.name).values(name)
        codes = np.array([values.index(row[name]) for row in edition.rows("attributes.jsonl")])
        columns.append((np.eye(len(values))[codes] - 1 / len(values)) * np.sqrt(len(values)) / 3)
    items = np.concatenate(columns, axis=1)
    profile = seen @ items / (seen.sum(axis=1, keepdims=True) + 3)
    popular = np.broadcast_to(np.log(seen.sum(axis=0) + 1), seen.shape)

    def recall(scores):
        top = np.argsort(-(scores - 1e9 * seen), axis=1, kind="stable")[:, :20]
        return (np.take_along_axis(wanted, top, axis=1).sum(axis=1) / wanted.sum(axis=1)).mean()

    assert 0.1 < recall(popular) < 0.25
    assert 0.3 < recall(2 * profile @ items.T + popular) < 0.6


def test_choices_follow_the_softmax():
    # One choice of three for each of many users: the shares are those of the softmax.
    utility = np.tile(np.array([0.0, 1.0, 2.0]) * FINE, (20000, 1)).astype(np.int64)
    taken = chosen(utility, np.ones(20000, dtype=np.int64), 0, Draws("softmax"))
    assert (taken.sum(axis=1) == 1).all()
    expected = np.exp([0.0, 1.0, 2.0]) / np.exp([0.0, 1.0, 2.0]).sum()
    assert np.abs(taken.mean(axis=0) - expected).max() < 0.012


def test_neglected_items_get_their_fewest_buyers():
    utility = np.zeros((50, 10), dtype=np.int64)
    utility[:, 0] = -100 * FINE
    counts = np.full(50, 3)
    taken = chosen(utility, counts, 5, Draws("neglected"))
    assert taken[:, 0].sum() == 5
    assert (taken.sum(axis=1) >= counts).all()


def test_activity_is_geometric_between_its_bounds():
    counts = activity(MARKET, Draws("activity"))
    assert counts.min() == MARKET.least
    assert counts.max() <= MARKET.most
    assert abs(counts.mean() - MARKET.least - MARKET.mean_extra) < 0.5


def test_the_split_gives_the_odd_row_to_testing():
    users = np.repeat([0, 1, 2], [5, 15, 20])
    labels = split_labels(users, Draws("split"))
    assert [np.bincount(labels[users == user]).tolist() for user in range(3)] == [[3, 1, 1], [12, 1, 2], [16, 2, 2]]


def test_draws_are_the_raw_stream_of_their_name():
    # Committed numbers: should numpy ever change the raw stream, this says so before the digests do.
    assert Draws("shop", 1).integers(1000, 5).tolist() == [290, 504, 514, 253, 482]
    assert Draws("shop", 1).uniforms(3).tolist() == Draws("shop", 1).uniforms(3).tolist()
    assert Draws("shop", 1).uniform() != Draws("shop", 2).uniform()


def test_draws_are_fair():
    draws = Draws("fair")
    assert sorted(draws.order(50).tolist()) == list(range(50))
    assert np.abs(np.bincount(draws.weighted([1, 0, 3], 8000), minlength=3) / 8000 - [0.25, 0, 0.75]).max() < 0.02
    assert np.abs(np.bincount(draws.integers(4, 8000)) / 8000 - 0.25).max() < 0.02
    assert {draws.integer(2, 4) for _ in range(100)} == {2, 3, 4}
    assert len(set(draws.some_of("abcdef", 4))) == 4
    assert 0.25 < np.mean([draws.chance(0.3) for _ in range(2000)]) < 0.35


@pytest.mark.parametrize("n", [0, 1, 1000])
def test_uniforms_are_in_range(n):
    values = Draws("range", n).uniforms(n)
    assert values.shape == (n,)
    assert ((values >= 0) & (values < 1)).all()
