"""Which audited edits the subjects of a plan saw in training on edited content; their draws are always others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from robustrec.results.conditions import SEEN, UNSEEN
from robustrec.training.edit_settings import EditPool, edit_pool

if TYPE_CHECKING:
    from robustrec.runs.specs import SubjectSpec
    from robustrec.runs.treatments import Treatment


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


def seen_notes(specs: Iterable[SubjectSpec], treatments: Sequence[Treatment]) -> list[str]:
    """Return for each training on edited content which of the audited edits it saw."""
    counted = _without_faults(treatments)
    return [_note(name, pool, counted) for name, pool in trained_edits(specs).items()]


def _note(name: str, pool: EditPool, treatments: Sequence[Treatment]) -> str:
    not_seen = [each.name for each in treatments if not {part.name for part in each.parts} <= {*pool.edits}]
    severities = ", ".join(map(str, pool.severities))
    drawn = f"at severity {severities}, with other random draws than the audit"
    if not not_seen:
        return f"{name} was trained on all audited edits, {drawn}"
    seen = len(treatments) - len(not_seen)
    return f"{name} was trained on {seen} of {len(treatments)} audited edits, {drawn}; not on {', '.join(not_seen)}"


def _without_faults(treatments: Iterable[Treatment]) -> list[Treatment]:
    return [treatment for treatment in treatments if not treatment.fault]


def groups_of(treatment: str, groups: Mapping[str, str]) -> tuple[str, ...]:
    """Return the groups of a treatment as a tuple of none or one."""
    return (groups[treatment],) if treatment in groups else ()
