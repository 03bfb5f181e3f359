"""`doctor --model` on functions that only score: a sound one passes, and each check finds the fault planted for it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from robustrec.checking import Toy, checks_of, run_checks
from robustrec.models.scorers import checked_scores, scored


def sound(features, users):
    tastes = np.sin(np.arange(40)[:, None] + np.arange(12))[users]
    return tastes @ features["image"].T + tastes[:, :8] @ features["text"].T


def rows_of(kind):
    return run_checks("shop:score", checks_of(Toy("shop:score", kind)), required=("shape",))


def verdict(kind, check):
    toy = Toy("shop:score", kind)
    return run_checks("shop:score", {check: checks_of(toy)[check]})[0]


class Like:
    """A class whose `score` is sound."""

    def __init__(self, problem):
        self.had = np.zeros((problem.n_users, problem.n_items))
        users, items = problem.edges.numpy()
        self.had[users, items] = 1

    def score(self, features, users):
        return sum(self.had[users] @ rows @ rows.T for rows in features.values())


@pytest.mark.parametrize("kind", [sound, Like, lambda features, users: torch.from_numpy(sound(features, users))])
def test_a_sound_scorer_passes_and_has_no_gradients(kind):
    rows = {row.name: row for row in rows_of(kind)}
    assert [row for row in rows.values() if row.status == "PROBLEM"] == []
    for name in ("gradients", "training"):
        assert rows[name].status == "not applicable"
        assert "a scorer has no parameters" in rows[name].detail


def transposed(features, users):
    return sound(features, users).T


def words(features, users):
    return [["much"] * 30 for _ in users]


def complex_numbers(features, users):
    return sound(features, users) + 1j


def fails(features, users):
    raise ConnectionError("the service is down")


def leaves(features, users):
    raise SystemExit(0)


def empty_for_cold(features, users):
    scores = sound(features, users)
    scores[:, 29] = np.nan
    return scores


def noisy(features, users):
    return sound(features, users) + np.random.default_rng().normal(size=(len(users), 30))


class RunningMean:
    def __init__(self, problem):
        self.seen = []

    def score(self, features, users):
        self.seen.append(features["image"].mean())
        return sound(features, users) * (1 + np.mean(self.seen) ** 2)


def sorted_users(features, users):
    return sound(features, np.sort(users))


def relative_to_batch(features, users):
    scores = sound(features, users)
    return scores - scores.mean(axis=0)


def in_place(features, users):
    features["image"] /= np.linalg.norm(features["image"], axis=1, keepdims=True)
    return sound(features, users)


def in_place_behind_numpys_back(features, users):
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.from_numpy(features["image"]).mul_(2.0)
    return sound(features, users)


class ById:
    """Remembers features by their id, which the next table at the same place has too."""

    def __init__(self, problem):
        self.kept = {}

    def score(self, features, users):
        rows = self.kept.setdefault(id(features["image"]), features["image"].copy())
        return sound({**features, "image": rows}, users)


def ignores_images(features, users):
    return sound({**features, "image": features["image"] * 0}, users)


def constant(features, users):
    return np.zeros((len(users), 30))


def popular(features, users):
    return np.tile(np.arange(30.0), (len(users), 1))


FAULTS = [
    ("shape", transposed, "of shape (40, 30) (one row per user, one column per item), but got (30, 40)"),
    ("shape", words, "but got list"),
    ("shape", complex_numbers, "but got ndarray complex128"),
    ("shape", fails, "ConnectionError: the service is down"),
    ("shape", leaves, "SystemExit"),
    ("finite scores", empty_for_cold, "the item without interactions"),
    ("repeatable scores", noisy, "two calls with the same features"),
    ("repeatable scores", RunningMean, "depend on earlier calls"),
    ("user order", sorted_users, "row r must hold the scores of users[r]"),
    ("user order", relative_to_batch, "the other users of the call"),
    ("no side effects", in_place, "read-only"),
    ("no side effects", in_place_behind_numpys_back, "changes the image features"),
    ("changed features", ById, "by id or address"),
    ("reach of image", ignores_images, "modalities = ('text',)"),
    ("reach of text", popular, "modalities = ()"),
    ("reach of text", constant, "all scores are equal"),
]


@pytest.mark.parametrize(("check", "kind", "error_text"), FAULTS, ids=[f"{kind.__name__}" for _, kind, _ in FAULTS])
def test_planted_faults_are_found(check, kind, error_text):
    row = verdict(kind, check)
    assert row.status == "PROBLEM"
    assert error_text in row.detail


def test_every_check_has_a_planted_fault():
    never_wrong = {"gradients", "training"}
    assert {row.name for row in rows_of(sound)} == {check for check, _, _ in FAULTS} | never_wrong


def test_a_scorer_that_says_what_it_reads_is_given_that_alone():
    def score(features, users):
        assert list(features) == ["text"]
        return np.sin(users[:, None] + features["text"].sum(1))

    score.modalities = ("text",)
    rows = {row.name: row.status for row in rows_of(score)}
    assert "reach of image" not in rows
    assert "PROBLEM" not in rows.values()


@pytest.mark.parametrize(
    "scores",
    [
        np.arange(6).reshape(2, 3),
        np.arange(6.0, dtype=">f8").reshape(2, 3),
        np.broadcast_to(np.arange(3.0), (2, 3)),
        torch.arange(6).reshape(2, 3),
        torch.arange(6, dtype=torch.bfloat16).reshape(2, 3),
        [[0, 1, 2], [3, 4.5, 5]],
        np.array([[True, False, True]] * 2),
    ],
)
def test_any_real_table_becomes_float32_of_its_own(scores):
    table = checked_scores("shop:score", scores, (2, 3))
    assert table.dtype == torch.float32
    assert table.tolist() == [[float(value) for value in row] for row in scores]
    if isinstance(scores, torch.Tensor) or (isinstance(scores, np.ndarray) and scores.flags.writeable):
        scores[0, 0] = 1
        assert table[0, 0] == 0 or scores.dtype == bool


def test_a_reused_buffer_does_not_change_earlier_scores():
    buffer = np.zeros((40, 30), dtype=np.float32)

    def score(features, users):
        buffer[:] = features["image"].sum()
        return buffer[: len(users)]

    toy = Toy("shop:score", score)
    first = scored("shop:score", score, toy.features(), toy.problem).score(np.arange(40))
    kept = first.clone()
    scored("shop:score", score, toy.features(seed=1), toy.problem).score(np.arange(40))
    assert torch.equal(first, kept)


def test_a_scorer_that_writes_cannot_reach_the_tables_of_others():
    toy, users = Toy("shop:score", in_place_behind_numpys_back), np.arange(40)
    features = toy.features()
    before = {name: table.clone() for name, table in features.items()}
    scored("shop:score", in_place_behind_numpys_back, features, toy.problem).score(users)
    assert all(torch.equal(before[name], features[name]) for name in before)
    assert users.flags.writeable
