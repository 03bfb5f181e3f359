"""Cards of the most fragile items, limited in number and in bytes of pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from markupsafe import Markup

from robustrec.reading.advice import harm
from robustrec.reading.conditions import condition_words
from robustrec.reading.summary import Summary
from robustrec.report.html.edited_items import difference
from robustrec.report.html.example_user import title_words
from robustrec.report.html.pictures import checked_jpeg
from robustrec.results.exhibits import FragileItem, Look
from robustrec.results.numbers import NOTHING

MOST_ITEMS = 24
MOST_PICTURE_BYTES = 2_400_000


class Card(NamedTuple):
    """Card of one fragile item, before and after the edit.

    Attributes:
        title: first line of its text.
        item: its id in your own data.
        ranks: mean rank before and after.
        lists: number of top-k lists with the item, before and after.
        pictures: (caption, picture in base64, words in its place) before and after.
        text: changed words of the text; empty if it stays.
    """

    title: str
    item: str
    subject: str
    condition: str
    n_users: int
    k: int
    ranks: str
    lists: str
    pictures: tuple[tuple[str, str | None, str], ...]
    text: Markup


def fragile_cards(summary: Summary) -> tuple[list[Card], int]:
    """Return the items with the largest losses, and the number of further edited items in the report."""
    exhibits = [each for each in summary.report.exhibits if isinstance(each, FragileItem)]
    worst: dict[str, FragileItem] = {}
    for each in sorted(exhibits, key=lambda each: -harm(each)):
        worst.setdefault(each.item, each)
    items = list(worst.values())
    room = MOST_PICTURE_BYTES
    cards = []
    for each in items[:MOST_ITEMS]:
        pictures = [checked_jpeg(look.picture) for look in (each.before, each.after)]
        size = sum(len(picture or "") for picture in pictures)
        kept: Sequence[str | None] = pictures if size <= room else (None, None)
        room -= size if size <= room else 0
        looks = zip(("before", "after"), kept, (each.before, each.after), strict=True)
        changed = each.after.text != each.before.text
        cards.append(
            Card(
                title_words(each.before.text.partition("\n")[0] or each.item),
                each.own_id or each.item,
                summary.names.get(each.subject, each.subject.label),
                condition_words(each.condition),
                each.n_users,
                each.k,
                f"{_rank(each.rank_before)} → {_rank(each.rank_after)}",
                f"{each.exposure_before} → {each.exposure_after}",
                tuple((name, picture, _instead(look)) for name, picture, look in looks),
                difference(each.before.text, each.after.text) if changed else Markup(""),
            )
        )
    return cards, len(items) - len(cards)


def _rank(rank: float | None) -> str:
    return NOTHING if rank is None else f"{rank:.1f}"


def _instead(look: Look) -> str:
    return "no picture" if not look.picture else "picture not shown: it is not a readable JPEG or too large"
