"""The sharpness audit on the console: features, parameters, and whether flatness tells drift."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from robustrec.reporting.exhibits import Relation
from robustrec.reporting.findings import Finding, Subject
from robustrec.reporting.numbers import NOTHING, bracketed, percent, plain
from robustrec.reporting.page import Page, headline
from robustrec.reporting.scale import SCALE_FREE

WITHIN = ", within models"
SIGNIFICANT = 0.05
MOST_OUTCOMES = 4

_ADAPTIVE = (("worst case (ASAM)", "asam_sharpness"), ("average case", "average_case"))
"""Measures of the parameters that no rescaling of scores or of whole factors changes: (column, metric)."""

_PARAMETERS = (
    ("λ₁", "", "lambda_1"),
    ("λ min", "", "lambda_min"),
    ("trace", "", "trace"),
    ("users", ": users", "trace"),
    ("items", ": items", "trace"),
    ("projections", ": projections", "trace"),
)
_WHERE = (f"parameters {SCALE_FREE}", "parameters")
"""Conditions of the parameters' rows; reports of former versions have the second only."""

_RAW = (("expected", "input_sharpness"), ("measured", "delta_loss"), ("ratio", "delta_loss_ratio"))
_DEPENDS = "depends on the scale of the scores: wider margins alone change it"
_UNMARKED = ("λ₁", "trace")
"""Measures of reports from before margins were standardised; they are named as scale-dependent since."""

Cells = dict[tuple[Subject, str, str], Finding]


def print_sharpness(page: Page, rows: Sequence[Finding]) -> None:
    """Print what the sharpness audit measured: a row a subject, in the features and in the parameters."""
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
        page.heading("sharpness in the parameters, margins of variance 1: increase of the audited loss, in nats")
        _subject_table(page, cells, subjects, adaptive)
    where = next((each for each in _WHERE if any(condition == each for _, condition, _ in cells)), _WHERE[0])
    own = [(title, where + block, metric) for title, block, metric in _PARAMETERS]
    columns = [column for column in own if any((each, *column[1:]) in cells for each in subjects)]
    if columns:
        margins = "margins of variance 1, " if where.endswith(SCALE_FREE) else "raw margins, "
        page.heading(
            f"curvature in the parameters ({margins}not scale-invariant: users ×4 and items ÷4 change it and no score)"
        )
        _subject_table(page, cells, subjects, columns)


def _subject_table(
    page: Page, cells: Cells, subjects: Sequence[Subject], columns: Sequence[tuple[str, str, str]]
) -> None:
    table = [[page.names[each], *(_number(cells.get((each, *column[1:]))) for column in columns)] for each in subjects]
    page.table(["subject", *(title for title, *_ in columns)], table, numbers_from=1)


def flatness_sentence(relations: Sequence[Relation]) -> str:
    """Say whether flatness orders the largest drift; empty where nothing was held against anything.

    Input sharpness and the average case of the parameters count, which do not change when scores are only rescaled.

    The first outcome counts, which was chosen by its size and not by how well it goes with flatness.
    """
    if not relations:
        return ""
    first = relations[0]
    if first.tau is None:
        return first.sentence
    same = {each.measure: each for each in relations if each.outcome == first.outcome}
    models = ", ".join(dict.fromkeys(label.partition("/")[0] for label in first.labels))
    told = (
        f"on these {first.n_subjects} subjects ({models}) {first.measure} {_verb(first)} the drift of {first.outcome}"
    )
    parts = [f"{told} ({_numbers(first)})"]
    within = same.get(first.measure + WITHIN)
    if within is not None:
        parts.append(f"within models it {_short(within)}")
    parts += [f"{name} {_short(same[name])}" for name in ("row-adaptive sharpness",) if name in same]
    if any(each.measure in _UNMARKED for each in relations):
        parts.append("measured on raw margins, which depend on the scale of the scores")
    return "; ".join(parts)


class FlatnessTold(NamedTuple):
    """What flatness says of drift: in sentences, and as a table of τ by measure and outcome."""

    sentences: list[str]
    outcomes: list[str]
    rows: list[tuple[str, list[str]]]


def flatness_told(relations: Sequence[Relation]) -> FlatnessTold:
    """Return what a report's relations come down to; one sentence where none of them can be told."""
    told = [each for each in relations if each.tau is not None]
    if not told:
        few = [each.n_subjects for each in relations]
        more = f"; {len(relations)} pairs of a measure and a drift could not be told" if len(relations) > 1 else ""
        return FlatnessTold([f"{relations[0].sentence}{more}"] if few else [], [], [])
    outcomes = list(dict.fromkeys(each.outcome for each in told))[:MOST_OUTCOMES]
    cells = {(each.measure, each.outcome): each for each in told}
    measures = list(dict.fromkeys(each.measure for each in told if each.outcome in outcomes))
    rows = [(measure, [_cell(cells.get((measure, outcome))) for outcome in outcomes]) for measure in measures]
    return FlatnessTold([flatness_sentence(relations)], outcomes, rows)


def _cell(relation: Relation | None) -> str:
    if relation is None or relation.tau is None:
        return NOTHING
    return f"{relation.tau:+.2f}" + ("" if relation.p is None else f" (p = {relation.p:.2g})")


def _verb(relation: Relation) -> str:
    if relation.p is None or relation.p > SIGNIFICANT:
        return "does not order"
    return "orders" if (relation.tau or 0.0) > 0 else "orders in reverse"


def _short(relation: Relation) -> str:
    if relation.tau is None:
        return "cannot be told"
    word = {"does not order": "does not", "orders": "does"}.get(_verb(relation), "does in reverse")
    return f"{word} (τ = {relation.tau:.2f})"


def _numbers(relation: Relation) -> str:
    return f"τ = {relation.tau:.2f}, p = {relation.p:.2g}"


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
    margins = ", margins of variance 1" if scaled else f" ({_DEPENDS})"
    page.heading(f"sharpness in the features at {sigma}{margins}: expected and measured increase of the loss, in nats")
    columns = ["subject", "loss", "expected", *([page.level] if page.wide else []), "measured", "ratio", "wrong pairs"]
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
        page.heading(f"the same of raw margins; {_DEPENDS}")
        _subject_table(page, cells, subjects, raw)


def _number(row: Finding | None) -> str:
    return plain(row.clean) if row else NOTHING


def _share(row: Finding | None) -> str:
    return percent(row.clean) if row else NOTHING
