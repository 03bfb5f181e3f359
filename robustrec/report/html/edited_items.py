"""One of your items under each edit, at up to three severities, beside what the edit costs."""

from __future__ import annotations

from difflib import SequenceMatcher
from typing import NamedTuple

from markupsafe import Markup

from robustrec.reading.conditions import edit_words
from robustrec.reading.summary import Summary
from robustrec.report.html.charts.elements import element, joined
from robustrec.report.html.example_user import title_words
from robustrec.report.html.heatmap import Heatmap
from robustrec.report.html.pictures import PictureSheet
from robustrec.results.conditions import Condition
from robustrec.results.exhibits import EditedItem

MOST_OPEN = 8
_BUDGET = 1_500_000
_CONTEXT, _MOST_WORDS = 5, 90


class Step(NamedTuple):
    """A picture with its caption."""

    caption: str
    picture: Markup


class EditCard(NamedTuple):
    """One edit of the item.

    Attributes:
        key: end of the id of the card.
        words: name of the edit in words.
        steps: pictures before it and at the severities at which it changes the picture.
        text: the text with removed and added words, at `severity`; empty if it stays.
        severity: of the text.
        nothing: whether the edit leaves this item as it is.
        costs: name, change and interval of each model.
    """

    key: str
    words: str
    steps: tuple[Step, ...]
    text: Markup
    severity: int
    nothing: bool
    costs: tuple[tuple[Markup, str, str, str], ...]


class EditedItems(NamedTuple):
    """The item, its cards, those of edits with the largest mean loss first, and the pictures."""

    title: str
    item: str
    metric: str
    severity: int
    cards: tuple[EditCard, ...]
    more: tuple[EditCard, ...]
    pictures: Markup


def edited_items(summary: Summary, maps: list[Heatmap]) -> EditedItems | None:
    """Return one item under each edit; None if the report has no such exhibits.

    Args:
        summary: of the report.
        maps: edits × models, of which the first gives order and costs.
    """
    exhibits = [each for each in summary.report.exhibits if isinstance(each, EditedItem)]
    if not exhibits:
        return None
    sheet = PictureSheet("edited", _BUDGET)
    first = maps[0] if maps else None
    rows = {row.edit: row for row in (*first.rows, *first.others)} if first else {}
    order = {edit: place for place, edit in enumerate(rows)}
    exhibits.sort(key=lambda each: order.get(each.edit, len(order)))
    cards = []
    for each in exhibits:
        row = rows.get(each.edit)
        costs: tuple[tuple[Markup, str, str, str], ...] = ()
        if row is not None and first is not None:
            costs = tuple(
                (mark, name, cell.value, cell.interval)
                for (mark, name), cell in zip(first.subjects, row.cells, strict=True)
                if cell.value
            )
        cards.append(_card(each, sheet, costs))
    item = exhibits[0]
    return EditedItems(
        title_words(item.title),
        item.own_id or item.item,
        first.metric if first else summary.metric,
        first.severity if first else 0,
        tuple(cards[:MOST_OPEN]),
        tuple(cards[MOST_OPEN:]),
        sheet.sheet,
    )


def key_of_edit(edit: str) -> str:
    """Return an edit's name as the end of an id."""
    return "".join(letter if letter.isalnum() else "-" for letter in edit)


def _card(each: EditedItem, sheet: PictureSheet, costs: tuple[tuple[Markup, str, str, str], ...]) -> EditCard:
    words = edit_words(Condition(kind="edit", edit=each.edit, severity=1, share=1, graphs="rebuilt"))
    pictured = [look for look in each.looks if look.picture]
    steps = [("before", each.picture)] if pictured else []
    steps += [(f"severity {look.severity}", look.picture) for look in pictured]
    drawn = tuple(Step(name, sheet.shown(text, f"{words}: {name}")) for name, text in steps)
    written = [look for look in each.looks if look.text is not None]
    look = written[len(written) // 2] if written else None
    text = difference(each.text, look.text or "") if look else Markup("")
    return EditCard(
        key_of_edit(each.edit),
        words,
        tuple(step for step in drawn if step.picture),
        text,
        look.severity if look else 0,
        not each.looks,
        costs,
    )


def difference(before: str, after: str) -> Markup:
    """Return the words of two texts with the removed and the added ones marked; long equal parts are left out."""
    one, two = before.split(), after.split()
    parts: list[Markup] = []
    count = 0
    for what, start, stop, other, end in SequenceMatcher(None, one, two, autojunk=False).get_opcodes():
        if what == "equal":
            words = one[start:stop]
            if len(words) > 2 * _CONTEXT + 1:
                words = [*words[:_CONTEXT], "…", *words[-_CONTEXT:]]
            parts.append(Markup(" ") + " ".join(words) + " ")
            count += len(words)
            continue
        if stop > start:
            parts.append(element("del", " ".join(one[start:stop])) + " ")
        if end > other:
            parts.append(element("ins", " ".join(two[other:end])) + " ")
        count += stop - start + end - other
        if count > _MOST_WORDS:
            parts.append(Markup("…"))
            break
    return joined(parts)
