"""A reproduction as titled tables and sentences, which the console and both pages share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import groupby
from operator import itemgetter
from typing import NamedTuple, cast

from robustrec.comparison.budget import BUDGET_WORDS, Budget
from robustrec.reproduce.claims import NAMES
from robustrec.reproduce.intervals import FEWEST_SEEDS, WIDEST
from robustrec.reproduce.paper import DECIMALS, OTHERS, paper
from robustrec.reproduce.result import Claim, Fall, Improvement, Reproduction, Row, Value
from robustrec.reproduce.rows import NO_TABLE
from robustrec.reproduce.table import seeds_words
from robustrec.results.numbers import bracketed, percent, plain
from robustrec.sheet import NO_BREAK

INDENT = NO_BREAK * 2
"""Start of a line that belongs to the one above it."""
_CONCLUSIONS = {
    "holds": "hold",
    "the opposite holds": "with the opposite",
    "no significant difference": "without significant difference",
    "not decided": "not decided",
}
_READINGS = {"": "", "inference": "noise at inference", "training": "noise in training"}


class Section(NamedTuple):
    """A titled table with sentences before it; without columns it has sentences only."""

    title: str
    lines: tuple[str, ...]
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()


def headline(report: Reproduction) -> str:
    """Return how many rows agree, differ and have no verdict, in one sentence."""
    counts: Counter[str] = Counter(row.verdict for row in report.rows)
    order = ("agrees", "differs", "not decided", "not usable", "not in the paper", "left", "failed", "missing")
    words = {"agrees": "agree", "differs": "differ", "left": "not started", "missing": "lack an input"}
    parts = [f"{counts[word]} {words.get(word, word)}" for word in order if counts[word]]
    claims = Counter(each.conclusion for each in report.claims)
    said = ", ".join(f"{count} {_CONCLUSIONS[word]}" for word, count in claims.items())
    rows = f"{len(report.rows)} row{'' if len(report.rows) == 1 else 's'}: {', '.join(parts)}"
    return f"{rows}. {len(report.claims)} tests of claims: {said}" if said else rows


def sections_of(report: Reproduction) -> list[Section]:
    """Return all sections of a report, in order."""
    found = [Section("How to read it", _reading(report))]
    for table, dataset in dict.fromkeys((row.table, row.dataset) for row in report.rows):
        found += _table(report, table, dataset)
    found += _missing(report)
    found += _differences(report)
    found += _claims(report)
    found += _improvements(report)
    found += _falls(report)
    found += _tuned(report)
    if report.left:
        found.append(Section("Not started within the time budget", report.left))
    return found


def _reading(report: Reproduction) -> tuple[str, ...]:
    n = len(report.seeds)
    return (
        f"{seeds_words(n, 'training seed')}: the value is the mean over them, with its {report.level:.0%} interval"
        " (Student's t).",
        "The paper prints one number a cell, so a printed value is compared with the range in which one further"
        f" training lies, simultaneous for the sound cells of a row. A verdict needs {FEWEST_SEEDS} seeds, and a row"
        f" agrees only if the interval of its means is within {WIDEST:.0%} of them.",
        "A row is not usable if its data or features are not those of the paper, if a training ended before early"
        " stopping, or if its printed cells are not sound. Test users are the same for all seeds, and the interval has"
        " no part from the split.",
    )


def _table(report: Reproduction, table: int, dataset: str) -> Iterator[Section]:
    rows = [row for row in report.rows if (row.table, row.dataset) == (table, dataset) and row.verdict != "missing"]
    if not rows:
        return
    lacks = "with features that" if dataset in paper().sizes else "which"
    title = f"Table {table}, {dataset}" if table != NO_TABLE else f"{dataset}, {lacks} the paper does not have"
    if any(row.noise for row in rows):
        title += ", under noise N(0, 1e-6)"
    columns = ("cell", "measured", *(("printed", "difference") if table != NO_TABLE else ()), "verdict")
    cells: list[tuple[str, ...]] = []
    for row in rows:
        verdict = row.verdict if table != NO_TABLE or not row.values else _converged(row)
        cells.append((_named(row), *[""] * (len(columns) - 2), f"{verdict}: {row.why}" if row.why else verdict))
        for value in row.values:
            printed = (_printed(value), percent(value.difference, signed=True), value.verdict) if table else ("",)
            cells.append((f"{INDENT}{value.metric}", _measured(value), *printed))
    yield Section(title, tuple(_shared(rows)), columns, tuple(cells))
    notes = [
        f"{row.label} {value.metric}: {flag}: {text}"
        for row in rows
        for value in row.values
        for flag, text in value.flags.items()
        if row.noise != "training"
    ]
    if notes:
        yield Section(f"{title}: printed cells that are not sound (*)", tuple(notes))


def _converged(row: Row) -> str:
    cut = sum(bool(each.cut_off) for each in row.trainings)
    return (
        f"{cut} of {len(row.trainings)} trainings ended before early stopping"
        if cut
        else "trained until early stopping"
    )


def _shared(rows: Sequence[Row]) -> Iterator[str]:
    """Yield the substitutes, once for the rows that have each."""
    named: dict[str, list[str]] = {}
    for row in rows:
        for each in row.substitutes:
            named.setdefault(each, []).append(row.label)
    for each, labels in named.items():
        several = list(dict.fromkeys(labels))
        whole = len(several) == len({row.label for row in rows})
        yield each if whole else f"{each} ({', '.join(several)})"


def _measured(value: Value) -> str:
    return f"{plain(value.mean)} {bracketed(value.low, value.high, plain)}".rstrip()


def _printed(value: Value) -> str:
    if value.printed is None:
        return "not legible"
    return f"{value.printed:.{DECIMALS}f}{'*' if value.flags else ''}"


def _missing(report: Reproduction) -> Iterator[Section]:
    named: dict[tuple[str, str], list[str]] = {}
    for row in report.rows:
        if row.verdict == "missing":
            named.setdefault((row.missing, row.fix), []).append(f"{row.dataset} {row.label}")
    if named:
        yield Section(
            "Rows without an input",
            (),
            ("missing", "how to prepare it", "rows"),
            tuple((what, fix, _few(list(dict.fromkeys(labels)))) for (what, fix), labels in named.items()),
        )


def _few(labels: Sequence[str]) -> str:
    shown = ", ".join(labels[:3])
    return f"{shown} and {len(labels) - 3} more" if len(labels) > 3 else shown


def _differences(report: Reproduction) -> Iterator[Section]:
    named: dict[tuple[str, str], list[Row]] = {}
    for row in report.rows:
        if row.reason:
            named.setdefault((f"{row.table} {row.dataset}", row.reason), []).append(row)
    if named:
        yield Section(
            "Differences: the most likely reason and the experiment that decides it",
            ("A reason is an assumption until its experiment is done. Of several rows, the command is of the first.",),
            ("table", "reason", "experiment", "rows"),
            tuple(
                (table, reason, rows[0].experiment, _few([_named(row) for row in rows]))
                for (table, reason), rows in named.items()
            ),
        )


def _named(row: Row) -> str:
    return f"{row.label}{', ' + _READINGS[row.noise] if row.noise else ''}"


def _claims(report: Reproduction) -> Iterator[Section]:
    if not report.claims:
        return
    lines: tuple[str, ...] = (
        f"Relative difference of {report.metric}, paired by training seed, with {report.level:.0%} intervals over"
        " seeds. p-values are corrected (Holm) over the claims on means and over those on one model.",
        f"Equal epochs: {report.epochs} of each strategy. Equal gradient evaluations: as many as {report.epochs} epochs"
        f" of {NAMES['vanilla']} take."
        if report.epochs
        else "Comparisons at equal epochs and equal gradient evaluations were omitted (--epochs 0).",
    )
    columns = ("claim", "features", "difference", "p (Holm)", "printed", "conclusion")
    for pooled, title in ((True, "Claims, mean over models and data sets"), (False, "Claims, each model and data set")):
        groups: dict[tuple[str, str, str], list[Claim]] = {}
        for each in report.claims:
            if each.pooled == pooled:
                groups.setdefault((each.dataset, each.model, each.budget), []).append(each)
        named = [
            (
                f"{dataset}, {model}, {BUDGET_WORDS[cast('Budget', budget)]}, {seeds_words(claims[0].seeds)}",
                _claim(each),
            )
            for (dataset, model, budget), claims in groups.items()
            for each in claims
        ]
        if named:
            yield Section(title, lines, columns, _grouped(named))
            lines = ()


def _grouped(named: Sequence[tuple[str, tuple[str, ...]]]) -> tuple[tuple[str, ...], ...]:
    """Return rows with a line of their name before the first of each run of equal names."""
    rows: list[tuple[str, ...]] = []
    for name, group in groupby(named, key=itemgetter(0)):
        own = [row for _, row in group]
        rows += [(name, *[""] * (len(own[0]) - 1)), *own]
    return tuple(rows)


def _claim(each: Claim) -> tuple[str, ...]:
    difference = (
        f"{percent(each.estimate, signed=True)} {bracketed(each.low, each.high, percent, signed=True)}".rstrip()
    )
    return (
        f"{INDENT}{each.claim}",
        each.features if each.encoder == each.features else f"{each.encoder} for {each.features}",
        difference,
        "-" if each.p_adjusted is None else f"{each.p_adjusted:.3f}",
        percent(each.printed, signed=True),
        f"{each.conclusion}: {each.why}" if each.why else each.conclusion,
    )


def _improvements(report: Reproduction) -> Iterator[Section]:
    lines = (
        "The best row of a model over its vanilla row on minilm+cnn features, and the mean over the models. The best"
        ' row is chosen on test, which adds the number under "by chance" even where no row differs from another.',
    )
    columns = ("line", "measured", "rows", "by chance", "printed", "from sound cells", "best row")
    named = [(f"table {each.table}, {each.dataset}, {each.metric}", _improvement(each)) for each in report.improvements]
    if named:
        yield Section("Improvement as the paper computes it", lines, columns, _grouped(named))


def _improvement(each: Improvement) -> tuple[str, ...]:
    def share(value: float | None) -> str:
        return "-" if value is None else f"{value:.2f} %"

    flags = [f"{flag}: {text}" for flag, text in each.flags.items()]
    cut = [f"{each.cut_off} trainings cut off"] if each.cut_off else []
    return (
        f"{INDENT}{each.model}",
        share(each.ours),
        f"{each.rows} of {OTHERS}",
        share(each.chance),
        share(each.printed),
        share(each.cells),
        "; ".join(filter(None, (each.best, *cut, each.note, *flags))),
    )


def _falls(report: Reproduction) -> Iterator[Section]:
    if not report.falls:
        return
    counts = Counter(each.conclusion for each in report.falls)
    columns = ("fall", "printed", "noise at inference", "noise in training", "spread", "conclusion")
    named = [(f"{each.model}/{each.features}/{each.strategy}", _fall(each)) for each in report.falls]
    yield Section(
        "Table 2: fall under noise, read both ways",
        (
            *(f"{word}: {count} of {len(report.falls)} cells" for word, count in counts.items()),
            "Spread is the standard deviation of the clean value over training seeds, as a share of its mean.",
        ),
        columns,
        _grouped(named),
    )


def _fall(each: Fall) -> tuple[str, ...]:
    def with_interval(value: float | None, low: float | None, high: float | None) -> str:
        return f"{percent(value, signed=True)} {bracketed(low, high, percent, signed=True)}".rstrip()

    return (
        f"{INDENT}{each.metric}",
        percent(each.printed, signed=True),
        with_interval(each.inference, each.inference_low, each.inference_high),
        with_interval(each.training, each.training_low, each.training_high),
        percent(each.spread),
        each.conclusion,
    )


def _tuned(report: Reproduction) -> Iterator[Section]:
    if report.tuned:
        yield Section(
            "Settings chosen on validation",
            (
                "The learning rate of every strategy, α₂ and ρ where it has them, except what --set gives. Every search"
                " has the same number of trials, and each trial the gradient evaluations of the same number of epochs"
                " of plain training at most.",
            ),
            ("data set", "row", "trials", "pruned", "gradient evaluations", "chosen", "validation"),
            tuple(
                (
                    each.dataset,
                    f"{each.model}/{each.features}/{each.strategy}",
                    str(each.trials),
                    str(each.pruned),
                    f"{each.gradients:,} (each at most {each.most_gradients:,})",
                    ", ".join(f"{name} = {value:g}" for name, value in each.chosen.items()) or "given by --set",
                    f"{each.metric} {plain(each.validation)}" if each.validation is not None else "-",
                )
                for each in report.tuned
            ),
        )
