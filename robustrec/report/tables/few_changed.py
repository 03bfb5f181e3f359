"""The console's lines on drifts that few users decide."""

from __future__ import annotations

from collections.abc import Sequence

from robustrec.evaluation.sparse import FEWEST_CHANGED
from robustrec.report.console.sheet import Page
from robustrec.results.findings import Finding

_MOST = 4


def print_few_changed(page: Page, findings: Sequence[Finding]) -> None:
    """Print how many users differ in each row where they are too few for an interval by resampling."""
    rows = [row for row in findings if few_changed(row)]
    if not rows:
        return
    page.line("")
    page.line(f"Fewer than {FEWEST_CHANGED} users differ; the intervals are bounds for rare changes:", indent=1)
    for row in rows[:_MOST]:
        where = f"{row.metric} of {page.names.get(row.subject, row.subject.label)}, {row.condition}"
        page.line(f"{where}: {row.n_changed} of {row.n_users} users", indent=2)
    if len(rows) > _MOST:
        page.line(f"and {len(rows) - _MOST} more rows in the JSON report (n_changed)", indent=2)


def few_changed(row: Finding) -> bool:
    """Whether so few users differ that the interval of a drift is a bound; where nothing was done it has no width."""
    few = row.n_changed is not None and row.n_changed < FEWEST_CHANGED
    return row.quantity == "drift" and few and row.ci_low != row.ci_high
