"""The vocabulary and the tokenizer over it."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from robustrec.pretraining.tokens import make_tokenizer, padded, special_ids, token_table
from robustrec.pretraining.vocabulary import FIRST, LETTERS, train_vocabulary

TEXTS = ["red sock by finch & rye", "blue t-shirt, red cap", "a t-shirt made of linen", "red red cap"] * 3


@pytest.fixture(scope="module")
def tokenizer():
    return make_tokenizer(train_vocabulary(TEXTS, 300), 64)


def test_special_tokens_have_the_places_of_the_checkpoints(tokenizer):
    vocabulary = train_vocabulary(TEXTS, 300)
    assert list(vocabulary)[:5] == list(FIRST)
    assert list(vocabulary)[-2:] == ["[DEC]", "[ENC]"]
    assert list(vocabulary.values()) == list(range(len(vocabulary)))
    specials = special_ids(tokenizer, len(vocabulary))
    assert specials == (0, 2, 3, len(vocabulary) - 2, len(vocabulary) - 1)
    assert len(tokenizer) == len(vocabulary), "no token was added behind the vocabulary's back"


def test_words_of_the_texts_survive_the_round_trip(tokenizer):
    for text in TEXTS:
        ids = tokenizer(text)["input_ids"]
        assert ids[0] == tokenizer.cls_token_id
        assert ids[-1] == tokenizer.sep_token_id
        back = tokenizer.decode(ids, skip_special_tokens=True)
        assert back.replace(" ", "") == text.replace(" ", "")


def test_frequent_words_are_single_tokens(tokenizer):
    assert len(tokenizer("red cap", add_special_tokens=False)["input_ids"]) == 2


@given(st.text(LETTERS, min_size=1, max_size=20))
def test_no_typo_is_unknown(word):
    tokenizer = _cached(make_tokenizer, train_vocabulary(TEXTS, 300))
    ids = tokenizer(word, add_special_tokens=False)["input_ids"]
    assert tokenizer.unk_token_id not in ids
    assert tokenizer.decode(ids) == word


_MADE = {}


def _cached(make, vocabulary):
    return _MADE.setdefault(len(vocabulary), make(vocabulary, 64) if len(vocabulary) not in _MADE else None)


@given(st.integers(0, 10**6))
def test_the_order_of_the_texts_does_not_matter(seed):
    shuffled = random.Random(seed).sample(TEXTS, len(TEXTS))
    assert train_vocabulary(shuffled, 100) == train_vocabulary(TEXTS, 100)


def test_merges_by_hand():
    # "ab" stands in all words, "abc" in two, "xy" in one only.
    vocabulary = train_vocabulary(["ab ab abc abc xy"], 1000)
    merged = [token for token in vocabulary if len(token.removeprefix("##")) > 1 and not token.startswith("[")]
    assert merged == ["ab", "abc"]


def test_the_vocabulary_keeps_to_its_size():
    assert len(train_vocabulary(TEXTS, 100)) == 100


def test_long_texts_are_cut_and_short_ones_padded(tokenizer):
    rows = token_table(tokenizer, ["red " * 50, "red"], 8)
    assert [len(row) for row in rows] == [8, 3]
    batch = padded(rows, 0, first=77)
    assert batch.ids[:, 0].tolist() == [77, 77]
    assert batch.mask.sum(dim=1).tolist() == [8, 3]
    assert batch.ids[1, 3:].tolist() == [0] * 5
