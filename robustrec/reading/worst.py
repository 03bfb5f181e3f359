"""The worst and best edits found, against random edits and gradient attacks; and advice on single edits of an item."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from robustrec.reading.conditions import search_words
from robustrec.reading.content_use import names_of
from robustrec.reading.summary import Summary
from robustrec.results.conditions import Search
from robustrec.results.exhibits import FoundEdits, SearchedItem, TriedEdit
from robustrec.results.findings import CLEAN, Finding
from robustrec.results.numbers import NOTHING, bracketed, percent, plain
from robustrec.results.report import Report
from robustrec.subject import Subject

WORST = "worst"
_TITLE, _MOST_SAFE = 44, 3
ATTACKS: tuple[Search, ...] = ("fgsm", "pgd")


class WorstSection(NamedTuple):
    """What the search of a report found.

    Attributes:
        columns: of the table.
        rows: a row for each subject and search.
        lines: what the table does not say: weak attacks, limits of the search.
        items: (item in words, lines) of the items that are shown.
    """

    columns: list[str]
    rows: list[list[str]]
    lines: list[str]
    items: list[tuple[str, list[str]]]


def worst_section(report: Report) -> WorstSection | None:
    """Return what the search of a report found; None without a search."""
    rows = search_rows(report)
    if not rows:
        return None
    names = names_of(report)
    metric = next((row.metric for row in rows if row.metric.startswith("exposure@")), "exposure")
    other = next((row.metric for row in rows if row.quantity == "drift" and row.metric != metric), "")
    columns = [
        "subject",
        "edits",
        f"{metric.partition('_')[0]}, share of users",
        "change",
        "lose > 25 %",
        "lose > 50 %",
    ]
    columns += [other.removesuffix("_edited")] if other else []
    table, lines = [], list[str]()
    for subject in dict.fromkeys(row.subject for row in rows):
        own = [row for row in rows if row.subject == subject]
        for condition in dict.fromkeys(row.condition for row in own):
            cells = {row.metric: row for row in own if row.condition == condition}
            found = [_before_after(cells.get(metric)), _change(cells.get(metric))]
            found += [_share(cells.get(f"items_losing_{percentage}")) for percentage in (25, 50)]
            found += [_change(cells.get(other))] if other else []
            table.append([names[subject], search_words(condition), *found])
        lines += [f"{names[subject]}: {line}" for line in _weak(own, metric)]
    items = [(_item(each, names), list(_item_lines(each))) for each in searched_items(report)]
    return WorstSection(columns, table, [*_said(rows), *lines], items)


def search_rows(report: Report) -> list[Finding]:
    """Return the findings of the search that compare with clean items."""
    return [row for row in report.findings if row.audit == WORST and row.reference == CLEAN]


def worst_sentences(summary: Summary) -> Iterator[str]:
    """Yield what the worst edits found cost an item of a subject, the largest loss first, if it is significant."""
    rows = [row for row in search_rows(summary.report) if row.metric.startswith("exposure@")]
    found = [row for row in rows if row.condition.search == "worst" and (row.relative_ci_high or 0.0) < 0]
    for row in sorted(found, key=lambda row: row.relative_drift or 0.0):
        random = next(
            (each for each in rows if each.subject == row.subject and each.condition.search == "random"), None
        )
        mean = "" if random is None else f"; random edits {percent(random.relative_drift, signed=True)}"
        yield (
            f"worst edits found of an item: {summary.names[row.subject]} changes its exposure by {_change(row)} among "
            f"held-out users{mean}"
        )


def searched_items(report: Report) -> list[SearchedItem]:
    """Return the items that the report shows."""
    return [each for each in report.exhibits if isinstance(each, SearchedItem)]


def _before_after(row: Finding | None) -> str:
    return NOTHING if row is None else f"{percent(row.clean)} -> {percent(row.perturbed)}"


def _change(row: Finding | None) -> str:
    if row is None:
        return NOTHING
    if row.relative_drift is None:
        return f"{plain(row.drift, signed=True)} {bracketed(row.ci_low, row.ci_high, plain, signed=True)}".rstrip()
    interval = bracketed(row.relative_ci_low, row.relative_ci_high, percent, signed=True)
    return f"{percent(row.relative_drift, signed=True)} {interval}".rstrip()


def _share(row: Finding | None) -> str:
    if row is None:
        return NOTHING
    return f"{percent(row.clean)} {bracketed(row.ci_low, row.ci_high, percent)}".rstrip()


def _weak(rows: Sequence[Finding], metric: str) -> Iterator[str]:
    """Yield a line for each pair of searches whose order is not random, searched, gradient."""
    after = {row.condition.search: row.perturbed for row in rows if row.metric == metric}
    worst = after.get("worst")
    if worst is None:
        return
    for name in ATTACKS:
        found = after.get(name)
        if found is not None and found > worst:
            words = {"fgsm": "one gradient step", "pgd": "the gradient attack"}[name]
            yield (
                f"{words} leaves more exposure ({percent(found)}) than the worst edits found ({percent(worst)}): "
                "this attack is weak here, and no bound"
            )
    mean = after.get("random")
    if mean is not None and worst > mean:
        yield (
            f"the worst edits found leave more exposure to held-out users ({percent(worst)}) than random edits do "
            f"({percent(mean)}): what the search chose does not carry over to other users"
        )


def _said(rows: Sequence[Finding]) -> list[str]:
    lines = [
        "Edits are chosen on half of the test users and measured on the others. The search is not exhaustive: the true "
        "worst can be worse, and the true best better. One item is edited at a time.",
    ]
    if any(row.condition.search in ATTACKS for row in rows):
        lines.append(
            "Gradient attacks move the features of an item as far as its edits do; no text or picture need have such "
            "features."
        )
    return lines


def _item(each: SearchedItem, names: dict[Subject, str]) -> str:
    title = " ".join(each.before.text.split())[:_TITLE].strip()
    named = "target" if each.target else "item"
    return f"{names[each.subject]}, {named} {each.own_id or each.item} {title!r}"


def _item_lines(each: SearchedItem) -> Iterator[str]:
    yield (
        f"in the top {each.k} of {each.exposure} of {each.n_users} held-out users; after random edits of "
        f"{each.random:.1f}"
    )
    yield f"worst found: {_found(each.worst, each)}"
    yield f"best found: {_found(each.best, each)}"
    if each.best.displaced:
        displaced = ", ".join(f"item {other.own_id or other.item} ({other.n_users})" for other in each.best.displaced)
        gained = each.best.exposure - each.exposure
        yield f"the best found gains {gained} places; largest net losses of other items: {displaced}"
    yield advice_of(each)


def _found(found: FoundEdits, each: SearchedItem) -> str:
    if found.look is None:
        return "no edits do more than none"
    change = f", {percent(found.exposure / each.exposure - 1, signed=True)}" if each.exposure else ""
    return f"{found.edits}: {found.exposure} users{change}"


def advice_of(each: SearchedItem) -> str:
    """Return which single edits of an item are safe, and for whom that is shown."""
    if not each.tried:
        return "safe edits: not measured, because no user of one half sees the item"
    by_state = {
        state: [tried for tried in each.tried if tried.state == state]
        for state in ("holds", "one training", "not shown", "loses")
    }
    limit = f"lose at most {percent(each.tolerance)}"
    parts = []
    if holds := by_state["holds"]:
        parts.append(f"safe for other users and after another training: {_list(holds)}")
    if once := by_state["one training"]:
        parts.append(f"safe for other users, not shown after another training: {_list(once)}")
    if not parts:
        parts.append(f"no single edit is shown to {limit}")
    if unknown := by_state["not shown"]:
        parts.append(f"not shown to {limit}: {len(unknown)} edits")
    if losing := sorted(by_state["loses"], key=_smaller):
        named = [
            f"{tried.edit} ({percent(tried.change, signed=True)}, {percent(tried.on_search, signed=True)})"
            for tried in losing[:_MOST_SAFE]
        ]
        more = [f"{len(losing) - _MOST_SAFE} more"] if len(losing) > _MOST_SAFE else []
        parts.append(f"lose more than {percent(each.tolerance)} on a half of the users: {', '.join([*named, *more])}")
    return "; ".join(parts)


def _smaller(tried: TriedEdit) -> float:
    return min(tried.change or 0.0, tried.on_search or 0.0)


def _list(tried: Sequence[TriedEdit]) -> str:
    named = [
        f"{each.edit} ({percent(each.change, signed=True)}, at least {percent(each.low, signed=True)})"
        for each in tried[:_MOST_SAFE]
    ]
    left = len(tried) - len(named)
    return ", ".join([*named, *([f"{left} more"] if left else [])])
