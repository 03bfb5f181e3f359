"""Plots of a report: drifts, noise curves, severity curves, sharpness and drift, spectra, landscapes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

from robustrec.reading.break_points import break_points
from robustrec.reading.conditions import condition_words, curve_words, search_words, without_shared_end
from robustrec.reading.glance import quality_of
from robustrec.reading.names import headline
from robustrec.reading.summary import Candidate, Summary, gated, is_quality, relative_limits
from robustrec.reading.worst import search_rows
from robustrec.report.html import drawing
from robustrec.report.html.drawing import IntervalMark, Plot, Series
from robustrec.results.conditions import ALL, Condition
from robustrec.results.exhibits import Curve, Relation, Surface
from robustrec.results.findings import Finding
from robustrec.subject import Subject

MOST_SUBJECTS = 6
"""Largest number of lines in one plot; more subjects get another plot."""
MOST_ROWS = 16
MOST_PLOTS, MOST_EDITS = 24, 64
"""Plots of one kind, and of edits; the page says how many more there are."""
MOST_CURVES = 12
"""Largest number of subjects with curves: first those that pass their gates, then by clean quality."""
_FEWEST_POINTS = 3


class Figures(NamedTuple):
    """Plots of one section, and the number of plots that are not shown."""

    plots: tuple[Plot, ...]
    left_out: int = 0


Drawn = Callable[[], Plot]
"""A plot that is drawn when it is called: those beyond the bound never are."""


def _bounded(plots: Iterable[Drawn], most: int = MOST_PLOTS) -> Figures:
    every = list(plots)
    return Figures(tuple(draw() for draw in every[:most]), max(0, len(every) - most))


def _groups(subjects: Sequence[Subject]) -> list[list[Subject]]:
    return [list(subjects[start : start + MOST_SUBJECTS]) for start in range(0, len(subjects), MOST_SUBJECTS)]


def _part(title: str, number: int, groups: Sequence[object]) -> str:
    return f"{title} ({number + 1} of {len(groups)})" if len(groups) > 1 else title


def _share(row: Finding) -> tuple[float | None, float | None, float | None]:
    return row.relative_drift, row.relative_ci_low, row.relative_ci_high


def drift_figures(summary: Summary) -> Figures:
    """Return the relative drift of quality under each audit, with interval bars.

    A few conditions have one plot each, with the metrics as rows. Many conditions share one plot of the headline
    metric, with the conditions that gates check as rows, else those with the largest losses. An edit is shown at the
    severity with the largest loss.
    """
    plots: list[Drawn] = []
    for number, audit in enumerate(summary.audits):
        rows = [row for row in summary.drifts(audit) if is_quality(row.metric) and row.relative_drift is not None]
        if rows:
            plots += _drift_plots(summary, f"d{number}", audit, rows)
    return _bounded(plots)


def _drift_plots(summary: Summary, name: str, audit: str, rows: list[Finding]) -> Iterator[Drawn]:
    conditions = list(dict.fromkeys(row.condition for row in rows))
    subjects = list(dict.fromkeys(row.subject for row in rows))
    groups = _groups(subjects)
    for number, group in enumerate(groups):
        own = [row for row in rows if row.subject in group]
        if len(conditions) <= 3:
            for place, condition in enumerate(conditions):
                chosen = [row for row in own if row.condition == condition]
                title = _part(f"{audit}, {condition_words(condition)}", number, groups)
                yield partial(_interval_plot, summary, f"{name}g{number}c{place}", title, chosen, group, by="metric")
            continue
        metric = summary.metric if any(row.metric == summary.metric for row in own) else headline(own)[0]
        chosen = [row for row in own if row.metric == metric]
        looked_at = _worst_conditions(gated(summary.report, chosen))
        title = _part(f"{audit}: {metric}", number, groups)
        yield partial(_interval_plot, summary, f"{name}g{number}", title, looked_at, group, by="condition")


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


def _interval_plot(
    summary: Summary, name: str, title: str, rows: list[Finding], group: list[Subject], *, by: str
) -> Plot:
    keys = list(dict.fromkeys(getattr(row, by) for row in rows))
    labels, shared = without_shared_end([condition_words(key) for key in keys]) if by == "condition" else (keys, "")
    bars = []
    for row in sorted(rows, key=lambda each: group.index(each.subject)):
        estimate, low, high = _share(row)
        bars.append(IntervalMark(keys.index(getattr(row, by)), group.index(row.subject), estimate or 0.0, low, high))
    names = [(summary.names[subject], place) for place, subject in enumerate(group)]
    return drawing.intervals(
        name,
        f"{title}, {shared}" if shared else title,
        labels,
        bars,
        x_label=f"relative drift, {summary.level} interval",
        percent=True,
        names=names,
        limits=relative_limits(summary.report, rows),
    )


def noise_figures(summary: Summary) -> Figures:
    """Return drift of quality by amount of noise, one plot per kind and scope, with the noise tolerance."""
    return _bounded(_curve_plots(summary, "noise"))


def severity_figures(summary: Summary, most: int = MOST_EDITS, *, after: int = 0) -> Figures:
    """Return drift of quality by severity, one plot per edit, the largest losses first.

    Args:
        summary: of the report.
        most: largest number of plots; further plots do not count as left out.
        after: number of first plots to skip, because they are shown elsewhere.
    """
    plots = list(_curve_plots(summary, "edit"))
    return _bounded(plots[after : after + most] if most < MOST_EDITS else plots[after:], MOST_EDITS)


def without_curves(summary: Summary) -> int:
    """Return the number of subjects without curves, because there are too many."""
    return max(0, len(summary.report.subjects) - MOST_CURVES)


def _with_curves(summary: Summary) -> set[Subject]:
    def rank(candidate: Candidate) -> tuple[bool, float]:
        quality = quality_of(summary, candidate)
        return candidate.standing != "pass", -quality.mean if quality else 0.0

    ordered = sorted(summary.candidates, key=rank)
    return set([subject for candidate in ordered for subject in candidate.subjects][:MOST_CURVES])


def _curve_plots(summary: Summary, kind: str) -> Iterator[Drawn]:
    shown = _with_curves(summary)
    curves: dict[tuple[str, object], list[Finding]] = {}
    for audit in summary.audits:
        rows = [row for row in summary.drifts(audit) if is_quality(row.metric) and row.relative_drift is not None]
        metric = summary.metric if any(row.metric == summary.metric for row in rows) else (headline(rows) or [""])[0]
        for row in rows:
            if row.condition.kind == kind and row.metric == metric and row.subject in shown:
                curves.setdefault((audit, row.condition.curve), []).append(row)
    ordered = list(curves.values())
    if kind == "edit":
        ordered.sort(key=lambda rows: min(row.relative_drift or 0.0 for row in rows))
    for number, rows in enumerate(ordered):
        if len({row.condition.amount for row in rows}) < (_FEWEST_POINTS if kind == "noise" else 2):
            continue
        groups = _groups(list(dict.fromkeys(row.subject for row in rows)))
        for place, group in enumerate(groups):
            own = [row for row in rows if row.subject in group]
            title = _part(curve_words(rows[0].condition), place, groups)
            yield partial(_curve_plot, summary, f"{kind}{number}g{place}", title, own, group, kind)


def _curve_plot(summary: Summary, name: str, title: str, rows: list[Finding], group: list[Subject], kind: str) -> Plot:
    series = []
    for style, subject in enumerate(group):
        own = sorted((row.condition.amount, *_share(row)) for row in rows if row.subject == subject)
        banded = all(low is not None and high is not None for _, _, low, high in own)
        series.append(
            Series(
                summary.names[subject],
                style,
                [x for x, *_ in own],
                [y or 0.0 for _, y, *_ in own],
                [low or 0.0 for *_, low, _ in own] if banded else None,
                [high or 0.0 for *_, high in own] if banded else None,
            )
        )
    metric, condition = rows[0].metric, rows[0].condition
    logarithmic = kind == "noise" and all(x > 0 for each in series for x in each.x)
    marks = []
    # What the break point search does: noise of a variance on all features, at inference, with rebuilt graphs.
    searched = (condition.modality, condition.graphs, condition.trained) == (ALL, "rebuilt", False)
    if condition.sigma2 is not None and searched:
        largest = max(x for each in series for x in each.x)
        smallest = min(x for each in series for x in each.x)
        for point in break_points(summary):
            if point.row.subject in group and point.value and smallest <= point.value <= 10 * largest:
                marks.append((point.value, group.index(point.row.subject)))
    x_label = "σ relative to the feature norm" if condition.sigma2 is None else "σ²"
    x_label = "severity" if kind == "edit" else x_label
    return drawing.lines(
        name,
        title,
        series,
        x_label=x_label,
        y_label=f"relative drift of {metric}",
        log_x=logarithmic,
        percent=True,
        zero=True,
        whole_x=kind == "edit",
        marks=marks,
    )


def search_figures(summary: Summary) -> Figures:
    """Return the change of exposure under random, worst and best edits, and under attacks on the features."""
    rows = [row for row in search_rows(summary.report) if row.metric.startswith("exposure@")]
    groups = _groups(list(dict.fromkeys(row.subject for row in rows)))
    relative = all(row.relative_drift is not None for row in rows)
    searches = list(dict.fromkeys(row.condition for row in rows))
    drawn = []
    for number, group in enumerate(groups):
        marks = [
            IntervalMark(searches.index(row.condition), group.index(row.subject), estimate, low, high)
            for row in rows
            if row.subject in group
            for estimate, low, high in [_share(row) if relative else (row.drift, row.ci_low, row.ci_high)]
            if estimate is not None
        ]
        drawn.append(
            partial(
                drawing.intervals,
                f"w{number}",
                _part("Exposure of an item edited alone", number, groups),
                [search_words(each) for each in searches],
                marks,
                x_label="change of exposure" + ("" if relative else ", share of users"),
                percent=True,
                names=[(_name(summary, each), style) for style, each in enumerate(group)],
            )
        )
    return _bounded(drawn)


def relation_figures(summary: Summary) -> Figures:
    """Return scatter plots of sharpness and drift, one mark per subject, for the most significant relations.

    If no rank correlation is defined, only the first measures are drawn.
    """
    defined = any(each.tau is not None for each in summary.report.relations)
    return _bounded(_relation_plots(summary), 6 if defined else 3)


def _relation_plots(summary: Summary) -> Iterator[Drawn]:
    defined = [
        each for each in summary.report.relations if each.x and len(each.x) == len(each.y) and not each.within_models
    ]
    defined.sort(
        key=lambda each: (
            each.tau is None,
            each.scale_dependent,
            each.p if each.p is not None else 1.0,
        )
    )
    short = {subject.label: name for subject, name in summary.names.items()}
    for number, relation in enumerate(defined):
        yield partial(_relation_plot, f"r{number}", relation, short)


def _relation_plot(name: str, relation: Relation, short: dict[str, str]) -> Plot:
    labels = [*relation.labels, *(f"subject {n + 1}" for n in range(len(relation.labels), len(relation.x)))]
    points = [(short.get(label, label), x, y) for label, x, y in zip(labels, relation.x, relation.y, strict=False)]
    title = f"{relation.measure} against {relation.outcome}{_rank_text(relation.tau, relation.p)}"
    axes = {"x_label": relation.measure, "y_label": "size of the drift"}
    return drawing.scatter(name, title, points, note=relation.sentence, **axes)


def _rank_text(tau: float | None, p: float | None) -> str:
    if tau is None:
        return ""
    return f": τ = {tau:.2f}" + ("" if p is None else f", p = {p:.2g}")


def exhibit_figures(summary: Summary) -> Figures:
    """Return spectra, landscapes along one direction, and landscapes in two."""
    return _bounded([*_exhibit_curves(summary), *_exhibit_surfaces(summary)])


def _exhibit_curves(summary: Summary) -> Iterator[Drawn]:
    curves: dict[tuple[str, str, str, str], list[Curve]] = {}
    for each in summary.report.exhibits:
        if isinstance(each, Curve) and each.x and len(each.x) == len(each.y):
            curves.setdefault((each.audit, each.name, each.x_label, each.y_label), []).append(each)
    for number, ((_, title, x_label, y_label), group) in enumerate(curves.items()):
        chunks = [group[start : start + MOST_SUBJECTS] for start in range(0, len(group), MOST_SUBJECTS)]
        for place, chunk in enumerate(chunks):
            series = [
                Series(_name(summary, each.subject), style, each.x, each.y, *_band(each))
                for style, each in enumerate(chunk)
            ]
            yield partial(
                drawing.lines,
                f"c{number}g{place}",
                _part(title, place, chunks),
                series,
                x_label=x_label,
                y_label=y_label,
            )


def _band(curve: Curve) -> tuple[Sequence[float] | None, Sequence[float] | None]:
    whole = curve.low is not None and curve.high is not None and len(curve.low) == len(curve.high) == len(curve.x)
    return (curve.low, curve.high) if whole else (None, None)


def _exhibit_surfaces(summary: Summary) -> Iterator[Drawn]:
    surfaces = [each for each in summary.report.exhibits if isinstance(each, Surface) and _is_grid(each)]
    for number, each in enumerate(surfaces):
        title = f"{each.name}, {_name(summary, each.subject)}"
        yield partial(
            drawing.surface, f"f{number}", title, each.x, each.y, each.z, x_label=each.x_label, y_label=each.y_label
        )


def _is_grid(each: Surface) -> bool:
    rows, columns = len(each.y), len(each.x)
    return rows > 1 and columns > 1 and len(each.z) == rows and all(len(row) == columns for row in each.z)


def _name(summary: Summary, subject: Subject) -> str:
    return summary.names.get(subject, subject.label)
