"""Which audited edits the subjects of a plan saw in training on edited content, or in the fit of a filter.

Random draws of training and of audits are never the same. An edit without random draws, such as a cut of the text,
gives the same content in both all the same, which only a comparison of its results tells.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING

from robustrec.edits import EDITS, FAULTS
from robustrec.results.conditions import SEEN, UNSEEN
from robustrec.training.edit_settings import EditPool, edit_pool

if TYPE_CHECKING:
    from robustrec.edits.content import Content
    from robustrec.runs.specs import SubjectSpec
    from robustrec.runs.treatments import EditApplier, Treatment

COMPARED = {"text": 8, "image": 3}
"""Items whose results of an edit in training and in the audit are compared; pictures take longer."""

Repeats = Mapping[str, float]
"""Edit -> share of the compared items for which training had the same text or picture; without those of share 0."""


def trained_edits(specs: Iterable[SubjectSpec]) -> dict[str, EditPool]:
    """Return "model/strategy" -> the pool of those that were trained on edited content."""
    found = {}
    for spec in specs:
        pool = edit_pool(spec.strategy) if spec.origin == "trained" else None
        if pool is not None:
            found[f"{spec.model}/{spec.strategy_name}"] = pool
    return found


def seen_groups(specs: Iterable[SubjectSpec], treatments: Sequence[Treatment]) -> dict[str, str]:
    """Return name of a treatment -> "seen" or "unseen", so that all subjects of a report have the same two groups.

    A treatment is seen if all of its edits were in each training on edited content, and unseen if none was in any;
    others are in no group. Without such a training, and where it saw all edits or none, there are no groups.
    """
    pools = [set(pool.edits) for pool in trained_edits(specs).values()]
    if not pools:
        return {}
    everywhere, anywhere = set.intersection(*pools), set.union(*pools)
    groups = {}
    for treatment in treatments:
        parts = {part.name for part in treatment.parts}
        if parts <= everywhere:
            groups[treatment.name] = SEEN
        elif not parts & anywhere:
            groups[treatment.name] = UNSEEN
    counted = _without_faults(treatments)
    both = {groups.get(treatment.name) for treatment in counted} >= {SEEN, UNSEEN}
    return groups if both else {}


def groups_for(spec: SubjectSpec, treatments: Iterable[Treatment], groups: Mapping[str, str]) -> dict[str, str]:
    """Return the groups of `seen_groups` that hold for a subject: to a filter fitted on edits, none of them is unseen.

    Args:
        spec: the subject.
        treatments: all that the audit applies.
        groups: name of a treatment -> its group.
    """
    parts = {part.name for each in treatments if groups.get(each.name) == UNSEEN for part in each.parts}
    if parts & _fitted_on(spec):
        return {name: group for name, group in groups.items() if group != UNSEEN}
    return dict(groups)


def _fitted_on(spec: SubjectSpec) -> frozenset[str]:
    """Return the edits that the filter of a subject was fitted on."""
    edits = spec.shrink is not None and spec.shrink.edits
    return frozenset(EDITS) - frozenset(FAULTS) if edits else frozenset()


def seen_notes(
    specs: Iterable[SubjectSpec],
    treatments: Sequence[Treatment],
    repeats: Callable[[EditPool], Repeats] = lambda _: {},
) -> list[str]:
    """Return for each training on edited content, and for each filter fitted on edits, which audited edits it saw.

    Args:
        specs: the subjects.
        treatments: of the audit.
        repeats: which of them gave the same content in the training on a pool, see `repeated`.
    """
    specs, counted = tuple(specs), _without_faults(treatments)
    notes = [_note(name, pool, counted, repeats(pool)) for name, pool in trained_edits(specs).items()]
    names = {part.name for each in counted for part in each.parts}
    filters = {spec.shrink.label: spec for spec in specs if spec.shrink is not None and names & _fitted_on(spec)}
    for label, spec in filters.items():
        fitted = [each.name for each in counted if {part.name for part in each.parts} <= _fitted_on(spec)]
        notes.append(
            f"{label} was fitted on {len(fitted)} of {len(counted)} audited edits, of other random draws: none of these"
            " is unseen to a model that reads its features"
        )
    return notes


def _note(name: str, pool: EditPool, treatments: Sequence[Treatment], repeats: Repeats) -> str:
    not_seen = [each.name for each in treatments if not {part.name for part in each.parts} <= {*pool.edits}]
    severities = ", ".join(map(str, pool.severities))
    drawn = f"at severity {severities}, with other random draws than the audit"
    same = f"; {words}" if (words := repeated_words(repeats)) else ""
    if not not_seen:
        return f"{name} was trained on all audited edits, {drawn}{same}"
    seen = len(treatments) - len(not_seen)
    return (
        f"{name} was trained on {seen} of {len(treatments)} audited edits, {drawn}; not on {', '.join(not_seen)}{same}"
    )


def repeated_words(repeats: Repeats) -> str:
    """Return which edits gave the same content in training; empty if none did."""
    whole = [name for name, share in repeats.items() if share == 1]
    part = [name for name, share in repeats.items() if share < 1]
    named = [*([", ".join(whole)] if whole else []), *([f"in part {', '.join(part)}"] if part else [])]
    return f"training had the same texts or pictures of {', '.join(named)}" if named else ""


def repeated(
    pool: EditPool,
    trained: EditApplier,
    audited: EditApplier,
    treatments: Iterable[Treatment],
    severities: Collection[int],
) -> dict[str, float]:
    """Return edit -> share of some items for which an audited draw gives a text or picture that training had.

    Args:
        pool: that training drew from.
        trained: applies edits as the pool did.
        audited: applies edits as the audit does.
        treatments: of the audit; single ones are compared.
        severities: of the audit; those of the pool among them are compared.
    """
    n_items = len(audited.rows)
    items = {name: sorted({place * n_items // n for place in range(n)}) for name, n in COMPARED.items()}
    found = {}
    for each in treatments:
        if len(each.parts) > 1 or each.parts[0].name not in pool.edits:
            continue
        same = [
            any(_alike(after, trained.after(each, before, item, severity, version)) for version in range(pool.pools))
            for item in items[each.parts[0].modality]
            for before in (audited.before(each, item),)
            for severity in sorted({*severities} & {*pool.severities})
            if (after := audited.after(each, before, item, severity, 0)) is not before
        ]
        if any(same):
            found[each.name] = sum(same) / len(same)
    return found


def repeats_of(
    trained: Callable[[EditPool], EditApplier],
    audited: EditApplier,
    treatments: Sequence[Treatment],
    severities: Collection[int],
) -> Callable[[EditPool], Repeats]:
    """Return `repeated` of a pool, compared once for all trainings on it.

    Args:
        trained: what applies edits as a pool did.
        audited: applies edits as the audit does.
        treatments: of the audit.
        severities: of the audit.
    """
    return cache(lambda pool: repeated(pool, trained(pool), audited, treatments, severities))


def _alike(one: Content, other: Content) -> bool:
    from robustrec.edits.content import text_of
    from robustrec.runs.treatments import Shown

    return text_of(one) == text_of(other) and Shown(one.picture).digest == Shown(other.picture).digest


def trained_on(spec: SubjectSpec, treatments: Sequence[Treatment], repeats: Callable[[EditPool], Repeats]) -> str:
    """Return which of the edits that strategies are compared under were in a training; empty if none was.

    Args:
        spec: the subject.
        treatments: that strategies are compared under.
        repeats: see `seen_notes`.
    """
    pool = edit_pool(spec.strategy) if spec.origin == "trained" else None
    known = {*(pool.edits if pool else ()), *_fitted_on(spec)}
    seen = [each.name for each in treatments if {part.name for part in each.parts} & known]
    if not seen:
        return ""
    how = "trained on" if pool and {*pool.edits} & {*seen} else "on a filter fitted on"
    text = f"{how} {len(seen)} of {len(treatments)} of these edits ({', '.join(seen)}), with other random draws"
    same = repeated_words(repeats(pool)) if pool else ""
    without = ", ".join(f'"{name}"' for name in seen)
    fix = f"; --set 'strategy.edit_without=[{without}]' makes them unseen" if pool and not _fitted_on(spec) else ""
    return f"{text}{f'; {same}' if same else ''}{fix}"


def _without_faults(treatments: Iterable[Treatment]) -> list[Treatment]:
    return [treatment for treatment in treatments if not treatment.fault]


def groups_of(treatment: str, groups: Mapping[str, str]) -> tuple[str, ...]:
    """Return the groups of a treatment as a tuple of none or one."""
    return (groups[treatment],) if treatment in groups else ()
