"""`robustrec compare --model …`: strategies at equal budget, over several training seeds."""

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


class Asked(NamedTuple):
    """Options of a strategy comparison that are not settings.

    Attributes:
        epochs: epochs of vanilla training; the budgets are derived from it.
        reference: strategy the others are compared with.
        budgets: budgets at which each strategy is trained.
        draws: number of noise draws.
        edits: names of merchant edits; None for the default edits.
        edit_draws: number of random choices of the edited items.
        sigma2: variances of the noise.
        relative: noise norms relative to the norms of the features.
        triples: training triples of the loss that the Hessian is taken of.
        probes: random probes of the Hessian trace estimate.
        steps: Hessian-vector products for λ₁.
        output: JSON file, in addition to the one in the home folder.
        dry_run: print the cost without running it.
        as_json: print JSON instead of tables.
        quiet: hide progress and messages.
    """

    epochs: int
    reference: str
    budgets: tuple[Budget, ...]
    draws: int
    edits: tuple[str, ...] | None
    edit_draws: int
    sigma2: tuple[float, ...]
    relative: tuple[float, ...]
    triples: int
    probes: int
    steps: int
    output: Path | None
    dry_run: bool
    as_json: bool
    quiet: bool


def compare_strategies(settings: Settings, asked: Asked) -> None:
    """Plan, run, print and store a comparison.

    Raises:
        RobustrecError: as planning and running it.
    """
    from robustrec.api.strategies import run_comparison_plan
    from robustrec.audits.noise.condition import NoiseCondition
    from robustrec.comparison.console import print_comparison
    from robustrec.comparison.edits import EDITS
    from robustrec.comparison.run import Effort, plan_comparison
    from robustrec.engine.names import LOCAL, check_engine, engine_words
    from robustrec.hardware import set_numerics
    from robustrec.object_store import check_store

    check_engine(settings.engine)
    check_store(settings.store, offline=settings.offline)
    set_numerics(settings.threads)
    with progress_bars(quiet=asked.quiet) as progress:
        plan = plan_comparison(settings, asked.epochs, asked.reference, budgets=asked.budgets, progress=progress)
    conditions = (
        *(NoiseCondition(amount) for amount in asked.sigma2),
        *(NoiseCondition(amount, relative=True) for amount in asked.relative),
    )
    cost = (
        f"{plan.trainings} training runs, including stored ones; {plan.gradients:,} gradient evaluations at equal"
        " budgets"
        + (
            f"; at most {plan.edited_encodings:,} encodings of edited items for training"
            if plan.edited_encodings
            else ""
        )
    )
    say(f"{plan.dataset.name} ({plan.dataset.edition} edition): {cost}", quiet=asked.quiet and not asked.dry_run)
    if settings.engine != LOCAL or settings.workers > 1:
        say(f"engine: {engine_words(settings)}", quiet=asked.quiet and not asked.dry_run)
    if plan.users:
        say(f"note: users: {plan.users} is ranked", quiet=asked.quiet and not asked.dry_run)
    for warning in plan.warnings:
        say(f"warning: {warning}", quiet=asked.quiet and not asked.dry_run)
    if asked.dry_run:
        for each in plan.weights:
            say(f"weights of {each.network}: {each.name}, digest {each.digest[:16]}")
        return
    stored = settings.home / "reports" / f"{datetime.now(UTC):%Y%m%dT%H%M%S%f}-{plan.dataset.name}-strategies.json"
    paths = [stored, *([asked.output] if asked.output else [])]
    check_outputs([("the home folder", stored), *([("--output", asked.output)] if asked.output else [])])
    edits = EDITS if asked.edits is None else asked.edits
    effort = Effort(conditions, asked.draws, asked.triples, asked.probes, asked.steps, edits, asked.edit_draws)
    with progress_bars(quiet=asked.quiet) as progress:
        report = run_comparison_plan(
            plan, effort, command=recorded_command(["robustrec", *sys.argv[1:]]), progress=progress
        )
    text = report.model_dump_json(indent=1) + "\n"
    for path in paths:
        write_atomically(path, text)
    if asked.as_json:
        write_json_text(text)
    else:
        print_comparison(report, data_console())
        say(f"written: {paths[-1]}", quiet=asked.quiet)
