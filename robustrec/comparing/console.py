"""Print a comparison of strategies: one table a model and budget, then what can be said."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from robustrec.comparing.result import Comparison, StrategyReport
from robustrec.comparing.rows import against, verdict_of
from robustrec.reporting.numbers import plain

WIDE = 120
"""Columns of a terminal from which on the sources of variance are shown too."""

MAIN_FACTORS = 2
"""Sources of variance that are named in a row."""


def print_comparison(report: StrategyReport, console: Console) -> None:
    """Print the tables and the sentences of a comparison."""
    data = report.dataset
    kind = f"{data.name}, {data.edition} edition" + (" (synthetic data)" if data.synthetic else "")
    console.print(
        Text(
            f"{kind}: {report.n_users:,} users, {len(report.seeds)} training seeds, {report.draws} noise draws, "
            f"features {report.features or 'none'}; {report.level:.0%} intervals over seeds, draws and users"
        )
    )
    for model, budget in dict.fromkeys((row.model, row.budget) for row in report.rows):
        rows = [row for row in report.rows if (row.model, row.budget) == (model, budget)]
        console.print()
        console.print(_table(f"{model}, equal {budget}", rows, wide=console.width >= WIDE))
    console.print()
    for sentence in report.sentences:
        console.print(Text(f"- {sentence}"))
    console.print(
        Text(
            "Each interval stands for itself: of twenty that are compared one may miss. More seeds make them narrower."
        )
    )


def _table(title: str, rows: list[Comparison], *, wide: bool) -> Table:
    table = Table(title=title, title_justify="left", box=None, padding=(0, 1, 0, 0))
    names = ["measure", "strategy", "epochs", "value", "against the reference", ""]
    for name in [*names, "whose variance"] if wide else names:
        table.add_column(name, overflow="fold")
    order = list(dict.fromkeys(row.measure for row in rows))
    last = ""
    for row in sorted(rows, key=lambda row: order.index(row.measure)):
        measure = "" if row.measure == last else row.measure
        last = row.measure
        cells = [measure, row.strategy, str(row.epochs), plain(row.value.estimate), against(row), verdict_of(row)]
        table.add_row(*(Text(cell) for cell in ([*cells, _whose(row)] if wide else cells)))
    return table


def _whose(row: Comparison) -> str:
    """Return the largest sources of the difference's variance, of the value's where nothing is compared."""
    shares = row.difference_shares or row.shares
    largest = sorted(shares.items(), key=lambda item: -item[1])[:MAIN_FACTORS]
    return ", ".join(f"{name} {share:.0%}" for name, share in largest if share >= 0.005)
