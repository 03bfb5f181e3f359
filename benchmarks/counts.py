"""Counts of the work of the default audit on a tiny data set: they do not depend on the machine or its load.

A change that makes an audit do more work changes `benchmarks/counts.toml`, which `tests/test_counts.py` compares.

python -m benchmarks.counts
"""

from __future__ import annotations

import argparse
import functools
import json
import sys
import tempfile
import threading
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tomli_w
import torch
from PIL import Image

import robustrec as rr
from robustrec.curvature.operators import Operator
from robustrec.encoders import basic
from robustrec.encoders.fitted import BasicEncoder
from robustrec.evaluation import bootstrap, places, ranking
from robustrec.files import write_atomically
from robustrec.runs.trained import TrainedSubject
from robustrec.training.strategies import Strategy

TABLE = Path(__file__).with_name("counts.toml")
CURVATURE = """
schema_version = 1
name = "curvature"
metrics = ["ndcg@20"]
[[audits]]
kind = "sharpness"
triples = 500
"""
"""The default suite has no Hessian products; this one has those of the sharpness audit's defaults."""
EPOCHS, BATCH, USERS, ITEMS = 2, 128, 80, 60


class Counted(NamedTuple):
    """A function whose calls are counted.

    Attributes:
        label: of the count; "{}" stands for the name of a strategy.
        owner: its module or class.
        name: its name there.
        size: what a call counts, from its arguments.
    """

    label: str
    owner: Any
    name: str
    size: Callable[..., int] = lambda *_, **__: 1


COUNTED = (
    Counted("forward passes", TrainedSubject, "represent"),
    Counted("rankings", ranking, "rank"),
    Counted("rankings", ranking, "rank_pairs"),
    Counted("rankings", places, "per_user_accuracy"),
    Counted("gradients", torch.autograd, "grad"),
    Counted("Hessian products", Operator, "__call__"),
    Counted("rows encoded", BasicEncoder, "encode", lambda _, rows, *__: len(rows)),
    Counted("rows encoded", basic, "encode", lambda dataset, *_: len(dataset.catalog.texts)),
    Counted("bootstrap draws", bootstrap, "_drawn"),
    Counted("bootstrap products", bootstrap, "resampled_means"),
    Counted("{} steps", Strategy, "step"),
    Counted("{} gradient evaluations", Strategy, "_backward"),
)


@contextmanager
def counting() -> Iterator[Counter[str]]:
    """Count calls of `COUNTED`, wherever a module of robustrec has the function."""
    found: Counter[str] = Counter()
    lock = threading.Lock()
    bootstrap.kept_counts.cache_clear()
    swapped = [(each, getattr(each.owner, each.name), _counted(each, found, lock)) for each in COUNTED]
    for each, function, counted in swapped:
        _swap(each, function, counted)
    try:
        yield found
    finally:
        for each, function, counted in swapped:
            _swap(each, counted, function)  # also in modules that were imported meanwhile


def _counted(each: Counted, found: Counter[str], lock: threading.Lock) -> Callable[..., Any]:
    function = getattr(each.owner, each.name)

    @functools.wraps(function)
    def counted(*given: Any, **named: Any) -> Any:
        label = each.label.format(given[0].config.name) if each.owner is Strategy else each.label
        with lock:
            found[label] += each.size(*given, **named)
        return function(*given, **named)

    return counted


def _swap(each: Counted, old: Callable[..., Any], new: Callable[..., Any]) -> None:
    modules = [module for name, module in sys.modules.items() if name.partition(".")[0] == "robustrec"]
    for owner in (each.owner, *modules):
        if vars(owner).get(each.name) is old:
            setattr(owner, each.name, new)


def counts() -> dict[str, dict[str, int]]:
    """Return the counts of the default audit, of an audit with Hessian products, and of trainings, in a new home."""
    with tempfile.TemporaryDirectory() as place:
        folder, home, suite = Path(place) / "shop", Path(place) / "home", Path(place) / "curvature.toml"
        make_data(folder)
        suite.write_text(CURVATURE)
        tables = {}
        with counting() as tables["quick"]:
            audit(folder, home)
        with counting() as tables["curvature"]:
            audit(folder, home, suite=suite)
        with counting() as tables["training"]:
            rr.train("vbpr", folder, strategy=["sam", "mirror"], **_options(home))
    return {name: dict(sorted(found.items())) for name, found in tables.items()}


def audit(folder: Path, home: Path, suite: Path | None = None) -> None:
    """Run an audit of VBPR, trained with the default strategies, on the data of `make_data`."""
    rr.audit("vbpr", folder, suite=suite, **_options(home))


def _options(home: Path) -> dict[str, Any]:
    training = {"max_epochs": EPOCHS, "patience": EPOCHS, "batch_size": BATCH}
    return {"features": "basic", "home": home, "device": "cpu", "set": {"training": training}}


def make_data(folder: Path) -> None:
    """Write a data set in the MMRec layout: four groups of users with a taste each, titles and pictures."""
    random = np.random.default_rng(7)
    groups = np.arange(ITEMS) % 4
    rows = ["userID\titemID\trating\ttimestamp\tx_label"]
    for user in range(USERS):
        liked = random.permutation(np.flatnonzero(groups == user % 4))[:7]
        other = random.permutation(np.flatnonzero(groups != user % 4))[:2]
        for order, item in enumerate(random.permutation([*liked, *other])):
            rows.append(f"{user}\t{item}\t5.0\t{order}\t{1 if order == 0 else 2 if order == 1 else 0}")
    (folder / "pictures").mkdir(parents=True)
    (folder / "shop.inter").write_text("\n".join(rows) + "\n")
    kinds = ("red cup", "blue plate", "green bowl", "black pan")
    lines = []
    for item, group in enumerate(groups):
        colour = tuple(int(each) for each in random.integers(0, 60, 3) + 60 * group)
        Image.new("RGB", (16, 16), colour).save(folder / "pictures" / f"{item}.png")
        title = f"{kinds[group]} number {item} of the kitchen series"
        record = {"itemID": item, "title": title, "description": f"A {kinds[group]}.", "image": f"{item}.png"}
        lines.append(json.dumps(record))
    (folder / "items.jsonl").write_text("\n".join(lines) + "\n")


def read_table() -> dict[str, dict[str, int]]:
    """Return the committed counts."""
    return tomllib.loads(TABLE.read_text())


def differences(found: Mapping[str, Mapping[str, int]], expected: Mapping[str, Mapping[str, int]]) -> list[str]:
    """Return a line for each count that is not the committed one."""
    lines = []
    for part in sorted({*found, *expected}):
        now, before = found.get(part, {}), expected.get(part, {})
        lines += [
            f"{part}, {label}: {now.get(label, 0)}, expected {before.get(label, 0)}"
            for label in sorted({*now, *before})
            if now.get(label, 0) != before.get(label, 0)
        ]
    return lines


def main() -> None:
    """Count and write the table."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    found = counts()
    for line in differences(found, read_table() if TABLE.exists() else {}):
        print(line)
    note = "# Written by: python -m benchmarks.counts; see tests/test_counts.py\n\n"
    write_atomically(TABLE, note + tomli_w.dumps(found))
    print(f"written: {TABLE}")


if __name__ == "__main__":
    main()
