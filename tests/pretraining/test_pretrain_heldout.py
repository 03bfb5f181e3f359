"""The numbers of the model card against hand computation."""

import numpy as np
import pytest
import torch
from scipy.stats import binomtest
from tiny_pairs import TRAINING, blip_and_data, pairs

from robustrec.pretraining import heldout
from robustrec.pretraining.heldout import hits_at, share, wrong_attributes
from robustrec.pretraining.measuring import examples, measure
from robustrec.pretraining.training import train


def test_shares_have_wilsons_interval():
    for hits, n in ((0, 10), (3, 10), (480, 480), (77, 480)):
        found = share([True] * hits + [False] * (n - hits), 0.5)
        low, high = binomtest(hits, n).proportion_ci(method="wilson")
        assert (found.value, found.n, found.chance) == (hits / n, n, 0.5)
        assert (found.low, found.high) == pytest.approx((low, high), abs=1e-12)


def test_found_within_by_hand():
    similarities = torch.tensor([[0.9, 0.1, 0.5], [0.8, 0.7, 0.9], [0.3, 0.4, 0.3]])
    alone = torch.eye(3, dtype=torch.bool)
    assert hits_at(similarities, alone, 1).tolist() == [True, False, False]
    assert hits_at(similarities, alone, 2).tolist() == [True, False, False], "a tie counts against the query"
    assert hits_at(similarities, alone, 3).tolist() == [True, True, True]
    groups = torch.tensor([[True, False, False], [False, True, True], [False, True, True]])
    assert hits_at(similarities, groups, 1).tolist() == [True, True, True], "an item of the same group is a hit too"


def test_chance_is_that_of_blind_drawing():
    for n, m, k in ((480, 1, 1), (480, 1, 10), (10, 3, 4), (5, 2, 4)):
        rng = np.random.default_rng(0)
        drawn = np.mean([(rng.permutation(n)[:k] < m).any() for _ in range(4000)])
        assert heldout._chance_of_one(n, m, k) == pytest.approx(drawn, abs=4 * np.sqrt(0.25 / 4000))


def test_blind_towers_find_nothing_and_trained_ones_do():
    blip, data = blip_and_data(pairs(n=120))
    data[0] = data[0].__class__(_held(data[0].source, 40), data[0].texts, data[0].captions)
    before = measure(blip, data, 0)["toys"]["views"]["clean"]
    train(blip, data, TRAINING.model_copy(update={"steps": 120, "batch_size": 16}), torch.device("cpu"))
    after = measure(blip, data, 0)["toys"]["views"]["clean"]
    for name in ("image_to_text_r@1", "text_to_image_r@1"):
        assert before[name]["low"] <= 3 * before[name]["chance"]
        assert after[name]["low"] > after[name]["chance"]
    assert {name for name in after if name.startswith("caption_")} == {
        "caption_colour",
        "caption_kind",
        "caption_fits_own_picture",
    }
    assert after["caption_fits_own_picture"]["value"] > 0.7
    assert all(entry["chance"] <= 1 and entry["low"] <= entry["value"] <= entry["high"] for entry in after.values())
    assert all({"written", "expected", "wrong"} <= example.keys() for example in examples(blip, data, "clean"))


def _held(source, n):
    from dataclasses import replace

    rows = np.arange(len(source.train) + len(source.held_out))
    return replace(source, train=rows[n:], held_out=rows[:n])


def test_a_caption_must_name_the_value_and_no_other():
    blip, data = blip_and_data()
    source = data[0].source
    colour, kind = source.attributes["colour"].of[0], source.attributes["kind"].of[0]
    other = next(value for value in source.attributes["colour"].values if value != colour)

    def ids(text):
        return blip.tokenizer(text, add_special_tokens=False)["input_ids"]

    texts = [f"a {colour} {kind}", f"a {kind}", f"a {colour} {other} {kind}", f"a {other} {kind}", ""]
    wrong = wrong_attributes(blip, data[0], np.zeros(5, dtype=np.int64), [ids(text) for text in texts])
    assert wrong == [[], ["colour"], ["colour"], ["colour"], ["colour", "kind"]]
