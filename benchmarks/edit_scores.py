"""How far edits move scores, beside noise and the worst case of the same size, by training strategy.

    python -m benchmarks.edit_scores --dataset movielens-cold --features minilm+lite0 --arms vanilla sgbd edit-aug

It trains VBPR as `benchmarks.robust_training` does and uses its stored trainings. Only models whose item vectors are
linear in the item's own features have these three sizes in closed form.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.robust_training import Tables, bench_of
from benchmarks.training_table import ARMS, REFERENCE, difference
from robustrec.config import default_home
from robustrec.hardware import set_numerics
from robustrec.models.contract import Representation
from robustrec.runs.subjects import obtain_subject
from robustrec.runs.trained import TrainedSubject

MODEL = "vbpr"
COLUMNS = (
    "edits",
    "noise of that size",
    "worst case of that size",
    "edits / noise",
    "worst case / noise",
)


def sizes(subject: TrainedSubject, edited: Sequence[Tables]) -> tuple[float, ...]:
    """Return how far edits, noise of their size and the worst case of their size move scores, and two ratios.

    Each is a root mean square over users and items, in standard deviations of a user's scores over the items. With
    δ_m the displacement of an item's features of modality m and w_m the derivative of its score, noise of the size
    moves the score by (Σ_m ‖δ_m‖²‖w_m‖²/d_m)^½ and the worst case by Σ_m ‖δ_m‖‖w_m‖.
    """
    clean = _represented(subject, subject.tables)
    users, items = clean.users.double(), clean.items.double()
    spread = (users @ items.T).std(dim=1, correction=0)
    users = users / spread[:, None]
    derivatives = {name: users @ _columns(subject, name).T for name in subject.tables}
    moved, noise, worst = [], [], []
    for tables in edited:
        raw = {name: tables[name].to(table) for name, table in subject.tables.items()}
        gap = _represented(subject, raw).items.double() - items
        moved.append((users @ gap.T).square().mean().item())
        lengths = {name: (raw[name] - table).double().norm(dim=1) for name, table in subject.tables.items()}
        by_user = {name: weights.norm(dim=1) for name, weights in derivatives.items()}
        noise.append(
            sum(
                (by_user[name].square().mean() * lengths[name].square().mean() / table.shape[1]).item()
                for name, table in subject.tables.items()
            )
        )
        at_worst = sum(torch.outer(by_user[name], lengths[name]) for name in subject.tables)
        assert isinstance(at_worst, Tensor)
        worst.append(at_worst.square().mean().item())
    edit, random, most = (math.sqrt(statistics.fmean(each)) for each in (moved, noise, worst))
    return edit, random, most, edit / random, most / random


def _represented(subject: TrainedSubject, tables: Tables) -> Representation:
    found = subject.represent(tables)
    assert isinstance(found, Representation)
    return found


def _columns(subject: TrainedSubject, modality: str) -> Tensor:
    """Return the derivative of an item vector by each feature of a modality, float64 [D_m, d].

    The item vectors are linear in the features, so that a difference of any length is exact up to rounding. Features
    are moved for as many items at once as there are.
    """
    table = subject.tables[modality]
    n_items, width = table.shape
    scale = float(table.std()) * math.sqrt(width)
    before = _represented(subject, subject.tables).items.double()
    found = []
    for first in range(0, width, n_items):
        columns = torch.arange(first, min(first + n_items, width))
        moved = table.clone()
        moved[torch.arange(len(columns)), columns] += scale
        after = _represented(subject, {**subject.tables, modality: moved}).items.double()
        found.append((after - before)[: len(columns)] / scale)
    return torch.cat(found)


def lines_of(found: dict[str, list[tuple[float, ...]]]) -> Iterator[str]:
    """Yield a Markdown table: means of the reference, differences of the others paired by training seed."""
    yield f"| arm | {' | '.join(COLUMNS)} |"
    yield f"|---|{'---|' * len(COLUMNS)}"
    reference = found[REFERENCE.label]
    for label, runs in found.items():
        cells = []
        for ours, theirs in zip(zip(*runs, strict=True), zip(*reference, strict=True), strict=True):
            if label == REFERENCE.label:
                cells.append(f"{statistics.fmean(ours):.3f}")
                continue
            cells.append(difference(ours, theirs, 3))
        yield f"| `{label}` | {' | '.join(cells)} |"


def main() -> None:
    """Print one table for the edits that `edit-aug` sees and one for the others."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset", default="clothing")
    parser.add_argument("--features", default="basic")
    parser.add_argument("--arms", nargs="+", default=["vanilla", "sgbd", "edit-aug"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--patience", type=int, default=10)
    parser.add_argument("--set", nargs="*", default=[], help="further settings, SECTION.KEY=VALUE")
    parser.add_argument("--home", type=Path, default=default_home())
    options = parser.parse_args()
    set_numerics(1)
    bench = bench_of(options)
    arms = {arm.label: bench.specs(MODEL, arm) for arm in ARMS if arm.label in options.arms}
    prepared, edited = bench.prepared([spec for specs in arms.values() for spec in specs])
    found: dict[str, dict[str, list[tuple[float, ...]]]] = {"seen": {}, "unseen": {}}
    for label, specs in arms.items():
        for spec in specs:
            print(f"{label} seed {spec.seed}", file=sys.stderr, flush=True)
            subject = obtain_subject(spec, prepared, home=options.home)
            for name, draws in (("seen", edited.seen), ("unseen", edited.unseen)):
                found[name].setdefault(label, []).append(sizes(subject, draws))
    for name, rows in found.items():
        print(f"\n{name.capitalize()} edits\n")
        print("\n".join(lines_of(rows)))


if __name__ == "__main__":
    main()
