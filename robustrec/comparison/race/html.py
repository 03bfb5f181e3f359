"""A recipe race as an HTML page."""

from __future__ import annotations

from robustrec.comparison.budget import BUDGET_WORDS
from robustrec.comparison.figures import race_figures
from robustrec.comparison.race.result import Gain, RaceReport
from robustrec.comparison.result import Mean
from robustrec.report.html.environment import render
from robustrec.results.numbers import bracketed, percent, plain


def race_page(report: RaceReport) -> str:
    """Return a race as one HTML document, the same bytes for the same race."""
    models = [
        {
            "race": model,
            "budgets": [
                {
                    "words": BUDGET_WORDS[budget],
                    "rows": [_cells(gain) for gain in model.gains if gain.budget == budget],
                    "figures": race_figures([gain for gain in model.gains if gain.budget == budget], report.objective),
                }
                for budget in dict.fromkeys(gain.budget for gain in model.gains)
            ],
            "scores": [
                [
                    f"{100 * each.share:.0f} %",
                    each.arm,
                    str(each.epochs),
                    f"{each.gradients:,}",
                    plain(each.score),
                    percent(each.left),
                    each.dropped or "goes on",
                ]
                for each in model.scores
            ],
        }
        for model in report.models
    ]
    context = {
        "report": report,
        "models": models,
        "level": f"{100 * report.level:g} %",
        "margin": percent(report.margin),
        "selection": ", ".join(map(str, report.selection_seeds)),
        "fresh": ", ".join(map(str, report.seeds)),
    }
    return str(render("race.html.j2", **context))


def _cells(gain: Gain) -> list[str]:
    clean = gain.clean_difference
    return [
        gain.name,
        f"{gain.epochs}{' (cut off)' if gain.cut_off else ''}",
        f"{gain.gradients:,}",
        plain(gain.objective.estimate),
        "reference" if gain.difference is None else _with_interval(gain.difference),
        "" if gain.p_adjusted is None else f"{gain.p_adjusted:.3f}",
        "" if gain.degrees is None else f"{gain.degrees:.1f}",
        ""
        if clean is None
        else f"{percent(clean.estimate, signed=True)} {bracketed(clean.low, clean.high, percent, signed=True)}",
        "-" if gain.left is None else percent(gain.left.estimate),
        "-" if gain.exposure is None else plain(gain.exposure.estimate, signed=True),
        "-" if gain.overlap is None else plain(gain.overlap.estimate),
        gain.conclusion,
    ]


def _with_interval(found: Mean) -> str:
    return f"{plain(found.estimate, signed=True)} {bracketed(found.low, found.high, plain, signed=True)}".rstrip()
