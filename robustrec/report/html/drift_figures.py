"""Figures of drift: conditions in rows on one axis, noise and severity as lines on shared axes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

from robustrec.reading.break_points import break_points
from robustrec.reading.conditions import condition_words, curve_words, without_shared_end
from robustrec.reading.limits import limit_words, relative_limits
from robustrec.reading.names import headline
from robustrec.reading.summary import Summary, gated, is_quality
from robustrec.report.html.charts.curves import Level, LimitAt, Series, Upright, bounds_of, curves
from robustrec.report.html.charts.intervals import Bar, IntervalRow, Limit, intervals
from robustrec.report.html.charts.scale import Scale
from robustrec.report.html.plots import (
    MOST_SUBJECTS,
    Drawn,
    Figures,
    Plot,
    drawn_subjects,
    figures,
    groups_of,
    key_of,
    name_of,
    part,
    share_of,
)
from robustrec.results.conditions import ALL, Condition
from robustrec.results.findings import CLEAN, Finding
from robustrec.results.numbers import bracketed, percent
from robustrec.subject import Subject

MOST_ROWS, MOST_EDITS = 16, 64
_FEW_CONDITIONS = 3
_FEWEST_POINTS = 3
_LEAST_AXIS = 0.002
"""Shortest axis of a relative drift; on a shorter one, differences that are nothing would look like something."""


def drift_figures(summary: Summary) -> Figures:
    """Return the relative drift of quality under each audit, one axis each, with the limits of gates.

    A few conditions have a row for each metric. Many conditions have a row each, in the headline metric: those that
    gates check, else those with the largest losses. An edit is shown at the severity with the largest loss.
    """
    plots: list[Drawn] = []
    for audit in summary.audits:
        rows = quality_rows(summary, audit)
        if rows:
            plots += _drift_plots(summary, audit, rows)
    return figures(plots)


def quality_rows(summary: Summary, audit: str) -> list[Finding]:
    """Return the relative drifts of quality of an audit, with means over training seeds in the place of each."""
    return [
        row
        for row in summary.shown
        if (row.audit, row.quantity, row.reference) == (audit, "drift", CLEAN)
        and is_quality(row.metric)
        and row.relative_drift is not None
        and math.isfinite(row.relative_drift)
    ]


def _drift_plots(summary: Summary, audit: str, rows: list[Finding]) -> Iterator[Drawn]:
    groups = groups_of(drawn_subjects(summary, rows))
    for number, group in enumerate(groups):
        own = [row for row in rows if row.subject in group]
        if len({row.condition for row in own}) <= _FEW_CONDITIONS:
            yield partial(_forest, summary, part(audit, number, groups), own, group)
            continue
        metric = summary.metric if any(row.metric == summary.metric for row in own) else headline(own)[0]
        looked_at = _worst_conditions(gated(summary.report, [row for row in own if row.metric == metric]))
        yield partial(_forest, summary, part(f"{audit}: {metric}", number, groups), looked_at, group)


def _worst_conditions(rows: list[Finding]) -> list[Finding]:
    """Return the rows of the conditions that cost most, one of each family of edits, the costliest first."""
    loss: dict[Condition, float] = {}
    for row in rows:
        loss[row.condition] = min(loss.get(row.condition, math.inf), row.relative_drift or 0.0)
    kept: dict[object, Condition] = {}
    for condition in sorted(loss, key=lambda each: loss[each]):
        kept.setdefault(condition.curve if condition.kind == "edit" else condition, condition)
    order = {condition: place for place, condition in enumerate(list(kept.values())[:MOST_ROWS])}
    return sorted((row for row in rows if row.condition in order), key=lambda row: order[row.condition])


def _forest(summary: Summary, title: str, rows: list[Finding], group: list[Subject]) -> Plot:
    conditions = list(dict.fromkeys(row.condition for row in rows))
    labels, shared = without_shared_end([condition_words(each) for each in conditions])
    several = len({row.metric for row in rows}) > 1
    drawn = []
    for condition, words in zip(conditions, labels, strict=True):
        for metric in dict.fromkeys(row.metric for row in rows if row.condition == condition):
            own = [row for row in rows if (row.condition, row.metric) == (condition, metric)]
            limits = relative_limits(summary.report, own)
            name = f"{words}: {metric}" if several else words
            bars = [bar_of(summary, row, group.index(row.subject)) for row in own]
            bars.sort(key=lambda bar: bar.style)
            sides = [
                Limit(value, below, each.blocking)
                for each in limits
                for value, below in ((each.least, True), (each.most, False))
                if value is not None
            ]
            drawn.append(IntervalRow(name, limit_words(limits, else_="not judged"), bars, sides))
    body = intervals(drawn, percent=True, least=_LEAST_AXIS)
    return Plot(f"{title}, {shared}" if shared else title, body, key_of(summary, group, lines=False))


def bar_of(summary: Summary, row: Finding, style: int) -> Bar:
    """Return the bar of a relative drift, with its numbers for a screen reader."""
    estimate, low, high = share_of(row)
    words = f"{percent(estimate, signed=True)} {bracketed(low, high, percent, signed=True)}".rstrip()
    return Bar(style, estimate, low, high, f"{name_of(summary, row.subject)} {words}")


class _Curve(NamedTuple):
    """The rows of one curve of drift over an amount, of one group of subjects."""

    title: str
    rows: list[Finding]
    group: list[Subject]


def noise_figures(summary: Summary) -> tuple[Figures, Figures]:
    """Return drift of quality by amount of noise on one y axis: the first kind and scope, and the others."""
    found = list(_curves(summary, "noise"))
    y = _shared_axis(summary, found)
    first = [each for each in found if each.rows[0].condition.curve == found[0].rows[0].condition.curve]
    main = figures(partial(_curve_plot, summary, each, y, 240) for each in first)
    rest = [each for each in found if each not in first]
    return main, figures((partial(_curve_plot, summary, each, y, 150) for each in rest), small=True)


def severity_figures(summary: Summary, most: int = MOST_EDITS, *, after: int = 0) -> Figures:
    """Return drift of quality by severity, one plot for each edit on one y axis, the largest losses first.

    Args:
        summary: of the report.
        most: largest number of plots; further plots do not count as left out.
        after: number of first plots to skip, because they are shown elsewhere.
    """
    found = list(_curves(summary, "edit"))
    y = _shared_axis(summary, found)
    one_group = len({tuple(each.group) for each in found}) == 1
    key = key_of(summary, found[0].group) if one_group else None
    chosen = found[after : after + most] if most < MOST_EDITS else found[after:]
    plots = [partial(_curve_plot, summary, each, y, 150, keyed=not one_group) for each in chosen]
    made = figures(plots, MOST_EDITS, small=True)
    return made._replace(key=key) if key is not None and made.plots else made


def without_curves(summary: Summary) -> int:
    """Return the number of subjects without curves, because there are too many."""
    return max(0, len(drawn_subjects(summary, _all_curve_rows(summary))) - MOST_SUBJECTS)


def _all_curve_rows(summary: Summary) -> list[Finding]:
    rows = [row for audit in summary.audits for row in quality_rows(summary, audit)]
    return [row for row in rows if row.condition.kind in ("noise", "edit")]


def _curves(summary: Summary, kind: str) -> Iterator[_Curve]:
    shown = set(drawn_subjects(summary, _all_curve_rows(summary))[:MOST_SUBJECTS])
    by_curve: dict[tuple[str, object], list[Finding]] = {}
    for audit in summary.audits:
        rows = quality_rows(summary, audit)
        metric = summary.metric if any(row.metric == summary.metric for row in rows) else (headline(rows) or [""])[0]
        for row in rows:
            if row.condition.kind == kind and row.metric == metric and row.subject in shown:
                by_curve.setdefault((audit, row.condition.curve), []).append(row)
    ordered = list(by_curve.values())
    if kind == "edit":
        ordered.sort(key=lambda rows: min(row.relative_drift or 0.0 for row in rows))
    for rows in ordered:
        if len({row.condition.amount for row in rows}) < (_FEWEST_POINTS if kind == "noise" else 2):
            continue
        groups = groups_of(drawn_subjects(summary, rows))
        for place, group in enumerate(groups):
            own = [row for row in rows if row.subject in group]
            yield _Curve(part(curve_words(rows[0].condition), place, groups), own, group)


def _shared_axis(summary: Summary, found: Sequence[_Curve]) -> Scale:
    series = [each for curve in found for each in _series(summary, curve)]
    return bounds_of(series, zero=True, least=_LEAST_AXIS)


def _series(summary: Summary, curve: _Curve) -> list[Series]:
    made = []
    for style, subject in enumerate(curve.group):
        own = sorted((row.condition.amount, *_numbers(row)) for row in curve.rows if row.subject == subject)
        name = name_of(summary, subject)
        made.append(Series(name, style, *(tuple(each[at] for each in own) for at in range(4))))
    return made


def _numbers(row: Finding) -> tuple[float, ...]:
    return tuple(math.nan if each is None else each for each in share_of(row))


def _curve_plot(summary: Summary, curve: _Curve, y: Scale, height: float, *, keyed: bool = True) -> Plot:
    condition, metric = curve.rows[0].condition, curve.rows[0].metric
    series = _series(summary, curve)
    x_label = "σ relative to the feature norm" if condition.sigma2 is None else "variance σ²"
    x_label = "severity" if condition.kind == "edit" else x_label
    levels, uprights = _tolerance(summary, curve)
    drawn = curves(
        series,
        words=f"{curve.title}: relative drift of {metric} by {x_label}, {_spoken(series)}",
        x_label=x_label,
        y=y,
        height=height,
        log_x=condition.kind == "noise",
        at_points=condition.kind == "edit",
        percent=True,
        marks_zero=True,
        levels=levels,
        uprights=uprights,
        limits=_limits(summary, curve.rows),
    )
    return Plot(curve.title, drawn, *([key_of(summary, curve.group)] if keyed else []))


def _limits(summary: Summary, rows: Iterable[Finding]) -> list[LimitAt]:
    """Return the limits of gates, each at the amount that it judges."""
    by_amount: dict[float, list[Finding]] = {}
    for row in rows:
        by_amount.setdefault(row.condition.amount, []).append(row)
    return [
        LimitAt(amount, value, each.blocking)
        for amount, own in by_amount.items()
        for each in relative_limits(summary.report, own)
        for value in (each.least, each.most)
        if value is not None
    ]


def _tolerance(summary: Summary, curve: _Curve) -> tuple[list[Level], list[Upright]]:
    """Return the loss that defines noise tolerance, and the tolerance of each subject, where they apply.

    The search for them has noise of a variance on all features, at inference, with rebuilt graphs.
    """
    condition = curve.rows[0].condition
    if condition.sigma2 is None or (condition.modality, condition.graphs, condition.trained) != (ALL, "rebuilt", False):
        return [], []
    amounts = [row.condition.amount for row in curve.rows]
    points = [each for each in break_points(summary) if each.row.subject in curve.group]
    levels = {
        -drop: f"tolerance \N{MINUS SIGN}{100 * drop:g}\N{NO-BREAK SPACE}%"
        for each in points
        if (drop := each.row.condition.drop) is not None
    }
    uprights = [
        Upright(each.value, curve.group.index(each.row.subject))
        for each in points
        if each.value and min(amounts) <= each.value <= 10 * max(amounts)
    ]
    return [Level(value, words, blocking=False) for value, words in levels.items()], uprights


def _spoken(series: Sequence[Series]) -> str:
    """Return the values of lines for a screen reader."""
    return "; ".join(
        f"{each.name} " + ", ".join(f"{x:g}: {percent(y, signed=True)}" for x, y in zip(each.x, each.y, strict=True))
        for each in series
    )
