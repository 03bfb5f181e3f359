"""A reproduction as titled tables and sentences, which the console and both pages share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from robustrec.reproduce.claims import NAMES
from robustrec.reproduce.intervals import FEWEST_SEEDS, WIDEST
from robustrec.reproduce.paper import DECIMALS
from robustrec.reproduce.result import Claim, Fall, Improvement, Reproduction, Row, Value
from robustrec.reproduce.rows import NO_TABLE
from robustrec.reproduce.table import seeds_words
from robustrec.results.numbers import bracketed, percent, plain

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
    return f"{len(report.rows)} row{'' if len(report.rows) == 1 else 's'}: {', '.join(parts)}"


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
    names = list(dict.fromkeys(value.metric for row in rows for value in row.values))
    title = f"Table {table}, {dataset}" if table != NO_TABLE else f"{dataset}, which the paper does not have"
    if table != NO_TABLE and any(row.noise for row in rows):
        title += ", noise N(0, 1e-6)"
    columns = ["row", *(["reading"] if any(row.noise for row in rows) else []), "cell", "measured"]
    columns += ["printed", "difference", "cell verdict"] if table != NO_TABLE else []
    columns.append("verdict")
    cells: list[tuple[str, ...]] = []
    for row in rows:
        start = [row.label, *([_READINGS[row.noise]] if "reading" in columns else [])]
        verdict = row.verdict if table != NO_TABLE or not row.values else _converged(row)
        verdict = f"{verdict} ({row.why})" if row.why else verdict
        if not row.values:
            cells.append((*start, *[""] * (len(columns) - len(start) - 1), verdict))
        for place, value in enumerate(row.values):
            printed = (_printed(value), percent(value.difference, signed=True), value.verdict) if table else ()
            lead = start if place == 0 else [""] * len(start)
            cells.append((*lead, value.metric, _measured(value), *printed, verdict if place == 0 else ""))
    yield Section(title, tuple(_shared(rows)), tuple(columns), tuple(cells))
    notes = [
        f"{row.label} {value.metric}: {flag}: {text}"
        for row in rows
        for value in row.values
        for flag, text in value.flags.items()
        if row.noise != "training"
    ]
    if notes and names:
        yield Section(f"{title}: printed cells that are not sound", tuple(dict.fromkeys(notes)))


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
    rows = [row for row in report.rows if row.reason]
    if rows:
        yield Section(
            "Differences: the most likely reason and the experiment that decides it",
            ("A reason is an assumption until its experiment is done.",),
            ("table", "row", "reason", "experiment"),
            tuple((f"{row.table} {row.dataset}", _named(row), row.reason, row.experiment) for row in rows),
        )


def _named(row: Row) -> str:
    return f"{row.label}{', ' + _READINGS[row.noise] if row.noise else ''}"


def _claims(report: Reproduction) -> Iterator[Section]:
    if not report.claims:
        return
    lines = (
        f"Relative difference of {report.metric}, paired by training seed, with {report.level:.0%} intervals over"
        " seeds. p-values are corrected (Holm) over the claims on means and over those on one model.",
        f"Equal epochs: {report.epochs} of each strategy. Equal gradient evaluations: as many as {report.epochs} epochs"
        f" of {NAMES['vanilla']} take."
        if report.epochs
        else "Comparisons at equal epochs and equal gradient evaluations were omitted (--epochs 0).",
    )
    columns = ("claim", "data set", "model", "difference", "p (Holm)", "seeds", "printed", "conclusion")
    for pooled, title in ((True, "Claims, mean over models and data sets"), (False, "Claims, each model and data set")):
        rows = tuple(_claim(each) for each in report.claims if each.pooled == pooled)
        if rows:
            yield Section(
                title, lines if pooled or not any(each.pooled for each in report.claims) else (), columns, rows
            )


def _claim(each: Claim) -> tuple[str, ...]:
    difference = (
        f"{percent(each.estimate, signed=True)} {bracketed(each.low, each.high, percent, signed=True)}".rstrip()
    )
    return (
        each.claim if each.encoder == each.features else f"{each.claim} ({each.encoder} in their place)",
        each.dataset,
        each.model,
        difference,
        "-" if each.p_adjusted is None else f"{each.p_adjusted:.3f}",
        str(each.seeds),
        percent(each.printed, signed=True),
        f"{each.conclusion} ({each.why})" if each.why else each.conclusion,
    )


def _improvements(report: Reproduction) -> Iterator[Section]:
    if report.improvements:
        yield Section(
            "Improvement as the paper computes it",
            (
                "The best row of a model over its vanilla row on minilm+cnn features, and the mean over the models. The"
                " best row is chosen on test, which raises the number even where nothing helps.",
            ),
            ("table", "model", "metric", "measured", "rows", "printed", "from sound cells", "note"),
            tuple(_improvement(each) for each in report.improvements),
        )


def _improvement(each: Improvement) -> tuple[str, ...]:
    def share(value: float | None) -> str:
        return "-" if value is None else f"{value:.2f} %"

    flags = "; ".join(f"{flag}: {text}" for flag, text in each.flags.items())
    return (
        f"{each.table} {each.dataset}",
        each.model,
        each.metric,
        share(each.ours),
        f"{each.rows} of 8",
        share(each.printed),
        share(each.cells),
        "; ".join(part for part in (each.note, flags) if part),
    )


def _falls(report: Reproduction) -> Iterator[Section]:
    if not report.falls:
        return
    counts = Counter(each.conclusion.partition(":")[0] for each in report.falls)
    words = "; ".join(f"{word}: {count} cells" for word, count in counts.items())
    yield Section(
        "Table 2: fall under noise, read both ways",
        (
            words,
            "Spread is the standard deviation of the clean value over training seeds, as a share of its mean.",
        ),
        ("row", "metric", "printed", "noise at inference", "noise in training", "spread", "conclusion"),
        tuple(_fall(each) for each in report.falls),
    )


def _fall(each: Fall) -> tuple[str, ...]:
    def with_interval(value: float | None, low: float | None, high: float | None) -> str:
        return f"{percent(value, signed=True)} {bracketed(low, high, percent, signed=True)}".rstrip()

    return (
        f"{each.model}/{each.features}/{each.strategy}",
        each.metric,
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
            ("Every strategy has the same number of trials, and each trial the same gradient evaluations at most.",),
            ("data set", "row", "trials", "pruned", "gradient evaluations", "chosen", "validation"),
            tuple(
                (
                    each.dataset,
                    f"{each.model}/{each.features}/{each.strategy}",
                    str(each.trials),
                    str(each.pruned),
                    f"{each.gradients:,} (each at most {each.most_gradients:,})",
                    ", ".join(f"{name} = {value:g}" for name, value in each.chosen.items()),
                    f"{each.metric} {plain(each.validation)}",
                )
                for each in report.tuned
            ),
        )
