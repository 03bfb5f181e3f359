"""Print a comparison of strategies: one table per model and budget, then the conclusions."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console

from robustrec.comparison.budget import BUDGET_WORDS
from robustrec.comparison.result import Comparison, StrategyReport
from robustrec.comparison.rows import against, verdict_of
from robustrec.comparison.sentences import cut_off_words
from robustrec.results.content_use import ENOUGH
from robustrec.results.numbers import bracketed, percent, plain
from robustrec.results.report import WeightsRecord
from robustrec.sheet import Sheet

WIDE = 120
"""Console width from which the sources of variance are shown."""

MAIN_FACTORS = 2
"""Number of sources of variance in a row."""

_FOOT = (
    "Intervals are not corrected for multiple testing. Conclusions are corrected (Holm) over the "
    "measures of one kind of"
    " a strategy. More seeds make the intervals narrower."
)


def print_comparison(report: StrategyReport, console: Console) -> None:
    """Print the tables and the sentences of a comparison."""
    sheet, data = Sheet(console), report.dataset
    kind = f"{data.name}, {data.edition} edition" + (" (synthetic data)" if data.synthetic else "")
    edits = f", {report.edit_draws} draws of edited items" if report.edit_draws else ""
    sheet.line(
        f"{kind}: {report.n_users:,} users, {len(report.seeds)} training seeds, {report.draws} noise draws{edits}, "
        f"features {report.features or 'none'}; {report.level:.0%} intervals over seeds, draws and users"
    )
    print_sources(sheet, report.features, report.weights, report.warnings)
    for model, budget in dict.fromkeys((row.model, row.budget) for row in report.rows):
        rows = [row for row in report.rows if (row.model, row.budget) == (model, budget)]
        sheet.heading(f"{model}, {BUDGET_WORDS[budget]}")
        _print_table(rows, sheet)
        left = {row.strategy: f"{row.strategy} {left_words(row)}" for row in rows}
        sheet.line(f"left of the clean quality with mean features: {'; '.join(left.values())}")
        cut = cut_off_words({row.strategy: row.cut_off for row in rows}, len(report.seeds))
        if cut:
            sheet.line(f"* {cut}")
    sheet.line("")
    for sentence in report.sentences:
        sheet.line(f"- {sentence}")
    sheet.line(_FOOT)


def print_sources(
    sheet: Sheet, features: str | None, weights: Sequence[WeightsRecord], warnings: Sequence[str]
) -> None:
    """Print the weights that the features were made with, and the warnings."""
    for each in weights:
        sheet.line(f"features {features}, weights of {each.network}: {each.name}, digest {each.digest[:16]}")
    for warning in warnings:
        sheet.line(f"warning: {warning}", "bold yellow")


def _print_table(rows: list[Comparison], sheet: Sheet) -> None:
    wide = sheet.console.width >= WIDE
    names = ["measure", "strategy", "epochs", "gradients", "value", "difference", "conclusion"]
    order = list(dict.fromkeys(row.measure for row in rows))
    table = []
    last = ""
    for row in sorted(rows, key=lambda row: order.index(row.measure)):
        measure = "" if row.measure == last else row.measure
        last = row.measure
        epochs = f"{row.epochs}{'*' if row.cut_off else ''}"
        cells = [
            measure,
            f"{row.strategy}{_mark(row)}",
            epochs,
            str(row.gradients),
            plain(row.value.estimate),
            against(row),
        ]
        cells.append(verdict_of(row))
        table.append([*cells, _variance_sources(row)] if wide else cells)
    sheet.table([*names, "variance from"] if wide else names, table, ruled=False)


def _mark(row: Comparison) -> str:
    return " (content-free)" if row.left is not None and row.left.estimate >= ENOUGH else ""


def left_words(row: Comparison) -> str:
    """Return the share of the quality of a strategy that is left with mean features, with its interval."""
    if row.left is None:
        return "not measured"
    found = row.left
    words = f"{percent(found.estimate)} {bracketed(found.low, found.high, percent)}".rstrip()
    unsure = found.low is None or found.high is None or found.low < ENOUGH <= found.high
    return f"{words}{_mark(row)}{', uncertain' if unsure else ''}"


def _variance_sources(row: Comparison) -> str:
    """Return the largest sources of variance of the difference, or of the value for the reference."""
    shares = row.difference_shares or row.shares
    largest = sorted(shares.items(), key=lambda item: -item[1])[:MAIN_FACTORS]
    return ", ".join(f"{name} {share:.0%}" for name, share in largest if share >= 0.005)
