"""Recompute the findings of a report from the per-user arrays beside it.

The functions are those of the run (`audits.rows`, `audits.segments`, `audits.over_seeds`), with the settings and the
seed that the report records. What the arrays do not hold is counted as stated, never as recomputed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from robustrec.audits.over_seeds import rows_over_seeds, segments_over_seeds
from robustrec.audits.rows import Intervals, difference_rows, drift_rows, quality_rows, use_row
from robustrec.audits.segment_groups import Segment
from robustrec.audits.segments import segment_rows
from robustrec.audits.suites import Bootstrap
from robustrec.errors import RobustrecError
from robustrec.evaluation.kinds import ACCURACY, STABILITY, VALUE, kind_of
from robustrec.results.arrays import USERS, Arrays, array_key, segment_key
from robustrec.results.conditions import CLEAN_TEST, Condition
from robustrec.results.findings import AMONG_COLD, BASELINE, CLEAN, CONTENT_USE, STRATA, USE, Finding
from robustrec.results.report import Report
from robustrec.subject import Subject

MEANS = ("clean", "perturbed", "drift", "relative_drift", "users_lose", "users_gain", "n_users")
INTERVALS = ("ci_low", "ci_high", "relative_ci_low", "relative_ci_high", "degrees", "n_changed", "n_draws")
_OTHERS = ("sampled", "counted")
_NEWER = ("users_lose", "users_gain")
"""Numbers that reports of earlier versions do not have."""
RELATIVE, ABSOLUTE = 1e-9, 1e-12
"""Largest relative and absolute difference of a number that is recomputed: other machines add up in other orders."""
_STORED = (CLEAN, CONTENT_USE, "noise", "merchant", "missing")
"""Audits that store the values of each user of every metric of relevant items or lists of all users."""
_DRAWN = ("noise", "merchant", "sharpness")
"""Audits whose conditions say by their amount whether nothing was done."""

_Table = dict[str, NDArray[np.float64]]
_Key = tuple[str, ...]


@dataclass
class Recomputed:
    """Numbers of a report by what is known of them.

    Attributes:
        from_arrays: audit -> numbers that follow from the arrays and are equal.
        stated: audit -> numbers that the arrays do not hold.
        differences: sentences on numbers that the arrays contradict.
    """

    from_arrays: Counter[str] = field(default_factory=Counter)
    stated: Counter[str] = field(default_factory=Counter)
    differences: list[str] = field(default_factory=list)

    def compare(self, row: Finding, again: Finding, fields: Sequence[str] = (*MEANS, *INTERVALS)) -> None:
        """Compare the numbers of a finding; those outside of `fields` are stated."""
        for name in (*MEANS, *INTERVALS, *_OTHERS):
            recorded, found = getattr(row, name), getattr(again, name)
            counts = _says(row, name)
            if name not in fields:
                self.stated[row.audit] += counts
            elif recorded is None and name in _NEWER:
                continue
            elif name == "n_draws" and recorded == 0 and found == 1 and row.audit not in _DRAWN:
                continue  # nothing is random, so that there is one draw and no other
            elif _equal(recorded, found):
                self.from_arrays[row.audit] += counts
            else:
                self.differences.append(
                    f"{name} of {row.metric}, {row.subject.label}, {row.condition.label}"
                    f"{_of_segment(row)} is {_shown(recorded)} in the report, but {_shown(found)} from the arrays"
                )

    def state(self, rows: Iterable[Finding]) -> None:
        """Count the numbers of findings that cannot be recomputed."""
        for row in rows:
            names = (*MEANS, *INTERVALS, *_OTHERS)
            self.stated[row.audit] += sum(_says(row, name) for name in names)


def recomputed(report: Report, arrays: Arrays) -> Recomputed:
    """Recompute every finding of a report that follows from its arrays.

    Args:
        report: as read.
        arrays: the per-user arrays beside it, checked against its digest.
    """
    result = Recomputed()
    bootstrap = Bootstrap.model_validate(report.suite.content.get("bootstrap", {}))
    dataset = report.dataset
    intervals = Intervals(bootstrap, report.seeds.get("audit", 0), dataset.n_items, dataset.largest_value)
    if dataset.item_values is not None and dataset.largest_value is None:
        # How large a change of a user can be is not recorded, and intervals where few users differ depend on it.
        arrays = {name: values for name, values in arrays.items() if kind_of(name.rpartition("|")[2]) not in VALUE}
    blocks: dict[tuple[Subject, str, Condition, str, str], list[Finding]] = {}
    for row in report.findings:
        blocks.setdefault((row.subject, row.audit, row.condition, row.reference, row.quantity), []).append(row)
    for rows in blocks.values():
        try:
            _block(rows, arrays, intervals, result)
        except RobustrecError as error:
            result.differences.append(f"{rows[0].subject.label}, {rows[0].condition.label}: {error.what}")
    _uses(report.findings, result)
    result.differences += _without_findings(report, arrays)
    result.differences += [] if report.planned is None else _without_arrays(report, arrays)
    _means(report, arrays, intervals, result)
    return result


def _block(rows: Sequence[Finding], arrays: Arrays, intervals: Intervals, result: Recomputed) -> None:
    """Recompute the findings of one subject under one condition."""
    first, before, after, held = rows[0], _Table(), _Table(), list[Finding]()
    if first.reference not in (BASELINE, CLEAN):
        _differences(rows, arrays, intervals, result)
        return
    for row in rows:
        states = None if row.reference == BASELINE else _states(row, arrays)
        if states is None:
            result.state([row] if row.metric != USE else [])
            continue
        before[row.metric], after[row.metric] = states
        held.append(row)
    if not held:
        return
    if first.audit == CLEAN:
        _compare(held, quality_rows(first.subject, before, intervals), result, {}, sure=True)
        return
    means = {row.metric for row in held if row.n_draws > 1 and len(after[row.metric]) == 1}
    nothing = _nothing_done(first, before, after)
    again = drift_rows(first.subject, first.audit, first.condition, before, after, intervals, idle=nothing is True)
    _compare(held, again, result, dict.fromkeys(means, MEANS), sure=nothing is not None)


def _differences(rows: Sequence[Finding], arrays: Arrays, intervals: Intervals, result: Recomputed) -> None:
    """Recompute the findings that compare a subject with its reference strategy."""
    first = rows[0]
    other = first.subject.model_copy(update={"strategy": first.reference})
    sides: list[tuple[_Table, _Table]] = [({}, {}), ({}, {})]
    held, means = list[Finding](), set[str]()
    for row in rows:
        found = [_states(row.model_copy(update={"subject": each}), arrays) for each in (first.subject, other)]
        if found[0] is None or found[1] is None:
            result.state([row])
            continue
        for side, states in zip(sides, found, strict=True):
            assert states is not None
            side[0][row.metric], side[1][row.metric] = states
        means |= {row.metric} if row.n_draws > 1 and len(found[0][1]) == 1 else set()
        held.append(row)
    if not held:
        return
    (ours, moved), (theirs, their_moved) = sides
    if first.audit == CLEAN:
        again = drift_rows(first.subject, CLEAN, CLEAN_TEST, theirs, moved, intervals, reference=first.reference)
        _compare(held, again, result, {}, sure=True)
        return
    nothing = first.audit != "merchant" and _nothing_done(first, ours | {}, moved)
    if nothing is None and first.audit not in _DRAWN:
        nothing = _nothing_done(first, theirs, their_moved)
    again = difference_rows(
        first.subject,
        first.reference,
        first.audit,
        first.condition,
        (ours, moved),
        (theirs, their_moved),
        intervals,
        idle=nothing is True,
    )
    _compare(held, again, result, dict.fromkeys(means, MEANS), sure=nothing is not None)


def _compare(
    rows: Sequence[Finding],
    again: Sequence[Finding],
    result: Recomputed,
    fields: Mapping[str, Sequence[str]],
    *,
    sure: bool,
) -> None:
    """Compare findings with what was recomputed; `fields` by metric are those that the arrays hold, by default all.

    Where no list changed at all, an interval is [0, 0] if nothing could change any list. Arrays cannot tell that, so
    that the interval is stated (`sure` is false).
    """
    found = {row.metric: row for row in again}
    for row in rows:
        own = fields.get(row.metric, (*MEANS, *INTERVALS))
        own = own if sure or row.ci_low != 0 or row.ci_high != 0 else (*MEANS, "n_draws", "n_changed")
        result.compare(row, found[row.metric], own)


def _states(row: Finding, arrays: Arrays) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Return the values of the users of a finding, before [n] and after [n_draws, n]; None if they are not stored."""
    clean = arrays.get(array_key(row.subject, CLEAN, CLEAN_TEST, row.metric))
    if row.audit == CLEAN:
        return None if clean is None else (clean, np.atleast_2d(clean))
    after = arrays.get(array_key(row.subject, row.audit, row.condition, row.metric))
    if after is None:
        return None
    if clean is None:
        if kind_of(row.metric) not in STABILITY:
            return None
        clean = np.full(after.shape[-1], STABILITY[kind_of(row.metric)].equal)
    return clean, np.atleast_2d(after)


def _nothing_done(row: Finding, before: _Table, after: _Table) -> bool | None:
    """Return whether the condition of a finding does nothing to any input; None if that is not known."""
    if row.audit in _DRAWN and row.condition.kind in ("noise", "std_noise", "edit"):
        return row.condition.amount == 0
    same = all(np.array_equal(values, np.broadcast_to(before[name], values.shape)) for name, values in after.items())
    return None if same else False


def _uses(findings: Iterable[Finding], result: Recomputed) -> None:
    """Compare the content use of each subject and condition with the drift that it follows from."""
    held = [row for row in findings if row.audit == CONTENT_USE]
    for row in held:
        if row.metric != USE:
            continue
        metric = row.note.removeprefix("loss of ").partition(" as a share")[0]
        place = (row.subject, row.condition, metric)
        main = next((each for each in held if (each.subject, each.condition, each.metric) == place), None)
        if main is None:
            result.state([row])
        else:
            result.compare(row, use_row(main))


def _without_findings(report: Report, arrays: Arrays) -> list[str]:
    """Return a sentence on each array without a finding: a finding was removed.

    The findings of a subject that fails are dropped by the run, and its audits have the status error.
    """
    held = {array_key(row.subject, row.audit, row.condition, row.metric) for row in report.findings}
    failed = {
        f"{each.subject.label.replace('/', ':')}|{each.audit}|" for each in report.statuses if each.status != "ok"
    }
    return [
        f"the arrays hold {name!r}, but no finding has it"
        for name in arrays
        if name not in held
        and name.partition("|")[0] != USERS
        and not name.endswith(AMONG_COLD)
        and not name.startswith(tuple(failed))
    ]


def _without_arrays(report: Report, arrays: Arrays) -> list[str]:
    """Return a sentence on each finding whose array every run writes, but that has none: the array was removed."""
    return [
        f"there are no raw arrays of {row.metric}, {row.subject.label}, {row.condition.label}"
        for row in report.findings
        if row.audit in _STORED
        and row.reference == CLEAN
        and kind_of(row.metric) in (*ACCURACY, *STABILITY)
        and (row.group is None or (row.group in STRATA and row.group != "cold_users"))
        and (row.audit == CLEAN or row.quantity == "drift")
        and array_key(row.subject, row.audit, row.condition, row.metric) not in arrays
    ]


def _means(report: Report, arrays: Arrays, intervals: Intervals, result: Recomputed) -> None:
    """Recompute the findings of segments, and the means over training seeds of both."""
    level = intervals.bootstrap.level
    parts = _segments(report, arrays)
    rows = segment_rows(report.findings, arrays, list(parts.values()), intervals)
    places = {key: part.rows for key, part in parts.items()}
    _same_rows(report.segments, rows, result)
    _same_rows(report.over_seeds, rows_over_seeds(report.findings, arrays, level=level), result)
    _same_rows(report.segments_over_seeds, segments_over_seeds(report.segments, places, arrays, level=level), result)


def _segments(report: Report, arrays: Arrays) -> dict[tuple[str, str], Segment]:
    """Return the segments of the users whose members are stored, by kind and name."""
    order = np.argsort(arrays[USERS], kind="stable")
    found: dict[tuple[str, str], Segment] = {}
    for row in report.segments:
        if row.segment_by is None or row.segment is None or (row.segment_by, row.segment) in found:
            continue
        members = arrays.get(segment_key(row.segment_by, row.segment))
        if members is not None:
            places = order[np.searchsorted(arrays[USERS][order], members)]
            found[row.segment_by, row.segment] = Segment(row.segment_by, row.segment, places.astype(np.int64))
    return found


def _same_rows(rows: Sequence[Finding], again: Sequence[Finding], result: Recomputed) -> None:
    """Compare rows with those recomputed, which must all be there."""
    found = {_key(row): row for row in again}
    for row in rows:
        other = found.pop(_key(row), None)
        if other is None:
            result.state([row])
        else:
            result.compare(row, other)
    result.differences += [
        f"{row.metric} of {row.subject.label}, {row.condition.label}{_of_segment(row)} follows from the arrays, but"
        " is not in the report"
        for row in found.values()
    ]


def _key(row: Finding) -> _Key:
    part = (row.segment_by or "", row.segment or "")
    return (row.subject.label, row.audit, row.condition.label, row.metric, row.quantity, row.reference, *part)


def _of_segment(row: Finding) -> str:
    return "" if row.segment is None else f", {row.segment_by} {row.segment}"


def _says(row: Finding, name: str) -> bool:
    """Return whether a field of a finding is a number that says something: not 0 users or draws."""
    value = getattr(row, name)
    return value is not None and not (value == 0 and name in ("n_users", "n_draws"))


def _equal(recorded: float | None, found: float | None) -> bool:
    if recorded is None or found is None:
        return recorded is found
    return bool(np.isclose(recorded, found, rtol=RELATIVE, atol=ABSOLUTE))


def _shown(value: float | None) -> str:
    return "not there" if value is None else f"{value:.10g}"
