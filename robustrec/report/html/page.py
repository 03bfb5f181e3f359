"""Render a report as an HTML page."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from robustrec.reading.advice import lines_that_matter
from robustrec.reading.break_points import break_points
from robustrec.reading.cause import EXPLANATION as CAUSE_EXPLANATION
from robustrec.reading.cause import cause_tables
from robustrec.reading.cold_start import cold_table
from robustrec.reading.conditions import condition_words
from robustrec.reading.content_use import use_table
from robustrec.reading.flatness import flatness_section
from robustrec.reading.glance import at_a_glance, drift_text
from robustrec.reading.glossary import glossary
from robustrec.reading.guarantee import GUARANTEE, GuaranteeSection, guarantee_section
from robustrec.reading.migration import EXPLANATION as MIGRATION_EXPLANATION
from robustrec.reading.migration import migration_tables
from robustrec.reading.names import headline
from robustrec.reading.over_seeds import mean_subject
from robustrec.reading.recommendation import recommend
from robustrec.reading.segments import exposure_section, segment_section
from robustrec.reading.summary import Summary, cautions, summary_of
from robustrec.reading.texts import shortened, visible
from robustrec.reading.worst import worst_section
from robustrec.report.html.figures import (
    Figures,
    drift_figures,
    exhibit_figures,
    noise_figures,
    relation_figures,
    search_figures,
    severity_figures,
    without_curves,
)
from robustrec.report.html.fragile import fragile_cards
from robustrec.report.tables.comparison import IDENTICAL, NO_DIFFERENCE, meaning
from robustrec.report.tables.edits import edit_table
from robustrec.report.tables.encoder import EncoderSection, encoder_section
from robustrec.report.tables.values import value_tables
from robustrec.results.findings import CLEAN, ENCODER, Finding
from robustrec.results.numbers import bracketed, percent, plain
from robustrec.results.report import Report
from robustrec.results.wording import weights_lines
from robustrec.subject import Subject

MOST_FINDINGS = 3000
"""Largest number of rows in the table of the page; JSON, CSV and Parquet have all rows."""
_LONGEST, _LONGEST_CELL = 4000, 160


def html_page(report: Report) -> str:
    """Return a report as one HTML document, the same bytes for the same report.

    All texts from data are escaped, and control and direction characters are replaced.
    """
    summary = summary_of(report)
    cards, more_cards = fragile_cards(summary)
    context = {
        "report": report,
        "summary": summary,
        "advice": recommend(summary),
        "lines": lines_that_matter(summary),
        "glance": at_a_glance(summary),
        "drifts": drift_figures(summary),
        "noise": noise_figures(summary),
        "break_points": break_points(summary),
        "without_curves": without_curves(summary),
        "severity": severity_figures(summary, MOST_CURVES_OPEN),
        "milder": severity_figures(summary, after=MOST_CURVES_OPEN),
        "edits": [table for subject in _shown(summary) if (table := edit_table(summary, subject))],
        "causes": cause_tables(summary),
        "cause_explanation": CAUSE_EXPLANATION,
        "migrations": migration_tables(summary),
        "migration_explanation": MIGRATION_EXPLANATION,
        "values": value_tables(summary),
        "comparisons": _comparisons(summary),
        "relations": relation_figures(summary),
        "flatness": flatness_section(report.relations),
        "cautions": cautions(report),
        "cold": cold_table(summary),
        "content": use_table(report),
        "encoder": _encoder(summary),
        "worst": worst_section(report),
        "searches": search_figures(summary),
        "guarantee": _guarantee(summary),
        "segments": segment_section(report, summary.names, summary.level),
        "item_groups": exposure_section(report, summary.names, summary.level),
        "exhibits": exhibit_figures(summary),
        "cards": cards,
        "more_cards": more_cards,
        "findings": _finding_rows(summary),
        "more_findings": max(0, len(summary.shown) - MOST_FINDINGS),
        "run": _run_tables(summary),
        "glossary": glossary(report),
    }
    return page_environment().get_template("page.html.j2").render(context)


@functools.cache
def page_environment() -> Environment:
    """Return the template environment, with escaping and errors for unknown names."""
    environment = Environment(
        loader=PackageLoader("robustrec.report.html"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=_finalized,
    )
    environment.filters["figures"] = _has_figures
    environment.filters["words"] = condition_words
    return environment


def _finalized(value: Any) -> Any:
    return shortened(visible(value), _LONGEST) if isinstance(value, str) and not isinstance(value, Markup) else value


def _has_figures(figures: Figures) -> bool:
    return bool(figures.plots)


MOST_TABLES, MOST_COMPARISONS, MOST_CURVES_OPEN = 8, 40, 6
_SAYS_NOTHING = (NO_DIFFERENCE, IDENTICAL)


def _shown(summary: Summary) -> list[Subject]:
    """Return the subjects with a table of edits, the recommended one first."""
    chosen = recommend(summary).chosen
    ordered = sorted(summary.candidates, key=lambda candidate: candidate.name != chosen)
    return [mean_subject(candidate.subjects) for candidate in ordered][:MOST_TABLES]


def _encoder(summary: Summary) -> EncoderSection | None:
    rows = [row for row in summary.report.findings if row.audit == ENCODER]
    return encoder_section([row for row in rows if row.subject == rows[0].subject], summary.level) if rows else None


def _guarantee(summary: Summary) -> GuaranteeSection | None:
    rows = [row for row in summary.report.findings if row.audit == GUARANTEE and row.reference == CLEAN]
    return guarantee_section(rows, summary.names, summary.level) if rows else None


class ComparisonRow(NamedTuple):
    """Difference of a subject from its reference."""

    subject: str
    reference: str
    condition: str
    metric: str
    difference: str
    meaning: str


class Comparisons(NamedTuple):
    """The shown comparisons, the number of others, and the number and metrics of those that are not significant."""

    shown: list[ComparisonRow]
    left_out: int
    unclear: int
    metrics: list[str]


def _comparisons(summary: Summary) -> Comparisons:
    """Return the comparisons in the headline metrics: all of clean quality, and the significant ones of drift."""
    rows = [row for row in summary.shown if row.reference != CLEAN]
    metrics = headline(rows)
    rows = sorted((row for row in rows if row.metric in metrics), key=lambda row: row.audit != CLEAN)
    telling = [row for row in rows if row.audit == CLEAN or meaning(row) not in _SAYS_NOTHING]
    chosen = telling or rows
    shown = [
        ComparisonRow(
            summary.names.get(row.subject, row.subject.label),
            row.reference,
            "clean" if row.audit == CLEAN else f"{row.audit}: {condition_words(row.condition)}",
            row.metric,
            drift_text(row),
            meaning(row),
        )
        for row in chosen[:MOST_COMPARISONS]
    ]
    return Comparisons(shown, len(chosen) - len(shown), len(rows) - len(chosen), list(metrics))


class FindingRow(NamedTuple):
    """A finding in the table of the page."""

    subject: str
    audit: str
    condition: str
    metric: str
    clean: str
    perturbed: str
    drift: str
    interval: str
    relative: str
    relative_interval: str
    counts: str
    note: str


def _finding_rows(summary: Summary) -> list[FindingRow]:
    return [_finding_row(summary, row) for row in summary.shown[:MOST_FINDINGS]]


def _finding_row(summary: Summary, row: Finding) -> FindingRow:
    signed = row.quantity == "drift"
    against = "" if row.reference == CLEAN else f"against {row.reference}"
    beyond = ""
    if row.censored:
        beyond = f"above {plain(row.ci_low)}" if row.ci_high is None else f"below {plain(row.ci_high)}"
    unit = "" if row.unit.startswith("share") else f" {row.unit}"
    return FindingRow(
        subject=summary.names.get(row.subject, row.subject.label),
        audit=row.audit,
        condition=shortened(row.condition.label, _LONGEST_CELL),
        metric=shortened(row.metric, _LONGEST_CELL),
        clean=beyond or f"{plain(row.clean)}{unit if row.clean is not None else ''}",
        perturbed=plain(row.perturbed),
        drift=plain(row.drift, signed=True),
        interval=bracketed(row.ci_low, row.ci_high, plain, signed=signed),
        relative=percent(row.relative_drift, signed=True),
        relative_interval=bracketed(row.relative_ci_low, row.relative_ci_high, percent, signed=True),
        counts=f"{row.n_users} / {row.n_draws}",
        note=shortened("; ".join(text for text in (against, row.note) if text), _LONGEST_CELL),
    )


class Fact(NamedTuple):
    """A line of data and setup."""

    name: str
    text: str
    code: bool = False


def _run_tables(summary: Summary) -> list[tuple[str, Sequence[Fact]]]:
    report = summary.report
    data, environment, costs = report.dataset, report.environment, report.costs
    baseline = report.baseline
    edition = f"{data.edition}{', synthetic' if data.synthetic else ''}"
    facts = [
        Fact("command", " ".join(report.command), code=True),
        Fact("finished", f"{report.created:%Y-%m-%d %H:%M:%S %Z}"),
        Fact("suite", f"{report.suite.name}, {summary.level} confidence intervals"),
        Fact("suite digest", report.suite.digest, code=True),
        *([Fact("baseline", f"{baseline.file}, {baseline.created:%Y-%m-%d}")] if baseline else []),
    ]
    dataset = [
        Fact("name", data.name),
        Fact("edition", edition),
        Fact("users, items", f"{data.n_users:,}, {data.n_items:,}"),
        Fact("interactions", f"{data.n_train:,} train, {data.n_validation:,} validation, {data.n_test:,} test"),
        Fact("split", data.split.words if data.split else "not recorded"),
        *(Fact("skipped", f"{each.rows:,} rows: {each.reason}") for each in data.filters if each.rows),
        Fact("digest", data.digest, code=True),
        *(Fact("features", line) for line in weights_lines(report)),
    ]
    where = [
        Fact("robustrec", report.robustrec),
        Fact("python, torch, numpy", f"{environment.python}, {environment.torch}, {environment.numpy}"),
        Fact("platform", environment.platform),
        Fact("device", f"{environment.device}, {environment.threads} thread{'' if environment.threads == 1 else 's'}"),
    ]
    spent = [Fact(stage, f"{seconds:.1f} s") for stage, seconds in report.durations.items()]
    spent += [Fact(name, f"{count:,}") for name, count in costs.model_dump().items() if isinstance(count, int)]
    seeds = [Fact(name, str(seed)) for name, seed in report.seeds.items()]
    return [("Run", facts), ("Data", dataset), ("Versions", where), ("Time and costs", spent), ("Seeds", seeds)]
