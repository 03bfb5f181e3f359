"""Triples: every positive once, negatives uniform over what the user has not taken, nothing drawn elsewhere."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from robustrec.errors import RobustrecError
from robustrec.seeds import derive_seed, torch_generator
from robustrec.training.sampling import batches_of, is_positive, positives_of, sample_epoch, sample_negatives

CPU = torch.device("cpu")


def _edges(pairs: set[tuple[int, int]]) -> torch.Tensor:
    return torch.tensor(sorted(pairs)).T


@given(st.sets(st.tuples(st.integers(0, 7), st.integers(0, 11)), min_size=1, max_size=40), st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_an_epoch_holds_every_interaction_once_and_no_positive_as_negative(pairs, seed):
    items = {item for _, item in pairs}
    if any(len({i for u, i in pairs if u == user}) == len(items) for user in range(8)):
        with pytest.raises(RobustrecError, match="there is no negative item"):
            positives_of(_edges(pairs), 12, CPU)
        return
    positives = positives_of(_edges(pairs), 12, CPU)
    epoch = sample_epoch(positives, torch_generator(seed, "triples"))
    assert sorted(zip(epoch.users.tolist(), epoch.positives.tolist(), strict=True)) == sorted(pairs)
    for user, negative in zip(epoch.users.tolist(), epoch.negatives.tolist(), strict=True):
        assert (user, negative) not in pairs
        assert negative in items


def test_membership_agrees_with_a_set():
    pairs = {(0, 1), (0, 5), (3, 0), (3, 11)}
    positives = positives_of(_edges(pairs), 12, CPU)
    users, items = torch.meshgrid(torch.arange(5), torch.arange(12), indexing="ij")
    found = is_positive(positives, users.flatten(), items.flatten())
    known = {(int(u), int(i)) for u, i, yes in zip(users.flatten(), items.flatten(), found, strict=True) if yes}
    assert known == pairs


def test_negatives_are_uniform_over_the_training_items_a_user_has_not_taken():
    pairs = {(0, 0), (0, 1), (1, 2), (1, 3), (1, 4), (1, 7)}
    positives = positives_of(_edges(pairs), 10, CPU)
    drawn = sample_negatives(positives, torch.zeros(20_000, dtype=torch.int64), torch_generator(1, "x"))
    counts = np.bincount(drawn.numpy(), minlength=10)
    assert set(np.flatnonzero(counts)) == {2, 3, 4, 7}, "items 5, 6, 8 and 9 never occur in training"
    assert chisquare(counts[[2, 3, 4, 7]]).pvalue > 1e-4


def test_batches_keep_every_row_and_the_last_is_what_is_left():
    positives = positives_of(_edges({(u, i) for u in range(5) for i in range(3)} | {(9, 8)}), 12, CPU)
    epoch = sample_epoch(positives, torch_generator(0, "triples"))
    batches = list(batches_of(epoch, 6))
    assert [len(batch.users) for batch in batches] == [6, 6, 4]
    assert torch.equal(torch.cat([batch.negatives for batch in batches]), epoch.negatives)


def test_streams_are_apart_and_stable():
    assert derive_seed(0, "a") != derive_seed(0, "b") != derive_seed(1, "b")
    assert derive_seed(0, "noise", "image", 1) != derive_seed(0, "noise", "image1")
    # A committed value: a changed derivation would silently change every published number.
    assert derive_seed(0, "noise", "image", 0) == 3474499880569281090
