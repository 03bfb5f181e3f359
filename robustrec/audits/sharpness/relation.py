"""Rank correlation of sharpness measures with measured drift over the subjects of a report.

Kendall's τ-b, two-sided p-values by permutation of the subjects. Subjects of several models differ by more than their
sharpness, so the model confounds the pooled correlation; "within models" counts only pairs of subjects of the same
model, and permutes only inside models. Content-free subjects are left out: they drift under no change of content,
whatever their flatness. Measures that depend on the scale of scores or factors come last, and their
names say so.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from robustrec.audits.sharpness.rows import AUDIT
from robustrec.evaluation.kinds import STABILITY, kind_of
from robustrec.results.conditions import ALL, Condition
from robustrec.results.content_use import content_use
from robustrec.results.exhibits import SIGNIFICANT, WITHIN, Relation
from robustrec.results.findings import CLEAN, CONTENT_USE, Finding
from robustrec.results.scale import SCALE_DEPENDENT
from robustrec.seeds import numpy_generator
from robustrec.subject import Subject

Floats = NDArray[np.float64]
Groups = NDArray[np.int64]

FEWEST = 5
"""Smallest number of subjects for a rank correlation."""

ARRANGEMENTS = 40
"""Fewest arrangements of the subjects with which p can fall to 5 %, both ends counted."""

EXACT, SAMPLED = 50_000, 20_000
"""Most arrangements that are all tried, and how many are drawn where there are more."""


MOST_OUTCOMES = 8
_METRICS = ("ndcg@20", "recall@20")


class FlatnessMeasure(NamedTuple):
    """A measure of flatness: its name, its metric, and whether its margins are standardised.

    Worst cases are of one ascent step. Of several conditions the first counts.
    """

    name: str
    metric: str
    standardised: bool

    @property
    def scale_dependent(self) -> bool:
        """Whether it depends on the scale of the scores or parameters."""
        return not self.standardised and self.metric != "flip_rate"


MEASURES = (
    FlatnessMeasure("input sharpness", "input_sharpness", True),
    FlatnessMeasure("worst case (ASAM)", "asam_sharpness", True),
    FlatnessMeasure("row-adaptive sharpness", "average_case", True),
    FlatnessMeasure("row-adaptive curvature", "row_adaptive_curvature", True),
    FlatnessMeasure("flip rate", "flip_rate", False),
    FlatnessMeasure("input sharpness of raw margins" + SCALE_DEPENDENT, "input_sharpness", False),
    FlatnessMeasure("λ₁" + SCALE_DEPENDENT, "lambda_1", False),
    FlatnessMeasure("trace" + SCALE_DEPENDENT, "trace", False),
    FlatnessMeasure("worst case (SAM)" + SCALE_DEPENDENT, "sam_sharpness", False),
)


class Rank(NamedTuple):
    """Kendall's τ-b with its permutation p-value; None where all values of a side are equal."""

    tau: float | None
    p: float | None


def relations(findings: Sequence[Finding], *, seed: int) -> list[Relation]:
    """Return the rank correlation of each sharpness measure with each measured drift.

    Args:
        findings: all findings of a run.
        seed: of the sampled permutations, where there are too many subjects for all.
    """
    flat = [(measure, values) for measure in MEASURES if (values := _values(findings, measure))]
    free = _content_free(findings)
    found: list[Relation] = []
    for outcome, drifts in _outcomes(findings):
        for measure, values in flat:
            both = [subject for subject in values if subject in drifts]
            shared = [subject for subject in both if subject not in free]
            left_out = tuple(subject.label for subject in both if subject in free)
            x, y = (np.array([each[subject] for subject in shared]) for each in (values, drifts))
            ways = (False, True) if len({subject.model for subject in shared}) > 1 else (False,)
            made = (_relation(measure, outcome, shared, x, y, within, seed) for within in ways)
            found += [each.model_copy(update={"left_out": left_out}) for each in made]
    return found


def _content_free(findings: Sequence[Finding]) -> set[Subject]:
    """Return the subjects that ignore the content of the items."""
    rows: dict[Subject, list[Finding]] = {}
    for row in findings:
        if row.audit == CONTENT_USE:
            rows.setdefault(row.subject, []).append(row)
    return {subject for subject, own in rows.items() if content_use(subject, own).trivial}


def rank_correlation(x: Floats, y: Floats, groups: Groups, seed: int) -> Rank:
    """Return Kendall's τ-b over the pairs inside groups, with its permutation p-value.

    All permutations are tried where there are at most 50,000; else 20,000 are drawn, and the one observed counts too.

    Args:
        x: [n].
        y: [n].
        groups: [n], one value for all subjects that may be exchanged.
        seed: of drawn permutations.
    """
    first, second, moved = _exchanges(tuple(groups.tolist()), seed)
    signs = np.sign(x[first] - x[second]).astype(np.int32)
    others = np.sign(y[:, None] - y[None, :]).astype(np.int32).reshape(-1)
    observed = int(signs @ others[first * len(y) + second])
    untied = float(np.abs(signs).sum()) * float(np.abs(others[first * len(y) + second]).sum())
    if untied == 0.0:
        return Rank(None, None)
    # The denominator is the same for every arrangement, so that the numerator decides.
    extreme = int((np.abs(others[moved] @ signs) >= abs(observed)).sum())
    exact = arrangements(groups) <= EXACT
    p = extreme / len(moved) if exact else (extreme + 1) / (len(moved) + 1)
    return Rank(observed / math.sqrt(untied), p)


@lru_cache(maxsize=8)
def _exchanges(groups: tuple[int, ...], seed: int) -> tuple[Groups, Groups, Groups]:
    """Return the pairs inside groups, and where in a table [n, n] each is after each permutation [m, pairs]."""
    own = np.array(groups)
    first, second = np.triu_indices(len(own), 1)
    inside = own[first] == own[second]
    first, second = first[inside], second[inside]
    orders = _arrangements(own, numpy_generator(seed, "flatness", len(own)))
    return first, second, orders[:, first] * len(own) + orders[:, second]


def arrangements(groups: Groups) -> int:
    """Return how many permutations inside groups there are."""
    return math.prod(math.factorial(int(count)) for count in np.unique(groups, return_counts=True)[1])


def _arrangements(groups: Groups, generator: np.random.Generator) -> Groups:
    """Return permutations inside groups [m, n]: all of them, or as many as are drawn."""
    members = [np.flatnonzero(groups == each) for each in np.unique(groups)]
    if arrangements(groups) > EXACT:
        orders = np.tile(np.arange(len(groups)), (SAMPLED, 1))
        for places in members:
            orders[:, places] = generator.permuted(np.tile(places, (SAMPLED, 1)), axis=1)
        return orders
    orders = np.arange(len(groups))[None, :]
    for places in members:
        choices = np.array(list(itertools.permutations(places)))
        repeated = np.repeat(orders, len(choices), axis=0)
        repeated[:, places] = np.tile(choices, (len(orders), 1))
        orders = repeated
    return orders


def _relation(
    measure: FlatnessMeasure, outcome: str, subjects: Sequence[Subject], x: Floats, y: Floats, within: bool, seed: int
) -> Relation:
    models = [subject.model for subject in subjects]
    groups = np.unique(models, return_inverse=True)[1] if within else np.zeros(len(x), dtype=np.int64)
    count, found, doubt = len(x), Rank(None, None), ""
    if count < FEWEST:
        doubt = f"there are {count} subjects, but at least {FEWEST} are needed"
    elif arrangements(groups) < ARRANGEMENTS:
        doubt = "each model has too few subjects"
    else:
        found = rank_correlation(x, y, groups, seed)
        doubt = "" if found.tau is not None else "all values of the measure or all drifts are equal"
    name = measure.name + (WITHIN if within else "")
    return Relation(
        audit=AUDIT,
        measure=name,
        within_models=within,
        scale_dependent=measure.scale_dependent,
        outcome=outcome,
        n_subjects=count,
        tau=found.tau,
        p=found.p,
        x=tuple(x.tolist()),
        y=tuple(y.tolist()),
        labels=tuple(subject.label for subject in subjects),
        sentence=_sentence(name, measure.scale_dependent, outcome, subjects, found, doubt),
    )


def _sentence(
    measure: str, scale_dependent: bool, outcome: str, subjects: Sequence[Subject], found: Rank, doubt: str
) -> str:
    if found.tau is None or found.p is None:
        return f"the rank correlation of {measure} with the drift of {outcome} is not defined: {doubt}"
    if found.p > SIGNIFICANT:
        verb = "does not correlate significantly"
    elif found.tau > 0:
        verb = "correlates positively"
    elif scale_dependent:
        verb = "correlates negatively (smaller values, larger drift)"
    else:
        verb = "correlates negatively (flatter subjects drift more)"
    numbers = f"(τ = {found.tau:.2f}, p = {found.p:.2g})"
    models = dict.fromkeys(subject.model for subject in subjects)
    who = f"for these {len(subjects)} subjects ({', '.join(models)})"
    return f"{who} {measure} {verb} with the drift of {outcome} {numbers}"


def _values(findings: Iterable[Finding], measure: FlatnessMeasure) -> dict[Subject, float]:
    """Return a sharpness measure by subject, from the first matching condition."""
    rows = [
        row
        for row in findings
        if row.audit == AUDIT
        and row.metric == measure.metric
        and row.quantity == "value"
        and _is_of(measure, row.condition)
    ]
    chosen = [row for row in rows if row.condition == rows[0].condition]
    return {row.subject: row.clean for row in chosen if row.clean is not None}


def _is_of(measure: FlatnessMeasure, condition: Condition) -> bool:
    """Return whether a condition is of all features or all parameters, with the margins of a measure."""
    return (
        condition.kind in ("std_noise", "parameters")
        and condition.standardised == measure.standardised
        and condition.modality in (None, ALL)
        and condition.graphs in (None, "frozen")
        and condition.part is None
        and condition.steps in (None, 1)
    )


def _outcomes(findings: Sequence[Finding]) -> list[tuple[str, dict[Subject, float]]]:
    """Return the sizes of the measured drifts by subject: those of other audits before this one's, the largest first.

    The order depends on the sizes alone, not on how they go with flatness: what is said first is no pick of the best.
    """
    drifts = [
        row
        for row in findings
        if row.quantity == "drift"
        and row.reference == CLEAN
        and row.audit not in (CLEAN, CONTENT_USE)
        and row.drift is not None
        and not row.condition.trained
    ]
    there = dict.fromkeys(row.metric for row in drifts)
    metric = next((name for name in _METRICS if name in there), next((n for n in there if n.startswith("ndcg")), None))
    likeness = next((n for n in there if (kind := STABILITY.get(kind_of(n))) and kind.better == 1), None)
    found: list[tuple[str, dict[Subject, float]]] = []
    for wanted in (metric, likeness):
        groups: dict[tuple[str, str], list[Finding]] = {}
        for row in drifts:
            # Noise of the sharpness audit keeps the item graphs, as its derivatives do.
            if row.metric == wanted and (row.audit == AUDIT or row.condition.graphs != "frozen"):
                many = row.audit not in ("noise", AUDIT)
                groups.setdefault((row.audit, "all its conditions" if many else row.condition.label), []).append(row)
        sized = [(audit, f"{wanted} under {audit} {where}", _sizes(rows)) for (audit, where), rows in groups.items()]
        most = max((len(sizes) for *_, sizes in sized), default=0)
        sized = [each for each in sized if len(each[2]) == most]
        sized.sort(key=lambda each: (each[0] == AUDIT, -sum(each[2].values()) / len(each[2])))
        found += [(name, sizes) for _, name, sizes in sized[:MOST_OUTCOMES]]
    return found


def _sizes(rows: Sequence[Finding]) -> dict[Subject, float]:
    """Return the mean size of the drift by subject: as a share of the clean value where every row has it."""
    relative = all(row.relative_drift is not None for row in rows)
    sizes: dict[Subject, list[float]] = {}
    for row in rows:
        size = row.relative_drift if relative else row.drift
        sizes.setdefault(row.subject, []).append(abs(size or 0.0))
    return {subject: sum(values) / len(values) for subject, values in sizes.items()}
