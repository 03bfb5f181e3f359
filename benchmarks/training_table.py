"""The table of training against edits: its arms, its statistics and its pages."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from scipy import stats

from robustrec.edits import FAULTS, PICTURE_EDITS, TEXT_EDITS
from robustrec.results.content_use import ENOUGH

SEVERITY, DRAWS, SHARE = 3, 2, 0.2


class Arm(NamedTuple):
    """A strategy with settings, on features with or without a filter.

    Attributes:
        strategy: its name.
        filter: of the features, "shrink=.7".
        settings: of the strategy, other than the defaults.
    """

    strategy: str
    filter: str = ""
    settings: tuple[tuple[str, float], ...] = ()

    @property
    def label(self) -> str:
        """Its name in the tables."""
        words = [self.strategy, *(f"{name}={value:g}" for name, value in self.settings)]
        return " ".join([*words, *(["on", self.filter] if self.filter else [])])


REFERENCE = Arm("vanilla")
ARMS = (
    *(Arm(name) for name in ("vanilla", "sgbd", "mirror", "sam", "edit-aug")),
    Arm("vanilla", "shrink=.7"),
    Arm("vanilla", "shrink=.7,edits"),
    Arm("edit-aug", "shrink=.7"),
    *(Arm(name) for name in ("sgbd+edit-aug", "amr")),
    Arm("amr", settings=(("amr_epsilon", 0.2),)),
    *(Arm(name) for name in ("amr+edit-aug", "modality-dropout", "noise-aug", "ema")),
)
"""In the order of their interest: a run that is cut short has the first of them."""


def names_of(*, seen: bool) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the text and the picture edits that training sees or does not: every second of each, without faults."""
    kept = ([name for name in names if name not in FAULTS] for names in (TEXT_EDITS, PICTURE_EDITS))
    text, picture = (tuple(names[0 if seen else 1 :: 2]) for names in kept)
    return text, picture


def paired(ours: Sequence[float], theirs: Sequence[float]) -> tuple[float, float]:
    """Return mean and half-width of the 95 % t interval of the differences over training seeds."""
    gaps = [a - b for a, b in zip(ours, theirs, strict=True)]
    half = math.nan
    if len(gaps) > 1 and all(map(math.isfinite, gaps)):
        half = float(stats.t.ppf(0.975, len(gaps) - 1)) * statistics.stdev(gaps) / math.sqrt(len(gaps))
    return statistics.fmean(gaps), half


def difference(ours: Sequence[float], theirs: Sequence[float], decimals: int) -> str:
    """Return `paired` as text, bold where the interval excludes 0; empty where a value is missing."""
    gap, half = paired(ours, theirs)
    if not math.isfinite(gap):
        return ""
    sure = "**" if abs(gap) > half else ""
    bound = f" ± {half:.{decimals}f}" if math.isfinite(half) else ""
    return f"{sure}{gap:+.{decimals}f}{bound}{sure}"


COLUMNS = {
    "clean": "clean NDCG@20",
    "edited, seen": "edited, seen edits",
    "edited, unseen": "edited, unseen edits",
    "overlap, unseen": "overlap@20, unseen edits",
    "exposure": "exposure of edited items",
    "noise": "noise at 10 %",
    "without image": "no pictures",
    "without text": "no texts",
    "mean features": "mean features",
    "cold items": "cold items",
}
"""Measures of `measured`, in the order and with the words of the tables."""


def page(record: dict[str, Any], models: Sequence[str]) -> str:
    """Return the record as Markdown: values of the reference, paired differences of the others."""
    lines = _heading(record)
    for model in models:
        results = [each for each in record["results"] if each["model"] == model]
        by_arm: dict[str, list[dict[str, Any]]] = {}
        for each in sorted(results, key=lambda each: int(each["seed"])):
            by_arm.setdefault(each["arm"], []).append(each)
        if REFERENCE.label not in by_arm:
            continue
        lines += [f"## {model}", "", *_table(by_arm), ""]
    return "\n".join(lines)


def _heading(record: dict[str, Any]) -> list[str]:
    kind = "SYNTHETIC sample edition" if record["synthetic"] else "Real data"
    seen, unseen = (sum(map(len, names_of(seen=which))) for which in (True, False))
    return [
        f"# Training against edits, {record['dataset']}",
        "",
        f"{kind}: {record['users']:,} users, {record['items']:,} items, {record['trained']:,} training interactions; "
        f"features {record['features']}. Each arm is trained until early stopping with a patience of "
        f"{record['patience']} evaluations, and every number is of the test users, NDCG@20 where it has no other name.",
        "",
        "The first row has the mean of the reference over the training seeds. The others have the difference from it, "
        "paired by seed, with the half-width of the 95 % t interval over seeds; bold where it excludes 0. The "
        "intervals are not corrected for the number of comparisons. Edited: every item has a text and a picture edit "
        f"of severity {SEVERITY} at random, mean of {DRAWS} draws; {seen} edits are seen in the training of "
        f"`edit-aug`, {unseen} are not. Exposure: places in the top 20 of {100 * SHARE:.0f} % of the items, edited by "
        "unseen edits, as a share of their places before. Noise: norm of 10 % of each feature vector. No pictures, no "
        "texts, mean features: these features of all items replaced by their mean. Content: share of the clean quality "
        "lost with mean features; content-free from 95 % kept. Cold items have no training interaction and are ranked "
        "among themselves.",
        "",
        f"{record['machine']['cpu']}, torch {record['machine']['torch']}.",
        "",
    ]


def _table(by_arm: dict[str, list[dict[str, Any]]]) -> Iterator[str]:
    yield _row(["arm", *COLUMNS.values(), "gradients", "epochs", "content"])
    yield _row(["---"] * (len(COLUMNS) + 4))
    reference = by_arm[REFERENCE.label]
    for label, runs in by_arm.items():
        theirs = {each["seed"]: each for each in reference}
        paired_runs = [each for each in runs if each["seed"] in theirs]
        cells = [label]
        for name in COLUMNS:
            own = [each["measures"].get(name, math.nan) for each in paired_runs]
            if label == REFERENCE.label:
                cells.append(f"{statistics.fmean(own):.4f}" if math.isfinite(own[0]) else "")
                continue
            others = [theirs[each["seed"]]["measures"].get(name, math.nan) for each in paired_runs]
            cells.append(difference(own, others, 4))
        left = statistics.fmean(each["measures"]["mean features"] / each["measures"]["clean"] for each in paired_runs)
        cut = sum(bool(each["cut_off"]) for each in paired_runs)
        cells.append(f"{statistics.fmean(each['gradients'] for each in paired_runs):,.0f}")
        cells.append(
            f"{statistics.fmean(each['epochs'] for each in paired_runs):.0f}{f' ({cut} cut off)' if cut else ''}"
        )
        cells.append("content-free" if left >= ENOUGH else f"{100 * (1 - left):.0f} %")
        yield _row(cells)


SHORT = {"clean": ("clean", 4), "edited, unseen": ("edited, unseen", 4), "overlap, unseen": ("overlap@20", 3)}
"""Measures of `summary`, with their words and decimals."""


def summary(record: dict[str, Any], models: Mapping[str, str]) -> list[str]:
    """Return a Markdown table of three measures of several models, for docs/recommendation.md.

    Args:
        record: of `main`.
        models: name of a model -> its title.
    """
    by_place: dict[tuple[str, str], dict[int, dict[str, float]]] = {}
    for each in record["results"]:
        by_place.setdefault((each["model"], each["arm"]), {})[each["seed"]] = each["measures"]
    heads = [
        f"{title}: {word}" if not place else word
        for title in models.values()
        for place, (word, _) in enumerate(SHORT.values())
    ]
    lines = [_row(["", *heads]), "|---|" + "---|" * len(heads)]
    for arm in (arm.label for arm in ARMS):
        cells = [f"`{arm.partition(' on ')[0]}`{''.join(arm.partition(' on ')[1:])}"]
        for model in models:
            reference, own = by_place[model, REFERENCE.label], by_place.get((model, arm))
            cells += [_cell(own, reference, name, decimals) for name, (_, decimals) in SHORT.items()]
        if any(cells[1:]):
            lines.append(_row(cells))
    return lines


def _cell(
    own: dict[int, dict[str, float]] | None, reference: dict[int, dict[str, float]], name: str, decimals: int
) -> str:
    if own is None:
        return ""
    seeds = sorted({*own} & {*reference})
    ours, theirs = ([values[seed][name] for seed in seeds] for values in (own, reference))
    if own is reference:
        return f"{statistics.fmean(ours):.{decimals}f}"
    return difference(ours, theirs, decimals)


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
