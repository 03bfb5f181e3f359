"""Audits as functions: plan, measure, judge, and read what was written."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Unpack

from torch import Tensor, nn

from robustrec.api.report import Report
from robustrec.api.settings import Names, Options, checkpoint_of, settings_of
from robustrec.audits import plan as planning
from robustrec.audits.outcome import check_baseline, make_report
from robustrec.audits.plan import Plan
from robustrec.audits.planned import forget_plan, record_plan
from robustrec.audits.run import measure
from robustrec.audits.suites import Suite
from robustrec.datasets.registry import Dataset
from robustrec.engine.chosen import engine_of
from robustrec.engine.spread import audit_message
from robustrec.in_use import marking_use
from robustrec.object_store import shared_results
from robustrec.progress import Progress, silent
from robustrec.results.baseline import read_baseline
from robustrec.results.waivers import Waiver, read_waivers

Trained = nn.Module | Mapping[str, Tensor] | str | Path
"""Trained parameters: a module, its state_dict, a run key, or a file."""


def plan(
    model: Names | None = None,
    dataset: str | Path | Dataset | None = None,
    *,
    strategy: str | Sequence[str] | None = None,
    suite: str | Path | Suite | None = None,
    baseline: str | Path | None = None,
    waivers: str | Path | Sequence[Waiver] = (),
    gates: Sequence[str] = (),
    progress: Progress = silent,
    **options: Unpack[Options],
) -> Plan:
    """Resolve and check everything that an audit needs, without encoding or training: `robustrec audit --dry-run`.

    The arguments are those of `audit`. `robustrec.audits.plan.cost_of` returns the largest cost of a plan.

    Raises:
        RobustrecError: as `robustrec audit`, before any work.
    """
    given = {**options, "model": model, "dataset": dataset, "strategy": strategy}
    return _plan(given, suite, baseline, waivers, gates, progress)


def _plan(
    given: Mapping[str, Any],
    suite: str | Path | Suite | None,
    baseline: str | Path | None,
    waivers: str | Path | Sequence[Waiver],
    gates: Sequence[str],
    progress: Progress,
) -> Plan:
    content = suite if isinstance(suite, Suite) else None
    named = None if suite is None or content is not None else str(suite)
    found = planning.make_plan(
        settings_of({**given, "suite": named}),
        progress=progress,
        suite=content,
        baseline=None if baseline is None else read_baseline(Path(baseline)),
        waivers=read_waivers(Path(waivers)) if isinstance(waivers, str | Path) else tuple(waivers),
        gates=gates,
    )
    check_baseline(found)
    return found


def audit(
    model: Names | None = None,
    dataset: str | Path | Dataset | None = None,
    *,
    strategy: str | Sequence[str] | None = None,
    suite: str | Path | Suite | None = None,
    checkpoint: Trained | None = None,
    baseline: str | Path | None = None,
    waivers: str | Path | Sequence[Waiver] = (),
    gates: Sequence[str] = (),
    output: str | Path | None = None,
    progress: Progress = silent,
    **options: Unpack[Options],
) -> Report:
    """Train or load models, perturb their inputs, measure the change in ranking quality, and judge the gates.

    Findings and gates are those of `robustrec audit` with the same settings, to the bit.

    Args:
        model: names or classes of recommenders.
        dataset: a data set, its name, or its folder.
        strategy: training strategies.
        suite: name or path of a suite, or a `Suite`.
        checkpoint: trained parameters to audit instead of training: a module, its state_dict, a run key, or a file.
        baseline: baseline file, or report, to compare with.
        waivers: TOML file of waivers, or waivers, in addition to those of the suite.
        gates: gates in one line, such as "ndcg@20>-2%", in addition to those of the suite: `docs/gates.md`.
        output: JSON file of the report; the per-user arrays are written beside it.
        progress: called with stage, number done, total and a note.
        options: see `Options`.

    Raises:
        RobustrecError: as `robustrec audit`; an audit that fails is a status of the report and not an exception.
    """
    given = {**options, "model": model, "dataset": dataset, "strategy": strategy}
    with checkpoint_of(checkpoint) as place:
        found = _plan({**given, "checkpoint": place}, suite, baseline, waivers, gates, progress)
        return run_plan(found, command=[sys.argv[0] or "python"], output=output, progress=progress)


def run_plan(
    found: Plan,
    *,
    command: Sequence[str],
    output: str | Path | Callable[[Report], Path] | None = None,
    progress: Progress = silent,
) -> Report:
    """Run a plan, judge it, and write its report.

    An interrupted run keeps what it measured in the home folder, and the next one with the same plan resumes.

    Args:
        found: the plan.
        command: what the report records as its command, in words.
        output: JSON file of the report, or a function of the report that returns it; the per-user arrays are written
            beside it.
        progress: called with stage, number done, total and a note.

    Raises:
        RobustrecError: encoding, training or writing failed.
    """
    settings = found.settings
    with (
        marking_use(),
        shared_results(settings.store, offline=settings.offline),
        engine_of(settings) as engine,
        engine.encoding(audit_message(found), settings, progress),
    ):
        planned = record_plan(found)
        run = measure(found, progress=progress, engine=engine)
        report = Report.of(*make_report(found, run, command=command, planned=planned))
        if output is not None:
            report = report.save_json(output(report) if callable(output) else output)
        engine.forget()
        forget_plan(found)
    return report
