"""What a search found for the items of one subject, and the findings over these items.

All numbers are of the held-out users, who chose no edit. Each item is edited alone, so that items are independent
units: intervals of means are over users and items, the bounds of shares of items are exact (Clopper-Pearson).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from robustrec.audits.by_subject import AuditedSubject
from robustrec.audits.rows import drift_row, value_row, without_draws
from robustrec.audits.worst.combinations import Combination
from robustrec.audits.worst.conditions import condition_of, searches_of
from robustrec.audits.worst.config import LOST, WorstAudit
from robustrec.audits.worst.exposure import Bools, Seen
from robustrec.evaluation.cells import ONE_DRAW_OF_ITEMS, Cells, cell_intervals
from robustrec.evaluation.shares import share_bounds
from robustrec.evaluation.sparse import FEWEST_CHANGED, ROUNDING
from robustrec.results.conditions import Condition, Search
from robustrec.results.findings import Finding
from robustrec.results.numbers import percent

Floats = NDArray[np.float64]

ITEMS_UNIT = "share of items"
LOWER_BOUND = "found by search: the true worst or best can be more extreme"
NOT_CONTENT = "attack on the features: no content need have these vectors"


class Extreme(NamedTuple):
    """The most extreme combination found for an item, and the item with it."""

    combination: Combination
    seen: Seen


class FoundForItem(NamedTuple):
    """What a search found for one item of one subject.

    Attributes:
        item: the item.
        target: whether it was named, not drawn.
        clean: the unedited item.
        random: random combinations.
        worst: the lowest exposure found.
        best: the highest.
        attacks: gradient attacks by name; empty where there are none.
        changed: whether any edit that was tried changes a vector of the item.
        reached: whether any edit that was ranked until then changed a score of the subject.
    """

    item: int
    target: bool
    clean: Seen
    random: tuple[Seen, ...]
    worst: Extreme
    best: Extreme
    attacks: Mapping[str, Seen]
    changed: bool
    reached: bool


def states_of(found: FoundForItem, search: Search) -> tuple[Seen, ...]:
    """Return an item under the edits of a search, one or several random ones; () where there are none."""
    if search == "random":
        return found.random
    if search in ("worst", "best"):
        return ((found.worst if search == "worst" else found.best).seen,)
    return (found.attacks[search],) if search in found.attacks else ()


def findings_of(
    config: WorstAudit, audited: AuditedSubject, found: Sequence[FoundForItem], searching: Bools
) -> list[Finding]:
    """Return the findings of one subject over the drawn items; named targets are in none of them."""
    drawn = [each for each in found if not each.target]
    rows: list[Finding] = []
    for search in searches_of(config):
        states = [states_of(each, search) for each in drawn]
        if not drawn or not all(states):
            continue
        idle = not any(each.reached for each in drawn)
        rows += _of_search(config, audited, search, drawn, states, searching, idle=idle)
    return rows


def _of_search(
    config: WorstAudit,
    audited: AuditedSubject,
    search: Search,
    drawn: Sequence[FoundForItem],
    states: Sequence[tuple[Seen, ...]],
    searching: Bools,
    *,
    idle: bool,
) -> Iterator[Finding]:
    held_out, condition = ~searching, condition_of(config, search)
    before = np.stack([each.clean.shown[held_out] for each in drawn]).astype(np.float64)
    after = np.stack([np.mean([seen.shown[held_out] for seen in of], axis=0) for of in states])
    note = "; ".join(filter(None, (_note(search), _on_search(drawn, states, searching))))
    yield _drift(config, audited, condition, f"exposure@{config.exposure}_edited", before, after, None, note, idle=idle)
    wanted = _wanting(audited, [each.item for each in drawn], held_out)
    if len(np.unique(np.nonzero(wanted)[1])) > 1:
        values = np.stack([each.clean.metric[held_out] for each in drawn])
        later = np.stack([np.mean([seen.metric[held_out] for seen in of], axis=0) for of in states])
        name = f"{config.metric}_edited"
        yield _drift(config, audited, condition, name, values, later, wanted, _note(search), idle=idle)
    yield _value(audited, condition, "items", float(len(drawn)), "items")
    if search != "best":
        # One random edit of an item, as one worst edit: each item counts once.
        alone = np.stack([of[0].shown[held_out] for of in states]).astype(np.float64)
        yield from _losing(audited, condition, before.sum(axis=1), alone.sum(axis=1), idle=idle)


def _note(search: Search) -> str:
    return {"worst": LOWER_BOUND, "best": LOWER_BOUND, "fgsm": NOT_CONTENT, "pgd": NOT_CONTENT}.get(search, "")


def _on_search(drawn: Sequence[FoundForItem], states: Sequence[tuple[Seen, ...]], searching: Bools) -> str:
    """Say what the change is on the users who chose the edits, which is larger by chance."""
    before = float(np.mean([each.clean.shown[searching].mean() for each in drawn]))
    after = float(np.mean([np.mean([seen.shown[searching].mean() for seen in of]) for of in states]))
    return f"on the users of the search {percent(after / before - 1, signed=True)}" if before else ""


def _wanting(audited: AuditedSubject, items: Sequence[int], held_out: Bools) -> Bools:
    """Return whether each held-out user has each item as a test item, [items, users]."""
    split = audited.work.context.prepared.test
    return np.asarray(split.relevant[split.users[held_out]][:, items].toarray().T != 0)


def _drift(
    config: WorstAudit,
    audited: AuditedSubject,
    condition: Condition,
    metric: str,
    before: Floats,
    after: Floats,
    counted: Bools | None,
    note: str,
    *,
    idle: bool,
) -> Finding:
    """Return the drift of the mean over cells [items, users], all or those counted."""
    items, users = np.nonzero(np.ones(before.shape, dtype=bool) if counted is None else counted)
    weights = np.full(len(items), 1 / len(items))
    cells = Cells(np.zeros_like(items), users, items, weights, before[items, users], after[items, users])
    level = audited.work.intervals.bootstrap.level
    found = cell_intervals(cells, level=level, largest=None if idle or _many_change(cells) else 1.0)
    found = found._replace(
        note="; ".join(each for each in found.note.split("; ") if each and each != ONE_DRAW_OF_ITEMS),
        relative=found.relative and found.relative._replace(low=max(found.relative.low, -1.0)),
    )
    means = float(cells.weights @ cells.before), float(cells.weights @ cells.after)
    row = drift_row(audited.trained.subject, audited.audit, condition, metric, means, found, note=note, group="edited")
    n_draws = config.random if condition.search == "random" else 0
    return without_draws(row).model_copy(update={"n_draws": n_draws})


def _many_change(cells: Cells) -> bool:
    """Return whether enough items and users differ that their spread tells the variance of the mean."""
    differ = np.abs(cells.after - cells.before) > ROUNDING
    items, users = (len(np.unique(each[differ])) for each in (cells.items, cells.users))
    return users >= FEWEST_CHANGED and 2 * items >= len(np.unique(cells.items))


def _value(
    audited: AuditedSubject, condition: Condition, metric: str, value: float, unit: str, note: str = ""
) -> Finding:
    return value_row(audited.trained.subject, audited.audit, condition, metric, value, unit, note=note)


def _losing(
    audited: AuditedSubject,
    condition: Condition,
    before: Floats,
    after: Floats,
    *,
    idle: bool,
) -> Iterator[Finding]:
    """Yield the share of items that lose more than a part of the held-out users who saw them."""
    there = before > 0
    n, level = int(there.sum()), audited.work.intervals.bootstrap.level
    for percentage in LOST:
        name = f"items_losing_{percentage}"
        if n == 0:
            note = "no held-out user sees any of the items"
            yield audited.value(condition, name, None, unit=ITEMS_UNIT, note=note)
            continue
        lost = int((after[there] < before[there] * (1 - percentage / 100) - 1e-9).sum())
        bounds = share_bounds(lost, n, level)
        row = _value(audited, condition, name, lost / n, ITEMS_UNIT, f"{lost} of {n} items")
        # Where no edit reaches the scores, no further item can lose anything.
        update = {"ci_low": bounds.low, "ci_high": bounds.high, "sampled": n, "counted": lost}
        yield row.model_copy(update={"ci_low": 0.0, "ci_high": 0.0} if idle else update)
