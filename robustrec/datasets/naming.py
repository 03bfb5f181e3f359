"""Accepted spellings of columns, ids and missing values, for ratings, catalogs and the MMRec layout."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

# By kind, the most specific name first: where a table has several of them, that one is taken, whatever their order.
ALIASES: dict[str, tuple[str, ...]] = {
    "user": (
        "userid", "user", "uid", "reviewerid", "customerid", "memberid", "accountid", "buyerid", "visitorid",
        "profileid", "clientid", "personid", "usrid", "usr", "customer", "reviewer", "username",
    ),
    "item": (
        "itemid", "item", "iid", "parentasin", "asin", "productid", "product", "articleid", "sku", "movieid", "bookid",
        "isbn", "goodsid", "trackid", "songid", "gameid", "appid", "newsid", "videoid", "businessid", "gmapid",
        "recipeid", "listingid", "itemcode", "productcode", "code",
    ),
    "rating": ("rating", "overall", "stars", "score", "ratingvalue", "reviewscore", "bookrating", "preference"),
    "timestamp": ("timestamp", "time", "unixreviewtime", "ts", "date", "datetime", "unixtime", "createdat"),
    "label": ("xlabel",),
    "split": ("split", "subset", "partition"),
    "title": (
        "title", "name", "itemname", "productname", "itemtitle", "producttitle", "movietitle", "booktitle",
        "displayname", "prodname",
    ),
    "brand": ("brand", "brandname", "manufacturer", "maker"),
    "categories": ("categories",),
    "category": ("category",),
    "genres": ("genres", "genre"),
    "tags": ("tags", "tag"),
    "description": ("description", "overview", "desc", "productdescription", "itemdescription", "detaildesc"),
    "price": ("price",),
    "image": ("image", "imagepath", "imagefile", "imagename", "picture", "photo", "poster", "img"),
}  # fmt: skip
CATALOG_ID = "id"  # an item in a catalog; in ratings it may be the id of a row

MISSING = frozenset(
    {"", "na", "n/a", "n-a", "n.a.", "#n/a", "#na", "<na>", "nan", "-nan", "+nan", "nat", "null", "(null)", "none",
     "nil", "\\n", "undefined", "1.#qnan", "-1.#ind", "1.#ind", "-1.#qnan"}
)  # fmt: skip

_WHOLE = re.compile(r"[0-9]{1,100}")
_FLOATED = re.compile(r"([0-9]{1,100})(\.0+)?")
_INVISIBLE = dict.fromkeys([0x200B, 0x200C, 0x200D, 0x2060, 0xFEFF])
SCIENTIFIC = re.compile(r"[0-9](\.[0-9]+)?[eE]\+[0-9]{1,3}")
"""What a spreadsheet makes of a long id: 1.23457E+12."""


def plain(name: str) -> str:
    """Return a column name in lower case, without separators and RecBole's type ("item_id:token" becomes "itemid")."""
    return re.sub(r"[\s_.\-]+", "", name.partition(":")[0].strip().strip("'\"").lower())


def is_missing(text: str) -> bool:
    """Return whether a text is a missing value: empty, NaN, NULL, None, N/A and the like, in any case."""
    return text.strip().lower() in MISSING


def places_of(header: Sequence[str], kinds: Iterable[str]) -> dict[str, int]:
    """Return the position of each known column in a header."""
    names = [plain(name) for name in header]
    found = {}
    for kind in kinds:
        known = next((alias for alias in ALIASES[kind] if alias in names), None)
        if known is not None:
            found[kind] = names.index(known)
    return found


def named(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return a catalog record by normalized names; the first one of equal names is used."""
    found: dict[str, Any] = {}
    for name, value in zip(_plain_names(tuple(record)), record.values(), strict=True):
        found.setdefault(name, value)
    return found


@lru_cache(maxsize=16)
def _plain_names(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the normalized names of a record; those of the next record are often the same."""
    return tuple(map(plain, names))


def number_of(text: str) -> float | None:
    """Return the number in a text, possibly infinite or NaN, or None."""
    try:
        return None if "_" in text else float(text)  # Python reads 1_0 as 10
    except ValueError:
        return None


def id_order(name: str) -> tuple[int, int, str]:
    """Return the sort key of ids: integers by value, then all others as text."""
    return (0, int(name), name) if _WHOLE.fullmatch(name) else (1, 0, name)


def repeated_name(header: Sequence[str], places: Mapping[str, int]) -> str | None:
    """Return the first duplicate name of a column that is read, or None."""
    names = [plain(name) for name in header]
    return next((header[at] for at in places.values() if at < len(names) and names.count(names[at]) > 1), None)


def loose_id(name: str) -> str:
    """Return the normalized form of an id: "007" and "7.0" become "7"; letters become lower case (NFKC)."""
    if not name.isascii():
        name = unicodedata.normalize("NFKC", name.translate(_INVISIBLE))
    number = _FLOATED.fullmatch(name.strip())
    return str(int(number[1])) if number else name.strip().casefold()


def written_alike(names: Iterable[str]) -> int:
    """Return the number of ids that differ from another id in spelling only."""
    counts = Counter(map(loose_id, names))
    return sum(count for count in counts.values() if count > 1)


def without_decimals(names: Sequence[str]) -> list[str]:
    """Return ids without the suffix ".0" if all are numbers; tables with missing values are often written as floats."""
    numbers = [_FLOATED.fullmatch(name) for name in names]
    if all(numbers) and any(number and number[2] for number in numbers):
        return [number[1] if number else "" for number in numbers]
    return list(names)
