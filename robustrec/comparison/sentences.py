"""Conclusions for each strategy against the reference, with their conditions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from robustrec.comparison.budget import BUDGET_WORDS
from robustrec.comparison.result import Comparison
from robustrec.comparison.rows import NO_DIFFERENCE, against
from robustrec.results.numbers import percent
from robustrec.training.config import FEWEST_PATIENCE

ALIKE = 1.02
"""Ratio of gradient evaluations up to which two trainings count as equally long: whole epochs cannot be met exactly."""

SMALL = 0.01
"""Share of the reference's quality below which a significant difference is said to be small."""

NOT_CONVERGED = f"trainings ended before early stopping with a patience of {FEWEST_PATIENCE} or more"

Group = tuple[str, str, str]


def sentences(rows: Iterable[Comparison], n_seeds: int) -> tuple[str, ...]:
    """Return one sentence for each model, budget and strategy but the reference.

    Args:
        rows: of all strategies, the references among them.
        n_seeds: training seeds.
    """
    groups: dict[Group, list[Comparison]] = {}
    for row in rows:
        groups.setdefault((row.model, row.budget, row.strategy), []).append(row)
    return tuple(
        _sentence(group, groups.get((model, budget, str(group[0].reference)), []), n_seeds)
        for (model, budget, _), group in groups.items()
        if group[0].reference is not None
    )


def _sentence(rows: list[Comparison], reference: list[Comparison], n_seeds: int) -> str:
    first = rows[0]
    said: dict[str, list[str]] = {}
    for row in rows:
        if row.conclusion:
            text = row.measure if row.conclusion == NO_DIFFERENCE else f"{row.measure} {against(row)}"
            said.setdefault(row.conclusion, []).append(text)
    parts = "; ".join(f"{word}: {', '.join(names)}" for word, names in said.items())
    seeds = f"{n_seeds} seed{'' if n_seeds == 1 else 's'}"
    name = f"{first.model}, {BUDGET_WORDS[first.budget]}, {first.strategy} against {first.reference}, {seeds}"
    trivial = next((row.trivial for row in rows if row.trivial), "")
    parts = "; ".join(part for part in (parts, trivial) if part) or "no conclusion"
    remarks = [*conditions(first, reference[0] if reference else None, n_seeds), *filter(None, map(_small, rows))]
    return f"{name}: {parts}" + (f". Conditions: {'; '.join(remarks)}" if remarks else "")


def conditions(row: Comparison, reference: Comparison | None, n_seeds: int) -> list[str]:
    """Return the conditions of a conclusion: seeds, unequal effort, trainings without early stopping.

    Args:
        row: any row of the strategy.
        reference: any row of the reference at the same budget; None where it is not known.
        n_seeds: training seeds.
    """
    found = []
    if n_seeds == 1:
        found.append("one training seed, so another training can differ")
    if reference is not None:
        more = row.gradients / reference.gradients
        if max(more, 1 / more) > ALIKE:
            found.append(f"{row.strategy} used {more:.2f} times the gradient evaluations of {reference.strategy}")
    cut = {each.strategy: each.cut_off for each in (row, reference) if each is not None and each.cut_off}
    if cut:
        which = " and ".join(f"{count} of {n_seeds} of {name}" for name, count in cut.items())
        found.append(f"{NOT_CONVERGED}: {which}")
    return found


def _small(row: Comparison) -> str:
    """Return that a difference of quality is significant but small; empty otherwise."""
    if row.conclusion not in ("better", "worse") or row.difference is None:
        return ""
    before = row.value.estimate - row.difference.estimate
    if before == 0 or abs(row.difference.estimate / before) >= SMALL:
        return ""
    return f"{row.measure} differs by less than {percent(SMALL)} of the value of {row.reference}"


def cut_off_words(counts: Mapping[str, int], n_seeds: int) -> str:
    """Return a line on trainings that ended before early stopping; empty if there are none."""
    cut = [f"{name} {count} of {n_seeds}" for name, count in counts.items() if count]
    if not cut:
        return ""
    return f"{NOT_CONVERGED}, so more epochs can change the numbers: {', '.join(cut)}"
