"""Raw files of small public-style data sets, in the layouts of `robustrec data prepare`, for tests and benchmarks.

Users like one or two of the kinds of goods, and the kinds show in titles and pictures, so that content helps a
recommender. The archives have what real ones have: users and items outside the 5-core, repeated reviews, items without
title or description, metadata of items that nobody bought, quotes and entities in texts, placeholder pictures.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

CATEGORIES = ("Baby", "Sports_and_Outdoors", "Clothing_Shoes_and_Jewelry", "Electronics")
KINDS = {
    "Baby": ("Bib", "Bottle", "Blanket", "Stroller", "Rattle", "Crib Sheet", "Teether", "Monitor"),
    "Sports_and_Outdoors": ("Tent", "Yoga Mat", "Dumbbell", "Bike Lock", "Backpack", "Flask", "Helmet", "Racket"),
    "Clothing_Shoes_and_Jewelry": ("Sock", "Sandal", "Scarf", "Necklace", "Jacket", "Belt", "Watch", "Dress"),
    "Electronics": ("Headphones", "Keyboard", "Router", "Camera", "Charger", "Speaker", "Monitor", "Mouse"),
}
COLOURS = {"Red": (200, 40, 40), "Blue": (40, 60, 200), "Green": (40, 160, 60), "Grey": (120, 120, 120)}
BRANDS = ("Acme", "Nordic & Co", "Little's", 'The "Best"')
PLACEHOLDER = "http://g-ecx.images-amazon.com/images/G/01/x-site/icons/no-img-sm._CB192198896_.gif"


@dataclass(frozen=True)
class Item:
    """One item of an archive; empty texts are left out of its files."""

    id: str
    kind: str
    colour: str
    title: str
    brand: str
    description: str
    picture: str


@dataclass(frozen=True)
class Archive:
    """What an archive holds, for comparison with what is prepared from it.

    Attributes:
        folder: its folder.
        layout: its layout.
        category: its category.
        reviews: user, item, rating and time of each row, in the order of the file.
        items: all items of the metadata.
    """

    folder: Path
    layout: str
    category: str
    reviews: list[tuple[str, str, float, int]]
    items: list[Item]


def write_archive(
    layout: str,
    folder: Path,
    *,
    category: str = "Baby",
    reviews: int = 10_000,
    users: int = 800,
    items: int = 240,
    seed: int = 0,
    order: int | None = None,
    picture_host: str = "http://ecx.images-amazon.com",
    as_json: bool = False,
) -> Archive:
    """Write the raw files of a data set into a folder.

    Args:
        layout: name of the layout.
        folder: where they go; it is created.
        category: category of an Amazon layout, or size of MicroLens.
        reviews: number of rows.
        users: number of users who like things; as many more have one review each.
        items: number of items; a tenth more have metadata and no reviews.
        seed: seed of everything.
        order: seed of another order of rows and lines; None: sorted by item, as Amazon's are.
        picture_host: scheme and host of picture addresses.
        as_json: Amazon: reviews as JSON instead of a table of ratings.

    Raises:
        ValueError: more reviews than the users have distinct items that they like.
    """
    folder.mkdir(parents=True, exist_ok=True)
    draw = np.random.default_rng([seed, len(category), *category.encode()])
    goods = _goods(layout, category, items, draw, picture_host)
    rows = _reviews(layout, goods[:items], users, reviews, draw)
    lines = list(goods)
    if order is not None:
        other = np.random.default_rng(order)
        rows = [rows[at] for at in other.permutation(len(rows))]
        lines = [lines[at] for at in other.permutation(len(lines))]
    _WRITERS[layout](folder, category, rows, lines, as_json)
    return Archive(folder, layout, category, rows, goods)


def write_pictures(archive: Archive, folder: Path) -> None:
    """Write a picture of each item, named by its id, in the sub-folders of H&M for that layout."""
    for item in archive.items:
        place = folder / item.id[:3] if archive.layout == "hm" else folder
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{item.id}.jpg").write_bytes(picture(item))


def picture(item: Item) -> bytes:
    """Return a JPEG of an item: its colour, with stripes of its kind."""
    size = 48
    stripes = sum(item.kind.encode()) % 5 + 2
    values = np.full((size, size, 3), COLOURS[item.colour], dtype=np.uint8)
    values[np.arange(size) // stripes % 2 == 0, :, :] //= 2
    stream = io.BytesIO()
    Image.fromarray(values).save(stream, "JPEG", quality=90)
    return stream.getvalue()


def write_image_features(archive: Archive, path: Path, *, left_out: int = 7, width: int = 4096) -> None:
    """Write `image_features_CATEGORY.b`: an id and float32 values per item, without every `left_out`-th item."""
    with path.open("wb") as file:
        for at, item in enumerate(archive.items):
            if at % left_out != left_out - 1:
                values = np.random.default_rng(list(item.id.encode())).random(width, dtype=np.float32)
                file.write(item.id.encode().ljust(10) + values.tobytes())


def _goods(layout: str, category: str, items: int, draw: np.random.Generator, host: str) -> list[Item]:
    kinds = KINDS.get(category, KINDS["Clothing_Shoes_and_Jewelry"])
    found = []
    for number in range(items + items // 10):
        kind, colour = kinds[draw.integers(len(kinds))], list(COLOURS)[draw.integers(len(COLOURS))]
        brand = BRANDS[draw.integers(len(BRANDS))]
        bare = draw.random()
        found.append(
            Item(
                _item_id(layout, number),
                kind,
                colour,
                "" if bare < 0.05 else f"{brand} {kind}, {colour} &amp; Soft {number}",
                brand if draw.random() < 0.5 else "",
                "" if bare < 0.15 else f"It's a {colour.lower()} {kind.lower()} of {brand}.\nWash at 30\u00b0.",
                PLACEHOLDER if number % 40 == 7 else f"{host}/images/I/{number:05d}%2BqUL._SX300_.jpg",
            )
        )
    return found


def _item_id(layout: str, number: int) -> str:
    if layout == "microlens":
        return str(number + 1)
    if layout == "hm":
        return f"0{108775015 + 1000 * number}"
    return f"{972937510 + number}X" if number < 3 else f"B{number:09d}"


def _reviews(
    layout: str, goods: Sequence[Item], users: int, reviews: int, draw: np.random.Generator
) -> list[tuple[str, str, float, int]]:
    """Return distinct pairs sorted by item, a few of them twice, and a share of users with one row each."""
    kinds = sorted({item.kind for item in goods})
    of_kind = {kind: [item for item in goods if item.kind == kind] for kind in kinds}
    popular = {kind: draw.dirichlet(np.full(len(group), 0.8)) for kind, group in of_kind.items()}
    tastes = [draw.choice(kinds, 2, replace=False) for _ in range(users)]
    pairs: dict[tuple[str, str], None] = {}
    single = reviews // 12
    twice = reviews // 100
    draws = iter(range(40 * reviews))
    while len(pairs) < reviews - single - twice:
        if next(draws, None) is None:
            raise ValueError(f"{users} users do not like enough of {len(goods)} items for {reviews} reviews")
        user = int(draw.integers(users))
        kind = str(tastes[user][0 if draw.random() < 0.8 else 1])
        item = of_kind[kind][int(draw.choice(len(popular[kind]), p=popular[kind]))]
        pairs[_user_id(layout, user), item.id] = None
    for number in range(single):
        pairs[_user_id(layout, users + number), goods[int(draw.integers(len(goods)))].id] = None
    rows = [
        (user, item, float(draw.integers(1, 6)), 1_300_000_000 + 86_400 * int(draw.integers(1000)))
        for user, item in pairs
    ]
    rows += [rows[at] for at in draw.choice(len(rows), twice, replace=False)]
    return sorted(rows, key=lambda row: (row[1], row[3], row[0]))


def _user_id(layout: str, number: int) -> str:
    if layout == "microlens":
        return str(number + 1)
    if layout == "amazon2023":
        return f"AE{number * 7919 % 10**8:026d}"
    return f"{number * 7919:064x}" if layout == "hm" else f"A{number * 7919 % 10**6:06d}{'XYZ'[number % 3] * 6}"


def _amazon2014(
    folder: Path, category: str, rows: Sequence[tuple[str, str, float, int]], items: Sequence[Item], as_json: bool
) -> None:
    if as_json:
        records = (
            {"reviewerID": user, "asin": item, "helpful": [0, 1], "overall": rating, "unixReviewTime": time}
            for user, item, rating, time in rows
        )
        _gzipped(folder / f"reviews_{category}.json.gz", map(json.dumps, records))
    else:
        _table(folder / f"ratings_{category}.csv", [], rows)
    lines = []
    for item in items:
        record: dict[str, Any] = {
            "asin": item.id,
            "related": {"also_bought": [items[0].id, items[-1].id]},
            "price": 9.99,
        }
        record |= {"imUrl": item.picture, "categories": [[category, item.kind], ["All", item.colour]]}
        lines.append(repr(record | _texts(item)))
    _gzipped(folder / f"meta_{category}.json.gz", lines)


def _amazon2018(
    folder: Path, category: str, rows: Sequence[tuple[str, str, float, int]], items: Sequence[Item], as_json: bool
) -> None:
    if as_json:
        records = (
            {"overall": rating, "verified": True, "reviewerID": user, "asin": item, "unixReviewTime": time}
            for user, item, rating, time in rows
        )
        _gzipped(folder / f"{category}_5.json.gz", map(json.dumps, records))
    else:
        _table(folder / f"{category}.csv", [], [(item, user, rating, time) for user, item, rating, time in rows])
    lines = []
    for item in items:
        record: dict[str, Any] = {"category": [category, item.kind], "tech1": "", "description": [item.description]}
        record |= {"title": item.title, "brand": item.brand, "feature": [], "rank": [], "asin": item.id}
        record |= {"imageURL": [item.picture], "imageURLHighRes": []}
        lines.append(json.dumps(record))
    _gzipped(folder / f"meta_{category}.json.gz", [*lines, lines[0]])  # some items have two lines


def _amazon2023(
    folder: Path, category: str, rows: Sequence[tuple[str, str, float, int]], items: Sequence[Item], as_json: bool
) -> None:
    if as_json:
        records = (
            {"rating": rating, "title": "Fine", "images": [], "asin": f"{item}v", "parent_asin": item, "user_id": user}
            | {"timestamp": 1000 * time}
            for user, item, rating, time in rows
        )
        _gzipped(folder / f"{category}.jsonl.gz", map(json.dumps, records))
    else:
        header = ["user_id", "parent_asin", "rating", "timestamp"]
        _table(
            folder / f"{category}.csv", header, [(user, item, rating, 1000 * time) for user, item, rating, time in rows]
        )
    lines = []
    for item in items:
        images = [
            {"thumb": None, "large": item.picture + "?pt", "variant": "PT01", "hi_res": None},
            {"thumb": item.picture, "large": item.picture, "variant": "MAIN", "hi_res": None},
        ]
        record: dict[str, Any] = {"main_category": category, "title": item.title, "features": [], "price": None}
        record |= {"description": [item.description] if item.description else [], "images": images, "videos": []}
        record |= {"store": item.brand or None, "categories": [category, item.kind], "parent_asin": item.id}
        lines.append(json.dumps(record))
    _gzipped(folder / f"meta_{category}.jsonl.gz", lines)


def _microlens(
    folder: Path, category: str, rows: Sequence[tuple[str, str, float, int]], items: Sequence[Item], _: bool
) -> None:
    pairs = [(user, item, 1000 * time) for user, item, _, time in rows]
    _table(folder / f"MicroLens-{category}_pairs.csv", ["user", "item", "timestamp"], pairs)
    titles = [f"{item.id},{item.title}" for item in items if item.title]  # commas and no quotes
    text = "\n".join((["item,title"] if category == "50k" else []) + titles) + "\n"
    name = "titles" if category == "50k" else "title_en"
    (folder / f"MicroLens-{category}_{name}.csv").write_text(text, encoding="utf-8")


def _hm(folder: Path, _: str, rows: Sequence[tuple[str, str, float, int]], items: Sequence[Item], __: bool) -> None:
    header = ["t_dat", "customer_id", "article_id", "price", "sales_channel_id"]
    dates = (np.array([time for *_, time in rows], dtype="datetime64[s]")).astype("datetime64[D]").tolist()
    bought = [(date.isoformat(), user, item, 0.05, 2) for (user, item, *_), date in zip(rows, dates, strict=True)]
    _table(folder / "transactions_train.csv", header, bought)
    header = ["article_id", "product_code", "prod_name", "product_type_name", "product_group_name", "colour_group_name"]
    articles = [
        (item.id, item.id[:7], item.title, item.kind, "Garment", item.colour, item.description) for item in items
    ]
    _table(folder / "articles.csv", [*header, "detail_desc"], articles)


_WRITERS: dict[str, Callable[[Path, str, Sequence[tuple[str, str, float, int]], Sequence[Item], bool], None]] = {
    "amazon2014": _amazon2014,
    "amazon2018": _amazon2018,
    "amazon2023": _amazon2023,
    "microlens": _microlens,
    "hm": _hm,
}


def _texts(item: Item) -> dict[str, str]:
    """Return the texts of an item; those of 2014 are left out where they are missing."""
    texts = {"title": item.title, "brand": item.brand, "description": item.description}
    return {key: text for key, text in texts.items() if text}


def _table(path: Path, header: list[str], rows: Iterable[Sequence[object]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerows([header] if header else [])
        writer.writerows(rows)


def _gzipped(path: Path, lines: Iterable[str]) -> None:
    path.write_bytes(gzip.compress("".join(f"{line}\n" for line in lines).encode(), 1, mtime=0))
