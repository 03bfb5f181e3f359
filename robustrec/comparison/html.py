"""Render a comparison of reports as an HTML page."""

from __future__ import annotations

from typing import NamedTuple

from robustrec.comparison.compared import ReportComparison
from robustrec.comparison.figures import content_figure
from robustrec.report.html.charts.elements import PLAIN
from robustrec.report.html.charts.intervals import Bar, IntervalRow, intervals
from robustrec.report.html.environment import render
from robustrec.report.html.plots import Figures, Plot
from robustrec.results.numbers import bracketed, plain
from robustrec.results.report import DatasetRecord

MOST_PLOTTED = 28
"""Largest number of pairs in the plot; the table has all pairs."""


class PairRow(NamedTuple):
    """A pair of subjects in the table of the page."""

    first: str
    second: str
    difference: str
    interval: str
    word: str


class PlaceRow(NamedTuple):
    """A condition with one cell per subject."""

    condition: str
    cells: tuple[str, ...]


def comparison_page(found: ReportComparison, dataset: DatasetRecord) -> str:
    """Return a comparison as one HTML document, the same bytes for the same comparison.

    Args:
        found: the comparison.
        dataset: the data set of all reports.
    """
    what = f"remaining {found.metric}" if found.by == "quality" else f"smallest loss of {found.metric}"
    ordered = sorted(found.pairs, key=lambda pair: not pair.apart)
    context = {
        "found": found,
        "dataset": dataset,
        "headline": _headline(found),
        "what": what,
        "level": f"{100 * found.level:g} %",
        "ranks": Figures((_ranks(found),)),
        "pairs": Figures((_pairs(found),), max(0, len(ordered) - MOST_PLOTTED)),
        "content": content_figure(found, what),
        "rows": [
            PairRow(
                each.first,
                each.second,
                plain(each.difference, signed=True),
                bracketed(each.low, each.high, plain, signed=True),
                ("better" if each.difference > 0 else "worse") if each.apart else "no significant difference",
            )
            for each in ordered
        ],
        "places": [
            PlaceRow(
                name,
                tuple(f"{plain(each.places[number].value)} ({each.places[number].rank:g})" for each in found.standings),
            )
            for number, name in enumerate(found.conditions)
        ],
    }
    return str(render("comparison.html.j2", **context))


def _headline(found: ReportComparison) -> str:
    """Return a sentence on the first rank and its significance."""
    first = found.standings[0]
    beaten = [pair for pair in found.pairs if pair.apart and first.name in (pair.first, pair.second)]
    if len(beaten) == len(found.standings) - 1:
        return f"{first.name} ranks first, with a significant difference from all others"
    return f"{first.name} ranks first, without a significant difference from all others"


def _ranks(found: ReportComparison) -> Plot:
    rows = []
    for each in found.standings:
        numbers = f"{each.mean_rank:.2f} [{each.mean_best:.2f}, {each.mean_worst:.2f}]"
        bar = Bar(PLAIN, each.mean_rank, each.mean_best, each.mean_worst, numbers, hollow=False)
        rows.append(IntervalRow(each.name, numbers, [bar]))
    return Plot("Mean rank, 1 is best", intervals(rows, zero=False, signed=False))


def _pairs(found: ReportComparison) -> Plot:
    rows = []
    for each in sorted(found.pairs, key=lambda pair: not pair.apart)[:MOST_PLOTTED]:
        numbers = f"{plain(each.difference, signed=True)} {bracketed(each.low, each.high, plain, signed=True)}"
        bar = Bar(PLAIN, each.difference, each.low, each.high, numbers, hollow=not each.apart)
        rows.append(IntervalRow(f"{each.first} \N{MINUS SIGN} {each.second}", numbers, [bar]))
    title = f"Difference of {found.metric}, mean over conditions; a mark is filled if the difference is significant"
    return Plot(title, intervals(rows))
