"""Findings as tables show them: with several training seeds, their mean in the place of one row for each seed."""

from __future__ import annotations

from collections.abc import Sequence

from robustrec.reading.content_use import candidates_of, names_of, names_over_seeds
from robustrec.results.findings import Finding
from robustrec.results.judging import with_means
from robustrec.results.report import Report
from robustrec.subject import Subject


class MeanSubject(Subject):
    """A model with a strategy on features, over its training seeds; `seed` is the first."""


def mean_subject(subjects: Sequence[Subject]) -> Subject:
    """Return what a table shows of trainings that differ in their seed: the only one, or their mean."""
    first = min(subjects, key=lambda each: each.seed)
    return MeanSubject(**first.model_dump()) if len(subjects) > 1 else first


def shown_findings(report: Report) -> list[Finding]:
    """Return the findings of a report for tables; a mean over seeds has a `MeanSubject`.

    What has no mean, because it has no interval over seeds, stays a row for each training. If it is the same for all of
    them, as the share of items that an edit changes, the mean has it too.
    """
    if not report.over_seeds:
        return list(report.findings)
    means = {subject: mean_subject(group) for group in candidates_of(report) for subject in group}
    found: list[Finding] = []
    same = dict.fromkeys(_same_for_all(report), False)
    for row, seeds in with_means(report.findings, report.over_seeds):
        what = _what(row)
        if same.get(what):
            continue
        if what in same:
            same[what] = True
        found.append(row.model_copy(update={"subject": means[row.subject]}) if seeds or what in same else row)
    return found


def shown_segments(report: Report) -> list[Finding]:
    """Return the findings of segments likewise."""
    means = {subject: mean_subject(group) for group in candidates_of(report) for subject in group}
    rows = with_means(report.segments, report.segments_over_seeds)
    return [row.model_copy(update={"subject": means[row.subject]}) if seeds else row for row, seeds in rows]


def shown_names(report: Report) -> dict[Subject, str]:
    """Return the names of the subjects of `shown_findings`."""
    over = names_over_seeds(report)
    means = {mean_subject(group): over[group[0]] for group in candidates_of(report) if len(group) > 1}
    return names_of(report) | means


def _same_for_all(report: Report) -> set[tuple[object, ...]]:
    """Return the values without interval that are equal for all training seeds of a model, strategy and features."""
    values: dict[tuple[object, ...], list[float | None]] = {}
    for row in report.findings:
        if row.quantity == "value" and row.ci_low is None and row.ci_high is None:
            values.setdefault(_what(row), []).append(row.clean)
    return {what for what, each in values.items() if len(each) > 1 and len(set(each)) == 1}


def _what(row: Finding) -> tuple[object, ...]:
    subject = row.subject
    trained = (subject.model, subject.strategy, subject.features)
    return (*trained, row.audit, row.condition, row.metric, row.quantity, row.reference)
