"""`robustrec audit`: measure robustness and judge the gates."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from robustrec.cli import options
from robustrec.cli.terminal import data_console, finishing, message_console, progress_bars, say
from robustrec.files import check_writable, remove_leftovers
from robustrec.sheet import NO_BREAK, Sheet
from robustrec.store_urls import recorded_command, shown_url
from robustrec.streams import write_json
from robustrec.units import seconds_text, size_text

if TYPE_CHECKING:
    from robustrec.audits.estimate import Estimate
    from robustrec.audits.plan import Plan
    from robustrec.report.forms.outputs import Output
    from robustrec.results.baseline import Baseline
    from robustrec.results.report import Report
    from robustrec.results.verdict import FailOn


def audit(
    context: typer.Context,
    model: options.Models = None,
    dataset: options.DatasetName = None,
    strategy: options.Strategies = None,
    features: options.FeatureName = None,
    encoder: options.EncoderName = None,
    weights: options.Weights = None,
    denoise: options.Denoise = None,
    vocabulary: options.Vocabulary = None,
    language: options.Language = None,
    checkpoint: options.Checkpoint = None,
    suite: options.SuiteName = None,
    edition: options.Edition = None,
    seed: options.Seed = None,
    seeds: options.Seeds = None,
    users: options.Users = None,
    segments: options.Segments = None,
    value: options.ValueColumn = None,
    device: options.Device = None,
    threads: options.Threads = None,
    workers: options.Workers = None,
    engine: options.EngineName = None,
    home: options.Home = None,
    store: options.StoreUrl = None,
    offline: options.Offline = None,
    overrides: options.Overrides = None,
    output_format: options.OutputFormats = None,
    gate: options.Gates = None,
    baseline: options.BaselineFile = None,
    waivers: options.WaiversFile = None,
    fail_on: options.FailOnName = None,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Print the plan with its time and disk without running it.",
            rich_help_panel=options.OUTPUT,
        ),
    ] = False,
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
) -> None:
    """Train or load models, perturb their inputs, measure the change in ranking quality, and judge the gates."""
    settings = options.settings_of(context).settings
    baseline = None if baseline is None else options.report_file(baseline, settings.home)
    from robustrec.report.forms.outputs import Output, parse_outputs, write_outputs

    inputs = [
        ("--suite", Path(settings.suite)),
        ("--baseline", baseline),
        ("--waivers", waivers),
        ("--dataset", Path(settings.dataset)),
        ("--checkpoint", Path(settings.checkpoint) if settings.checkpoint else None),
    ]
    outputs = parse_outputs(output_format or (), inputs=inputs, stdout_taken=as_json and not dry_run)
    from robustrec.audits.plan import make_plan
    from robustrec.engine.names import check_engine
    from robustrec.object_store import check_store
    from robustrec.results.waivers import read_waivers

    check_engine(settings.engine)
    check_store(settings.store, offline=settings.offline)

    accepted = _accepted(baseline) if baseline else None
    answered = read_waivers(waivers) if waivers else ()
    with progress_bars(quiet=quiet) as progress:
        plan = make_plan(settings, progress=progress, baseline=accepted, waivers=answered, gates=gate or ())
    if accepted is not None:
        from robustrec.audits.outcome import check_baseline

        check_baseline(plan)
    if dry_run:
        _print_plan(plan, as_json=as_json)
        return
    from robustrec.api.auditing import run_plan
    from robustrec.hardware import set_numerics
    from robustrec.results.verdict import exit_code

    set_numerics(settings.threads)
    check_writable(plan.home / "reports" / "report.json")
    remove_leftovers(plan.home / "reports")
    _announce(plan, quiet=quiet)
    with progress_bars(quiet=quiet) as progress:
        report = run_plan(
            plan,
            command=recorded_command(["robustrec", *sys.argv[1:]]),
            output=lambda made: _stored_path(plan, made),
            progress=progress,
        )
    stored = _stored_path(plan, report)
    for output in outputs:
        if output.form == "json" and output.path is not None:
            report.save_json(output.path)
    others = [each for each in outputs if each.form != "json" or each.path is None]
    to_stdout = [Output("json", None)] if as_json else []
    page = _page_beside(report, stored)
    with finishing(exit_code(report.verdict, report.gates, settings.fail_on)):
        write_outputs(report, [*others, *to_stdout])
        to_stderr = as_json or any(output.path is None for output in outputs)
        if not (to_stderr and quiet):
            files = (_shown(outputs, "json", stored) or stored, _shown(outputs, "html", page))
            _print_report(report, *files, to_stderr=to_stderr, fail_on=settings.fail_on)


def _accepted(path: Path) -> Baseline:
    from robustrec.results.baseline import read_baseline

    return read_baseline(path)


def _page_beside(report: Report, stored: Path) -> Path | None:
    """Write the HTML page of a stored report; a failure is a warning and does not change the verdict."""
    from robustrec.report.forms.outputs import Output, write_outputs

    page = stored.with_suffix(".html")
    try:
        write_outputs(report, [Output("html", page)])
    except Exception as error:
        say(f"warning: cannot write the HTML page ({type(error).__name__}: {error}); the verdict is not affected")
        return None
    return page


def _shown(outputs: Sequence[Output], form: str, otherwise: Path | None) -> Path | None:
    """Return the path that the user gave for an output format, else the default path."""
    return next((output.path for output in outputs if output.form == form and output.path is not None), otherwise)


def _stored_path(plan: Plan, report: Report) -> Path:
    name = f"{report.created:%Y%m%dT%H%M%S%f}-{plan.dataset.name}-{plan.suite.name}.json"
    return plan.home / "reports" / name


def _announce(plan: Plan, *, quiet: bool) -> None:
    from robustrec.audits.plan import cost_of, cost_words, users_words

    cost, users = cost_of(plan), users_words(plan)
    say(
        f"{plan.dataset.name} ({plan.dataset.edition} edition), suite {plan.suite.name}: at most {cost_words(cost)}",
        quiet=quiet,
    )
    if users:
        say(f"note: users: {users}", quiet=quiet)
    for warning in plan.warnings:
        say(f"warning: {warning}", quiet=quiet)
    for note in plan.notes:
        say(f"note: {note}", quiet=quiet)


def _print_plan(plan: Plan, *, as_json: bool) -> None:
    from robustrec.audits.estimate import estimate_of
    from robustrec.audits.plan import cost_of, cost_words, plan_memory_words, users_words
    from robustrec.engine.names import engine_words
    from robustrec.runs.specs import evaluations_per_step, spec_json

    cost, users, memory = cost_of(plan), users_words(plan), plan_memory_words(plan)
    estimate = estimate_of(plan)
    sheet = Sheet(data_console())
    content = {
        "dataset": {
            "name": plan.dataset.name,
            "edition": plan.dataset.edition,
            "digest": plan.dataset.digest,
        },
        "suite": plan.suite.model_dump(mode="json"),
        "features": plan.encoder,
        "weights": [{"network": each.network, "name": each.name, "digest": each.digest} for each in plan.weights],
        "users": users,
        "memory": memory,
        "warnings": list(plan.warnings),
        "subjects": [spec_json(spec) for spec in plan.specs],
        "cost": cost._asdict(),
        "engine": engine_words(plan.settings),
        "store": shown_url(plan.settings.store) if plan.settings.store else None,
        "unmeasured": list(plan.notes),
        "estimate": {
            "steps": [step._asdict() for step in estimate.steps],
            "seconds": estimate.seconds,
            "bytes": estimate.size,
            "free_bytes": estimate.free,
            "sources": list(estimate.sources),
        },
    }
    if as_json:
        write_json(content)
        return
    sheet.line(f"data set   {plan.dataset.name}, {plan.dataset.edition} edition")
    sheet.line(f"suite      {plan.suite.name}{plan.suite.description and f': {plan.suite.description}'}")
    sheet.line(f"features   {plan.encoder or 'not used'}")
    if users:
        sheet.line(f"users      {users}")
    if memory:
        sheet.line(f"memory     {memory}")
    for each in plan.weights:
        sheet.line(f"weights    {each.network}: {each.name}, digest {each.digest[:16]}")
    for warning in plan.warnings:
        sheet.line(f"warning    {warning}")
    for spec in plan.specs:
        effort = (
            f"at most {spec.training.max_epochs} epochs, {evaluations_per_step(spec):.2f} gradient evaluations per step"
            if spec.trains
            else f"{spec.origin}, no training"
        )
        sheet.line(f"subject    {spec.label} ({effort})")
    for note in plan.notes:
        sheet.line(f"note       {note}")
    sheet.line(f"engine     {engine_words(plan.settings)}")
    if plan.settings.store:
        sheet.line(f"store      {shown_url(plan.settings.store)}")
    sheet.line(f"cost       at most {cost_words(cost)}; dry run, nothing was executed")
    _print_estimate(sheet, estimate)


def _print_estimate(sheet: Sheet, estimate: Estimate) -> None:
    sheet.console.print()
    rows = [[step.name, step.work, _about(step.seconds), size_text(step.size)] for step in estimate.steps]
    rows.append(["total", "", _about(estimate.seconds), size_text(estimate.size)])
    rows = [[name, work, *(cell.replace(" ", NO_BREAK) for cell in cells)] for name, work, *cells in rows]
    sheet.table(["step", "work", "time", "disk"], rows, ruled=False, numbers_from=2)
    sheet.line(f"Times are of one process and about right. Rates: {'; '.join(estimate.sources)}.")
    sheet.line(f"Free disk: {size_text(estimate.free)}. Early stopping and stored encodings shorten a run.")


def _about(seconds: float | None) -> str:
    return "not known" if seconds is None else seconds_text(seconds)


def _print_report(report: Report, path: Path, page: Path | None, *, to_stderr: bool, fail_on: FailOn) -> None:
    from robustrec.report.console.screen import print_screen

    console = message_console() if to_stderr else data_console()
    print_screen(report, console, location=path, pages=[page] if page else [], fail_on=fail_on)
