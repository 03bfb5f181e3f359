"""What a text says about an item, in short natural sentences."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from robustrec.datasets.shop.draws import Draws
from robustrec.datasets.shop.vocabulary import Vocabulary

OMITTABLE = ("colour", "pattern", "material", "style", "price")
"""Attributes that a careless merchant's text may leave out; the kind it always says."""


class Text(NamedTuple):
    """A text as the catalog holds it."""

    title: str
    brand: str
    categories: tuple[str, ...]
    description: str


def clean_text(words: Vocabulary, attributes: dict[str, str], draws: Draws, *, without: Collection[str] = ()) -> Text:
    """Return a text that says every attribute in the title or the description.

    Args:
        words: the shop's vocabulary.
        attributes: the item's value of each of ATTRIBUTES.
        draws: stream for the wording; the same stream gives the same wording whatever is left out.
        without: attributes to leave out ("brand" or one of OMITTABLE).
    """
    said = {name: "" if name in without else value for name, value in attributes.items()}
    kind = words.kinds[attributes["kind"]]
    titles = (
        "{brand} {style} {kind}, {colour} {pattern} {material}",
        "{colour} {pattern} {kind} by {brand}",
        "{brand} {kind} {style} {material} {colour}",
        "{style} {colour} {kind} {brand}",
        "{kind} in {colour} {material}, {pattern}, {brand}",
    )
    title = _tidied(draws.one_of(titles).format(**said))
    category = (words.root, *kind.category)
    sentences = _sentences(words, attributes, said, draws, plural=kind.plural)
    return Text(title, said["brand"], category, " ".join(sentences))


def _sentences(
    words: Vocabulary, attributes: dict[str, str], said: dict[str, str], draws: Draws, *, plural: bool
) -> list[str]:
    kind, verb, pronoun = attributes["kind"], "are" if plural else "is", "They" if plural else "It"
    one = "" if plural else "a "
    made = draws.one_of(("{pronoun} {verb} made of {material}.", "The material: {material}.", "Made of {material}."))
    opening = draws.one_of(
        (
            "{one}{style} {kind} in {colour}.",
            "Meet this {style} {kind} in {colour}.",
            "{one}{colour} {kind} for a {style} look.",
        )
    )
    if plural:
        opening = opening.replace("this", "these")
    look = draws.one_of(words.patterns[attributes["pattern"]])
    price = draws.one_of(words.prices[attributes["price"]])
    maker = draws.one_of(("From {brand}.", "Designed by {brand}.", "{brand} makes it last."))
    detail = draws.one_of(words.kinds[kind].details)
    names = {**said, "one": one, "pronoun": pronoun, "verb": verb}
    parts = [_first_line(opening, names)]
    if said["pattern"]:
        parts.append(f"{pronoun} {verb} {look}.")
    if said["material"]:
        parts.append(made.format(**names))
    parts.append(detail)
    if said["brand"]:
        parts.append(maker.format(**names))
    if said["price"]:
        parts.append(price)
    return parts


def _first_line(template: str, names: dict[str, str]) -> str:
    if not names["colour"]:
        template = template.replace(" in {colour}", "")
    if not names["style"]:
        template = template.replace(" for a {style} look", "")
    return _tidied(template.format(**names))


def _tidied(sentence: str) -> str:
    """Return a sentence without the gaps that left out words leave, its first letter a capital."""
    plain = " ".join(sentence.split())
    for broken, whole in ((" ,", ","), (",,", ","), (" .", "."), (" in,", ",")):
        plain = plain.replace(broken, whole)
    plain = plain.removesuffix(" by").removesuffix(",").removesuffix(" in").strip(", ")
    plain = " ".join(_article(word, after) for word, after in zip(plain.split(), [*plain.split()[1:], ""], strict=True))
    return plain[:1].upper() + plain[1:]


def _article(word: str, after: str) -> str:
    if word in ("a", "A") and after[:1].lower() in "aeiou" and after[:3] != "uni":
        return word + "n"
    return word
