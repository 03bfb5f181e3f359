"""Render a comparison of reports as an HTML page."""

from __future__ import annotations

from typing import NamedTuple

from robustrec.comparison.compared import ReportComparison
from robustrec.report.html.drawing import IntervalMark, Plot, intervals
from robustrec.report.html.environment import render
from robustrec.report.html.figures import Figures
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
    bars = [
        IntervalMark(row, 0, each.mean_rank, each.mean_best, each.mean_worst)
        for row, each in enumerate(found.standings)
    ]
    names = [each.name for each in found.standings]
    return intervals("ranks", "mean rank, 1 is best", names, bars, x_label="mean rank", percent=False, names=[])


def _pairs(found: ReportComparison) -> Plot:
    chosen = sorted(found.pairs, key=lambda pair: not pair.apart)[:MOST_PLOTTED]
    bars = [IntervalMark(row, 0, each.difference, each.low, each.high) for row, each in enumerate(chosen)]
    names = [f"{each.first} - {each.second}" for each in chosen]
    title = f"difference of {found.metric}, mean over conditions"
    return intervals("pairs", title, names, bars, x_label=found.metric, percent=False, names=[])
