"""Finished reports: read, and judge again; without torch."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from robustrec.api.report import Report
from robustrec.audits.checked import check_means, checked_report
from robustrec.audits.gate_text import with_gates
from robustrec.audits.judged import judged_again
from robustrec.audits.suites import Suite, load_suite, recorded_suite
from robustrec.results import report as stored
from robustrec.results.arrays import arrays_beside
from robustrec.results.baseline import read_baseline
from robustrec.results.waivers import Waiver, read_waivers


def read_report(path: str | Path) -> Report:
    """Read a report, and check that its verdict follows from its findings.

    Raises:
        RobustrecError: it is not a report, or it was edited after it was written.
    """
    place = Path(path)
    report = checked_report(place)
    return Report.of(report)


def judge(
    path: str | Path,
    *,
    suite: str | Path | Suite | None = None,
    baseline: str | Path | None = None,
    waivers: str | Path | Sequence[Waiver] = (),
    gates: Sequence[str] = (),
) -> Report:
    """Judge the findings of a report again, as `robustrec gate`.

    Args:
        path: JSON file of the report.
        suite: name or path of the suite with the gates, or a `Suite`; None: that of the report.
        baseline: baseline file, or report, to compare with.
        waivers: TOML file of waivers, or waivers, in addition to those of the suite.
        gates: gates in one line, such as "ndcg@20>-2%", in addition to those of the suite: `docs/gates.md`.

    Raises:
        RobustrecError: a gate is invalid, or a file cannot be read, or is not comparable with the report.
    """
    place = Path(path)
    # Judged by another suite, nothing that the report records of its judgement is relied on.
    report = stored.read_report(place) if suite is not None else checked_report(place)
    arrays = arrays_beside(report, place)
    check_means(report, arrays, source=str(place))
    by: Any = suite
    if suite is None:
        by = recorded_suite(report.suite.content, source=str(place))
    elif not isinstance(suite, Suite):
        by = load_suite(str(suite))
    judged = judged_again(
        report,
        with_gates(by, gates),
        arrays=arrays if baseline else None,
        baseline=read_baseline(Path(baseline)) if baseline else None,
        waivers=read_waivers(Path(waivers)) if isinstance(waivers, str | Path) else tuple(waivers),
        now=datetime.datetime.now(datetime.UTC),
    )
    return Report.of(judged)
