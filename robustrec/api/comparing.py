"""The comparison of finished reports as a function; without torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from robustrec.audits.checked import checked_report
from robustrec.comparison.compared import By, Loaded, ReportComparison
from robustrec.comparison.reports import compare_reports
from robustrec.results.arrays import arrays_beside


def compare(paths: Sequence[str | Path], *, metric: str | None = None, by: By = "quality") -> ReportComparison:
    """Rank the models and strategies of several reports on the same data set, with simultaneous intervals.

    Args:
        paths: JSON files of reports.
        metric: metric to rank by, for example ndcg@20.
        by: "quality" (the metric under each condition) or "drift" (the loss against clean inputs).

    Raises:
        RobustrecError: a file is not a report, or the reports are not comparable.
    """
    read = [(checked_report(Path(path)), Path(path)) for path in paths]
    loaded = [Loaded(report, arrays_beside(report, path), str(path)) for report, path in read]
    return compare_reports(loaded, metric=metric, by=by)
