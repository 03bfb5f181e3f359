"""Figures of searches, flatness against drift, spectra and landscapes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

from robustrec.reading.conditions import search_words
from robustrec.reading.summary import Summary
from robustrec.reading.worst import search_rows
from robustrec.report.html.charts.cells import surface
from robustrec.report.html.charts.curves import Series, curves
from robustrec.report.html.charts.elements import STYLES
from robustrec.report.html.charts.intervals import Bar, IntervalRow, intervals
from robustrec.report.html.charts.scatter import Point, scatter
from robustrec.report.html.drift_figures import bar_of
from robustrec.report.html.plots import (
    Drawn,
    Figures,
    Plot,
    drawn_subjects,
    figures,
    groups_of,
    key_of,
    name_of,
    part,
)
from robustrec.results.exhibits import Curve, Relation, Surface
from robustrec.results.findings import Finding
from robustrec.results.numbers import bracketed, percent
from robustrec.subject import Subject


def search_figures(summary: Summary) -> Figures:
    """Return the change of exposure under random, worst and best edits, and under attacks on the features."""
    rows = [row for row in search_rows(summary.report) if row.metric.startswith("exposure@")]
    groups = groups_of(drawn_subjects(summary, rows))
    relative = all(row.relative_drift is not None for row in rows)
    drawn: list[Drawn] = []
    for number, group in enumerate(groups):
        title = part("Exposure of an item edited alone", number, groups)
        drawn.append(partial(_search_plot, summary, title, rows, group, relative=relative))
    return figures(drawn)


def _search_plot(
    summary: Summary, title: str, rows: Sequence[Finding], group: list[Subject], *, relative: bool
) -> Plot:
    shown = []
    for search in dict.fromkeys(row.condition for row in rows):
        own = [row for row in rows if row.condition == search and row.subject in group]
        bars = [
            bar_of(summary, row, group.index(row.subject)) if relative else _absolute(summary, row, group)
            for row in own
        ]
        if bars:
            shown.append(IntervalRow(search_words(search), "", sorted(bars, key=lambda bar: bar.style)))
    more = "relative change" if relative else "change, share of users"
    return Plot(f"{title}: {more}", intervals(shown, percent=True), key_of(summary, group, lines=False))


def _absolute(summary: Summary, row: Finding, group: list[Subject]) -> Bar:
    numbers = f"{percent(row.drift, signed=True)} {bracketed(row.ci_low, row.ci_high, percent, signed=True)}"
    words = f"{name_of(summary, row.subject)} {numbers}"
    return Bar(group.index(row.subject), row.drift, row.ci_low, row.ci_high, words)


def relation_figures(summary: Summary) -> Figures:
    """Return scatter plots of sharpness and drift, one mark per subject, for the most significant relations.

    Without a defined rank correlation there is no plot: a few marks would suggest a relation that is not known.
    """
    drawable = [
        each
        for each in summary.report.relations
        if each.tau is not None and each.x and len(each.x) == len(each.y) and not each.within_models
    ]
    drawable.sort(key=lambda each: (each.scale_dependent, each.p if each.p is not None else 1.0))
    return figures((partial(_relation_plot, summary, each) for each in drawable), 6)


def _relation_plot(summary: Summary, relation: Relation) -> Plot:
    short = {subject.label: name for subject, name in summary.names.items()}
    labels = [*relation.labels, *(f"subject {n + 1}" for n in range(len(relation.labels), len(relation.x)))]
    points = [Point(short.get(label, label), x, y) for label, x, y in zip(labels, relation.x, relation.y, strict=False)]
    title = f"{relation.measure} against {relation.outcome}{_rank_text(relation.tau, relation.p)}"
    drawn = scatter(
        points,
        words=title,
        x_label=relation.measure,
        y_label="size of the drift",
        log_x=max(relation.x) > 30 * min(relation.x),
    )
    return Plot(title, drawn)


def _rank_text(tau: float | None, p: float | None) -> str:
    if tau is None:
        return ""
    return f": τ = {tau:.2f}" + ("" if p is None else f", p = {p:.2g}")


def exhibit_figures(summary: Summary) -> Figures:
    """Return spectra, landscapes along one direction, and landscapes in two."""
    return figures([*_exhibit_curves(summary), *_exhibit_surfaces(summary)], small=True)


def _exhibit_curves(summary: Summary) -> Iterator[Drawn]:
    found: dict[tuple[str, str, str, str], list[Curve]] = {}
    for each in summary.report.exhibits:
        if isinstance(each, Curve) and each.x and len(each.x) == len(each.y):
            found.setdefault((each.audit, each.name, each.x_label, each.y_label), []).append(each)
    for group in found.values():
        chunks = [group[start : start + STYLES] for start in range(0, len(group), STYLES)]
        for place, chunk in enumerate(chunks):
            yield partial(_exhibit_curve, summary, part(group[0].name, place, chunks), chunk)


def _exhibit_curve(summary: Summary, title: str, chunk: list[Curve]) -> Plot:
    series = [
        Series(name_of(summary, each.subject), style, each.x, each.y, *_band(each)) for style, each in enumerate(chunk)
    ]
    first = chunk[0]
    words = f"{title}: {first.y_label} by {first.x_label}; lines: {', '.join(each.name for each in series)}"
    drawn = curves(series, words=words, x_label=first.x_label, height=200)
    return Plot(title, drawn, key_of(summary, [each.subject for each in chunk]), remark=first.y_label)


def _band(curve: Curve) -> tuple[Sequence[float] | None, Sequence[float] | None]:
    whole = curve.low is not None and curve.high is not None and len(curve.low) == len(curve.high) == len(curve.x)
    return (curve.low, curve.high) if whole else (None, None)


def _exhibit_surfaces(summary: Summary) -> Iterator[Drawn]:
    for each in summary.report.exhibits:
        if isinstance(each, Surface) and _is_grid(each):
            yield partial(_surface_plot, f"{each.name}, {name_of(summary, each.subject)}", each)


def _surface_plot(title: str, each: Surface) -> Plot:
    drawn = surface(each.x, each.y, each.z, words=title, x_label=each.x_label, y_label=each.y_label, height=200)
    return Plot(title, drawn)


def _is_grid(each: Surface) -> bool:
    rows, columns = len(each.y), len(each.x)
    return rows > 1 and columns > 1 and len(each.z) == rows and all(len(row) == columns for row in each.z)
