"""Console output of a baseline: provenance and headline numbers."""

from __future__ import annotations

from rich.console import Console

from robustrec.reading.names import headline, short_names
from robustrec.results.baseline import Baseline
from robustrec.results.findings import Finding
from robustrec.results.numbers import bracketed, percent, plain
from robustrec.sheet import Sheet

_MOST_ROWS = 40


def print_baseline(baseline: Baseline, console: Console) -> None:
    """Print the provenance and headline numbers of a baseline."""
    record, sheet = baseline.record, Sheet(console)
    data, names = record.dataset, short_names(baseline.subjects)
    sheet.line(f"baseline {baseline.file}: accepted from the run of {record.created:%Y-%m-%d %H:%M} UTC", "bold")
    sheet.line(f"robustrec {record.robustrec}, suite {record.suite.name}, verdict {record.verdict}")
    sheet.line(f"{data.name} ({data.edition} edition), {data.n_users} users, {data.n_items} items, {data.digest[:16]}")
    for each in record.subjects:
        features = each.features_digest[:16] if each.features_digest else "none"
        sheet.line(f"{each.subject.label}: parameters {each.parameters_digest[:16]}, features {features}")
    kept = {None: "none", "draws": "all draws", "means": "means over the draws"}
    form = kept[record.arrays.form if record.arrays else None]
    sheet.line(f"per-user arrays: {'beside the report' if baseline.arrays and not record.arrays else form}")
    metrics = headline(record.findings)
    rows = [row for row in record.findings if row.metric in metrics]
    table = [
        ["clean" if row.audit == "clean" else row.condition.label, row.metric, names[row.subject], *_numbers(row)]
        for row in rows[:_MOST_ROWS]
    ]
    sheet.table(["", "metric", "subject", "number", f"{100 * record.suite.level:g} %"], table, numbers_from=3)
    if len(record.findings) > len(table):
        sheet.line(f"and {len(record.findings) - len(table)} more findings in the file", indent=1)


def _numbers(row: Finding) -> list[str]:
    if row.quantity == "value":
        return [plain(row.clean), bracketed(row.ci_low, row.ci_high, plain)]
    if row.relative_drift is not None:
        interval = bracketed(row.relative_ci_low, row.relative_ci_high, percent, signed=True)
        return [percent(row.relative_drift, signed=True), interval]
    return [plain(row.drift, signed=True), bracketed(row.ci_low, row.ci_high, plain, signed=True)]
