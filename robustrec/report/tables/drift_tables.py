"""Console tables of drift, list stability and noise tolerance."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from robustrec.evaluation.kinds import STABILITY, kind_of
from robustrec.reading.cause import CAUSE
from robustrec.reading.guarantee import GUARANTEE
from robustrec.reading.migration import MIGRATION
from robustrec.reading.names import headline
from robustrec.reading.summary import summary_of
from robustrec.reading.worst import WORST
from robustrec.report.console.sheet import Page
from robustrec.report.tables.cause import print_causes
from robustrec.report.tables.encoder import print_encoder
from robustrec.report.tables.few_changed import print_few_changed
from robustrec.report.tables.guarantee import print_guarantee
from robustrec.report.tables.merchant import MERCHANT, print_merchant
from robustrec.report.tables.migration import print_migration
from robustrec.report.tables.sharpness import print_sharpness
from robustrec.report.tables.values import value_table
from robustrec.report.tables.worst import print_worst
from robustrec.results.conditions import Condition
from robustrec.results.findings import CLEAN, CONTENT_USE, ENCODER, Finding
from robustrec.results.numbers import NOTHING, as_given, bracketed, percent, plain
from robustrec.results.scale import SHARPNESS

_MOST_DETAILED = 3  # conditions of an audit with a table each; more become one sweep
_MOST_METRICS = 4
_MOST_ROWS = 48
_SWEEP_COLUMN = 25  # a relative drift with its interval, and the gap before it


_TABLES: dict[str, Callable[[Page, Sequence[Finding]], None]] = {
    MERCHANT: print_merchant,
    ENCODER: print_encoder,
    GUARANTEE: print_guarantee,
    SHARPNESS: print_sharpness,
}
_WHOLE_TABLES: dict[str, Callable[[Page], None]] = {
    CAUSE: print_causes,
    WORST: print_worst,
    MIGRATION: print_migration,
}
"""Audits with tables of their own, made from their findings or from the whole report."""


def print_drifts(page: Page) -> None:
    """Print drift, list stability and noise tolerance for each audit."""
    rows = [
        finding for finding in page.findings if finding.audit not in (CLEAN, CONTENT_USE) and finding.reference == CLEAN
    ]
    for audit in dict.fromkeys(finding.audit for finding in rows):
        of_audit = [finding for finding in rows if finding.audit == audit]
        _print_audit(page, audit, of_audit)
        if audit not in (CAUSE, WORST):  # a part that the scores ignore changes no user
            print_few_changed(page, of_audit)


def _print_audit(page: Page, audit: str, of_audit: Sequence[Finding]) -> None:
    if audit in _WHOLE_TABLES:
        _WHOLE_TABLES[audit](page)
        return
    if audit in _TABLES:
        _TABLES[audit](page, of_audit)
        return
    drifts = [finding for finding in of_audit if finding.quantity == "drift"]
    conditions = list(dict.fromkeys(finding.condition for finding in drifts))
    if len(conditions) <= _MOST_DETAILED:
        for condition in conditions:
            _print_condition(page, audit, condition, _where(drifts, condition))
    else:
        _print_sweep(page, audit, conditions, drifts)
    if any(each.name == audit for each in page.report.user_audits):
        _print_value_table(page, audit)
    else:
        _print_values(page, [finding for finding in of_audit if finding.quantity == "value"])


def _print_value_table(page: Page, audit: str) -> None:
    """Print the values of a user-defined audit, a row a measure and a column a subject."""
    table = value_table(summary_of(page.report), audit)
    if table is None:
        return
    page.heading(f"{audit}: measures ({page.level} intervals)")
    rows = [[row.measure, row.condition, row.unit, *row.cells] for row in table.rows]
    page.table(["measure", "condition", "unit", *table.subjects], rows, numbers_from=3)
    if table.left_out:
        page.line(f"and {table.left_out} more measures in the JSON report", indent=1)


def _where(findings: Iterable[Finding], condition: Condition) -> list[Finding]:
    return [finding for finding in findings if finding.condition == condition]


def _is_stability(finding: Finding) -> bool:
    return kind_of(finding.metric) in STABILITY


def _print_condition(page: Page, audit: str, condition: Condition, findings: Sequence[Finding]) -> None:
    quality = [finding for finding in findings if not _is_stability(finding)]
    page.heading(f"{audit}, {condition.label}: drift{_sample(page, findings)}")
    metrics = list(dict.fromkeys(finding.metric for finding in quality))
    metrics = metrics if len(metrics) <= _MOST_METRICS else headline(quality)
    columns = [
        "metric",
        "subject",
        "clean",
        "drift",
        *([page.level] if page.wide else []),
        "relative",
        page.level,
    ]
    table = []
    for metric in metrics:
        named = metric
        for finding in (each for each in quality if each.metric == metric):
            absolute = bracketed(finding.ci_low, finding.ci_high, plain, signed=True)
            table.append(
                [
                    named,
                    page.names[finding.subject],
                    plain(finding.clean),
                    plain(finding.drift, signed=True),
                    *([absolute] if page.wide else []),
                    percent(finding.relative_drift, signed=True),
                    _relative_interval(finding),
                ]
            )
            named = ""
    if table:
        page.table(columns, table, numbers_from=2)
    _print_stability(page, [finding for finding in findings if _is_stability(finding)])


def _relative_interval(finding: Finding) -> str:
    return bracketed(finding.relative_ci_low, finding.relative_ci_high, percent, signed=True)


def _sample(page: Page, findings: Sequence[Finding]) -> str:
    """Say what the numbers are averages of, where that is the same for all."""
    users = {finding.n_users for finding in findings}
    draws = {finding.n_draws for finding in findings}
    words = f" on {users.pop()} users" if len(users) == 1 else ""
    if len(draws) == 1:
        count = draws.pop()
        words += f", {count} draw{'' if count == 1 else 's'}"
    return f"{words} ({page.level} intervals)"


def _print_stability(page: Page, findings: Sequence[Finding]) -> None:
    """Print how alike the lists stayed: the measure itself rather than its drift from 1 or 0."""
    if not findings:
        return
    metrics = list(dict.fromkeys(finding.metric for finding in findings))
    cells = {(finding.subject, finding.metric): _likeness(page, finding) for finding in findings}
    subjects = list(dict.fromkeys(finding.subject for finding in findings))
    page.line("")
    page.table(
        ["lists", *metrics],
        [[page.names[each], *(cells.get((each, metric), NOTHING) for metric in metrics)] for each in subjects],
        numbers_from=1,
    )


def _likeness(page: Page, finding: Finding) -> str:
    show = percent if kind_of(finding.metric) == "changed" else plain
    text = show(finding.perturbed)
    if page.wide and finding.clean is not None and finding.ci_low is not None and finding.ci_high is not None:
        text += " " + bracketed(finding.clean + finding.ci_low, finding.clean + finding.ci_high, show)
    return text


def _print_sweep(page: Page, audit: str, conditions: Sequence[Condition], drifts: Sequence[Finding]) -> None:
    """Print the headline metric's relative drift, a row a condition and a column a subject, as many as fit."""
    quality = [finding for finding in drifts if not _is_stability(finding)]
    if quality:
        metric = headline(quality)[0]
        chosen = {(each.condition, each.subject): each for each in quality if each.metric == metric}
        subjects = list(dict.fromkeys(finding.subject for finding in quality))
        page.heading(f"{audit}: relative drift of {metric}{_sample(page, list(chosen.values()))}")
        shown = conditions[:_MOST_ROWS]
        room = max(1, (page.console.width - max(len(condition.label) for condition in shown)) // _SWEEP_COLUMN)
        for start in range(0, len(subjects), room):
            group = subjects[start : start + room]
            page.table(
                ["condition", *(page.names[subject] for subject in group)],
                [
                    [condition.label, *(_sweep_cell(chosen.get((condition, each))) for each in group)]
                    for condition in shown
                ],
                numbers_from=1,
            )
        if len(conditions) > len(shown):
            page.line(f"and {len(conditions) - len(shown)} more conditions in the JSON report", indent=1)
    _print_likeness_range(page, [finding for finding in drifts if _is_stability(finding)])


def _sweep_cell(finding: Finding | None) -> str:
    if finding is None:
        return NOTHING
    return f"{percent(finding.relative_drift, signed=True)} {_relative_interval(finding)}".rstrip()


def _print_likeness_range(page: Page, findings: Sequence[Finding]) -> None:
    measured = [finding for finding in findings if finding.perturbed is not None]
    if not measured:
        return
    metric = measured[0].metric
    page.line("")
    for subject in dict.fromkeys(finding.subject for finding in measured):
        own = [each for each in measured if each.subject == subject and each.metric == metric]
        if not own:
            continue
        low, high = (pick(own, key=lambda each: each.perturbed or 0.0) for pick in (min, max))
        page.line(
            f"{page.names[subject]}: list stability {metric} from {plain(low.perturbed)} ({low.condition.label}) "
            f"to {plain(high.perturbed)} ({high.condition.label})",
            indent=1,
        )


def _print_values(page: Page, findings: Sequence[Finding]) -> None:
    """Print signal-to-noise ratios and break points, one line each; what all subjects share is said once."""
    ratios = [finding for finding in findings if finding.measure == "snr_db"]
    others = [finding for finding in findings if finding.measure != "snr_db"]
    lines = _ratio_lines(ratios)
    for condition in dict.fromkeys(finding.condition for finding in others):
        lines += [
            f"{condition.label}: {page.names[finding.subject]} at {_value(finding)}"
            for finding in _where(others, condition)
        ]
    if lines:
        page.line("")
    for line in lines:
        page.line(line, indent=1)


def _ratio_lines(ratios: Sequence[Finding]) -> list[str]:
    by_condition: dict[Condition, dict[str, float]] = {}
    for finding in ratios:
        if finding.clean is not None:
            by_condition.setdefault(finding.condition, {})[finding.modality or ""] = finding.clean
    chosen = list(by_condition)
    if len(chosen) > _MOST_DETAILED:
        chosen.sort(key=lambda condition: max(by_condition[condition].values()))
        chosen = [chosen[-1], chosen[0]]
    return [
        f"signal-to-noise ratio at {condition.label}: "
        + ", ".join(f"{modality} {value:.1f} dB" for modality, value in by_condition[condition].items())
        for condition in chosen
    ]


def _value(finding: Finding) -> str:
    if finding.censored:
        where = f"above {as_given(finding.ci_low)}" if finding.ci_high is None else f"below {as_given(finding.ci_high)}"
        return f"{finding.metric} {where}{_note(finding)}"
    if finding.clean is None:
        return f"{finding.metric} unknown{_note(finding)}"
    return f"{finding.metric} {plain(finding.clean)} {bracketed(finding.ci_low, finding.ci_high, plain)}".rstrip()


def _note(finding: Finding) -> str:
    return f" ({finding.note})" if finding.note else ""
