"""Causes of the drift under merchant edits: tables, and the sentence of the main results."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from robustrec.reading.conditions import cause_words, condition_words, edit_words
from robustrec.reading.summary import Summary
from robustrec.reading.titled_tables import TitledTable
from robustrec.results.conditions import ALL, Condition
from robustrec.results.findings import TOGETHER, Finding
from robustrec.results.numbers import NOTHING
from robustrec.subject import Subject

CAUSE = "cause"
MOST_EDITS = 12
_SHAPLEY, _ALONE = "_shapley", "_leave_one_out"

EXPLANATION = (
    "Points of the clean value, in %. The Shapley values of the parts sum to the drift; in parentheses their share of "
    "it, if both are significant. Alone: the part of the drift that goes away if this part alone is clean again; where "
    "it differs from the Shapley value, the parts interact. Item graph: the rows of the edited items in the item "
    "graphs. Bystanders: the rows of the other items, whose vectors do not change."
)


def measure_words(row: Finding) -> str:
    """Return the decomposed measure: "exposure@20 of edited items"."""
    name = row.measure.removesuffix(_SHAPLEY)
    if row.group == "edited":
        return f"{name} of edited test items"
    return f"{name} of edited items in all lists" if row.group == "all" else name


def significant(row: Finding) -> bool:
    """Return whether the interval of a drift excludes 0."""
    return row.ci_low is not None and row.ci_high is not None and not row.ci_low <= 0 <= row.ci_high


def cause_tables(summary: Summary) -> list[TitledTable]:
    """Return the tables of the causes, by subject and measure."""
    rows = summary.drifts(CAUSE)
    wholes = [row for row in rows if row.condition.cause == ALL]
    keys = dict.fromkeys((row.subject, row.metric) for row in wholes)
    return [_table(summary, *key, rows) for key in keys]


def _table(summary: Summary, subject: Subject, metric: str, every: Sequence[Finding]) -> TitledTable:
    own = [row for row in every if row.subject == subject]
    wholes = [row for row in own if row.metric == metric and row.condition.cause == ALL]
    wholes.sort(key=lambda row: (row.condition.edit != ALL, -abs(row.drift or 0.0)))
    alone = metric.replace(_SHAPLEY, _ALONE)
    found = {(row.condition, row.metric): row for row in own}
    causes = list(dict.fromkeys(row.condition.cause or "" for row in own if row.condition.cause != ALL))
    severities = {row.condition.severity for row in wholes}
    cells = []

    def edit_of(whole: Finding) -> str:
        return edit_words(whole.condition) + (f", severity {whole.condition.severity}" if len(severities) > 1 else "")

    for whole in wholes[:MOST_EDITS]:
        parts, undone = ([found.get((_of(whole, cause), name)) for cause in causes] for name in (metric, alone))
        cells.append([edit_of(whole), _points(whole, whole), _interval(whole), *(_part(part, whole) for part in parts)])
        if len([part for part in parts if part is not None]) > 1:
            cells.append(["  alone", "", "", *(_points(part, whole) for part in undone)])
    lines = [f"and {len(wholes) - MOST_EDITS} more edits in the JSON report"] if len(wholes) > MOST_EDITS else []
    unsure = [edit_of(row) for row in wholes if row.condition.severity and not significant(row)]
    if unsure:
        lines.append(f"no drift to explain, because the interval includes 0: {'; '.join(unsure)}")
    if any(TOGETHER in row.note for row in own):
        lines.append(f"{TOGETHER}: an edit of one changes the vectors of both")
    title = f"causes of the drift of {measure_words(wholes[0])}, {summary.names[subject]}"
    share = f"{100 * (wholes[0].condition.share or 0):g} % of items edited"
    columns = ["edit", "drift", summary.level, *(cause_words(cause).removesuffix(" vectors") for cause in causes)]
    at = f", severity {severities.pop()}" if len(severities) == 1 else ""
    return TitledTable(f"{title}, {share}{at}", columns, cells, lines)


def _of(whole: Finding, cause: str) -> Condition:
    return Condition.model_validate({**whole.condition.model_dump(exclude={"label"}), "cause": cause})


def _part(part: Finding | None, whole: Finding) -> str:
    text = _points(part, whole)
    if part is None or not part.drift or not whole.drift or not (significant(whole) and significant(part)):
        return text
    return f"{text} ({100 * part.drift / whole.drift:.0f} %)"


def _points(row: Finding | None, whole: Finding) -> str:
    """Return a drift in percentage points of the clean value; of a clean value of 0, as it is."""
    return NOTHING if row is None or row.drift is None else _percentage(row.drift, whole)


def _percentage(drift: float, whole: Finding) -> str:
    value = 100 * drift / (whole.clean or 1.0)
    return "0" if value == 0 else f"{value:+.1f}" if abs(value) >= 0.05 else f"{value:+.2g}"


def _interval(row: Finding) -> str:
    if row.ci_low is None or row.ci_high is None:
        return ""
    return f"[{_percentage(row.ci_low, row)}, {_percentage(row.ci_high, row)}]"


def cause_sentences(summary: Summary) -> Iterator[str]:
    """Yield what the largest significant loss comes from: of the exposure of edited items, else of another measure."""
    rows = summary.drifts(CAUSE)
    losses = [row for row in rows if row.condition.cause == ALL and significant(row) and (row.drift or 0.0) < 0]
    if not losses:
        return
    first = min(losses, key=lambda row: (row.group != "edited", row.condition.edit != ALL, row.relative_drift or 0.0))
    parts = [
        row
        for row in rows
        if (row.subject, row.metric) == (first.subject, first.metric)
        and row.condition.cause != ALL
        and (row.condition.edit, row.condition.severity) == (first.condition.edit, first.condition.severity)
    ]
    parts.sort(key=lambda row: row.drift or 0.0)
    told = [
        f"{_points(row, first)} points come from the {cause_words(row.condition.cause or '')}"
        + ("" if significant(row) else " (not significant)")
        for row in parts
        if row.drift
    ]
    picked = f" (of {len(losses)} significant losses)" if len(losses) > 1 else ""
    where = condition_words(first.condition).partition(": ")[2]
    yield (
        f"cause{picked}: {', '.join(told)}, of the {_points(first, first)} % of {measure_words(first)} "
        f"({summary.names[first.subject]}, {where})"
    )
