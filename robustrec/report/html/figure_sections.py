"""Sections with figures."""

from __future__ import annotations

from markupsafe import Markup

from robustrec.reading.break_points import break_points
from robustrec.reading.flatness import flatness_section
from robustrec.reading.over_seeds import mean_subject
from robustrec.reading.recommendation import recommend
from robustrec.reading.rerun import audit_again
from robustrec.reading.summary import Summary
from robustrec.reading.worst import worst_section
from robustrec.report.html.charts.cells import shade_key
from robustrec.report.html.drift_figures import drift_figures, noise_figures, severity_figures, without_curves
from robustrec.report.html.edited_items import edited_items, key_of_edit
from robustrec.report.html.environment import section
from robustrec.report.html.example_user import user_lists
from robustrec.report.html.figures import exhibit_figures, relation_figures, search_figures
from robustrec.report.html.fragile import fragile_cards
from robustrec.report.html.heatmap import heatmaps
from robustrec.report.tables.edits import edit_table
from robustrec.results.exhibits import EditedItem
from robustrec.subject import Subject

NOTHING = Markup()
MOST_TABLES, MOST_CURVES_OPEN = 8, 6


def drift(summary: Summary) -> Markup:
    """Return the drifts of quality under each audit."""
    drifts = drift_figures(summary)
    return section("drift", summary=summary, drifts=drifts) if drifts.plots else NOTHING


def noise(summary: Summary) -> Markup:
    """Return the drift by amount of noise and by severity of edits, and the noise tolerance."""
    (figures, others), points = noise_figures(summary), break_points(summary)
    curves = severity_figures(summary, MOST_CURVES_OPEN)
    if not figures.plots and not points and not curves.plots:
        return NOTHING
    return section(
        "noise",
        summary=summary,
        noise=figures,
        others=others,
        break_points=points,
        severity=curves,
        milder=severity_figures(summary, after=MOST_CURVES_OPEN),
        without_curves=without_curves(summary),
    )


def edits(summary: Summary) -> Markup:
    """Return the drift under merchant edits: edits × models, and what each edit does to edited items and ranks."""
    maps = heatmaps(summary)
    tables = [table for subject in _shown(summary) if (table := edit_table(summary, subject))]
    if not maps and not tables:
        return NOTHING
    pictured = {each.edit: key_of_edit(each.edit) for each in summary.report.exhibits if isinstance(each, EditedItem)}
    return section("edits", summary=summary, maps=maps, shades=shade_key(), tables=tables, pictured=pictured)


def user(summary: Summary) -> Markup:
    """Return what one edit does to one user."""
    lists = user_lists(summary)
    return section("user", user=lists) if lists else NOTHING


def pictures(summary: Summary) -> Markup:
    """Return one item under each edit."""
    edited = edited_items(summary, heatmaps(summary))
    return section("pictures", edited=edited) if edited else NOTHING


def _shown(summary: Summary) -> list[Subject]:
    """Return the subjects with a table of edits, the recommended one first."""
    chosen = recommend(summary).chosen
    ordered = sorted(summary.candidates, key=lambda candidate: candidate.name != chosen)
    return [mean_subject(candidate.subjects) for candidate in ordered][:MOST_TABLES]


def fragile(summary: Summary) -> Markup:
    """Return the cards of the most fragile items."""
    cards, more = fragile_cards(summary)
    return section("fragile", cards=cards, more_cards=more) if cards else NOTHING


def worst(summary: Summary) -> Markup:
    """Return the worst and best edits that a search found."""
    found = worst_section(summary.report)
    return section("worst", worst=found, searches=search_figures(summary)) if found else NOTHING


def flatness(summary: Summary) -> Markup:
    """Return the rank correlation of sharpness and drift."""
    if not summary.report.relations:
        return NOTHING
    return section(
        "flatness",
        flatness=flatness_section(summary.report.relations),
        relations=relation_figures(summary),
        command=audit_again(summary.report, "--seeds", "5"),
    )


def shapes(summary: Summary) -> Markup:
    """Return spectra and landscapes."""
    figures = exhibit_figures(summary)
    return section("shapes", exhibits=figures) if figures.plots else NOTHING
