"""Migration to another encoder: tables of churn, quality and moved exposure, and the sentence of the main results."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from robustrec.evaluation.kinds import kind_of
from robustrec.reading.cause import significant
from robustrec.reading.conditions import condition_words, migration_words
from robustrec.reading.summary import Summary
from robustrec.reading.texts import shortened
from robustrec.reading.titled_tables import TitledTable
from robustrec.results.conditions import Condition
from robustrec.results.exhibits import ExposureShift, Shift
from robustrec.results.findings import Finding
from robustrec.results.numbers import NOTHING, bracketed, percent, plain
from robustrec.subject import Subject

MIGRATION = "migration"
OTHER_SEED = "other_seed"
_BREAK, _MOVED = "break_share", "exposure_moved_"
_MOST_SHIFTS = 3

EXPLANATION = (
    "Columns: share of the items with new vectors; the others keep their old ones. Kept: the model trained on old "
    "vectors. Retrained: trained on the new vectors of all items. Other seed: trained on old vectors from another "
    "seed; a retrained model has this churn without a new encoder. Breaks at: the smallest share of the grid with "
    "a larger loss than allowed. Moved: share of the positions in all lists that move between items, brands or "
    "categories."
)


def migration_tables(summary: Summary, *, intervals: bool = True) -> list[TitledTable]:
    """Return the tables of churn, of quality with break shares, and of moved exposure, for every subject.

    Args:
        summary: of the report.
        intervals: whether drifts have their intervals; else a star marks those whose interval excludes 0.
    """
    rows = [row for row in summary.report.findings if row.audit == MIGRATION and row.reference == "clean"]
    tables = []
    for subject in dict.fromkeys(row.subject for row in rows):
        own = [row for row in rows if row.subject == subject]
        name = summary.names[subject]
        tables += [_churn(own, name), _quality(summary, own, name, intervals=intervals), _moved(summary, own, name)]
    return [table for table in tables if table.rows]


def _variants(rows: Sequence[Finding]) -> list[tuple[str | None, str | None, str | None]]:
    """Return (new encoder, adapter, training) of the rows, in their order."""
    return list(dict.fromkeys(_variant(row.condition) for row in rows))


def _variant(condition: Condition) -> tuple[str | None, str | None, str | None]:
    return condition.new_encoder, condition.adapter, condition.training


def _shares(rows: Sequence[Finding]) -> list[float]:
    return sorted({row.condition.share for row in rows if row.condition.share is not None})


def _named(rows: Sequence[Finding], variant: tuple[str | None, str | None, str | None]) -> str:
    return migration_words(next(row.condition for row in rows if _variant(row.condition) == variant))


def _churn(own: Sequence[Finding], name: str) -> TitledTable:
    rows = [row for row in own if kind_of(row.metric) == "overlap"]
    metric = rows[0].metric if rows else ""
    shares = _shares(rows)
    found = {(_variant(row.condition), row.condition.share): row for row in rows if row.metric == metric}
    cells = [
        [_named(rows, variant), *(_likeness(found.get((variant, share))) for share in shares)]
        for variant in _variants(rows)
    ]
    title = f"migration of {name}: {metric} with the lists before, by share of items with new vectors"
    return TitledTable(title, ["new vectors, model", *map(_whole_percent, shares)], cells, [])


def _whole_percent(share: float) -> str:
    return f"{100 * share:g} %"


def _likeness(row: Finding | None) -> str:
    return NOTHING if row is None else plain(row.perturbed)


def _quality(summary: Summary, own: Sequence[Finding], name: str, *, intervals: bool) -> TitledTable:
    rows = [row for row in own if row.metric == summary.metric and row.quantity == "drift"]
    breaks = {_variant(row.condition): row for row in own if row.metric == _BREAK}
    shares = _shares(rows)
    found = {(_variant(row.condition), row.condition.share): row for row in rows}
    cells = [
        [
            _named(own, variant),
            *(_change(found.get((variant, share)), intervals=intervals) for share in shares),
            _break(breaks[variant]),
        ]
        for variant in breaks
    ]
    lines = [f"{_named(own, variant)}: {row.note}" for variant, row in breaks.items() if _unknown(row)]
    star = "" if intervals else f" (*: the {summary.level} interval excludes 0)"
    title = f"migration of {name}: relative drift of {summary.metric} in %{star}"
    return TitledTable(title, ["new vectors, model", *map(_whole_percent, shares), "breaks at"], cells, lines)


def _unknown(row: Finding) -> bool:
    return row.clean is None and not row.censored


def _change(row: Finding | None, *, intervals: bool) -> str:
    if row is None or row.relative_drift is None:
        return NOTHING
    text = percent(row.relative_drift, signed=True).removesuffix(" %")
    if not intervals:
        return f"{text}*" if significant(row) else text
    return f"{text} {bracketed(row.relative_ci_low, row.relative_ci_high, percent, signed=True)}".rstrip()


def _break(row: Finding) -> str:
    if row.censored:
        return "none"
    if row.clean is None:
        return NOTHING
    return _whole_percent(row.clean)


def _moved(summary: Summary, own: Sequence[Finding], name: str) -> TitledTable:
    rows = [row for row in own if row.metric.startswith(_MOVED)]
    metrics = list(dict.fromkeys(row.metric for row in rows))
    last = max(_shares(rows), default=1.0)
    found = {(_variant(row.condition), row.metric): row for row in rows if row.condition.share == last}
    variants = list(dict.fromkeys(variant for variant, _ in found))
    cells = [
        [
            _named(rows, variant),
            *(_share(found.get((variant, metric))) for metric in metrics),
        ]
        for variant in variants
    ]
    columns = ["new vectors, model", *map(_plural, metrics)]
    lines = [_shift_line(shift) for shift in _shifts(summary, own[0].subject)]
    at = _whole_percent(last)
    title = f"migration of {name}: exposure that moves between items and groups, new vectors for {at} of the items"
    return TitledTable(title, columns, cells, lines)


def _share(row: Finding | None) -> str:
    return NOTHING if row is None else percent(row.clean)


def _plural(metric: str) -> str:
    return {"item": "items", "brand": "brands", "category": "categories"}[metric.removeprefix(_MOVED)]


def _shifts(summary: Summary, subject: Subject) -> list[ExposureShift]:
    """Return who loses and gains in the variant that moves most, of those that are no reference."""
    every = [each for each in summary.report.exhibits if isinstance(each, ExposureShift) and each.subject == subject]
    every = [each for each in every if each.condition.training != OTHER_SEED]
    if not every:
        return []
    most = max(every, key=lambda each: sum(abs(shift.after - shift.before) for shift in each.shifts))
    return [each for each in every if each.condition == most.condition]


def _shift_line(shift: ExposureShift) -> str:
    ordered = sorted(shift.shifts, key=lambda each: each.after - each.before)
    losers = [each for each in ordered[:_MOST_SHIFTS] if each.after < each.before]
    gainers = [each for each in reversed(ordered[-_MOST_SHIFTS:]) if each.after > each.before]
    told = [
        f"{word} " + "; ".join(f"{shortened(each.name, 40)} ({_moves(each)})" for each in some)
        for word, some in (("largest losses", losers), ("largest gains", gainers))
        if some
    ]
    return f"{shift.group}, share of all positions, {migration_words(shift.condition)}: {'. '.join(told)}"


def _moves(shift: Shift) -> str:
    return f"{percent(shift.before)} to {percent(shift.after)}"


def migration_sentences(summary: Summary) -> Iterator[str]:
    """Yield the churn of each new encoder with the model kept, beside that of another seed, and where it breaks."""
    rows = [row for row in summary.drifts(MIGRATION) if kind_of(row.metric) == "overlap"]
    seeds = {row.subject: row for row in rows if row.condition.training == OTHER_SEED}
    shares = _shares([row for row in rows if row.condition.training != OTHER_SEED])
    told = [
        row
        for row in rows
        if row.condition.training != OTHER_SEED
        and row.condition.share == shares[-1]
        and row.perturbed is not None
        and row.drift != 0
    ]
    if not told:
        return
    worst = min(told, key=lambda row: row.perturbed or 0.0)
    where, other = condition_words(worst.condition), seeds.get(worst.subject)
    reference = f" ({percent(1 - (other.perturbed or 0))} by another training seed alone)" if other else ""
    same = [row for row in summary.values(MIGRATION) if row.metric == _BREAK and row.subject == worst.subject]
    breaks = next((row.clean for row in same if _variant(row.condition) == _variant(worst.condition)), None)
    ends = "" if breaks is None else f"; {summary.metric} breaks at {_whole_percent(breaks)} of items"
    picked = f" (most churn of {len(told)})" if len(told) > 1 else ""
    k = worst.metric.partition("@")[2]
    yield (
        f"migration{picked}: {where}: {percent(1 - (worst.perturbed or 0))} of the top {k} of "
        f"{summary.names[worst.subject]} changes{reference}{ends}"
    )
