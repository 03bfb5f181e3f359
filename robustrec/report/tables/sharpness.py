"""Console tables of the sharpness audit: features, parameters, and rank correlation with drift."""

from __future__ import annotations

from collections.abc import Sequence

from robustrec.reading.flatness import flatness_sentence
from robustrec.reading.names import headline
from robustrec.report.console.sheet import Page
from robustrec.results.conditions import ALL, Condition
from robustrec.results.findings import Finding
from robustrec.results.numbers import NOTHING, bracketed, percent, plain
from robustrec.subject import Subject

_ADAPTIVE = (("worst case (ASAM)", "asam_sharpness"), ("average case", "average_case"))
"""Parameter measures that do not depend on the scale of scores or factors: (column, metric)."""

_PARAMETERS = (
    ("λ₁", None, "lambda_1"),
    ("λ min", None, "lambda_min"),
    ("trace", None, "trace"),
    ("users", "users", "trace"),
    ("items", "items", "trace"),
    ("projections", "projections", "trace"),
)
"""(column, part of the parameters, metric)."""

_RAW = (("expected", "input_sharpness"), ("measured", "delta_loss"), ("ratio", "delta_loss_ratio"))
_DEPENDS = "depends on the scale of the scores"


Cells = dict[tuple[Subject, Condition, str], Finding]
Columns = Sequence[tuple[str, Condition, str]]
"""(title, condition, metric) of each column."""


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
    last = {metric: condition for _, condition, metric in cells if condition.standardised}
    adaptive = [(title, last[metric], metric) for title, metric in _ADAPTIVE if metric in last]
    if adaptive:
        page.heading("parameter sharpness, margins scaled to variance 1: increase of the audited loss, in nats")
        _subject_table(page, cells, subjects, adaptive)
    # Older reports have raw margins only.
    standardised = not any(condition == _of_parameters(standardised=False) for _, condition, _ in cells) or any(
        condition == _of_parameters(standardised=True) for _, condition, _ in cells
    )
    own = [(title, _of_parameters(part, standardised=standardised), metric) for title, part, metric in _PARAMETERS]
    columns = [column for column in own if any((each, *column[1:]) in cells for each in subjects)]
    if columns:
        margins = "margins scaled to variance 1, " if standardised else "raw margins, "
        page.heading(
            f"parameter curvature ({margins}not scale-invariant: scaling users by 4 and items by 1/4 "
            "changes it but no score)"
        )
        _subject_table(page, cells, subjects, columns)


def _of_parameters(part: str | None = None, *, standardised: bool) -> Condition:
    return Condition(kind="parameters", part=part, standardised=standardised)


def _subject_table(page: Page, cells: Cells, subjects: Sequence[Subject], columns: Columns) -> None:
    table = [[page.names[each], *(_number(cells.get((each, *column[1:]))) for column in columns)] for each in subjects]
    page.table(["subject", *(title for title, *_ in columns)], table, numbers_from=1)


def _print_features(page: Page, cells: Cells, subjects: Sequence[Subject]) -> None:
    inputs = [condition for _, condition, metric in cells if metric == "input_sharpness"]
    drifts = [row for row in cells.values() if row.quantity == "drift"]
    measured = [row.condition for row in drifts]
    if not inputs and not measured:
        return
    raw_sigma, free = (_with_margins((inputs or measured)[0], standardised=each) for each in (False, True))
    # The strongest noise of those that most subjects were measured under.
    largest = max(reversed(measured), key=measured.count, default=None)
    metric = next(iter(headline(drifts)), "")
    scaled = any((each, free, "input_sharpness") in cells for each in subjects)
    margins = ", margins scaled to variance 1" if scaled else f" ({_DEPENDS})"
    page.heading(f"input sharpness at {raw_sigma.label}{margins}: expected and measured loss increase, in nats")
    columns = ["subject", "loss", "expected", *([page.level] if page.wide else []), "measured", "ratio", "flip rate"]
    columns += [f"{metric} at {largest.label}"] if largest else []
    table = []
    for each in subjects:
        where = free if scaled else raw_sigma
        expected = cells.get((each, where, "input_sharpness"))
        row = [
            page.names[each],
            _number(cells.get((each, Condition(kind="clean_loss", standardised=scaled), "audit_loss"))),
            _number(expected),
            *([bracketed(expected.ci_low, expected.ci_high, plain) if expected else NOTHING] if page.wide else []),
            _number(cells.get((each, where, "delta_loss"))),
            _number(cells.get((each, where, "delta_loss_ratio"))),
            _share(cells.get((each, raw_sigma, "flip_rate"))),
        ]
        moved = cells.get((each, largest, metric)) if largest else None
        row += [percent(moved.relative_drift, signed=True) if moved else NOTHING] if largest else []
        table.append(row)
    page.table(columns, table, numbers_from=1)
    where = free if scaled else raw_sigma
    by_modality = {
        condition.modality: condition
        for _, condition, name in cells
        if name == "input_sharpness" and condition.modality not in (None, ALL)
        if _of_all(condition) == where
    }
    if by_modality:
        page.heading(f"expected loss increase by modality at {raw_sigma.label}{margins}, in nats")
        titled = [(str(name), condition, "input_sharpness") for name, condition in by_modality.items()]
        _subject_table(page, cells, subjects, titled)
    clean_loss = Condition(kind="clean_loss", standardised=False)
    raw = [("loss", clean_loss, "audit_loss"), *((title, raw_sigma, metric) for title, metric in _RAW)]
    if scaled and any((each, raw_sigma, "input_sharpness") in cells for each in subjects):
        page.heading(f"the same for raw margins; {_DEPENDS}")
        _subject_table(page, cells, subjects, raw)


def _of_all(condition: Condition) -> Condition:
    """Return the same noise on all modalities."""
    return Condition.model_validate({**condition.model_dump(exclude={"label"}), "modality": ALL})


def _with_margins(condition: Condition, *, standardised: bool) -> Condition:
    """Return noise of the sharpness audit with standardised or raw margins."""
    given = condition.model_dump(exclude={"label"})
    return Condition.model_validate({**given, "standardised": standardised})


def _number(row: Finding | None) -> str:
    return plain(row.clean) if row else NOTHING


def _share(row: Finding | None) -> str:
    return percent(row.clean) if row else NOTHING
