"""Content use of the subjects and candidates of a report, and the names that say it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

from robustrec.reading.names import short_names
from robustrec.results.conditions import MEAN_FEATURES
from robustrec.results.content_use import ENOUGH, ContentUse, content_use
from robustrec.results.findings import CLEAN, CONTENT_USE, Finding
from robustrec.results.numbers import NOTHING, bracketed, percent, plain
from robustrec.results.report import Report
from robustrec.subject import Subject


def uses_of(report: Report) -> tuple[ContentUse, ...]:
    """Return the content use of every subject of a report; empty if the report has none, as of earlier versions."""
    rows = [row for row in report.findings if row.audit == CONTENT_USE]
    if not rows:
        return ()
    return tuple(
        content_use(record.subject, [row for row in rows if row.subject == record.subject])
        for record in report.subjects
    )


def use_over_seeds(report: Report, subjects: Sequence[Subject]) -> ContentUse:
    """Return the content use of a model with a strategy on features over its training seeds.

    With several seeds it is of their mean, with the interval over seeds and users. It is not measured if it was not
    for one of them.

    Args:
        report: with the findings.
        subjects: one for each training seed.
    """
    rows = [row for row in report.findings if row.audit == CONTENT_USE]
    own = [content_use(each, [row for row in rows if row.subject == each]) for each in subjects]
    unusual = next((each for each in own if each.kept is None), None)
    if len(own) == 1 or unusual is not None:
        return unusual or own[0]
    pooled = content_use(subjects[0], _pooled(report, subjects[0]))
    if pooled.kept is not None:
        return pooled
    kept = sum(each.kept or 0.0 for each in own) / len(own)
    state = "content-free" if kept >= ENOUGH else "uses content"
    without = {"kept": kept, "kept_low": None, "kept_high": None, "state": state, "uncertain": True}
    return own[0].model_copy(update=without)


def _pooled(report: Report, first: Subject) -> list[Finding]:
    key = (first.model, first.strategy, first.features)
    return [row for row in report.over_seeds if (row.subject.model, row.subject.strategy, row.subject.features) == key]


def candidates_of(report: Report) -> list[list[Subject]]:
    """Return the subjects of a report by model, strategy and features, in its order."""
    groups: dict[tuple[str, str, str], list[Subject]] = {}
    for record in report.subjects:
        subject = record.subject
        groups.setdefault((subject.model, subject.strategy, subject.features), []).append(subject)
    return list(groups.values())


def names_of(report: Report) -> dict[Subject, str]:
    """Return the short name of every subject; that of a content-free one says so wherever it stands."""
    names = short_names([record.subject for record in report.subjects])
    for subjects in candidates_of(report):
        mark = use_over_seeds(report, subjects).mark
        if mark:
            names |= {subject: marked(names[subject], mark) for subject in subjects}
    return names


def names_over_seeds(report: Report) -> dict[Subject, str]:
    """Return the name of a mean over training seeds for each subject in it: "vanilla, mean of 3 seeds"."""
    groups = candidates_of(report)
    short = short_names([each[0].model_copy(update={"seed": 0}) for each in groups])
    found: dict[Subject, str] = {}
    for subjects in groups:
        name = marked(short[subjects[0].model_copy(update={"seed": 0})], use_over_seeds(report, subjects).mark)
        mean = f"{name}, mean of {len(subjects)} seeds" if len(subjects) > 1 else name
        found |= dict.fromkeys(subjects, mean)
    return found


Key = tuple[str, str, str]
"""Model, strategy and features of a candidate."""


def content_free_of(report: Report) -> frozenset[Key]:
    """Return model, strategy and features of the candidates whose robustness to edits of content is trivial."""
    return frozenset(
        (each[0].model, each[0].strategy, each[0].features)
        for each in candidates_of(report)
        if use_over_seeds(report, each).trivial
    )


def compares_trivial(row: Finding, content_free: Collection[Key]) -> bool:
    """Return whether a difference of drifts is of a content-free subject, or from one: it ranks neither."""
    if row.audit in (CLEAN, CONTENT_USE) or row.reference == CLEAN:
        return False
    keys = ((row.subject.model, strategy, row.subject.features) for strategy in (row.subject.strategy, row.reference))
    return any(key in content_free for key in keys)


def marked(name: str, mark: str) -> str:
    """Return a name with its mark: "amr (content-free)"."""
    return f"{name} ({mark})" if mark else name


class UseTable(NamedTuple):
    """Content use of every subject of a report, a row each; lines on what the columns do not have."""

    columns: list[str]
    rows: list[list[str]]
    lines: list[str]


def use_table(report: Report) -> UseTable | None:
    """Return the table of content use; None if the report has none."""
    uses, names = uses_of(report), names_of(report)
    if not uses:
        return None
    cold = any(use.cold is not None for use in uses)
    metric = next((use.metric for use in uses if use.metric), "quality")
    columns = [
        "subject",
        "state",
        f"{metric} left with mean features",
        "list overlap",
        "left with those of other items",
    ]
    columns += ["cold items among themselves", "with mean features"] if cold else []
    rows, lines = [], []
    for use in uses:
        left = f"{percent(use.kept)} {bracketed(use.kept_low, use.kept_high, percent)}".rstrip()
        cells = [use.state + (", uncertain" if use.uncertain else ""), left, _overlap(use), percent(use.exchanged)]
        rows.append([names[use.subject], *cells, *([plain(use.cold), plain(use.cold_mean)] if cold else [])])
        if use.kept is None:
            lines.append(f"{names[use.subject]}: {use.detail}")
        elif parts := list(_parts(report, use)):
            lines.append(f"{names[use.subject]}: left with {', '.join(parts)}")
    return UseTable(columns, rows, lines)


def _overlap(use: ContentUse) -> str:
    return NOTHING if use.overlap is None else f"{use.overlap:.2f}"


def _parts(report: Report, use: ContentUse) -> Iterator[str]:
    """Yield what is left with the mean of one modality, and with frozen graphs."""
    for row in report.findings:
        own = row.audit == CONTENT_USE and row.subject == use.subject and row.metric == use.metric
        if not own or row.condition.fill != "mean" or row.relative_drift is None or row.condition == MEAN_FEATURES:
            continue
        low, high = (None if end is None else 1 + end for end in (row.relative_ci_low, row.relative_ci_high))
        number = f"{percent(1 + row.relative_drift)} {bracketed(low, high, percent)}".rstrip()
        what = "features but frozen graphs" if row.condition.graphs == "frozen" else f"{row.condition.modality} alone"
        yield f"mean {what} {number}"


def lines_of(report: Report) -> list[str]:
    """Return a line for each model and strategy that is content-free, uncertain, or not measured."""
    groups = candidates_of(report)
    names = short_names([subjects[0].model_copy(update={"seed": 0}) for subjects in groups])
    if not any(row.audit == CONTENT_USE for row in report.findings):
        return [use_over_seeds(report, subjects).sentence for subjects in groups[:1]]
    lines = []
    for subjects in groups:
        use = use_over_seeds(report, subjects)
        if use.state in ("content-free", "not measured") or use.uncertain:
            lines.append(f"{names[subjects[0].model_copy(update={'seed': 0})]}: {use.sentence}")
    return lines
