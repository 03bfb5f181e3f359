"""Console lines for drifts with few changed users."""

from __future__ import annotations

from collections.abc import Sequence

from robustrec.evaluation.sparse import FEWEST_CHANGED
from robustrec.report.console.sheet import Page
from robustrec.results.findings import Finding

_MOST = 4


def print_few_changed(page: Page, findings: Sequence[Finding]) -> None:
    """Print the number of changed users of each row with too few for a bootstrap interval."""
    rows = [row for row in findings if few_changed(row)]
    if not rows:
        return
    page.line("")
    page.line(
        f"Rows with fewer than {FEWEST_CHANGED} changed users; their intervals are bounds for rare changes:", indent=1
    )
    for row in rows[:_MOST]:
        where = f"{row.metric} of {page.names.get(row.subject, row.subject.label)}, {row.condition.label}"
        page.line(f"{where}: {row.n_changed} of {row.n_users} users", indent=2)
    if len(rows) > _MOST:
        page.line(f"and {len(rows) - _MOST} more rows in the JSON report (n_changed)", indent=2)


def few_changed(row: Finding) -> bool:
    """Return whether too few users changed, so that the interval of a drift is a bound for rare changes."""
    few = row.n_changed is not None and row.n_changed < FEWEST_CHANGED
    return row.quantity == "drift" and few and row.ci_low != row.ci_high
