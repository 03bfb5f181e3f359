"""The list of one user before and after an edit, as two columns with a line for each item that stays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from markupsafe import Markup

from robustrec.reading.conditions import condition_words
from robustrec.reading.summary import Summary
from robustrec.reading.texts import one_line, shortened
from robustrec.report.html.charts.elements import element
from robustrec.report.html.pictures import PictureSheet
from robustrec.report.html.plots import name_of
from robustrec.results.exhibits import ExampleUser, ListedItem

_ROW = 52
"""Height of an item in pixels."""
_LONGEST = 90
_BUDGET = 300_000


class Line(NamedTuple):
    """An item of a list: rank, picture, title, own id, marks and how it moves."""

    rank: int
    picture: Markup
    title: str
    item: str
    edited: bool
    wanted: bool
    move: str


class UserLists(NamedTuple):
    """Two lists of a user with the lines between them, and sentences."""

    sentences: tuple[str, ...]
    before: tuple[Line, ...]
    after: tuple[Line, ...]
    slopes: Markup
    pictures: Markup
    notes: tuple[str, ...]


def user_lists(summary: Summary) -> UserLists | None:
    """Return the lists of the example user of a report; None without one."""
    example = next((each for each in summary.report.exhibits if isinstance(each, ExampleUser)), None)
    if example is None:
        return None
    sheet = PictureSheet("user", _BUDGET)
    before = tuple(_line(each, place, example, sheet, after=False) for place, each in enumerate(example.before, 1))
    after = tuple(_line(each, place, example, sheet, after=True) for place, each in enumerate(example.after, 1))
    return UserLists(
        _sentences(summary, example),
        before,
        after,
        _slopes(example.before, example.after),
        sheet.sheet,
        _notes(example),
    )


def title_words(title: str, longest: int = _LONGEST) -> str:
    """Return a title on one line, cut between words where it is too long."""
    title = one_line(title)
    if len(title) <= longest:
        return title
    cut = title[: longest - 1].rpartition(" ")[0]
    return f"{cut or shortened(title, longest - 2)} …"


def _line(each: ListedItem, place: int, example: ExampleUser, sheet: PictureSheet, *, after: bool) -> Line:
    move = _after(each, place, example.known) if after else _before(each, len(example.after), example.known)
    picture = sheet.shown(each.picture, size=40)
    return Line(place, picture, title_words(each.title), each.own_id or each.item, each.edited, each.wanted, move)


def _before(each: ListedItem, shown: int, known: int) -> str:
    if each.rank_after is None:
        return f"out, now beyond {known}"
    return "" if each.rank_after <= shown else f"out, now {each.rank_after}"


def _after(each: ListedItem, place: int, known: int) -> str:
    if each.rank_before is None:
        return f"new, was beyond {known}"
    moved = each.rank_before - place
    if moved == 0:
        return "same rank"
    return f"up {moved}, was {each.rank_before}" if moved > 0 else f"down {-moved}, was {each.rank_before}"


def _sentences(summary: Summary, example: ExampleUser) -> tuple[str, ...]:
    n = len(example.before)
    stay = {each.item for each in example.after}
    left = sum(each.item not in stay for each in example.before)
    where = f"{name_of(summary, example.subject)}, {condition_words(example.condition)}"
    values = f"This user's {example.metric}: {example.before_value:.4f} → {example.after_value:.4f}"
    chosen = next((each for each in (*example.before, *example.after) if each.item == example.item), None)
    moved = ""
    if chosen is not None:
        now = f"rank {chosen.rank_after}" if chosen.rank_after else f"a rank beyond {example.known}"
        was = f"rank {chosen.rank_before}" if chosen.rank_before else f"a rank beyond {example.known}"
        moved = f"The test item “{title_words(chosen.title, 60)}” moves from {was} to {now}. "
    return (
        f"User {example.user}, {where}.",
        f"{left} of the first {n} items leave the first {len(example.after)}. {moved}{values}.",
    )


def _notes(example: ExampleUser) -> tuple[str, ...]:
    if example.order_kept:
        why = (
            "Items that were not edited keep their order: they move only because edited items leave or enter places "
            "above them."
        )
    else:
        why = (
            "Items that were not edited change their order too: the scores of this model depend on the features of "
            "other items, through a graph of items or the vector of the user."
        )
    return (
        f"This is an example and no average. How it was chosen: {example.rule}.",
        "Solid line: the item stays. Broken line: it leaves or enters. Thick line: it was edited.",
        why,
    )


def _slopes(before: Sequence[ListedItem], after: Sequence[ListedItem]) -> Markup:
    """Return lines from each place before to the place after, in a box 100 wide."""
    places = {each.item: place for place, each in enumerate(after)}
    was = {each.item for each in before}
    height = _ROW * max(len(before), len(after), 1)
    lines = []
    for place, each in enumerate(before):
        stays = each.item in places
        end = (100.0, _middle(places[each.item])) if stays else _end(55, place, height)
        lines.append(_slope((0.0, _middle(place)), end, each, stays=stays))
    for place, each in enumerate(after):
        if each.item not in was:
            lines.append(_slope((100.0, _middle(place)), _end(45, place, height), each, stays=False))
    return element(
        "svg", *lines, class_="slope", viewBox=f"0 0 100 {height}", preserveAspectRatio="none", aria_hidden="true"
    )


def _middle(place: int) -> float:
    return _ROW * (place + 0.5)


def _end(x: float, place: int, height: float) -> tuple[float, float]:
    """Return where the line of an item that leaves or enters ends: further down, inside the box."""
    return float(x), min(_middle(place) + _ROW * 0.8, height - 3)


def _slope(start: tuple[float, float], end: tuple[float, float], each: ListedItem, *, stays: bool) -> Markup:
    kind = f"{'edited' if each.edited else 'plain'}{'' if stays else ' out'}"
    return element("line", class_=kind, x1=start[0], y1=start[1], x2=end[0], y2=end[1])
