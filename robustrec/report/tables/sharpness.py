"""Console tables of the sharpness audit: features, parameters, and rank correlation with drift."""

from __future__ import annotations

from collections.abc import Sequence

from robustrec.reading.flatness import flatness_sentence
from robustrec.reading.names import headline
from robustrec.report.console.sheet import Page
from robustrec.results.findings import Finding
from robustrec.results.numbers import NOTHING, bracketed, percent, plain
from robustrec.results.scale import SCALE_FREE
from robustrec.subject import Subject

_ADAPTIVE = (("worst case (ASAM)", "asam_sharpness"), ("average case", "average_case"))
"""Parameter measures that do not depend on the scale of scores or factors: (column, metric)."""

_PARAMETERS = (
    ("λ₁", "", "lambda_1"),
    ("λ min", "", "lambda_min"),
    ("trace", "", "trace"),
    ("users", ": users", "trace"),
    ("items", ": items", "trace"),
    ("projections", ": projections", "trace"),
)
_WHERE = (f"parameters {SCALE_FREE}", "parameters")
"""Conditions of parameter rows; older reports have only the second one."""

_RAW = (("expected", "input_sharpness"), ("measured", "delta_loss"), ("ratio", "delta_loss_ratio"))
_DEPENDS = "depends on the scale of the scores"


Cells = dict[tuple[Subject, str, str], Finding]


def print_sharpness(page: Page, rows: Sequence[Finding]) -> None:
    """Print the sharpness of features and parameters, one row per subject."""
    cells = {(row.subject, row.condition, row.metric): row for row in rows}
    subjects = list(dict.fromkeys(row.subject for row in rows))
    _print_features(page, cells, subjects)
    _print_parameters(page, cells, subjects)
    sentence = flatness_sentence(page.report.relations)
    if sentence:
        page.line("")
        page.line(sentence, indent=1)


def _print_parameters(page: Page, cells: Cells, subjects: Sequence[Subject]) -> None:
    last = {metric: condition for _, condition, metric in cells if condition.endswith(SCALE_FREE)}
    adaptive = [(title, last[metric], metric) for title, metric in _ADAPTIVE if metric in last]
    if adaptive:
        page.heading("parameter sharpness, margins scaled to variance 1: increase of the audited loss, in nats")
        _subject_table(page, cells, subjects, adaptive)
    where = next((each for each in _WHERE if any(condition == each for _, condition, _ in cells)), _WHERE[0])
    own = [(title, where + block, metric) for title, block, metric in _PARAMETERS]
    columns = [column for column in own if any((each, *column[1:]) in cells for each in subjects)]
    if columns:
        margins = "margins scaled to variance 1, " if where.endswith(SCALE_FREE) else "raw margins, "
        page.heading(
            f"parameter curvature ({margins}not scale-invariant: scaling users by 4 and items by 1/4 "
            "changes it but no score)"
        )
        _subject_table(page, cells, subjects, columns)


def _subject_table(
    page: Page, cells: Cells, subjects: Sequence[Subject], columns: Sequence[tuple[str, str, str]]
) -> None:
    table = [[page.names[each], *(_number(cells.get((each, *column[1:]))) for column in columns)] for each in subjects]
    page.table(["subject", *(title for title, *_ in columns)], table, numbers_from=1)


def _print_features(page: Page, cells: Cells, subjects: Sequence[Subject]) -> None:
    inputs = dict.fromkeys(condition for _, condition, metric in cells if metric == "input_sharpness")
    inputs = dict.fromkeys(condition.removesuffix(f" {SCALE_FREE}") for condition in inputs)
    drifts = [row for row in cells.values() if row.quantity == "drift"]
    measured = [row.condition for row in drifts]
    if not inputs and not measured:
        return
    sigma = next(iter(inputs), next(iter(measured), ""))
    # The strongest noise of those that most subjects were measured under.
    largest = max(reversed(measured), key=measured.count, default="")
    metric = next(iter(headline(drifts)), "")
    free = f"{sigma} {SCALE_FREE}"
    scaled = any((each, free, "input_sharpness") in cells for each in subjects)
    margins = ", margins scaled to variance 1" if scaled else f" ({_DEPENDS})"
    page.heading(f"input sharpness at {sigma}{margins}: expected and measured loss increase, in nats")
    columns = ["subject", "loss", "expected", *([page.level] if page.wide else []), "measured", "ratio", "flip rate"]
    columns += [f"{metric} at {largest}"] if largest else []
    table = []
    for each in subjects:
        where = free if scaled else sigma
        expected = cells.get((each, where, "input_sharpness"))
        row = [
            page.names[each],
            _number(cells.get((each, f"clean {SCALE_FREE}" if scaled else "clean", "audit_loss"))),
            _number(expected),
            *([bracketed(expected.ci_low, expected.ci_high, plain) if expected else NOTHING] if page.wide else []),
            _number(cells.get((each, where, "delta_loss"))),
            _number(cells.get((each, where, "delta_loss_ratio"))),
            _share(cells.get((each, sigma, "flip_rate"))),
        ]
        moved = cells.get((each, largest, metric))
        row += [percent(moved.relative_drift, signed=True) if moved else NOTHING] if largest else []
        table.append(row)
    page.table(columns, table, numbers_from=1)
    raw = [("loss", "clean", "audit_loss"), *((title, sigma, metric) for title, metric in _RAW)]
    if scaled and any((each, sigma, "input_sharpness") in cells for each in subjects):
        page.heading(f"the same for raw margins; {_DEPENDS}")
        _subject_table(page, cells, subjects, raw)


def _number(row: Finding | None) -> str:
    return plain(row.clean) if row else NOTHING


def _share(row: Finding | None) -> str:
    return percent(row.clean) if row else NOTHING
