"""Texts and pictures: the clean ones say every attribute, the merchants' carry the noise that is written down."""

from __future__ import annotations

import re
from collections import Counter

import numpy as np
import pytest

from robustrec.datasets.shop import ATTRIBUTES
from robustrec.datasets.shop.merchant_pictures import PICTURE_NOISES
from robustrec.datasets.shop.merchant_texts import TEXT_NOISES
from robustrec.datasets.shop.vocabulary import vocabulary


def says(row, value):
    """Whether the title or the description has the value as whole words."""
    return re.search(rf"\b{re.escape(value.lower())}\b", f"{row['title']} {row['description']}".lower()) is not None


def test_clean_texts_name_every_attribute(edition):
    for row, hidden in zip(edition.rows("clean_items.jsonl"), edition.rows("attributes.jsonl"), strict=True):
        assert row["itemID"] == hidden["itemID"]
        for name in ATTRIBUTES:
            assert says(row, hidden[name]), (name, row)
        assert row["brand"] == hidden["brand"]


def test_texts_are_clean_prose(edition):
    for row in edition.rows("clean_items.jsonl"):
        for text in (row["title"], row["description"]):
            assert text[0].isupper()
            for slip in ("  ", " ,", ",,", " .", "..", "{", "}", " a a", " a e", " a o", " a u"):
                assert slip not in text, (slip, text)


def test_wording_varies(edition):
    rows, hidden = edition.rows("clean_items.jsonl"), edition.rows("attributes.jsonl")
    shapes = Counter()
    for row, values in zip(rows, hidden, strict=True):
        shape = row["description"].lower()
        for name in ATTRIBUTES:
            shape = shape.replace(values[name].lower(), name)
        shapes[shape] += 1
    assert len(shapes) > 200


def test_merchants_leave_out_what_is_written_down(edition):
    words = vocabulary(edition.name)
    for row, hidden in zip(edition.rows("items.jsonl"), edition.rows("attributes.jsonl"), strict=True):
        assert ("brand" in hidden["left_out"]) == ("missing_brand" in hidden["text_noise"])
        assert (row["brand"] == "") == ("missing_brand" in hidden["text_noise"])
        assert bool(set(hidden["left_out"]) - {"brand"}) == ("missing_words" in hidden["text_noise"])
        for name in ATTRIBUTES:
            assert says(row, hidden[name]) == (name not in hidden["left_out"]), (name, row, hidden)
        if "keyword_stuffing" not in hidden["text_noise"]:
            for kind in words.values("kind"):
                assert says(row, kind) == (kind == hidden["kind"]), (kind, row)


def test_merchants_add_what_is_written_down(edition):
    added = vocabulary(edition.name).merchant
    clean = edition.rows("clean_items.jsonl")
    for row, base, hidden in zip(edition.rows("items.jsonl"), clean, edition.rows("attributes.jsonl"), strict=True):
        noises = set(hidden["text_noise"])
        assert any(call in row["title"] for call in added.promotions) == ("promotion" in noises)
        assert ("Tags: " in row["description"]) == ("irrelevant_tags" in noises)
        assert (row == base) == (not noises)
        assert row["image"] == base["image"]


def test_noises_come_at_their_rates(edition):
    rates, hidden = vocabulary(edition.name).merchant, edition.rows("attributes.jsonl")
    for kind, names, expected in (
        ("text_noise", TEXT_NOISES, rates.text_rates),
        ("picture_noise", PICTURE_NOISES, rates.picture_rates),
    ):
        assert set(names) == set(expected)
        for name in names:
            share = np.mean([name in row[kind] for row in hidden])
            spread = np.sqrt(expected[name] * (1 - expected[name]) / len(hidden))
            assert abs(share - expected[name]) < 3.5 * spread, name


def test_pictures_are_small_rgb_and_changed_exactly_where_written_down(edition):
    clean, shown = edition.pictures("clean_pictures.zip"), edition.pictures("pictures.zip")
    hidden = edition.rows("attributes.jsonl")
    assert list(clean) == list(shown) == [row["image"] for row in edition.rows("items.jsonl")]
    for row in hidden:
        before, after = clean[f"{row['itemID']}.png"], shown[f"{row['itemID']}.png"]
        assert before.shape == after.shape == (128, 128, 3)
        assert before.dtype == np.uint8
        assert np.array_equal(before, after) == (not row["picture_noise"])


def test_fewer_than_half_of_the_pictures_are_marked(edition):
    visible = {"badge", "watermark", "poor_light"}
    marked = [bool(visible & set(row["picture_noise"])) for row in edition.rows("attributes.jsonl")]
    assert 0.3 < np.mean(marked) < 0.5


def test_products_are_made_of_what_their_kind_is_made_of(edition):
    words = vocabulary(edition.name)
    for kind in words.kinds.values():
        assert 1 < len(kind.materials) == len(set(kind.materials)), "a material says something"
        assert [each for each in words.materials if each in kind.materials] == list(kind.materials)
    assert all(row["material"] in words.kinds[row["kind"]].materials for row in edition.rows("attributes.jsonl"))
    impossible = {("sock", "leather"), ("bottle", "cotton"), ("tent", "aluminium"), ("cable", "glass")}
    assert not impossible & {(row["kind"], row["material"]) for row in edition.rows("attributes.jsonl")}


def test_every_value_occurs_and_none_rules(edition):
    words, hidden = vocabulary(edition.name), edition.rows("attributes.jsonl")
    for name in ATTRIBUTES:
        counts = Counter(row[name] for row in hidden)
        values = words.values(name)
        assert set(counts) == set(values)
        assert max(counts.values()) < 2 * len(hidden) / len(values)


@pytest.mark.parametrize("name", ["brand", "kind", "colour", "style", "material"])
def test_merchant_words_never_happen_to_be_attribute_words(edition, name):
    added = vocabulary(edition.name).merchant
    for value in vocabulary(edition.name).values(name):
        for phrase in (*added.promotions, *added.promotion_sentences, *added.tags, *added.stuffing):
            assert f" {value.lower()} " not in f" {phrase.lower()} "
