"""Print a plan and a reproduction."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console

from robustrec.reproduce.cost import EPOCHS, duration_words
from robustrec.reproduce.plan import ReproductionPlan
from robustrec.reproduce.result import Reproduction
from robustrec.reproduce.rows import NO_TABLE
from robustrec.reproduce.sections import headline, sections_of
from robustrec.sheet import Sheet


def print_reproduction(report: Reproduction, console: Console) -> None:
    """Print all sections."""
    sheet = Sheet(console)
    sheet.line(headline(report), "bold")
    for warning in report.warnings:
        sheet.line(f"warning: {warning}", "bold yellow")
    for section in sections_of(report):
        sheet.heading(section.title)
        for line in section.lines:
            sheet.line(line)
        if section.columns:
            sheet.table(section.columns, section.rows, ruled=False)


def print_plan(plan: ReproductionPlan, console: Console) -> None:
    """Print the rows, what each needs, what is missing, and the cost."""
    sheet = Sheet(console)
    rows, seconds, count = [], 0.0, 0
    for group in plan.groups:
        costs, numbers = dict.fromkeys(group.models, 0.0), dict.fromkeys(group.models, 0)
        for job, expected in plan.trainings(group):
            costs[job.spec.model] += expected
            numbers[job.spec.model] += 1
        seconds += sum(costs.values()) + plan.searches(group)
        count += sum(numbers.values())
        missing = group.inputs.missing
        for model, cost in costs.items():
            tables = sorted({key.table for key in group.rows if key.model == model} - {NO_TABLE})
            rows.append(
                [
                    group.place.name,
                    f"{model}/{group.kind}",
                    ", ".join(group.strategies(model)),
                    ", ".join(map(str, tables)) or "-",
                    "missing" if missing else str(numbers[model]),
                    "-" if missing else duration_words(cost),
                ]
            )
    sheet.table(["data set", "rows", "strategies", "tables", "trainings", "about"], rows, ruled=False)
    _print_notes(plan, sheet)
    if plan.asked.trials and count:
        sheet.line(
            f"{plan.asked.trials} trials of each strategy on validation, each the gradient evaluations of"
            f" {plan.asked.tune_epochs} epochs of plain training"
        )
    sheet.line(
        f"{count} trainings, about {duration_words(seconds)} on {'a GPU' if plan.speed.gpu else 'two CPU cores'}, if"
        f" trainings until early stopping take {EPOCHS} epochs; stored trainings are not repeated"
        if count
        else "0 trainings: every row lacks an input",
        "bold",
    )


def _print_notes(plan: ReproductionPlan, sheet: Sheet) -> None:
    missing: dict[tuple[str, str], list[str]] = {}
    stand: dict[str, list[str]] = {}
    for group in plan.groups:
        name = f"{group.place.name} {group.kind}"
        if group.inputs.missing:
            missing.setdefault((group.inputs.missing.what, group.inputs.missing.fix), []).append(name)
        for each in (*group.inputs.unlike, *group.inputs.substitutes):
            stand.setdefault(each, []).append(name)
    if missing:
        sheet.heading("Missing inputs")
    for (what, fix), names in missing.items():
        sheet.line(f"{what} ({_all(names)})")
        sheet.line(fix, indent=4)
    if stand:
        sheet.heading("Substitutes")
    for each, names in stand.items():
        sheet.line(f"{each} ({_all(names)})")
    sheet.line("")


def _all(names: Sequence[str]) -> str:
    return ", ".join(dict.fromkeys(names))
