"""`robustrec audit`: the main job."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from robustrec.cli import options
from robustrec.cli.terminal import data_console, progress_bars, say
from robustrec.errors import RobustrecError
from robustrec.files import check_writable

if TYPE_CHECKING:
    from robustrec.audits.plan import Plan
    from robustrec.reporting.report import Report
    from robustrec.reporting.verdict import FailOn

FORMATS = ("json",)


def audit(
    model: options.Models = None,
    dataset: options.DatasetName = None,
    strategy: options.Strategies = None,
    features: options.FeatureName = None,
    weights: options.Weights = None,
    denoise: options.Denoise = None,
    checkpoint: options.Checkpoint = None,
    suite: options.SuiteName = None,
    edition: options.Edition = None,
    seed: options.Seed = None,
    seeds: options.Seeds = None,
    device: options.Device = None,
    threads: options.Threads = None,
    home: options.Home = None,
    offline: options.Offline = None,
    overrides: options.Overrides = None,
    output_format: Annotated[
        list[str] | None,
        typer.Option(help="Also write the report as FORMAT:PATH (json:report.json); repeatable."),
    ] = None,
    fail_on: Annotated[
        str | None, typer.Option(help="What ends with exit code 1: error, warn, inconclusive or never.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan with its cost and run nothing.")] = False,
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
) -> None:
    """Train what is needed, perturb it, and report what moved and whether the gates hold."""
    settings = options.settings_from(
        model=model,
        dataset=dataset,
        strategy=strategy,
        features=features,
        weights=weights,
        denoise=denoise,
        checkpoint=checkpoint,
        suite=suite,
        edition=edition,
        seed=seed,
        seeds=seeds,
        device=device,
        threads=threads,
        home=home,
        offline=offline,
        set=overrides,
        fail_on=fail_on,
    ).settings
    outputs = [_output(text) for text in output_format or ()]
    from robustrec.audits.outcome import make_report, write_outcome
    from robustrec.audits.plan import make_plan
    from robustrec.audits.runner import measure
    from robustrec.hardware import set_numerics
    from robustrec.reporting.verdict import exit_code

    set_numerics(settings.threads)
    with progress_bars(quiet=quiet) as progress:
        plan = make_plan(settings, progress=progress)
    if dry_run:
        _print_plan(plan, as_json=as_json)
        return
    for path in [*outputs, plan.home / "reports" / "report.json"]:
        check_writable(path)
    _announce(plan, quiet=quiet)
    with progress_bars(quiet=quiet) as progress:
        run = measure(plan, progress=progress)
    report, arrays = make_report(plan, run, command=["robustrec", *sys.argv[1:]])
    stored = _stored_path(plan, report)
    report = write_outcome(report, arrays, stored)
    for path in outputs:
        write_outcome(report, arrays, path)
    _print_report(report, outputs[0] if outputs else stored, fail_on=settings.fail_on, as_json=as_json)
    raise typer.Exit(exit_code(report.verdict, report.gates, settings.fail_on))


def _output(text: str) -> Path:
    kind, colon, path = text.partition(":")
    if kind not in FORMATS or not colon or not path:
        raise RobustrecError(
            f"cannot write {text!r}",
            where="--output-format",
            fix="formats there are: json:PATH, for example json:report.json",
        )
    return Path(path)


def _stored_path(plan: Plan, report: Report) -> Path:
    name = f"{report.created:%Y%m%dT%H%M%S%f}-{plan.dataset.name}-{plan.suite.name}.json"
    return plan.home / "reports" / name


def _announce(plan: Plan, *, quiet: bool) -> None:
    from robustrec.audits.plan import cost_of

    cost = cost_of(plan)
    say(
        f"{plan.dataset.name} ({plan.dataset.edition} edition), suite {plan.suite.name}: "
        f"at most {cost.trainings} trainings and {cost.rankings} full rankings",
        quiet=quiet,
    )


def _print_plan(plan: Plan, *, as_json: bool) -> None:
    from robustrec.audits.plan import cost_of
    from robustrec.runs.specs import spec_json

    cost = cost_of(plan)
    console = data_console()
    content = {
        "dataset": {
            "name": plan.dataset.name,
            "edition": plan.dataset.edition,
            "digest": plan.dataset.digest,
        },
        "suite": plan.suite.model_dump(mode="json"),
        "features": plan.encoder,
        "subjects": [spec_json(spec) for spec in plan.specs],
        "cost": {"trainings": cost.trainings, "rankings": cost.rankings},
    }
    if as_json:
        console.print_json(data=content)
        return
    console.print(f"data set   {plan.dataset.name}, {plan.dataset.edition} edition", markup=False)
    console.print(f"suite      {plan.suite.name}: {plan.suite.description}", markup=False)
    console.print(f"features   {plan.encoder or 'none read'}", markup=False)
    for spec in plan.specs:
        effort = (
            f"at most {spec.training.max_epochs} epochs, {spec.strategy.passes_per_step:.2f} passes a step"
            if spec.trains
            else f"{spec.origin}, nothing to train"
        )
        console.print(
            f"subject    {spec.model}/{spec.strategy_name} seed {spec.seed} ({effort})",
            markup=False,
        )
    console.print(
        f"cost       at most {cost.trainings} trainings and {cost.rankings} full rankings; nothing was run",
        markup=False,
    )


def _print_report(report: Report, path: Path, *, fail_on: FailOn, as_json: bool) -> None:
    from robustrec.reporting.console import print_report

    if as_json:
        sys.stdout.write(report.model_dump_json(indent=1) + "\n")
    else:
        print_report(report, data_console(), location=path, fail_on=fail_on)
