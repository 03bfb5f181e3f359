"""A whole sample edition: items with hidden attributes, clean and as merchants show them, and who bought them."""

from __future__ import annotations

import errno
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from robustrec.datasets.shop.draws import Draws
from robustrec.datasets.shop.formats import jsonl_bytes, png_bytes, zip_bytes
from robustrec.datasets.shop.merchant_pictures import PICTURE_NOISES, merchant_picture
from robustrec.datasets.shop.merchant_texts import TEXT_NOISES, left_out, merchant_text
from robustrec.datasets.shop.pictures import clean_picture
from robustrec.datasets.shop.shoppers import MARKET, Purchases, purchases
from robustrec.datasets.shop.surfaces import Pixels
from robustrec.datasets.shop.texts import Text, clean_text
from robustrec.datasets.shop.vocabulary import ATTRIBUTES, Vocabulary, vocabulary
from robustrec.files import digest_sources, shipped, unwritable, write_atomically
from robustrec.progress import Progress, silent

MANIFEST = "dataset.toml"
FIRST_DAY = 1_325_376_000
"""2012-01-01 in seconds since 1970; a purchase an hour follows, in the order of the file."""


@dataclass(frozen=True)
class Item:
    """An item as it is, and as its merchant shows it."""

    attributes: dict[str, str]
    text_noises: tuple[str, ...]
    picture_noises: tuple[str, ...]
    left_out: tuple[str, ...]
    clean_text: Text
    text: Text
    clean_picture: Pixels
    picture: Pixels


def hidden_attributes(words: Vocabulary, n_items: int) -> list[dict[str, str]]:
    """Return each item's value of each of ATTRIBUTES; earlier values of the vocabulary are somewhat more frequent.

    A material is drawn from those that products of the item's kind are made of.
    """
    columns = {name: _drawn(words, name, words.values(name), n_items) for name in ATTRIBUTES}
    made_of = {kind.name: _drawn(words, "material", kind.materials, n_items) for kind in words.kinds.values()}
    columns["material"] = [made_of[kind][item] for item, kind in enumerate(columns["kind"])]
    return [{name: columns[name][item] for name in ATTRIBUTES} for item in range(n_items)]


def _drawn(words: Vocabulary, name: str, values: Sequence[str], n_items: int) -> list[str]:
    weights = [3 * len(values) - place for place in range(len(values))]
    return [values[code] for code in Draws(words.shop, "items", name).weighted(weights, n_items)]


def made_item(words: Vocabulary, number: int, attributes: dict[str, str]) -> Item:
    """Return an item with its texts and pictures; each part draws from a stream of its own."""
    noise = Draws(words.shop, number, "noises")
    text_noises = tuple(name for name in TEXT_NOISES if noise.chance(words.merchant.text_rates[name]))
    picture_noises = tuple(name for name in PICTURE_NOISES if noise.chance(words.merchant.picture_rates[name]))
    without = left_out(text_noises, noise)
    clean = clean_picture(words, attributes, Draws(words.shop, number, "picture"))
    return Item(
        attributes=attributes,
        text_noises=text_noises,
        picture_noises=picture_noises,
        left_out=without,
        clean_text=clean_text(words, attributes, Draws(words.shop, number, "wording")),
        text=merchant_text(
            words,
            attributes,
            Draws(words.shop, number, "wording"),
            Draws(words.shop, number, "text noise"),
            text_noises,
            without,
        ),
        clean_picture=clean,
        picture=merchant_picture(words.merchant, clean, picture_noises, Draws(words.shop, number, "picture noise")),
    )


def build_shop(name: str, folder: Path, progress: Progress = silent) -> None:
    """Write a shop's whole sample edition into an existing folder; the bytes are the same on every machine.

    Raises:
        RobustrecError: there is no such shop, or the folder cannot be written.
    """
    words = vocabulary(name)
    if not folder.is_dir():
        raise unwritable(folder / MANIFEST, NotADirectoryError(errno.ENOTDIR, "no such folder"))
    attributes = hidden_attributes(words, MARKET.n_items)
    items = []
    for number, values in enumerate(attributes):
        items.append(made_item(words, number, values))
        progress(f"making the synthetic shop {name}", number + 1, len(attributes))
    bought = purchases(words, attributes)
    contents = {
        f"{name}.inter": _inter_bytes(bought),
        "items.jsonl": jsonl_bytes(_row(number, item.text) for number, item in enumerate(items)),
        "clean_items.jsonl": jsonl_bytes(_row(number, item.clean_text) for number, item in enumerate(items)),
        "attributes.jsonl": jsonl_bytes(_hidden_row(number, item) for number, item in enumerate(items)),
        "pictures.zip": _pictures(item.picture for item in items),
        "clean_pictures.zip": _pictures(item.clean_picture for item in items),
        MANIFEST: _description(words, bought).encode(),
    }
    for file, data in contents.items():
        write_atomically(folder / file, data)


@cache
def shop_digest() -> str:
    """Return the digest of all that decides over a sample edition's bytes: the shop's sources and its vocabulary."""
    return digest_sources(Path(__file__).parent, shipped("fixtures", "shop.toml"))


def _picture_name(number: int) -> str:
    return f"{number}.png"


def _pictures(pictures: Iterable[Pixels]) -> bytes:
    return zip_bytes((_picture_name(number), png_bytes(pixels)) for number, pixels in enumerate(pictures))


def _row(number: int, text: Text) -> dict[str, Any]:
    return {
        "itemID": number,
        "title": text.title,
        "brand": text.brand,
        "categories": list(text.categories),
        "description": text.description,
        "image": _picture_name(number),
    }


def _hidden_row(number: int, item: Item) -> dict[str, Any]:
    return {
        "itemID": number,
        **item.attributes,
        "text_noise": list(item.text_noises),
        "picture_noise": list(item.picture_noises),
        "left_out": list(item.left_out),
    }


def _inter_bytes(bought: Purchases) -> bytes:
    lines = ["userID\titemID\trating\ttimestamp\tx_label"]
    columns: Sequence[list[int]] = (bought.users.tolist(), bought.items.tolist(), bought.labels.tolist())
    for row, (user, item, label) in enumerate(zip(*columns, strict=True)):
        lines.append(f"{user}\t{item}\t5.0\t{FIRST_DAY + 3600 * row}\t{label}")
    return ("\n".join(lines) + "\n").encode()


def _description(words: Vocabulary, bought: Purchases) -> str:
    rates = [("text", words.merchant.text_rates), ("picture", words.merchant.picture_rates)]
    lines = [
        "schema_version = 1",
        f'name = "{words.shop}"',
        'edition = "sample"',
        "synthetic = true",
        f'seed = "{words.shop}"  # the name that every stream of draws begins with',
        "",
        "[counts]",
        f"users = {MARKET.n_users}",
        f"items = {MARKET.n_items}",
        f"interactions = {len(bought.users)}",
    ]
    for modality, table in rates:
        lines += ["", f"[noise_rates.{modality}]  # share of the items that carry each"]
        lines += [f"{noise} = {rate}" for noise, rate in table.items()]
    return "\n".join(lines) + "\n"
