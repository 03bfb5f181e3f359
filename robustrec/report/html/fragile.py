"""Cards of the most fragile items, limited in number and in bytes of pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from robustrec.reading.advice import harm
from robustrec.reading.conditions import condition_words
from robustrec.reading.summary import Summary
from robustrec.reading.texts import shortened, title_of
from robustrec.report.html.pictures import checked_jpeg
from robustrec.results.exhibits import FragileItem, Look
from robustrec.results.numbers import NOTHING

MOST_ITEMS = 24
MOST_PICTURE_BYTES = 2_400_000
_LONGEST_TEXT = 600


class ItemState(NamedTuple):
    """An item before or after an edit: text, picture in base64, or a text without one; `same`: text unchanged."""

    text: str
    picture: str | None
    instead: str
    rank: str
    exposure: int
    same: bool = False


class Card(NamedTuple):
    """Card of one fragile item, before and after the edit."""

    item: str
    subject: str
    condition: str
    n_users: int
    k: int
    fall: str
    before: ItemState
    after: ItemState


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
        before = _side(each.before, kept[0], each.rank_before, each.exposure_before)
        after = _side(each.after, kept[1], each.rank_after, each.exposure_after)
        if each.after.text == each.before.text:
            after = after._replace(text="", same=True)
        cards.append(
            Card(
                each.own_id or title_of(each.before.text) or each.item,
                summary.names.get(each.subject, each.subject.label),
                condition_words(each.condition),
                each.n_users,
                each.k,
                _moved(each),
                before,
                after,
            )
        )
    return cards, len(items) - len(cards)


def _moved(item: FragileItem) -> str:
    if item.rank_before is None or item.rank_after is None:
        return "has an unknown rank"
    moved = item.rank_after - item.rank_before
    return "kept its rank" if moved == 0 else f"{'fell' if moved > 0 else 'rose'} by {abs(moved):.1f} ranks"


def _side(look: Look, picture: str | None, rank: float | None, exposure: int) -> ItemState:
    instead = "no picture" if not look.picture else "picture not shown: it is not a readable JPEG or too large"
    return ItemState(
        shortened(look.text, _LONGEST_TEXT), picture, instead, NOTHING if rank is None else f"{rank:.1f}", exposure
    )
