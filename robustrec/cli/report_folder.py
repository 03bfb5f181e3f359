"""`robustrec report list`, `open` and `trend`: the reports folder."""

from __future__ import annotations

import os
import re
import sys
import webbrowser
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from robustrec.cli import options
from robustrec.cli.descriptions import home_of
from robustrec.cli.terminal import data_console, progress_bars, say
from robustrec.errors import RobustrecError, unknown_name
from robustrec.files import shown_path
from robustrec.sheet import NO_BREAK, Sheet
from robustrec.streams import write_json, write_text

if TYPE_CHECKING:
    from datetime import datetime

    from robustrec.audits.listed_reports import ListedReport
    from robustrec.comparison.trend import Measured, Point, Trend
    from robustrec.results.baseline import Baseline
    from robustrec.subject import Subject

_MOST_NAMES = 4
_AXIS, _AXIS_BESIDE_REMARKS = 22, 14


def list_(
    dataset: options.OnlyDataset = None,
    home: options.Home = None,
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
) -> None:
    """List the reports of the reports folder, the newest first; each verdict is checked against its findings."""
    from robustrec.audits.listed_reports import shown_names, when_text

    place = home_of(home)
    every = _listed(place, quiet=quiet)
    found = [each for each in every if not each.other and dataset in (None, each.dataset)]
    if as_json:
        write_json([each.model_dump(mode="json", exclude={"other"}) for each in found])
        return
    sheet = Sheet(data_console())
    short = shown_names([each.name for each in every])
    rows = [
        [
            short[each.name],
            each.verdict.upper() or "UNREADABLE",
            _names(each.names),
            f"{each.dataset} ({each.edition})" if each.dataset else "-",
            each.suite or "-",
            when_text(each.created) or "-",
        ]
        for each in found
    ]
    if rows:
        sheet.table(["report", "verdict", "models", "data", "suite", "ended (UTC)"], rows, ruled=False)
    sheet.line(f"{len(found)} {'report' if len(found) == 1 else 'reports'} in {place / 'reports'}")
    for each in found:
        if each.problem:
            sheet.line(f"{short[each.name]}: {each.problem}")
    others = sum(each.other for each in every)
    if others:
        sheet.line(f"{others} other {'result' if others == 1 else 'results'}, such as comparisons of strategies")
    if (place / "reports").is_symlink():
        say(f"{place / 'reports'} is a link and is not followed: pass the home folder that it leads to with --home")


def open_(
    report: Annotated[
        str | None, typer.Argument(metavar="REPORT", help="Report: file, or beginning of its name.", show_default=False)
    ] = None,
    latest: Annotated[bool, typer.Option("--latest", help="The newest report of the reports folder.")] = False,
    section: Annotated[
        str | None, typer.Option(help="Section of the page, for example edits.", show_default=False)
    ] = None,
    home: options.Home = None,
) -> None:
    """Print the path of the HTML page of a report, and open it in the browser where there is one.

    The page is written if it does not exist. A browser is opened only if stdout is a terminal with a desktop.
    """
    from robustrec.audits.checked import checked_report
    from robustrec.report.forms.outputs import Output, write_outputs
    from robustrec.results.reports_folder import find_report

    if latest == (report is not None):
        raise RobustrecError(
            "give either a report or --latest",
            where="robustrec report open",
            fix="for example: robustrec report open --latest",
        )
    place = home_of(home)
    path = _latest(place) if report is None else find_report(report, place)
    page = path.with_suffix(".html")
    checked = checked_report(path)
    if page.is_symlink() or not page.is_file() or page.stat().st_mtime < path.stat().st_mtime:
        write_outputs(checked, [Output("html", page)])
    address = page.resolve().as_uri()
    if section is not None:
        names = re.findall(r'<section[^>]* id="([\w-]+)"', page.read_text(encoding="utf-8"))
        if section not in names:
            raise unknown_name("section", section, names, where="--section")
        address = f"{address}#{section}"
    write_text(f"{shown_path(page) if section is None else address}\n")
    if sys.stdout.isatty() and _desktop():
        try:
            webbrowser.open(address)
        except webbrowser.Error as error:
            say(f"no browser was opened: {error}")


def trend(
    model: options.OnlyModels = None,
    strategy: options.OnlyStrategies = None,
    dataset: options.OnlyDataset = None,
    metric: Annotated[
        str | None, typer.Option(help="Metric, for example ndcg@20. Default: the main metric.", show_default=False)
    ] = None,
    condition: Annotated[
        str | None,
        typer.Option(
            help="Label of a condition, for the relative drift under it. Default: quality on clean inputs.",
            show_default=False,
        ),
    ] = None,
    baseline: options.BaselineFile = None,
    home: options.Home = None,
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
) -> None:
    """Show a metric of each model over the reports in time, with its interval and the baseline marked.

    Only comparable reports are joined: other data, another suite or another definition of the metric breaks the
    line, and is said.
    """
    from robustrec.results.baseline import read_baseline
    from robustrec.results.reports_folder import find_report

    place = home_of(home)
    listed = [
        each
        for each in _listed(place, quiet=quiet)
        if each.verdict
        and dataset in (None, each.dataset)
        and any(_wanted(subject, model, strategy) for subject in each.subjects)
    ]
    accepted = None if baseline is None else read_baseline(find_report(baseline, place))
    found = _trends(listed, place, model, strategy, metric, condition, accepted)
    if not found:
        raise RobustrecError(
            "no report of the reports folder has this number",
            where=f"{place / 'reports'}",
            fix="list the reports: robustrec report list; labels of conditions: robustrec report show --full REPORT",
        )
    if as_json:
        write_json([_facts(each) for each in found])
        return
    sheet = Sheet(data_console())
    for each in found:
        _print_trend(sheet, each)


def _listed(home: Path, *, quiet: bool) -> list[ListedReport]:
    from robustrec.audits.listed_reports import listed_reports

    with progress_bars(quiet=quiet or not sys.stderr.isatty()) as progress:
        return listed_reports(home, progress)


def _names(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return f"{', '.join(names[:_MOST_NAMES])}{more}" or "-"


def _latest(home: Path) -> Path:
    for each in _listed(home, quiet=True):
        if each.verdict:
            return home / "reports" / f"{each.name}.json"
    raise RobustrecError(
        "there is no report",
        where=str(home / "reports"),
        fix="run an audit: robustrec audit --model slmrec --dataset clothing",
    )


def _desktop() -> bool:
    """Return whether a browser would have a window: a text browser in the terminal is not wanted."""
    return sys.platform in ("darwin", "win32") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def _wanted(subject: Subject, models: Sequence[str] | None, strategies: Sequence[str] | None) -> bool:
    return (not models or subject.model in models) and (not strategies or subject.strategy in strategies)


def _trends(
    listed: Sequence[ListedReport],
    home: Path,
    models: Sequence[str] | None,
    strategies: Sequence[str] | None,
    metric: str | None,
    condition: str | None,
    accepted: Baseline | None,
) -> list[Trend]:
    from robustrec.comparison.trend import measured_in, measured_in_baseline, trend_of
    from robustrec.reading.summary import summary_of
    from robustrec.results.report import read_report

    numbers: dict[tuple[Subject, str], list[Measured]] = {}
    baselines: set[datetime] = set()
    for each in reversed(listed):
        report = read_report(home / "reports" / f"{each.name}.json")
        name = metric or summary_of(report).metric
        if report.baseline is not None:
            baselines.add(report.baseline.created)
        for subject in each.subjects:
            if _wanted(subject, models, strategies) and (
                row := measured_in(report, each.name, subject, name, condition)
            ):
                numbers.setdefault((subject, name), []).append(row)
    for (subject, name), rows in numbers.items():
        if accepted is not None:
            row = measured_in_baseline(accepted, subject, name, condition)
            rows.extend([row] if row else [])
        else:  # a report that another was compared with
            rows[:] = [replace(row, baseline=row.created in baselines) for row in rows]
    return [
        trend_of(subject, name, rows, relative=condition is not None)
        for (subject, name), rows in sorted(numbers.items(), key=lambda item: (item[0][0].label, item[0][1]))
    ]


def _print_trend(sheet: Sheet, trend: Trend) -> None:
    from robustrec.audits.listed_reports import shown_names
    from robustrec.comparison.trend import joined
    from robustrec.reading.conditions import condition_words

    where = f", drift under {condition_words(trend.condition)}" if trend.condition else ""
    sheet.heading(f"{trend.subject.label}: {trend.metric}{where}")
    short = shown_names([point.measured.name for point in trend.points])
    show = _show(trend)
    ends = [end for point in trend.points for end in (point.low, point.high, point.value) if end is not None]
    low, high = min(ends), max(ends)
    remarked = any(point.remarks or point.measured.baseline for point in trend.points)
    width = _AXIS_BESIDE_REMARKS if remarked else _AXIS
    axis = f"{show(low)}{NO_BREAK * max(1, width - len(show(low)) - len(show(high)))}{show(high)}"
    for number, group in enumerate(joined(trend.points)):
        if number:
            sheet.line(f"not comparable with those above: {'; '.join(group[0].breaks)}", indent=1)
        rows = [
            [
                short[point.measured.name],
                f"{point.measured.created:%Y-%m-%d}",
                _interval(point, show).replace(" ", NO_BREAK),
                _drawn(point, low, high, width),
                ", ".join([*(["BASELINE"] if point.measured.baseline else []), *point.remarks]),
            ]
            for point in group
        ]
        sheet.table(["report", "ended", "value", axis, ""], rows, ruled=False, numbers_from=5)


def _show(trend: Trend) -> Callable[[float | None], str]:
    from robustrec.results.numbers import percent, plain

    return partial(percent, signed=True) if trend.condition else plain


def _interval(point: Point, show: Callable[[float | None], str]) -> str:
    if point.low is None or point.high is None:
        return show(point.value)
    return f"{show(point.value)} [{show(point.low).removesuffix(' %')}, {show(point.high).removesuffix(' %')}]"


def _drawn(point: Point, low: float, high: float, width: int) -> str:
    """Return a point with its interval on the axis of the trend."""

    def place(value: float) -> int:
        return round((value - low) / (high - low) * (width - 1)) if high > low else 0

    cells = [NO_BREAK] * width
    if point.low is not None and point.high is not None:
        for each in range(place(point.low), place(point.high) + 1):
            cells[each] = "─"
    cells[place(point.value)] = "●"
    return "".join(cells)


def _facts(trend: Trend) -> dict[str, object]:
    return {
        "subject": trend.subject.model_dump(mode="json"),
        "metric": trend.metric,
        "condition": trend.condition.label if trend.condition else None,
        "points": [
            {
                "report": point.measured.name,
                "created": point.measured.created.isoformat(),
                "value": point.value,
                "low": point.low,
                "high": point.high,
                "baseline": point.measured.baseline,
                "breaks": list(point.breaks),
                "remarks": list(point.remarks),
            }
            for point in trend.points
        ],
    }
