"""Table of models and strategies: clean quality, the largest loss under each audit, sharpness."""

from __future__ import annotations

import math
from typing import NamedTuple

from robustrec.evaluation.error_rates import Spread, widened
from robustrec.reading.conditions import condition_words
from robustrec.reading.summary import Candidate, Summary, gated, is_quality
from robustrec.results.conditions import Condition
from robustrec.results.content_use import ContentUse
from robustrec.results.findings import CLEAN, Finding
from robustrec.results.numbers import bracketed, percent, plain
from robustrec.results.scale import SHARPNESS, depends_on_scale

_MOST_FLATNESS = 3
_FLATNESS_WORDS = {
    "input_sharpness": "input sharpness, nats",
    "average_case": "average-case sharpness of the parameters, nats",
    "asam_sharpness": "worst-case sharpness of the parameters (ASAM), nats",
}


class Quality(NamedTuple):
    """Clean quality of a candidate: mean over training seeds, with its interval or None."""

    mean: float
    low: float | None
    high: float | None
    n_users: int


def quality_of(summary: Summary, candidate: Candidate) -> Quality | None:
    """Return the clean quality of a candidate in the headline metric, or None if it was not measured.

    For several training seeds, the interval is over seeds and users, or None if it was not computed.
    """
    rows = [summary.quality.get((subject, summary.metric)) for subject in candidate.subjects]
    found = [row for row in rows if row is not None and row.clean is not None]
    if not found:
        return None
    if len(candidate.subjects) > 1:
        pooled = [row for row in summary.over_seeds(candidate, CLEAN, "value") if row.metric == summary.metric]
        row = pooled[0] if pooled else None
    else:
        row = found[0]
    return Quality(
        mean=sum(row.clean or 0.0 for row in found) / len(found),
        low=row.ci_low if row else None,
        high=row.ci_high if row else None,
        n_users=max(row.n_users for row in found),
    )


class Worst(NamedTuple):
    """The largest loss of several.

    Attributes:
        row: the finding, with intervals corrected for the selection of the worst (Bonferroni).
        of: number of losses to select from.
        every: number of losses in all, with those that no gate checks.
    """

    row: Finding
    of: int
    every: int

    @property
    def words(self) -> str:
        """Return "worst of n"; empty if n is 1."""
        return f"worst of {self.of}" if self.of > 1 else ""

    @property
    def where(self) -> str:
        """Return " in conditions that gates check" where others were measured too, else ""."""
        return " in conditions that gates check" if self.every > self.of else ""


def largest_loss(
    summary: Summary, audit: str, candidate: Candidate | None = None, *, sure_first: bool = False
) -> Worst | None:
    """Return the largest loss of quality under an audit, among conditions that gates check, else among all.

    Losses are of the headline metric if it was measured, else of any quality metric. Several training seeds of a
    candidate count as one, by their mean, if it was measured. The interval of the worst of n losses has level
    1 - α/n, which corrects for the selection.

    Args:
        summary: of the report.
        audit: name of the audit.
        candidate: the candidate; default: all candidates.
        sure_first: prefer significant losses over larger estimates that are not significant.
    """
    chosen = [candidate] if candidate is not None else list(summary.candidates)
    rows = [row for each in chosen for row in _losses_of(summary, audit, each)]
    rows = [row for row in rows if row.metric == summary.metric] or rows
    judged = gated(summary.report, rows)
    corrected = [_picked(row, len(judged), summary.report.suite.level) for row in judged]
    sure = [row for row in corrected if sure_loss(row)] if sure_first else []
    row = min(sure or corrected, key=_loss, default=None)
    return Worst(row, len(corrected), len(rows)) if row is not None else None


def _losses_of(summary: Summary, audit: str, candidate: Candidate) -> list[Finding]:
    pooled = summary.over_seeds(candidate, audit, "drift")
    rows = pooled or [row for row in summary.drifts(audit) if row.subject in candidate.subjects]
    return [row for row in rows if is_quality(row.metric) and row.drift is not None]


def _picked(row: Finding, of: int, level: float) -> Finding:
    """Return a drift with the intervals of the worst of `of`."""
    ends: dict[str, float] = {}
    for prefix, estimate in (("ci", row.drift), ("relative_ci", row.relative_drift)):
        low, high = getattr(row, f"{prefix}_low"), getattr(row, f"{prefix}_high")
        if of > 1 and estimate is not None and low is not None and high is not None:
            spread = widened(Spread(estimate, low, high, level, row.degrees or math.inf), 1 - (1 - level) / of)
            ends |= {f"{prefix}_low": spread.low, f"{prefix}_high": spread.high}
    return row.model_copy(update=ends)


def sure_loss(row: Finding) -> bool:
    """Return whether the whole interval of a drift is below zero."""
    return row.drift is not None and row.ci_high is not None and row.ci_high < 0


def _loss(row: Finding) -> float:
    if row.relative_drift is not None:
        return row.relative_drift
    return row.drift if row.drift is not None else 0.0


def drift_text(row: Finding) -> str:
    """Return the drift of a finding with its interval, relative if it is defined."""
    if row.relative_drift is not None:
        interval = bracketed(row.relative_ci_low, row.relative_ci_high, percent, signed=True)
        return f"{percent(row.relative_drift, signed=True)} {interval}".rstrip()
    return f"{plain(row.drift, signed=True)} {bracketed(row.ci_low, row.ci_high, plain, signed=True)}".rstrip()


def flatness_metrics(summary: Summary) -> list[tuple[Condition, str]]:
    """Return the (condition, metric) pairs of the main sharpness measures, the most relevant first.

    Input sharpness comes first, because the noise is on the inputs; then average-case and worst-case sharpness of the
    parameters. All use standardised margins, because raw margins depend on the scale of the scores.
    """
    rows = summary.values(SHARPNESS)
    there = dict.fromkeys((row.condition, row.metric) for row in rows if not depends_on_scale(row))
    chosen: list[tuple[Condition, str]] = []
    for kind in _FLATNESS_WORDS:
        own = [(condition, metric) for condition, metric in there if metric == kind and condition.part is None]
        chosen += own[:1]
    return chosen[:_MOST_FLATNESS]


class Cell(NamedTuple):
    """A number with its interval, and its condition or the reason why it is missing."""

    number: str
    interval: str = ""
    remark: str = ""


class Column(NamedTuple):
    """Title of a column, and the common remark of its cells."""

    title: str
    remark: str = ""


class GlanceRow(NamedTuple):
    """Row of a candidate: name, status of its gates, and cells."""

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
    """Return the table of models and strategies. The column header has the common remark of its cells."""
    audits = [audit for audit in summary.audits if any(is_quality(row.metric) for row in summary.drifts(audit))]
    flat = flatness_metrics(summary)
    titles = [
        f"clean {summary.metric}".strip(),
        "left with mean features",
        *(f"{audit}: largest loss" for audit in audits),
    ]
    titles += [_FLATNESS_WORDS[metric] for _, metric in flat]
    table = []
    for candidate in summary.candidates:
        cells = [
            _quality_cell(summary, candidate),
            _use_cell(candidate.use),
            *(_drift_cell(summary, audit, candidate) for audit in audits),
        ]
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


_UNMEASURED = "not measured"


def _quality_cell(summary: Summary, candidate: Candidate) -> Cell:
    found = quality_of(summary, candidate)
    if found is None:
        return Cell(_UNMEASURED)
    seeds = f"mean of {len(candidate.subjects)} seeds" if len(candidate.subjects) > 1 else ""
    return Cell(plain(found.mean), bracketed(found.low, found.high, plain), seeds)


def _use_cell(use: ContentUse) -> Cell:
    """Return the share of the clean quality that is left without content, with what follows from it."""
    if use.kept is None:
        return Cell(_UNMEASURED if use.state == "not measured" else percent(1.0), "", use.reason)
    state = f"{use.state}, uncertain" if use.uncertain else use.state
    overlap = "" if use.overlap is None else f", list overlap {use.overlap:.2f}"
    return Cell(percent(use.kept), bracketed(use.kept_low, use.kept_high, percent), f"{state}{overlap}")


def _drift_cell(summary: Summary, audit: str, candidate: Candidate) -> Cell:
    worst = largest_loss(summary, audit, candidate)
    if worst is None:
        return Cell(_UNMEASURED, "", _why_not(summary, audit, candidate))
    row = worst.row
    number, _, interval = drift_text(row).partition(" [")
    metric = "" if row.metric == summary.metric else row.metric
    remark = ", ".join(part for part in (worst.words, metric, condition_words(row.condition)) if part)
    return Cell(number, f"[{interval}" if interval else "", remark)


def _why_not(summary: Summary, audit: str, candidate: Candidate) -> str:
    messages = [
        each.message
        for each in summary.report.statuses
        if each.audit == audit and each.subject in candidate.subjects and each.status != "ok"
    ]
    return messages[0] if messages else ""


def _flatness_cell(summary: Summary, pair: tuple[Condition, str], candidate: Candidate) -> Cell:
    rows = [
        row
        for row in summary.values(SHARPNESS)
        if (row.condition, row.metric) == pair and row.subject in candidate.subjects and row.clean is not None
    ]
    if not rows:
        return Cell(_UNMEASURED)
    mean = sum(row.clean or 0.0 for row in rows) / len(rows)
    interval = bracketed(rows[0].ci_low, rows[0].ci_high, plain) if len(rows) == 1 else ""
    return Cell(plain(mean), interval, condition_words(pair[0]) if pair[0].kind == "std_noise" else "")
