"""Processor time of the default audit and of the merchant suite on a fresh home, and the cost of a merchant condition.

    OMP_NUM_THREADS=1 python -m benchmarks.audits [--suites quick merchant] [--users 19445 --items 7050]

Each suite runs in processes of its own on a new home: first `data describe` makes the sample edition; then the audit
encodes, trains, measures and writes the report; then it runs again with trainings and vectors stored. Times are those
of the processes (user and system), which other work on the machine changes less than the clock. The condition is
measured on made-up vectors of Baby's size: the smallest of several times, alternating with evaluations.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import torch
from scipy.sparse import csr_array

from robustrec.audits.context import CostCounts
from robustrec.audits.merchant import measure
from robustrec.audits.merchant.audit import MerchantCondition
from robustrec.audits.merchant.conditions import lists_of, scene_of
from robustrec.audits.merchant.drawn import Edited
from robustrec.audits.merchant.exhibits import Fragile
from robustrec.audits.merchant.shared import SubjectState
from robustrec.audits.quality import MetricSuite, measure_clean, measure_perturbed
from robustrec.audits.results import AuditResults, Work
from robustrec.audits.rows import Intervals
from robustrec.audits.suites import Bootstrap
from robustrec.hardware import cpu_name, set_numerics
from robustrec.models.contract import Representation
from robustrec.runs.prepared import Split
from robustrec.runs.trained import TrainedSubject
from robustrec.runs.treatments import treatments_of
from robustrec.subject import Subject

GOALS = {"quick": 20.0, "merchant": 45.0}
DRAWS, WIDTH, SEVERITIES = 6, 512, (1, 2, 3, 4, 5)


def run(home: Path, *arguments: str) -> float:
    """Return the processor time of a robustrec command in seconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "robustrec", *arguments]
    subprocess.run(command, env=os.environ | {"ROBUSTREC_HOME": str(home)}, stdout=subprocess.DEVNULL, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def suite_row(suite: str) -> str:
    """Return the row of a suite: set-up, fresh, and again with everything stored."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        made = run(home, "data", "describe", "clothing")
        audit = ["audit", "--model", "slmrec", "--dataset", "clothing", "--suite", suite]
        fresh, again = run(home, *audit), run(home, *audit)
    return f"| {suite} | {made:.1f} | {fresh:.1f} | {again:.1f} | {GOALS.get(suite, float('nan')):.0f} |"


def condition_cost(n_users: int, n_items: int, rounds: int) -> tuple[float, float, float]:
    """Return seconds of one evaluation, of the lists of a draw, and of a draw of a condition with its findings."""
    random, drawn = np.random.default_rng(0), torch.Generator().manual_seed(0)

    def pairs(each: int) -> csr_array:
        rows = np.repeat(np.arange(n_users), each)
        items = (random.random(n_users * each) ** 2 * n_items).astype(np.int64)
        return csr_array((np.ones(len(rows)), (rows, items)), shape=(n_users, n_items))

    masked, relevant = pairs(6), pairs(1)
    suite = MetricSuite(("recall@20", "ndcg@20"), ("rbo@20", "changed@20"))
    split = Split(np.arange(n_users), relevant, masked)
    table = torch.randn(n_items, WIDTH, generator=drawn)
    weight, users = torch.randn(WIDTH, 64, generator=drawn) / WIDTH**0.5, torch.randn(n_users, 64, generator=drawn)

    def represent(features: dict[str, torch.Tensor] | None = None, *, frozen: bool = False) -> Representation:  # noqa: ARG001
        return Representation(users, (features or {"text": table})["text"] @ weight)

    strata = np.sort(np.arange(n_items) % 3)
    targets = scene_of(split, suite, strata, metric="ndcg@20", k=20)
    clean, before = measure_clean(represent(), split, suite), lists_of(represent(), targets)
    name = Subject(model="made up", strategy="vanilla", features="made up", seed=0)
    subject = cast(TrainedSubject, SimpleNamespace(subject=name, tables={"text": table}, represent=represent))
    audited = SubjectState(subject, clean, before, Fragile(targets, 5), {}, {})
    draws = []
    for _ in range(DRAWS):
        items = np.sort(random.choice(n_items, n_items // 10, replace=False))
        moved = table[items] + 0.3 * torch.randn(len(items), WIDTH, generator=drawn)
        draws.append(Edited(items, {"text": moved}, {}, np.full(len(items), np.nan)))
    (treatment,) = treatments_of(["typos"])
    severities = iter(SEVERITIES * rounds)

    def condition() -> None:
        context = SimpleNamespace(costs=CostCounts())
        intervals = Intervals(Bootstrap(replicates=1000), 0, n_items)
        work = cast(Work, SimpleNamespace(context=context, results=AuditResults(), intervals=intervals))
        of_run = cast(Any, SimpleNamespace(work=work, targets=targets))
        measure._measure_subject(of_run, MerchantCondition(treatment, next(severities), 0.1), audited, draws)

    evaluation, lists, one = _smallest(
        [
            lambda: measure_perturbed(represent(), split, suite, clean),
            lambda: lists_of(represent(), targets, clean),
            condition,
        ],
        rounds,
    )
    return evaluation, lists, one / DRAWS


def _smallest(functions: list[Callable[[], object]], rounds: int) -> list[float]:
    best = [float("inf")] * len(functions)
    for _ in range(rounds):
        for place, function in enumerate(functions):
            started = time.process_time()
            function()
            best[place] = min(best[place], time.process_time() - started)
    return best


def main(arguments: list[str] | None = None) -> None:
    """Measure and print the page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.audits", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--suites", nargs="*", default=list(GOALS))
    parser.add_argument("--users", type=int, default=19_445)
    parser.add_argument("--items", type=int, default=7_050)
    parser.add_argument("--rounds", type=int, default=5)
    chosen = parser.parse_args(arguments)
    set_numerics(1)
    print(f"{cpu_name()}, torch {torch.__version__}, load {os.getloadavg()[0]:.1f}\n")
    print("| suite | sample edition, s | audit on a fresh home, s | again, s | goal, s |\n|---|---|---|---|---|")
    for suite in chosen.suites:
        print(suite_row(suite), flush=True)
    print("\n| users | items | evaluation, ms | lists and places of a draw | a draw of a condition | goal |")
    print("|---|---|---|---|---|---|")
    for users, items in ((1_200, 480), (chosen.users, chosen.items)):
        evaluation, lists, one = condition_cost(users, items, chosen.rounds)
        cells = f"{evaluation * 1e3:.1f} | {lists / evaluation:.2f} | {one / evaluation:.2f} | 1.3"
        print(f"| {users:,} | {items:,} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
