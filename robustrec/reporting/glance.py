"""Models × strategies at a glance: clean quality, the drift under each audit, flatness; and which to ship."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from robustrec.reporting.conditions import condition_words
from robustrec.reporting.findings import CLEAN, Finding
from robustrec.reporting.numbers import bracketed, percent, plain
from robustrec.reporting.scale import SHARPNESS, depends_on_scale
from robustrec.reporting.summary import Candidate, Summary, gated, is_quality

_TELLING = ("input_sharpness", "average_case", "asam_sharpness")
_MOST_FLATNESS = 3
_FLATNESS_WORDS = {
    "input_sharpness": "input sharpness, nats",
    "average_case": "average case of the parameters, nats",
    "asam_sharpness": "worst case of the parameters (ASAM), nats",
}


class Quality(NamedTuple):
    """A candidate's clean quality: the mean over its seeds, with the widest reach of their intervals."""

    mean: float
    low: float | None
    high: float | None
    n_users: int


def quality_of(summary: Summary, candidate: Candidate) -> Quality | None:
    """Return a candidate's clean quality in the headline metric, or None where it was not measured."""
    rows = [summary.quality.get((subject, summary.metric)) for subject in candidate.subjects]
    found = [row for row in rows if row is not None and row.clean is not None]
    if not found:
        return None
    lows, highs = ([getattr(row, end) for row in found] for end in ("ci_low", "ci_high"))
    known = None not in lows and None not in highs
    return Quality(
        mean=sum(row.clean or 0.0 for row in found) / len(found),
        low=min(lows) if known else None,
        high=max(highs) if known else None,
        n_users=max(row.n_users for row in found),
    )


def worst_drift(summary: Summary, audit: str, candidate: Candidate | None = None) -> Finding | None:
    """Return the largest loss of quality under an audit, among the conditions that gates look at, else among all.

    Losses are of the headline metric where it was measured, else of whatever quality was; relative where that can
    be told.
    """
    rows = [row for row in summary.drifts(audit) if candidate is None or row.subject in candidate.subjects]
    rows = [row for row in rows if is_quality(row.metric) and row.drift is not None]
    rows = [row for row in rows if row.metric == summary.metric] or rows
    return min(gated(summary.report, rows), key=_loss, default=None)


def surest_loss(summary: Summary, audit: str, candidate: Candidate | None = None) -> Finding | None:
    """Return the largest loss of quality under an audit that can be told from none; where there is none, the largest.

    A wide interval about a low estimate says less of what breaks than a narrow one about a higher.
    """
    rows = [row for row in summary.drifts(audit) if candidate is None or row.subject in candidate.subjects]
    rows = [row for row in rows if is_quality(row.metric) and row.drift is not None]
    rows = [row for row in rows if row.metric == summary.metric] or rows
    looked_at = gated(summary.report, rows)
    told = [row for row in looked_at if sure_loss(row)] or [row for row in rows if sure_loss(row)]
    return min(told or looked_at, key=_loss, default=None)


def sure_loss(row: Finding) -> bool:
    """Whether a drift lies below zero with its whole interval."""
    return row.drift is not None and row.ci_high is not None and row.ci_high < 0


def _loss(row: Finding) -> float:
    if row.relative_drift is not None:
        return row.relative_drift
    return row.drift if row.drift is not None else 0.0


def drift_text(row: Finding) -> str:
    """Return a row's drift with its interval, relative where that can be told."""
    if row.relative_drift is not None:
        interval = bracketed(row.relative_ci_low, row.relative_ci_high, percent, signed=True)
        return f"{percent(row.relative_drift, signed=True)} {interval}".rstrip()
    return f"{plain(row.drift, signed=True)} {bracketed(row.ci_low, row.ci_high, plain, signed=True)}".rstrip()


def flatness_metrics(summary: Summary) -> list[tuple[str, str]]:
    """Return the (condition, metric) pairs that tell a subject's flatness best, the most telling first.

    Input sharpness, which is where the noise comes in; then the average and the worst case of the parameters. All of
    standardised margins: what changes when scores or factors are only rescaled orders no subjects.
    """
    rows = summary.values(SHARPNESS)
    there = dict.fromkeys((row.condition, row.metric) for row in rows if not depends_on_scale(row))
    chosen: list[tuple[str, str]] = []
    for kind in _TELLING:
        own = [(condition, metric) for condition, metric in there if metric.startswith(kind) and ": " not in condition]
        chosen += own[:1]
    return chosen[:_MOST_FLATNESS]


class Cell(NamedTuple):
    """A number with its interval, and where it was measured or why it was not."""

    number: str
    interval: str = ""
    remark: str = ""


class Column(NamedTuple):
    """A column's title, and what is the same in all its cells."""

    title: str
    remark: str = ""


class GlanceRow(NamedTuple):
    """A candidate's row: its name, how it stands with the gates, its numbers, column by column."""

    name: str
    standing: str
    cells: list[Cell]


class Glance(NamedTuple):
    """The table of all candidates."""

    columns: list[Column]
    rows: list[GlanceRow]


STANDINGS = {
    "pass": "PASS",
    "fail": "FAIL",
    "inconclusive": "INCONCLUSIVE",
    "error": "ERROR",
    "none": "no gate",
}


def at_a_glance(summary: Summary) -> Glance:
    """Return the table of models × strategies; a remark that all cells of a column share stands in its head."""
    audits = [audit for audit in summary.audits if any(is_quality(row.metric) for row in summary.drifts(audit))]
    flat = flatness_metrics(summary)
    titles = [f"clean {summary.metric}".strip(), *(f"{audit}: largest loss" for audit in audits)]
    titles += [_flatness_title(metric) for _, metric in flat]
    table = []
    for candidate in summary.candidates:
        cells = [_quality_cell(summary, candidate), *(_drift_cell(summary, audit, candidate) for audit in audits)]
        table.append(cells + [_flatness_cell(summary, pair, candidate) for pair in flat])
    columns = []
    for place, title in enumerate(titles):
        remarks = {cells[place].remark for cells in table}
        shared = remarks.pop() if len(remarks) == 1 else ""
        columns.append(Column(title, shared))
        if shared:
            table = [[*cells[:place], cells[place]._replace(remark=""), *cells[place + 1 :]] for cells in table]
    rows = [
        GlanceRow(candidate.name, STANDINGS[candidate.standing], cells)
        for candidate, cells in zip(summary.candidates, table, strict=True)
    ]
    return Glance(columns, rows)


def _flatness_title(metric: str) -> str:
    start, mark, modality = metric.partition("input_sharpness_")
    words = _FLATNESS_WORDS.get("input_sharpness" if mark and not start else metric, metric)
    return f"{words}, {modality}" if modality else words


_UNMEASURED = "not measured"


def _quality_cell(summary: Summary, candidate: Candidate) -> Cell:
    found = quality_of(summary, candidate)
    if found is None:
        return Cell(_UNMEASURED)
    seeds = f"mean of {len(candidate.subjects)} seeds" if len(candidate.subjects) > 1 else ""
    return Cell(plain(found.mean), bracketed(found.low, found.high, plain), seeds)


def _drift_cell(summary: Summary, audit: str, candidate: Candidate) -> Cell:
    row = worst_drift(summary, audit, candidate)
    if row is None:
        return Cell(_UNMEASURED, "", _why_not(summary, audit, candidate))
    number, _, interval = drift_text(row).partition(" [")
    metric = "" if row.metric == summary.metric else f"{row.metric}, "
    return Cell(number, f"[{interval}" if interval else "", f"{metric}{condition_words(row.condition)}")


def _why_not(summary: Summary, audit: str, candidate: Candidate) -> str:
    messages = [
        each.message
        for each in summary.report.statuses
        if each.audit == audit and each.subject in candidate.subjects and each.status != "ok"
    ]
    return messages[0] if messages else ""


def _flatness_cell(summary: Summary, pair: tuple[str, str], candidate: Candidate) -> Cell:
    rows = [
        row
        for row in summary.values(SHARPNESS)
        if (row.condition, row.metric) == pair and row.subject in candidate.subjects and row.clean is not None
    ]
    if not rows:
        return Cell(_UNMEASURED)
    mean = sum(row.clean or 0.0 for row in rows) / len(rows)
    interval = bracketed(rows[0].ci_low, rows[0].ci_high, plain) if len(rows) == 1 else ""
    return Cell(plain(mean), interval, condition_words(pair[0]) if pair[1].startswith("input") else "")


def indistinguishable(summary: Summary, best: Candidate, others: Sequence[Candidate]) -> list[Candidate]:
    """Return the candidates whose clean quality cannot be told apart from the best one's.

    By the paired interval of the difference where the audit compared the two, else by whether their intervals
    overlap, which errs on the side of "cannot be told".
    """
    return [other for other in others if other is not best and _same(summary, best, other)]


def _same(summary: Summary, best: Candidate, other: Candidate) -> bool:
    paired = [
        row
        for row in summary.report.findings
        if row.audit == CLEAN and row.reference != CLEAN and row.metric == summary.metric and _between(row, best, other)
    ]
    told = [(row.ci_low, row.ci_high) for row in paired if row.ci_low is not None and row.ci_high is not None]
    if told:
        return any(low <= 0 <= high for low, high in told)
    one, two = quality_of(summary, best), quality_of(summary, other)
    if one is None or two is None or one.low is None or two.high is None:
        return True
    return two.high >= one.low


def _between(row: Finding, one: Candidate, two: Candidate) -> bool:
    def is_pair(own: Candidate, reference: Candidate) -> bool:
        first = reference.subjects[0]
        return (
            row.subject in own.subjects
            and row.reference == first.strategy
            and (row.subject.model, row.subject.features) == (first.model, first.features)
        )

    return is_pair(one, two) or is_pair(two, one)
