"""The comparison of finished reports, and the recipe race, as a function; without torch for reports."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Unpack, overload

from robustrec.audits.checked import checked_report
from robustrec.comparison.compared import By, Loaded, ReportComparison
from robustrec.comparison.reports import compare_reports
from robustrec.errors import RobustrecError
from robustrec.results.arrays import arrays_beside

if TYPE_CHECKING:
    from robustrec.api.racing import RaceOptions
    from robustrec.api.settings import Names
    from robustrec.comparison.race.result import RaceReport


@overload
def compare(
    paths: Sequence[str | Path], *, metric: str | None = None, by: By = "quality", race: Literal[False] = False
) -> ReportComparison: ...


@overload
def compare(*, race: Literal[True], model: Names, **options: Unpack[RaceOptions]) -> RaceReport: ...


def compare(
    paths: Sequence[str | Path] | None = None,
    *,
    metric: str | None = None,
    by: By = "quality",
    race: bool = False,
    **options: Any,
) -> ReportComparison | RaceReport:
    """Rank the models and strategies of several reports on the same data set, with simultaneous intervals.

    With `race=True`, run a recipe race instead, as `robustrec compare --model M --race`; its arguments are those of
    `robustrec.api.racing.race`.

    Args:
        paths: JSON files of reports.
        metric: metric to rank by, for example ndcg@20.
        by: "quality" (the metric under each condition) or "drift" (the loss against clean inputs).
        race: whether to run a race: choose among strategies and settings of a model.
        options: arguments of the race: model, dataset, strategy, seeds, ...

    Raises:
        RobustrecError: a file is not a report, the reports are not comparable, arguments of both forms are combined, or
            as `robustrec compare --race`.
    """
    if race:
        from robustrec.api.racing import race as raced

        if paths is not None or metric is not None or by != "quality" or "model" not in options:
            what = "race=True needs a model" if "model" not in options else "reports and race=True cannot be combined"
            raise RobustrecError(what, where="compare", fix='robustrec.compare(race=True, model="vbpr")')
        return raced(**options)
    if paths is None or options:
        given = f"unknown argument {next(iter(options))!r}" if options else "no reports"
        raise RobustrecError(
            f"{given}: without race=True, compare takes reports",
            where="compare",
            fix='robustrec.compare(["a.json", "b.json"]), or robustrec.compare(race=True, model="vbpr")',
        )
    read = [(checked_report(Path(path)), Path(path)) for path in paths]
    loaded = [Loaded(report, arrays_beside(report, path), str(path)) for report, path in read]
    return compare_reports(loaded, metric=metric, by=by)
