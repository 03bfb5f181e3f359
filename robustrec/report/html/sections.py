"""The sections of the page in their order; each is a function from a summary to its content, empty to leave it out."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from markupsafe import Markup

from robustrec.reading.summary import Summary
from robustrec.report.html import figure_sections, setup_sections, table_sections
from robustrec.report.html.environment import Part


class Section(NamedTuple):
    """A section: id, heading, entry in the contents, and the function that makes its content."""

    key: str
    title: str
    short: str
    body: Callable[[Summary], Markup]


SECTIONS = (
    Section("models", "Models", "Models", table_sections.models),
    Section("recommendation", "Recommendation", "Recommendation", table_sections.recommendation),
    Section("compared", "Comparison with another strategy or a baseline", "Comparisons", table_sections.compared),
    Section("cold", "Cold start", "Cold start", table_sections.cold),
    Section("edits", "Edits × models", "Edits × models", figure_sections.edits),
    Section("user", "What one edit does to one user", "One user", figure_sections.user),
    Section("noise", "Noise and severity", "Noise and severity", figure_sections.noise),
    Section("drift", "Drift of quality", "Drift", figure_sections.drift),
    Section("fragile", "The most fragile items", "Fragile items", figure_sections.fragile),
    Section("pictures", "The edits on your own products", "Edits in pictures", figure_sections.pictures),
    Section("worst", "Worst and best edits of an item", "Worst edits", figure_sections.worst),
    Section("guarantee", "Guarantee: items edited one at a time", "Guarantee", table_sections.guarantee),
    Section("segments", "Segments of the users", "Segments", table_sections.segments),
    Section("item-groups", "Exposure of groups of items", "Groups of items", table_sections.item_groups),
    Section("causes", "Causes of the drift under merchant edits", "Causes", table_sections.causes),
    Section("migration", "Migration to another encoder", "Migration", table_sections.migration),
    Section("encoder", "Encoder response to edits", "Encoder", table_sections.encoder),
    Section("flatness", "Rank correlation of sharpness and drift", "Flatness", figure_sections.flatness),
    Section("shapes", "Spectra and landscapes", "Landscapes", figure_sections.shapes),
    Section("values", "Other measures", "Other measures", table_sections.values),
    Section("gates", "Gates", "Gates", setup_sections.gates),
    Section("findings", "Findings", "Findings", setup_sections.findings),
    Section("run", "Data and setup", "Data and setup", setup_sections.run),
    Section("words", "Glossary", "Glossary", setup_sections.words),
)


def parts_of(summary: Summary) -> list[Part]:
    """Return the sections that have content."""
    made = [Part(each.key, each.title, each.short, each.body(summary)) for each in SECTIONS]
    return [part for part in made if part.body]
