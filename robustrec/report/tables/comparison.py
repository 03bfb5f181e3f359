"""The console table of differences between strategies, each with its conclusion."""

from __future__ import annotations

from collections.abc import Collection

from robustrec.evaluation.kinds import KINDS, kind_of
from robustrec.reading.content_use import Key, compares_trivial, content_free_of
from robustrec.reading.names import headline
from robustrec.report.console.sheet import Page
from robustrec.report.tables.merchant import MERCHANT
from robustrec.results.conditions import ALL, SEEN, UNSEEN
from robustrec.results.findings import CLEAN, Finding
from robustrec.results.numbers import bracketed, percent, plain

_MOST_ROWS = 16

NO_DIFFERENCE = "no significant difference"
"""Conclusion for an interval that contains 0."""

IDENTICAL = "identical"
"""Conclusion for an interval that is exactly 0."""


TRIVIAL = "none: content-free"
"""Conclusion on the drift of a subject that ignores content, or against one: it withstands every edit."""


def print_comparisons(page: Page) -> None:
    """Print the difference of each strategy from its reference, in clean quality and in drift."""
    content_free = content_free_of(page.report)
    rows = [finding for finding in page.findings if finding.reference != CLEAN]
    for reference in dict.fromkeys(finding.reference for finding in rows):
        of_reference = [finding for finding in rows if finding.reference == reference]
        metrics = headline(of_reference)
        chosen = _shown([finding for finding in of_reference if finding.metric in metrics])
        page.heading(f"compared with {reference}: clean quality and drift, {page.level} intervals")
        both = [reference, "subject's"] if page.wide else []
        table = []
        for finding in sorted(chosen, key=lambda each: each.audit != CLEAN)[:_MOST_ROWS]:
            condition = "clean" if finding.audit == CLEAN else finding.condition.label
            word = meaning(finding, content_free)
            table.append([condition, finding.metric, page.names[finding.subject], *_numbers(page, finding), word])
        page.table(
            ["condition", "metric", "subject", *both, "difference", page.level, "conclusion"], table, numbers_from=3
        )
        if len(of_reference) > len(table):
            page.line(f"and {len(of_reference) - len(table)} more comparisons in the JSON report", indent=1)


def _shown(findings: list[Finding]) -> list[Finding]:
    """Return the rows for the console: of many merchant edits only their mean."""
    pooled = any(finding.condition.edit == ALL for finding in findings)
    means = (ALL, SEEN, UNSEEN)
    return [row for row in findings if row.audit != MERCHANT or not pooled or row.condition.edit in means]


def _numbers(page: Page, finding: Finding) -> list[str]:
    signed = finding.audit != CLEAN
    both = [plain(number, signed=signed) for number in (finding.clean, finding.perturbed)] if page.wide else []
    if finding.relative_drift is not None:
        difference = percent(finding.relative_drift, signed=True)
        interval = bracketed(finding.relative_ci_low, finding.relative_ci_high, percent, signed=True)
    else:
        difference = plain(finding.drift, signed=True)
        interval = bracketed(finding.ci_low, finding.ci_high, plain, signed=True)
    return [*both, difference, interval]


def meaning(finding: Finding, content_free: Collection[Key] = ()) -> str:
    """Return the conclusion from a difference between strategies; an interval that contains 0 is not significant.

    Args:
        finding: the difference.
        content_free: what `content_free_of` returns: no drift of these candidates has a conclusion.
    """
    clean, perturbed, low, high = finding.clean, finding.perturbed, finding.ci_low, finding.ci_high
    trivial = compares_trivial(finding, content_free)
    if trivial or clean is None or perturbed is None or low is None or high is None:
        return TRIVIAL if trivial else "unknown"
    if low <= 0 <= high:
        return IDENTICAL if low == high == 0 else NO_DIFFERENCE
    if finding.audit == CLEAN:
        kind = KINDS.get(kind_of(finding.metric))
        if kind is not None and kind.better is None:
            return "higher" if low > 0 else "lower"
        return "better" if (low > 0) == (kind is None or kind.better == 1) else "worse"
    if clean * perturbed < 0:
        return "drifts in the other direction"
    return "drifts less" if abs(perturbed) < abs(clean) else "drifts more"
