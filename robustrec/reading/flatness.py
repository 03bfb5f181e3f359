"""Rank correlation of sharpness and drift, as a sentence and as a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from robustrec.results.exhibits import SIGNIFICANT, WITHIN, Relation
from robustrec.results.numbers import NOTHING

MOST_OUTCOMES = 4

_UNMARKED = ("λ₁", "trace")
"""Measures of older reports, without standardised margins; newer reports name them scale-dependent."""


def flatness_sentence(relations: Sequence[Relation]) -> str:
    """Return the rank correlation of sharpness with the largest drift, as a sentence; empty without relations.

    It uses input sharpness and average-case sharpness of the parameters. Both do not depend on the scale of scores.

    It uses the first outcome, which was selected by size and not by its correlation with sharpness.
    """
    if not relations:
        return ""
    first = relations[0]
    if first.tau is None:
        return first.sentence
    same = {each.measure: each for each in relations if each.outcome == first.outcome}
    models = ", ".join(dict.fromkeys(label.partition("/")[0] for label in first.labels))
    defined = (
        f"for these {first.n_subjects} subjects ({models}) {first.measure} {_verb(first)} with the "
        f"drift of {first.outcome}"
    )
    parts = [f"{defined} ({_numbers(first)})"]
    within = same.get(first.measure + WITHIN)
    if within is not None:
        parts.append(f"within models, it {_short(within)}")
    parts += [f"{name} {_short(same[name])}" for name in ("row-adaptive sharpness",) if name in same]
    if first.left_out:
        parts.append(f"left out because content-free: {', '.join(first.left_out)}")
    if any(each.measure in _UNMARKED for each in relations):
        parts.append("measured on raw margins, so it depends on the scale of the scores")
    return "; ".join(parts)


class FlatnessSection(NamedTuple):
    """Rank correlations of sharpness and drift: sentences, and a table of τ by measure and outcome."""

    sentences: list[str]
    outcomes: list[str]
    rows: list[tuple[str, list[str]]]


def flatness_section(relations: Sequence[Relation]) -> FlatnessSection:
    """Return the sentences and the table of the relations of a report."""
    defined = [each for each in relations if each.tau is not None]
    if not defined:
        few = [each.n_subjects for each in relations]
        more = f"; {len(relations)} rank correlations are not defined" if len(relations) > 1 else ""
        return FlatnessSection([f"{relations[0].sentence}{more}"] if few else [], [], [])
    outcomes = list(dict.fromkeys(each.outcome for each in defined))[:MOST_OUTCOMES]
    cells = {(each.measure, each.outcome): each for each in defined}
    measures = list(dict.fromkeys(each.measure for each in defined if each.outcome in outcomes))
    rows = [(measure, [_cell(cells.get((measure, outcome))) for outcome in outcomes]) for measure in measures]
    return FlatnessSection([flatness_sentence(relations)], outcomes, rows)


def _cell(relation: Relation | None) -> str:
    if relation is None or relation.tau is None:
        return NOTHING
    return f"{relation.tau:+.2f}" + ("" if relation.p is None else f" (p = {relation.p:.2g})")


def _verb(relation: Relation) -> str:
    if relation.p is None or relation.p > SIGNIFICANT:
        return "does not correlate significantly"
    return "correlates positively" if (relation.tau or 0.0) > 0 else "correlates negatively"


def _short(relation: Relation) -> str:
    if relation.tau is None:
        return "has no defined τ"
    return f"{_verb(relation).removesuffix(' significantly')} (τ = {relation.tau:.2f})"


def _numbers(relation: Relation) -> str:
    return f"τ = {relation.tau:.2f}, p = {relation.p:.2g}"
