"""How often gates are wrong on the sample: false alarms of an unchanged model, and planted regressions that are caught.

    python -m benchmarks.gates [--suites 1000] [--users 400] [--draws 8]

VBPR is trained on the sample of clothing and measured under many draws of noise. Its users and draws are then the
population: its true numbers are known. Simulated test sets are users and draws taken from it at random, with
replacement; each is made into findings and judged by a suite of gates just as an audit does it. An unchanged model
has every limit at the true number, which is where a false alarm is most likely. A regression is planted under the
second condition; its size is the one that the gates of the unchanged model say they catch.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from robustrec.audits.plan import make_plan
from robustrec.audits.rows import Intervals, drift_rows, quality_rows
from robustrec.audits.run import measure
from robustrec.audits.suites import Bootstrap
from robustrec.config import Settings, default_home
from robustrec.evaluation.error_rates import Correction, Spread, widened
from robustrec.evaluation.statistics import paired_intervals
from robustrec.files import write_atomically
from robustrec.hardware import cpu_name, describe_environment, pick_device, set_numerics
from robustrec.results.findings import Finding
from robustrec.results.gates import Gate, GateResult
from robustrec.results.judging import judge
from robustrec.results.labels import condition_of
from robustrec.subject import Subject

METRICS = ("ndcg@20", "recall@20", "ndcg@5", "recall@5")
CONDITIONS = ("sigma2=0.0001", "sigma2=0.001")
SUBJECT = Subject(model="vbpr", strategy="vanilla", features="basic", seed=0)
CORRECTIONS: tuple[Correction, ...] = get_args(Correction)
SUITE = """
schema_version = 1
name = "population"
metrics = ["ndcg@20", "recall@20", "ndcg@5", "recall@5"]
bootstrap = { replicates = 100 }
[[audits]]
kind = "noise"
sigma2 = [1e-4, 1e-3]
draws = 48
"""

Values = dict[str, NDArray[np.float64]]


class Population(NamedTuple):
    """Everybody: clean metric -> [N], and condition -> metric -> [draws, N]."""

    clean: Values
    perturbed: dict[str, Values]

    def relative(self, condition: str, metric: str) -> float:
        """Return the true relative drift."""
        clean = self.clean[metric].mean()
        return float(self.perturbed[condition][metric].mean() / clean - 1)


def population(home: Path) -> Population:
    """Train and measure the model whose users and draws are everybody there is."""
    path = home / "gates-benchmark-suite.toml"
    write_atomically(path, SUITE)
    plan = make_plan(
        Settings(
            home=home,
            model=("vbpr",),
            dataset="clothing",
            edition="sample",
            strategy=("vanilla",),
            features="blip",
            suite=str(path),
        )
    )
    arrays = measure(plan).results.arrays
    label = next(name for name in arrays if "|clean|" in name).partition("|")[0]
    clean = {metric: np.asarray(arrays[f"{label}|clean|test|{metric}"], dtype=np.float64) for metric in METRICS}
    perturbed = {
        condition: {
            metric: np.asarray(arrays[f"{label}|noise|{condition}|{metric}"], dtype=np.float64) for metric in METRICS
        }
        for condition in CONDITIONS
    }
    return Population(clean, perturbed)


def regressed(people: Population, size: float, how: str) -> Population:
    """Return the population with the relative drift of every metric lowered by `size` under the last condition.

    Args:
        people: as it was.
        size: share of the clean metric that is lost.
        how: "all users" loses evenly, or "some users" lose their whole list.
    """
    worse = {}
    for metric, values in people.perturbed[CONDITIONS[-1]].items():
        share = size * people.clean[metric].mean() / values.mean()
        if how == "all users":
            worse[metric] = values * (1 - share)
        else:
            # Those who lose most of a metric must be enough for its whole loss, in an order that is the same for all.
            order = np.random.default_rng(0).permutation(values.shape[1])
            lost = np.cumsum(values.mean(axis=0)[order]) <= share * values.mean(axis=0).sum()
            worse[metric] = np.where(np.isin(np.arange(values.shape[1]), order[lost]), 0.0, values)
    return people._replace(perturbed={**people.perturbed, CONDITIONS[-1]: worse})


def findings(people: Population, users: int, draws: int, rng: np.random.Generator, replicates: int) -> list[Finding]:
    """Return the findings of a test set taken from the population."""
    chosen = rng.integers(0, len(people.clean[METRICS[0]]), users)
    clean = {metric: values[chosen] for metric, values in people.clean.items()}
    rows = quality_rows(SUBJECT, clean, Intervals(Bootstrap(replicates=replicates), int(rng.integers(1 << 31))))
    for condition in CONDITIONS:
        total = people.perturbed[condition][METRICS[0]].shape[0]
        drawn = rng.integers(0, total, draws)
        perturbed = {metric: values[drawn][:, chosen] for metric, values in people.perturbed[condition].items()}
        intervals = Intervals(Bootstrap(replicates=replicates), int(rng.integers(1 << 31)))
        rows += drift_rows(SUBJECT, "noise", condition_of(condition), clean, perturbed, intervals)
    return rows


def gates_at_the_truth(people: Population) -> list[Gate]:
    """Return a gate for each number whose limit is the true number itself."""
    return [
        Gate.model_validate(
            {
                "name": f"{metric} {condition}",
                "select": {"metric": metric, **condition_of(condition).model_dump(exclude={"label"})},
                "quantity": "relative_drift",
                "min": people.relative(condition, metric),
            }
        )
        for condition in CONDITIONS
        for metric in METRICS
    ]


def failed(results: tuple[GateResult, ...]) -> set[str]:
    """Return the gates that failed."""
    return {each.gate for each in results if each.status == "fail"}


def run(people: Population, options: argparse.Namespace) -> dict[str, Any]:
    """Simulate the unchanged model and both kinds of regression."""
    rng = np.random.default_rng(options.seed)
    gates = gates_at_the_truth(people)
    alarms: dict[str, int] = dict.fromkeys(CORRECTIONS, 0)
    stated: dict[str, list[float]] = {gate.name: [] for gate in gates}
    for _ in range(options.suites):
        rows = findings(people, options.users, options.draws, rng, options.replicates)
        for correction in CORRECTIONS:
            results = judge(gates, rows, correction=correction)
            alarms[correction] += bool(failed(results))
            if correction == "holm":
                for each in results:
                    stated[each.gate].append(each.detects_below or 0.0)
    catches = {}
    target = f"{METRICS[0]} {CONDITIONS[-1]}"
    limit = next(gate.min for gate in gates if gate.name == target) or 0.0
    size = limit - float(np.median(stated[target]))
    for how in ("all users", "some users"):
        worse = regressed(people, size, how)
        planted = worse.relative(CONDITIONS[-1], METRICS[0])
        caught = sum(
            target
            in failed(
                judge(gates, findings(worse, options.users, options.draws, rng, options.replicates), correction="holm")
            )
            for _ in range(options.suites // 2)
        )
        catches[how] = {
            "stated": float(np.median(stated[target])),
            "planted": planted,
            "caught": caught / (options.suites // 2),
            "suites": options.suites // 2,
        }
    return {
        "false_alarms": {name: count / options.suites for name, count in alarms.items()},
        "limit": limit,
        "regressions": catches,
        "widened": widened_against_bootstrap(people, options, rng),
    }


def widened_against_bootstrap(people: Population, options: argparse.Namespace, rng: np.random.Generator) -> Any:
    """Return how wide the widened interval is, in terms of the bootstrap's own at the corrected level."""
    level, far = 0.95, 1 - 0.05 / (len(METRICS) * len(CONDITIONS))
    ratios = []
    for seed in range(12):
        chosen = rng.integers(0, len(people.clean[METRICS[0]]), options.users)
        drawn = rng.integers(0, people.perturbed[CONDITIONS[-1]][METRICS[0]].shape[0], options.draws)
        clean = {metric: values[chosen] for metric, values in people.clean.items()}
        noisy = {metric: v[drawn][:, chosen] for metric, v in people.perturbed[CONDITIONS[-1]].items()}
        near, wide = (
            paired_intervals(clean, noisy, seed=seed, level=each, replicates=40_000 if each == far else 2000)
            for each in (level, far)
        )
        for metric in METRICS:
            short, long = near[metric].relative, wide[metric].relative
            if short and long:
                reached = widened(Spread(*short, level, near[metric].degrees), far)
                ratios.append((reached.high - reached.estimate) / (long.high - long.estimate))
    return {"level": far, "median": float(np.median(ratios)), "low": min(ratios), "high": max(ratios)}


def markdown(result: dict[str, Any], settings: dict[str, Any]) -> str:
    """Return the results as a page."""
    lines = [
        "# Gates: false alarms and detected regressions",
        "",
        ", ".join(f"{key} {value}" for key, value in settings.items()) + ".",
        "Generated by `python -m benchmarks.gates`; see its docstring for the method.",
        "",
        "| correction | suites with a false alarm, with every limit at the true number |",
        "|---|---|",
        *(f"| {name} | {100 * share:.1f} % |" for name, share in result["false_alarms"].items()),
        "",
        "| regression | detected with 80 % probability, according to the gate | planted relative drift | detected |",
        "|---|---|---|---|",
        *(
            f"| {how} | {100 * each['stated']:.2f} % | {100 * each['planted']:.2f} % | {100 * each['caught']:.0f} % |"
            for how, each in result["regressions"].items()
        ),
        "",
        f"The limit was {100 * result['limit']:.2f} %. The widened interval at the corrected level of "
        f"{100 * result['widened']['level']:.2f} % is {result['widened']['median']:.2f} times as wide as the "
        f"bootstrap interval of that level from 40,000 replicates "
        f"({result['widened']['low']:.2f} to {result['widened']['high']:.2f}).",
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run the simulation, print the page, and write it with its JSON beside it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--suites", type=int, default=1000)
    parser.add_argument("--users", type=int, default=400)
    parser.add_argument("--draws", type=int, default=8)
    parser.add_argument("--replicates", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--home", type=Path, default=default_home())
    parser.add_argument("--output", type=Path, default=None, help="folder for gates-cpu.json and .md")
    options = parser.parse_args()
    set_numerics(1)
    started = time.monotonic()
    people = population(options.home)
    result = run(people, options)
    settings = {
        "suites": options.suites,
        "users": options.users,
        "draws": options.draws,
        "replicates": options.replicates,
        "population": f"{len(people.clean[METRICS[0]])} users and 48 draws",
        "findings a suite": len(METRICS) * len(CONDITIONS),
        "cpu": cpu_name(),
        "seconds": round(time.monotonic() - started),
    }
    text = markdown(result, settings)
    print(text)
    if options.output is not None:
        record = {"settings": settings, "machine": describe_environment(pick_device("cpu")), "results": result}
        write_atomically(options.output / "gates-cpu.json", json.dumps(record, indent=1) + "\n")
        write_atomically(options.output / "gates-cpu.md", text)


if __name__ == "__main__":
    main()
