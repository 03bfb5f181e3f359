"""What the shop sells and how it speaks: fixtures/shop.toml, read into tables."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

from robustrec.errors import unknown_name
from robustrec.files import shipped
from robustrec.untrusted import read_toml

SHOPS = ("baby", "sports", "clothing", "electronics")
ATTRIBUTES = ("kind", "colour", "pattern", "material", "brand", "style", "price")


@dataclass(frozen=True)
class Kind:
    """A kind of product."""

    name: str
    """The noun, as texts say it."""
    drawing: str
    """The name of its drawing in DRAWINGS."""
    category: tuple[str, ...]
    """The path below the shop's root."""
    materials: tuple[str, ...]
    """What it can be made of, in the order of the shop's materials."""
    details: tuple[str, ...]
    """Sentences about the kind that tell nothing about the single product."""
    plural: bool
    """Whether the noun is a plural: "goggles"."""


@dataclass(frozen=True)
class Merchant:
    """The words merchants add, and the share of the items that carries each noise."""

    promotions: tuple[str, ...]
    promotion_sentences: tuple[str, ...]
    tags: tuple[str, ...]
    stuffing: tuple[str, ...]
    badges: tuple[str, ...]
    watermarks: tuple[str, ...]
    text_rates: dict[str, float]
    picture_rates: dict[str, float]


@dataclass(frozen=True)
class Vocabulary:
    """One shop's words, and what each looks like."""

    shop: str
    root: str
    kinds: dict[str, Kind]
    colours: dict[str, tuple[int, int, int]]
    """How texts say the colour -> RGB."""
    patterns: dict[str, tuple[str, ...]]
    """How texts say the pattern -> phrases about it."""
    materials: dict[str, str]
    """How texts say the material -> its texture on the product."""
    brands: dict[str, tuple[str, ...]]
    """The brand -> its mark, seven rows of seven bits."""
    styles: dict[str, str]
    """How texts say the style -> the backdrop of its pictures."""
    prices: dict[str, tuple[str, ...]]
    """How texts say the price level -> sentences about it."""
    merchant: Merchant

    def values(self, attribute: str) -> tuple[str, ...]:
        """Return the values an attribute can take, in the order of the vocabulary."""
        tables: dict[str, dict[str, Any]] = {
            "kind": self.kinds,
            "colour": self.colours,
            "pattern": self.patterns,
            "material": self.materials,
            "brand": self.brands,
            "style": self.styles,
            "price": self.prices,
        }
        return tuple(tables[attribute])


@cache
def vocabulary(shop: str) -> Vocabulary:
    """Return the vocabulary of a shop.

    Raises:
        RobustrecError: there is no such shop.
    """
    if shop not in SHOPS:
        raise unknown_name("sample edition", shop, SHOPS, where="--dataset")
    table = read_toml(shipped("fixtures", "shop.toml"))
    own, words, rates = table["shops"][shop], table["merchant"], table["noise_rates"]
    return Vocabulary(
        shop=shop,
        root=own["root"],
        kinds={
            name: Kind(
                name,
                kind["drawing"],
                tuple(kind["category"]),
                tuple(kind["materials"]),
                tuple(kind["details"]),
                kind.get("plural", False),
            )
            for name, kind in own["kinds"].items()
        },
        colours={name: (rgb[0], rgb[1], rgb[2]) for name, rgb in table["colours"].items()},
        patterns={name: tuple(phrases) for name, phrases in table["patterns"].items()},
        materials=own["materials"],
        brands=dict(zip(own["brands"], map(tuple, table["marks"].values()), strict=True)),
        styles=own["styles"],
        prices={name: tuple(sentences) for name, sentences in table["prices"].items()},
        merchant=Merchant(
            **{key: tuple(values) for key, values in words.items()},
            text_rates=rates["text"],
            picture_rates=rates["picture"],
        ),
    )
