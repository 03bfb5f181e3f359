"""Print a recipe race."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from robustrec.comparison.budget import BUDGET_WORDS
from robustrec.comparison.console import print_sources
from robustrec.comparison.race.result import Gain, ModelRace, RaceReport
from robustrec.comparison.result import Mean
from robustrec.results.numbers import bracketed, percent, plain
from robustrec.sheet import Sheet

WIDE = 120
"""Console width from which exposure, overlap and degrees of freedom are shown."""


def print_race(report: RaceReport, console: Console) -> None:
    """Print the recommendation of each model first, then the statement and the selection behind it."""
    sheet, data = Sheet(console), report.dataset
    kind = f"{data.name}, {data.edition} edition" + (" (synthetic data)" if data.synthetic else "")
    edits = f", {report.draws} draws of {', '.join(report.edits)} on all items" if report.draws else ""
    sheet.line(
        f"{kind}: {report.n_users:,} users, features {report.features or 'none'}; objective: {report.objective}{edits};"
        f" {100 * report.level:g} % intervals over seeds, draws and users"
    )
    print_sources(sheet, report.features, report.weights, report.warnings)
    for model in report.models:
        _print_model(report, model, sheet)
    sheet.line(
        f"Settings were chosen by validation with training seeds {_listed(report.selection_seeds)}; the statement is on"
        f" test with seeds {_listed(report.seeds)}. p-values are corrected (Holm) over the finalists of a budget;"
        " intervals are not. * trainings ended before early stopping."
    )


def _listed(seeds: tuple[int, ...]) -> str:
    return ", ".join(map(str, seeds))


def _print_model(report: RaceReport, model: ModelRace, sheet: Sheet) -> None:
    sheet.heading(f"{model.model}: recommendation")
    sheet.paragraph(Text(model.headline), indent=1, hanging=1)
    for each in model.requirements:
        sheet.paragraph(Text(f"{'met' if each.met else 'not met'}: {each.name}: {each.text}"), indent=1, hanging=3)
    sheet.line(f"reference: {model.given}", indent=1)
    for budget in dict.fromkeys(gain.budget for gain in model.gains):
        sheet.heading(f"{model.model}, {BUDGET_WORDS[budget]}: finalists on test, {len(report.seeds)} fresh seeds")
        _print_gains(report, [gain for gain in model.gains if gain.budget == budget], sheet)
    sheet.heading(f"{model.model}: selection by validation, {len(report.selection_seeds)} training seed(s)")
    rows = [
        [
            f"{100 * each.share:.0f} %",
            each.arm,
            str(each.epochs),
            str(each.gradients),
            plain(each.score),
            percent(each.left),
            each.dropped or "goes on",
        ]
        for each in model.scores
    ]
    sheet.table(
        ["budget", "arm", "epochs", "gradients", "score", "left without content", "result"], rows, numbers_from=2
    )


def _print_gains(report: RaceReport, gains: list[Gain], sheet: Sheet) -> None:
    wide = sheet.console.width >= WIDE
    names = ["arm", "epochs", report.objective, "difference", f"{100 * report.level:g} %", "p (Holm)", "clean", "left"]
    names += ["exposure", "overlap", "degrees"] if wide else []
    rows = []
    for gain in gains:
        difference, clean = gain.difference, gain.clean_difference
        row = [
            gain.name,
            f"{gain.epochs}{'*' if gain.cut_off else ''}",
            plain(gain.objective.estimate),
            "reference" if difference is None else plain(difference.estimate, signed=True),
            "" if difference is None else bracketed(difference.low, difference.high, plain, signed=True),
            "" if gain.p_adjusted is None else f"{gain.p_adjusted:.3f}",
            "" if clean is None else f"{percent(clean.estimate, signed=True)} {_around(clean)}".rstrip(),
            percent(gain.left.estimate) if gain.left else "-",
        ]
        more = [
            plain(gain.exposure.estimate, signed=True) if gain.exposure else "-",
            plain(gain.overlap.estimate) if gain.overlap else "-",
            "" if gain.degrees is None else f"{gain.degrees:.1f}",
        ]
        rows.append([*row, *more] if wide else row)
    sheet.table(names, rows, numbers_from=1)
    given = ", ".join(f"{gain.arm} {gain.gradients:,}" for gain in gains)
    sheet.line(f"gradient evaluations: {given}", indent=1)


def _around(found: Mean) -> str:
    return bracketed(found.low, found.high, percent, signed=True)
