"""Figures of a section: their plots, what explains their marks, and how many are left out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from markupsafe import Markup

from robustrec.reading.glance import quality_of
from robustrec.reading.summary import Candidate, Summary
from robustrec.report.html.charts.elements import STYLES, key
from robustrec.results.findings import Finding
from robustrec.subject import Subject

MOST_PLOTS = 24
"""Largest number of plots of one kind; the page says how many more there are."""
MOST_SUBJECTS = 12
"""Largest number of subjects with lines: first those that pass their gates, then by clean quality."""


class Plot(NamedTuple):
    """A drawn plot with its title, the key of its own marks, and a remark."""

    title: str
    drawn: Markup
    key: Markup = Markup("")
    remark: str = ""


class Figures(NamedTuple):
    """Plots of one section.

    Attributes:
        plots: to show.
        left_out: number of plots that are not shown.
        key: what explains the marks of all plots; empty if each has its own.
        small: whether several plots share a row.
    """

    plots: tuple[Plot, ...]
    left_out: int = 0
    key: Markup = Markup("")
    small: bool = False


_NO_KEY = Markup("")

Drawn = Callable[[], Plot]
"""A plot that is drawn when it is called: those beyond the bound never are."""


def figures(plots: Iterable[Drawn], most: int = MOST_PLOTS, *, key: Markup = _NO_KEY, small: bool = False) -> Figures:
    """Return the first plots, drawn, and the number of the others."""
    every = list(plots)
    return Figures(tuple(draw() for draw in every[:most]), max(0, len(every) - most), key, small)


def groups_of(subjects: Sequence[Subject]) -> list[list[Subject]]:
    """Return the subjects in groups that marks tell apart, one for each plot."""
    return [list(subjects[start : start + STYLES]) for start in range(0, len(subjects), STYLES)]


def part(title: str, number: int, groups: Sequence[object]) -> str:
    """Return the title of a plot of one of several groups."""
    return f"{title} ({number + 1} of {len(groups)})" if len(groups) > 1 else title


def key_of(summary: Summary, group: Sequence[Subject], *, lines: bool = True) -> Markup:
    """Return what explains the marks of a group."""
    return key(((name_of(summary, subject), style) for style, subject in enumerate(group)), lines=lines)


def name_of(summary: Summary, subject: Subject) -> str:
    """Return the name of a subject for display."""
    return summary.names.get(subject, subject.label)


def share_of(row: Finding) -> tuple[float | None, float | None, float | None]:
    """Return relative drift and its interval."""
    return row.relative_drift, row.relative_ci_low, row.relative_ci_high


def drawn_subjects(summary: Summary, rows: Iterable[Finding]) -> list[Subject]:
    """Return the subjects of rows in the order of figures: as in the report, or by rank where there are many."""
    subjects = list(dict.fromkeys(row.subject for row in rows))
    if len(subjects) <= STYLES:
        return subjects

    def rank(candidate: Candidate) -> tuple[bool, float]:
        quality = quality_of(summary, candidate)
        return candidate.standing != "pass", -quality.mean if quality else 0.0

    trained = [(each.model, each.strategy, each.features) for each in subjects]
    places = {
        (subject.model, subject.strategy, subject.features): place
        for place, candidate in enumerate(sorted(summary.candidates, key=rank))
        for subject in candidate.subjects
    }
    order = sorted(range(len(subjects)), key=lambda at: (places.get(trained[at], len(places)), at))
    return [subjects[at] for at in order]
