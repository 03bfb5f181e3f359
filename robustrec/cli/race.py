"""`robustrec compare --model … --race`: strategies and settings, selected by validation and stated with fresh seeds."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from robustrec.cli.terminal import data_console, progress_bars, say
from robustrec.config import Settings
from robustrec.files import check_outputs, write_atomically
from robustrec.store_urls import recorded_command
from robustrec.streams import write_json_text

if TYPE_CHECKING:
    from robustrec.comparison.budget import Budget


class RaceOptions(NamedTuple):
    """Options of a race that are not settings.

    Attributes:
        epochs: epochs of vanilla training, from which the equal budget follows.
        reference: strategy that the others are compared with.
        budgets: of the statement; None for equal gradient evaluations and early stopping.
        arms: TOML file of arms, or None.
        finalists: arms other than the reference in the statement.
        selection_seeds: number of training seeds of the selection.
        margin: largest loss of clean quality, as a share.
        edits: names of merchant edits; None for the default edits.
        edit_draws: draws of the edits; None for the default.
        output: JSON file, in addition to the one in the home folder.
        html: HTML page, or None.
        dry_run: print the cost without running it.
        as_json: print JSON instead of tables.
        quiet: hide progress and messages.
    """

    epochs: int
    reference: str
    budgets: tuple[Budget, ...] | None
    arms: Path | None
    finalists: int
    selection_seeds: int
    margin: float
    edits: tuple[str, ...] | None
    edit_draws: int | None
    output: Path | None
    html: Path | None
    dry_run: bool
    as_json: bool
    quiet: bool


def race_strategies(settings: Settings, asked: RaceOptions) -> None:
    """Plan, run, print and store a race.

    Raises:
        RobustrecError: as planning and running it.
    """
    from robustrec.comparison.race.arms import read_arms
    from robustrec.comparison.race.console import print_race
    from robustrec.comparison.race.cost import cost_lines
    from robustrec.comparison.race.html import race_page
    from robustrec.comparison.race.plan import DECISIVE, EDIT_DRAWS, RACED_EDITS, plan_race
    from robustrec.comparison.race.run import run_race
    from robustrec.hardware import set_numerics
    from robustrec.object_store import check_store, shared_results

    check_store(settings.store, offline=settings.offline)
    set_numerics(settings.threads)
    with progress_bars(quiet=asked.quiet) as progress:
        plan = plan_race(
            settings,
            asked.epochs,
            asked.reference,
            listed=read_arms(asked.arms) if asked.arms else (),
            finalists=asked.finalists,
            selection_seeds=asked.selection_seeds,
            edits=RACED_EDITS if asked.edits is None else asked.edits,
            draws=asked.edit_draws or EDIT_DRAWS,
            margin=asked.margin,
            budgets=asked.budgets or DECISIVE,
            progress=progress,
        )
    quiet = asked.quiet and not asked.dry_run
    say(f"{plan.base.dataset.name} ({plan.base.dataset.edition} edition)", quiet=quiet)
    for line in cost_lines(plan):
        say(line, quiet=quiet)
    for warning in plan.base.warnings:
        say(f"warning: {warning}", quiet=quiet)
    if asked.dry_run:
        for each in plan.base.weights:
            say(f"weights of {each.network}: {each.name}, digest {each.digest[:16]}")
        return
    name = f"{datetime.now(UTC):%Y%m%dT%H%M%S%f}-{plan.base.dataset.name}-race.json"
    stored = settings.home / "reports" / name
    paths = [stored, *([asked.output] if asked.output else [])]
    outputs = [("the home folder", stored)]
    outputs += [(option, path) for option, path in (("--output", asked.output), ("--html", asked.html)) if path]
    check_outputs(outputs)
    with progress_bars(quiet=asked.quiet) as progress, shared_results(settings.store, offline=settings.offline):
        report = run_race(plan, command=recorded_command(["robustrec", *sys.argv[1:]]), progress=progress)
    text = report.model_dump_json(indent=1) + "\n"
    for path in paths:
        write_atomically(path, text)
    if asked.html is not None:
        write_atomically(asked.html, race_page(report))
    if asked.as_json:
        write_json_text(text)
    else:
        print_race(report, data_console())
        say(f"written: {paths[-1]}", quiet=asked.quiet)
