"""Items as examples: the worst and best edits found, what a promotion displaces, and which single edits are safe."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from robustrec.audits.merchant.exhibits import look_of
from robustrec.audits.worst.combinations import Combination, Step
from robustrec.audits.worst.conditions import condition_of
from robustrec.audits.worst.measured import Extreme, FoundForItem
from robustrec.audits.worst.search import ItemSearch
from robustrec.evaluation.statistics import paired_intervals
from robustrec.results.exhibits import Displaced, FoundEdits, SafeState, SearchedItem, TriedEdit
from robustrec.subject import Subject

MOST_DISPLACED = 5
_ORDER: tuple[SafeState, ...] = ("holds", "one training", "not shown", "loses")


def example(search: ItemSearch, found: FoundForItem) -> SearchedItem:
    """Return an item with the edits found, after ranking every single edit at the largest severity."""
    editor, exposures = search.editor, search.exposures
    before = editor.before(search.item)
    held_out = ~exposures.searching

    def edits(extreme: Extreme) -> FoundEdits:
        after = editor.after(before, search.item, extreme.combination)
        return FoundEdits(
            edits=editor.words(extreme.combination),
            draws=tuple(step.draw for step in extreme.combination),
            look=look_of(after) if extreme.combination else None,
            exposure=int(extreme.seen.shown[held_out].sum()),
            displaced=_displaced(search, extreme),
        )

    return SearchedItem(
        subject=exposures.audited.trained.subject,
        audit=exposures.audited.audit,
        condition=condition_of(search.config, "worst"),
        item=str(search.item),
        own_id=editor.applier.catalog.own_id(search.item),
        target=found.target,
        before=look_of(before),
        exposure=int(found.clean.shown[held_out].sum()),
        random=float(np.mean([seen.shown[held_out].sum() for seen in found.random])),
        n_users=int(held_out.sum()),
        k=search.config.exposure,
        worst=edits(found.worst),
        best=edits(found.best),
        tolerance=search.config.tolerance,
        tried=_ordered(_tried(search)),
    )


def _displaced(search: ItemSearch, extreme: Extreme) -> tuple[Displaced, ...]:
    """Return the items that lose the most places, net, where the edited item gains any."""
    clean = search.ranked[()]
    lost = clean.counts - extreme.seen.counts
    lost[search.item] = 0
    if int(extreme.seen.counts[search.item]) <= int(clean.counts[search.item]):
        return ()
    catalog = search.editor.applier.catalog
    return tuple(
        Displaced(item=str(item), own_id=catalog.own_id(item), title=catalog.texts[item][:200], n_users=int(lost[item]))
        for item in np.argsort(-lost, kind="stable")[:MOST_DISPLACED].tolist()
        if lost[item] > 0
    )


def _tried(search: ItemSearch) -> list[TriedEdit]:
    """Return every single edit at the largest severity that changes the item."""
    editor, exposures, config = search.editor, search.exposures, search.config
    every: list[Combination] = [(Step(place, config.severity, 0),) for place in range(len(editor.edits))]
    search.rank(every)
    searching, clean = exposures.searching, search.ranked[()].shown
    own = {editor.words(each): search.ranked[each].shown for each in every if each in search.encoded}
    if not own or not clean[~searching].any() or not clean[searching].any():
        return []
    before = clean[~searching].astype(np.float64)
    work = exposures.audited.work
    intervals = paired_intervals(
        dict.fromkeys(own, before),
        {name: shown[~searching].astype(np.float64)[None] for name, shown in own.items()},
        **work.intervals.options("worst", "single edits", str(search.item)),
        largest=1.0,
    )
    found = []
    for name, shown in own.items():
        change = float(intervals[name].drift.estimate / before.mean())
        low = float(intervals[name].drift.low / before.mean())
        on_search = float(shown[searching].sum() / clean[searching].sum() - 1)
        state: SafeState = "one training" if low >= -config.tolerance else "not shown"
        if min(change, on_search) < -config.tolerance:
            state = "loses"
        found.append(TriedEdit(edit=name, change=change, low=low, on_search=on_search, state=state))
    return found


def _ordered(tried: Iterable[TriedEdit]) -> tuple[TriedEdit, ...]:
    return tuple(sorted(tried, key=lambda each: (_ORDER.index(each.state), -(each.low or 0.0), each.edit)))


def with_other_seeds(exhibits: Sequence[SearchedItem], every: Sequence[Subject] = ()) -> list[SearchedItem]:
    """Return examples that say of each single edit whether it is safe after the other audited trainings too.

    Args:
        exhibits: of all subjects.
        every: further subjects that were audited, whose examples may be of other items.
    """
    examples = {(each.subject, each.item): each for each in exhibits}
    subjects = dict.fromkeys([*(each.subject for each in exhibits), *every])
    return [_with_others(each, _others(list(subjects), each.subject), examples) for each in exhibits]


def _others(every: Sequence[Subject], subject: Subject) -> list[Subject]:
    """Return the same model, strategy and features with other training seeds."""
    return [each for each in every if each != subject and each == subject.model_copy(update={"seed": each.seed})]


def _with_others(
    own: SearchedItem, others: Sequence[Subject], examples: dict[tuple[Subject, str], SearchedItem]
) -> SearchedItem:
    if not others:
        return own
    there = [examples.get((other, own.item)) for other in others]
    safe = ("one training", "holds")

    def state(tried: TriedEdit) -> SafeState:
        if tried.state not in safe:
            return tried.state
        states = [
            next((each.state for each in other.tried if each.edit == tried.edit), "not shown") if other else "unknown"
            for other in there
        ]
        if "loses" in states:
            return "loses"
        if "not shown" in states:
            return "not shown"
        return "one training" if "unknown" in states else "holds"

    return own.model_copy(
        update={"tried": _ordered(each.model_copy(update={"state": state(each)}) for each in own.tried)}
    )
