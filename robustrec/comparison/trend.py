"""One number of a subject over reports in time, joined only where it was measured in the same way."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from robustrec.audits.against_baseline import measured_differently
from robustrec.results.baseline import Baseline
from robustrec.results.conditions import Condition
from robustrec.results.findings import CLEAN, Finding
from robustrec.results.report import DatasetRecord, Report
from robustrec.subject import Subject


@dataclass(frozen=True)
class Measured:
    """A number of a report, or of a baseline.

    Attributes:
        name: name of the report, or file of the baseline.
        created: end of the run.
        dataset: its data.
        suite: resolved content of its suite.
        level: confidence level of its intervals.
        finding: the row of the number.
        run: key of the run, "" if it is not known.
        features: digest of the item features.
        baseline: whether it is the baseline.
    """

    name: str
    created: datetime
    dataset: DatasetRecord
    suite: dict[str, object]
    level: float
    finding: Finding
    run: str
    features: str | None
    baseline: bool = False


@dataclass(frozen=True)
class Point:
    """A point of a trend.

    Attributes:
        measured: where it comes from.
        value: the number: a quality, or a relative drift.
        low: lower bound of its interval, or None.
        high: upper bound, or None.
        breaks: why it cannot be compared with the point before; empty if it can.
        remarks: what else differs from the point before.
    """

    measured: Measured
    value: float
    low: float | None
    high: float | None
    breaks: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Trend:
    """The points of a subject, the oldest first."""

    subject: Subject
    metric: str
    condition: Condition | None
    points: tuple[Point, ...]


def measured_in(report: Report, name: str, subject: Subject, metric: str, condition: str | None) -> Measured | None:
    """Return the number of a subject in a report; None if the report does not have it.

    Args:
        report: the report.
        name: its name.
        subject: whose number.
        metric: for example ndcg@20.
        condition: label of a condition for its drift; None for the quality on clean inputs.
    """
    row = _row(report.findings, subject, metric, condition)
    if row is None:
        return None
    record = next(each for each in report.subjects if each.subject == subject)
    return Measured(
        name,
        report.created,
        report.dataset,
        dict(report.suite.content),
        report.suite.level,
        row,
        record.run,
        record.features_digest,
    )


def measured_in_baseline(baseline: Baseline, subject: Subject, metric: str, condition: str | None) -> Measured | None:
    """Return the number of a subject in a baseline; None if it does not have it."""
    record = baseline.record
    row = _row(record.findings, subject, metric, condition)
    own = next((each for each in record.subjects if each.subject == subject), None)
    if row is None or own is None:
        return None
    return Measured(
        baseline.file,
        record.created,
        record.dataset,
        dict(record.suite.content),
        record.suite.level,
        row,
        "",
        own.features_digest,
        baseline=True,
    )


def _row(findings: Iterable[Finding], subject: Subject, metric: str, condition: str | None) -> Finding | None:
    for row in findings:
        if row.subject != subject or row.metric != metric or row.reference != CLEAN or row.segment is not None:
            continue
        if condition is None and (row.audit, row.quantity) == (CLEAN, "value") and row.clean is not None:
            return row
        if condition is not None and row.quantity == "drift" and row.condition.label == condition:
            return row if row.relative_drift is not None else None
    return None


def trend_of(subject: Subject, metric: str, measured: Iterable[Measured], *, relative: bool) -> Trend:
    """Return the trend of a subject.

    Args:
        subject: whose numbers they are.
        metric: for example ndcg@20.
        measured: the numbers; one of a baseline that is among the reports marks that report.
        relative: whether the number is the relative drift instead of the value.
    """
    ordered = _with_marks(sorted(measured, key=lambda each: (each.created, each.baseline, each.name)))
    points: list[Point] = []
    for each in ordered:
        row = each.finding
        value, low, high = (
            (row.relative_drift, row.relative_ci_low, row.relative_ci_high)
            if relative
            else (row.clean, row.ci_low, row.ci_high)
        )
        before = points[-1].measured if points else None
        breaks = tuple(_breaks(before, each)) if before else ()
        remarks = tuple(_remarks(before, each)) if before and not breaks else ()
        assert value is not None  # `_row` returns no other
        points.append(Point(each, value, low, high, breaks, remarks))
    condition = ordered[0].finding.condition if relative and ordered else None
    return Trend(subject, metric, condition, tuple(points))


def _with_marks(ordered: Sequence[Measured]) -> list[Measured]:
    """Return the numbers with the report that became the baseline marked, in place of the baseline itself."""
    accepted = {each.created for each in ordered if each.baseline}
    reports = {each.created for each in ordered if not each.baseline}
    kept = [each for each in ordered if not (each.baseline and each.created in reports)]
    return [replace(each, baseline=True) if each.created in accepted and not each.baseline else each for each in kept]


def _breaks(before: Measured, now: Measured) -> Iterable[str]:
    """Yield why two numbers are not comparable."""
    if before.dataset.digest != now.dataset.digest:
        yield f"other data: digest {now.dataset.digest[:8]}, before {before.dataset.digest[:8]}"
    elif before.dataset.edition != now.dataset.edition:
        yield f"other edition: {now.dataset.edition}, before {before.dataset.edition}"
    differing = measured_differently(dict(now.suite), dict(before.suite))
    if differing:
        more = f" and {len(differing) - 1} more" if len(differing) > 1 else ""
        yield f"other suite: {differing[0]}{more}"
    ours, theirs = now.finding, before.finding
    for what, new, old in (
        ("unit of the metric", ours.unit, theirs.unit),
        ("number of users", ours.n_users, theirs.n_users),
        ("confidence level", now.level, before.level),
    ):
        # The users follow from data and suite, of which the difference is said already.
        if new != old and not (
            what == "number of users" and (differing or before.dataset.digest != now.dataset.digest)
        ):
            yield f"other {what}: {new}, before {old}"


def _remarks(before: Measured, now: Measured) -> Iterable[str]:
    """Yield what differs between two comparable numbers, or that they are of the same trained model."""
    if before.run and before.run == now.run:
        yield "same training"
    elif before.features != now.features:
        yield "other item features"


def joined(points: Sequence[Point]) -> list[list[Point]]:
    """Return the runs of points that are comparable with each other."""
    groups: list[list[Point]] = []
    for point in points:
        if not groups or point.breaks:
            groups.append([])
        groups[-1].append(point)
    return groups
