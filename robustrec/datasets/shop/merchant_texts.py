"""What merchants do to a text: known noises at known rates."""

from __future__ import annotations

from robustrec.datasets.shop.draws import Draws
from robustrec.datasets.shop.texts import OMITTABLE, Text, clean_text
from robustrec.datasets.shop.vocabulary import Vocabulary

TEXT_NOISES = ("keyword_stuffing", "promotion", "irrelevant_tags", "missing_words", "missing_brand")


def left_out(noises: tuple[str, ...], draws: Draws) -> tuple[str, ...]:
    """Return the attributes a merchant's text leaves out: one to three of OMITTABLE, and the brand."""
    without: list[str] = []
    if "missing_words" in noises:
        without += draws.some_of(OMITTABLE, draws.integer(1, 3))
    if "missing_brand" in noises:
        without.append("brand")
    return tuple(name for name in (*OMITTABLE, "brand") if name in without)


def merchant_text(
    words: Vocabulary,
    attributes: dict[str, str],
    wording: Draws,
    noise: Draws,
    noises: tuple[str, ...],
    without: tuple[str, ...],
) -> Text:
    """Return the clean text of the same wording, less what is left out, plus what the noises add.

    Args:
        words: the shop's vocabulary.
        attributes: the item's value of each of ATTRIBUTES.
        wording: a fresh stream of the name the clean text was worded with.
        noise: stream for the additions.
        noises: those of TEXT_NOISES the item carries.
        without: what `left_out` said.
    """
    text = clean_text(words, attributes, wording, without=without)
    title, description = text.title, text.description
    if "keyword_stuffing" in noises:
        stuffed = _keywords(words, attributes, noise)
        title = f"{title} {' '.join(stuffed[:3])}"
        description = f"{description} {' '.join(stuffed)}"
    if "promotion" in noises:
        call = noise.one_of(words.merchant.promotions)
        title = f"{call}! {title}" if noise.chance(0.5) else f"{title} - {call}"
        description = f"{' '.join(noise.some_of(words.merchant.promotion_sentences, 2))} {description}"
    if "irrelevant_tags" in noises:
        tags = noise.some_of(words.merchant.tags, noise.integer(4, 8))
        description = f"{description} Tags: {', '.join(tags)}."
    return Text(title, text.brand, text.categories, description)


def _keywords(words: Vocabulary, attributes: dict[str, str], noise: Draws) -> list[str]:
    """Return search words of other products, none of which is true of this item, among words that sell."""
    foreign: list[str] = []
    for name, n in (("kind", 2), ("colour", 2), ("style", 1), ("material", 1), ("pattern", 1)):
        others = [value for value in words.values(name) if value != attributes[name]]
        foreign += noise.some_of(others, n)
    mixed = foreign + noise.some_of(words.merchant.stuffing, noise.integer(3, 6))
    return [mixed[place] for place in noise.order(len(mixed))]
