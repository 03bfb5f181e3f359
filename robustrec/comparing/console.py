"""Print a comparison of strategies: one table a model and budget, then what can be said."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from robustrec.comparing.result import Comparison, Mean, StrategyReport
from robustrec.reporting.numbers import bracketed, percent, plain

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
        console.print(_table(f"{model}, equal {budget}", rows))
    console.print()
    for sentence in report.sentences:
        console.print(Text(f"- {sentence}"))


def _table(title: str, rows: list[Comparison]) -> Table:
    table = Table(title=title, title_justify="left", box=None, padding=(0, 1))
    for name in ("measure", "strategy", "epochs", "value", "against", "whose variance"):
        table.add_column(name, justify="left", overflow="fold")
    last = ""
    for row in sorted(rows, key=lambda row: list(dict.fromkeys(each.measure for each in rows)).index(row.measure)):
        measure = "" if row.measure == last else row.measure
        last = row.measure
        table.add_row(
            Text(measure),
            row.strategy,
            str(row.epochs),
            Text(_shown(row.value)),
            Text(_against(row)),
            Text(_whose(row)),
        )
    return table


def _shown(mean: Mean) -> str:
    return " ".join(part for part in (plain(mean.estimate), bracketed(mean.low, mean.high, plain)) if part)


def _against(row: Comparison) -> str:
    if row.reference is None:
        return ""
    if row.ratio is not None:
        ratio = row.ratio
        return f"× {percent(ratio.estimate)} {bracketed(ratio.low, ratio.high, percent)}".rstrip()
    gap = row.difference
    if gap is None:
        return ""
    return f"{plain(gap.estimate, signed=True)} {bracketed(gap.low, gap.high, plain, signed=True)}".rstrip()


def _whose(row: Comparison) -> str:
    """Return the largest sources of the difference's variance, of the value's where nothing is compared."""
    shares = row.difference_shares or row.shares
    largest = sorted(shares.items(), key=lambda item: -item[1])[:MAIN_FACTORS]
    return ", ".join(f"{name} {share:.0%}" for name, share in largest if share >= 0.005)
