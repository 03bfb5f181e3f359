"""Sections with tables."""

from __future__ import annotations

from typing import NamedTuple

from markupsafe import Markup

from robustrec.reading.cause import EXPLANATION as CAUSE_EXPLANATION
from robustrec.reading.cause import cause_tables
from robustrec.reading.cold_start import cold_table
from robustrec.reading.conditions import condition_words
from robustrec.reading.content_use import content_free_of, use_table
from robustrec.reading.glance import at_a_glance, drift_text
from robustrec.reading.guarantee import GUARANTEE, guarantee_section
from robustrec.reading.migration import EXPLANATION as MIGRATION_EXPLANATION
from robustrec.reading.migration import migration_tables
from robustrec.reading.names import headline
from robustrec.reading.recommendation import recommend
from robustrec.reading.segments import exposure_section, segment_section
from robustrec.reading.summary import Summary
from robustrec.report.html.environment import section
from robustrec.report.tables.comparison import IDENTICAL, NO_DIFFERENCE, meaning
from robustrec.report.tables.encoder import encoder_section
from robustrec.report.tables.values import value_tables
from robustrec.results.findings import CLEAN, ENCODER

NOTHING = Markup()
MOST_COMPARISONS = 40
_SAYS_NOTHING = (NO_DIFFERENCE, IDENTICAL)


def models(summary: Summary) -> Markup:
    """Return the models and strategies, with their content use before every other number."""
    return section(
        "models",
        summary=summary,
        glance=at_a_glance(summary),
        advice=recommend(summary),
        content=use_table(summary.report),
        seeds=max((len(each.subjects) for each in summary.candidates), default=0),
    )


def recommendation(summary: Summary) -> Markup:
    """Return the recommendation with all its conditions, and the commands that meet those that are not met."""
    return section("recommendation", advice=recommend(summary))


def cold(summary: Summary) -> Markup:
    """Return the quality on cold items."""
    table = cold_table(summary)
    return section("cold", summary=summary, cold=table) if table else NOTHING


class ComparisonRow(NamedTuple):
    """Difference of a subject from its reference."""

    subject: str
    reference: str
    condition: str
    metric: str
    difference: str
    meaning: str


def compared(summary: Summary) -> Markup:
    """Return the comparisons in the headline metrics: all of clean quality, and the significant ones of drift."""
    content_free = content_free_of(summary.report)
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
            meaning(row, content_free),
        )
        for row in chosen[:MOST_COMPARISONS]
    ]
    if not shown:
        return NOTHING
    return section(
        "compared",
        summary=summary,
        rows=shown,
        left_out=len(chosen) - len(shown),
        unclear=len(rows) - len(chosen),
        metrics=list(metrics),
    )


def causes(summary: Summary) -> Markup:
    """Return the causes of the drift under merchant edits."""
    tables = cause_tables(summary)
    return section("titled", tables=tables, explanation=CAUSE_EXPLANATION) if tables else NOTHING


def migration(summary: Summary) -> Markup:
    """Return the drift under a migration to another encoder."""
    tables = migration_tables(summary)
    return section("titled", tables=tables, explanation=MIGRATION_EXPLANATION) if tables else NOTHING


def encoder(summary: Summary) -> Markup:
    """Return the response of the encoder to edits."""
    rows = [row for row in summary.report.findings if row.audit == ENCODER]
    if not rows:
        return NOTHING
    own = [row for row in rows if row.subject == rows[0].subject]
    return section("encoder", encoder=encoder_section(own, summary.level))


def guarantee(summary: Summary) -> Markup:
    """Return the statements on items that are edited one at a time."""
    rows = [row for row in summary.report.findings if row.audit == GUARANTEE and row.reference == CLEAN]
    if not rows:
        return NOTHING
    return section("guarantee", guarantee=guarantee_section(rows, summary.names, summary.level))


def segments(summary: Summary) -> Markup:
    """Return the drifts of segments of the users."""
    table = segment_section(summary.report, summary.names, summary.level)
    return section("segments", title="Segments of the users", table=table) if table else NOTHING


def item_groups(summary: Summary) -> Markup:
    """Return the exposure of groups of items."""
    table = exposure_section(summary.report, summary.names, summary.level)
    return section("segments", title="Exposure of groups of items", table=table) if table else NOTHING


def values(summary: Summary) -> Markup:
    """Return the other measures of each audit."""
    tables = value_tables(summary)
    return section("values", values=tables) if tables else NOTHING
