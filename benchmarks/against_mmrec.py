"""Training and evaluation beside MMRec's own code, from your checkout of github.com/enoche/MMRec.

    git clone https://github.com/enoche/MMRec
    python -m benchmarks.against_mmrec --mmrec MMRec [--models slmrec bpr] [--device cpu] [--seconds 60] [--output DIR]

Both sides train the same model with the same settings on the same synthetic data of Amazon Baby's size, in one process
with one thread, one allocator and one precision (float32, no TF32). They take turns: each round begins an epoch (with
its sampling, graphs and first step) and takes a chunk of further steps, then evaluates now and then. On a CPU only
processor time counts; on a GPU the time between CUDA events. A matrix product is timed beside them in every round, and
the table gives the best rate of it, and the load of the machine.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol, cast

import torch

from benchmarks.mmrec_checkout import CLASSES, MMRec, commit_of, load, write_data
from benchmarks.train import Subject, evaluate, make_subject
from benchmarks.workload import BABY, QUICK, Workload, make_workload, split_of
from robustrec.config import Settings
from robustrec.datasets.interactions import TRAIN
from robustrec.errors import RobustrecError
from robustrec.files import write_atomically
from robustrec.hardware import cpu_name, describe_environment, pick_device, set_numerics
from robustrec.models import model_class
from robustrec.models.contract import Batch
from robustrec.models.dense import times_transposed
from robustrec.models.graphs import co_occurrence
from robustrec.models.mmrec import from_mmrec
from robustrec.runs.plan import subject_specs
from robustrec.runs.specs import SubjectSpec
from robustrec.seeds import torch_generator
from robustrec.training.sampling import batches_of, positives_of, sample_epoch

CHUNK = 5  # steps of a turn
LEAST_ROUNDS = 3
# Share of the seconds for training; the rest is for evaluations.
TRAINING_SHARE = 0.7
# A square float32 product: large enough that nothing but its arithmetic counts.
GEMM = {"cpu": 1024, "cuda": 8192}
SIDES = ("robustrec", "MMRec")
GOALS = {"slmrec": 3.0, "freedom": 2.0, "dualgnn": 3.0, "dragon": 3.0}
GOAL, GOAL_OF_EVALUATION = 2.0, 5.0


class Side(Protocol):
    """One implementation of a model."""

    def begin(self) -> None:
        """Begin an epoch and take its first step."""

    def steps(self, count: int) -> None:
        """Take further steps."""

    def evaluate(self) -> Any:
        """Rank all items for all test users and compute the metrics."""


class Ours:
    """A model of robustrec under vanilla training, with settings that differ from the published ones, if any."""

    def __init__(self, name: str, work: Workload, device: torch.device, **options: Any) -> None:
        self.work = work
        self.features = {modality: table.to(device) for modality, table in work.features.items()}
        self.subject: Subject = make_subject(name, "vanilla", work, self.features, device, **options)
        users, items = work.interactions.pairs(TRAIN)
        edges = torch.stack([torch.from_numpy(users), torch.from_numpy(items)])
        self.positives = positives_of(edges, work.size.n_items, device)
        self.generator = torch_generator(0, "triples", device=device)
        self.split = split_of(work)
        self._batches: Iterator[Batch] = iter(())

    def begin(self) -> None:
        """Begin an epoch and take its first step."""
        drawn = batches_of(sample_epoch(self.positives, self.generator), self.work.size.batch)
        self._batches = iter([batch._replace(step=place) for place, batch in enumerate(drawn)])
        self.steps(1)

    def steps(self, count: int) -> None:
        """Take further steps."""
        self.subject.turn(self.features, [next(self._batches) for _ in range(count)])

    def evaluate(self) -> dict[str, float]:
        """Compare all items for all test users and return the mean of each metric."""
        return evaluate(self.subject, self.split, self.features)


@dataclass
class Times:
    """Seconds of one side, one number per round: beginnings of epochs, further steps, evaluations."""

    begin: list[float] = field(default_factory=list)
    step: list[float] = field(default_factory=list)
    evaluation: list[float] = field(default_factory=list)

    def epoch(self, n_batches: int) -> float:
        """Return the seconds of an epoch: the smallest of all rounds."""
        return min(self.begin) + (n_batches - 1) * min(self.step)

    def epochs(self, n_batches: int) -> list[float]:
        """Return the seconds of an epoch by each round."""
        return [begin + (n_batches - 1) * step for begin, step in zip(self.begin, self.step, strict=True)]


class Timer:
    """Seconds of processor time of this process on a CPU; on a GPU, seconds between two CUDA events."""

    def __init__(self, device: torch.device) -> None:
        self.cuda = device.type == "cuda"

    def __call__(self, work: Callable[[], object]) -> float:
        """Return how long the work took."""
        if not self.cuda:
            start = time.process_time()
            work()
            return time.process_time() - start
        torch.cuda.synchronize()
        first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
        first.record()
        work()
        last.record()
        torch.cuda.synchronize()
        return float(first.elapsed_time(last)) / 1000


class Gemm:
    """Rate of a float32 matrix product: the best in GFLOP/s of PyTorch's and of the one that robustrec uses."""

    def __init__(self, device: torch.device, timer: Timer) -> None:
        n = GEMM[device.type]
        self.timer = timer
        self.work = 2 * n**3 / 1e9
        self.a, self.b = (torch.ones(n, n, device=device) for _ in range(2))
        self.rates: list[float] = []

    def measure(self) -> None:
        """Time each product once."""
        for multiply in (lambda: self.a @ self.b.T, lambda: times_transposed(self.a, self.b)):
            self.rates.append(self.work / max(1e-9, self.timer(multiply)))


def measure(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Return the measurements of one model on both sides, as JSON values."""
    device = pick_device(options.device)
    load(options.mmrec, device)
    work = make_workload(QUICK if options.quick else BABY)
    timer = Timer(device)
    gemm = Gemm(device, timer)
    load_before = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as scratch:
        _write(work, Path(scratch))
        held, setups = [_allocated(device)], []
        spec = subject_specs(Settings(model=(name,), strategy=("vanilla",), dataset="baby"), "full")[0]
        sides: list[Side] = []
        makers: list[Callable[[], Side]] = [
            lambda: Ours(name, work, device),
            lambda: MMRec(name, options.mmrec, Path(scratch), _options(spec, work), device),
        ]
        for make in makers:
            setups.append(timer(lambda make=make: sides.append(make())))  # type: ignore[misc]
            held.append(_allocated(device))
        theirs = cast(MMRec, sides[1])
        times, peaks = _interleave(sides, timer, gemm, options.seconds, device)
        try:
            agreement = _agreement(name, work, theirs, device)
        except Exception:  # the times are worth having
            traceback.print_exc()
            agreement = None
    n_batches = -(-work.size.train // work.size.batch)
    ours, others = (each.epochs(n_batches) for each in times)
    return {
        "model": name,
        "batches_per_epoch": n_batches,
        "setup_seconds": setups,
        "seconds_per_epoch": [each.epoch(n_batches) for each in times],
        "ratios": [b / a for a, b in zip(ours, others, strict=True)],
        "seconds_per_evaluation": [min(each.evaluation) for each in times],
        "evaluation_ratios": [b / a for a, b in zip(times[0].evaluation, times[1].evaluation, strict=True)],
        "largest_metric_difference": agreement,
        "gemm_gflops": max(gemm.rates),
        "load": [load_before, os.getloadavg()[0]],
        "peak_bytes": [held[i + 1] - held[i] + peak for i, peak in enumerate(peaks)],
        "times": [asdict(each) for each in times],
    }


def _interleave(
    sides: list[Side], timer: Timer, gemm: Gemm, seconds: float, device: torch.device
) -> tuple[list[Times], list[int]]:
    """Let the sides take turns, in an order that alternates; return their times and peaks of allocated memory."""
    times, peaks = [Times() for _ in sides], [0 for _ in sides]
    for side in sides:  # everything that happens once
        side.begin()
        side.steps(2)
    gemm.measure()
    gemm.rates.clear()
    started, order = time.monotonic(), list(range(len(sides)))

    def rounds(until: float) -> Iterator[int]:
        done = 0
        while done < LEAST_ROUNDS or time.monotonic() - started < until:
            gemm.measure()
            yield from order
            order.reverse()
            done += 1

    for i in rounds(TRAINING_SHARE * seconds):
        before = _allocated(device, reset=True)
        times[i].begin.append(timer(sides[i].begin))
        times[i].step.append(timer(lambda i=i: sides[i].steps(CHUNK)) / CHUNK)  # type: ignore[misc]
        peaks[i] = max(peaks[i], _peak(device) - before)
    for i in rounds(seconds):
        times[i].evaluation.append(timer(sides[i].evaluate))
    return times, peaks


def _allocated(device: torch.device, *, reset: bool = False) -> int:
    if device.type != "cuda":
        return 0
    if reset:
        torch.cuda.reset_peak_memory_stats(device)
    return torch.cuda.memory_allocated(device)


def _peak(device: torch.device) -> int:
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else 0


def _write(work: Workload, folder: Path) -> None:
    users, items = work.interactions.pairs(TRAIN)
    edges = torch.stack([torch.from_numpy(users), torch.from_numpy(items)])
    write_data(work, co_occurrence(edges, work.size.n_users, work.size.n_items, 40), folder)


def _options(spec: SubjectSpec, work: Workload) -> dict[str, Any]:
    """Return all settings of a model and of its training, by our names."""
    config = model_class(spec.model).Config(**spec.model_options)
    return {**spec.training.model_dump(), **config.model_dump(), "batch_size": work.size.batch}


def _agreement(name: str, work: Workload, theirs: MMRec, device: torch.device) -> float | None:
    """Return the largest difference of a metric when our model has MMRec's parameters; None where it cannot."""
    compat = {"mmrec_compat": True} if "mmrec_compat" in model_class(name).Config.model_fields else {}
    ours = Ours(name, work, device, **compat)
    module = ours.subject.model.module()
    try:
        state = from_mmrec(name, theirs.state(), ours.features, module.state_dict().keys())
    except RobustrecError:
        return None
    module.load_state_dict({**module.state_dict(), **state})
    module.eval()
    theirs.refresh()
    expected, found = theirs.evaluate(), ours.evaluate()
    return max(abs(found[metric] - value) for metric, value in expected.items())


def page(results: list[dict[str, Any]], settings: dict[str, Any], machine: dict[str, Any]) -> str:
    """Return the results as a Markdown page."""
    cuda = str(machine["device"]).startswith("cuda")
    size = settings["size"]
    what = "time between CUDA events" if cuda else "processor time"
    lines = [
        f"# Comparison with MMRec on {machine['device']}",
        "",
        f"`{settings['command']}`",
        "",
        f"MMRec (github.com/enoche/MMRec, commit {settings['commit']}) and robustrec on the same synthetic data "
        f"({size['n_users']:,} users, {size['n_items']:,} items, {size['train']:,} training rows, features "
        f"{size['image_width']} and {size['text_width']} wide, batches of {size['batch']:,}), with the settings of "
        f"robustrec's `defaults.toml`. MMRec's classes are unchanged. Both run in one process per model, with one "
        f"thread, the same allocator settings and float32 without TF32, and take turns of {CHUNK} steps.",
        "",
        f"Seconds are {what}: the smallest of all rounds, for an epoch of {results[0]['batches_per_epoch']} batches "
        "with its sampling and graphs, and for an evaluation (vectors, full ranking of all test users, 16 metrics). A "
        "ratio is the quotient of these, with the range over the rounds. Set-up is what happens once per training: "
        "reading the data, graphs, and what a model computes once from its features. GEMM is the best rate of a "
        "float32 matrix product between the turns; load is the machine's before and after.",
        "",
        ", ".join(f"{key} {value}" for key, value in machine.items()) + ".",
        "",
        "| model | s/epoch, robustrec | s/epoch, MMRec | ratio | goal | s/evaluation, robustrec | s/evaluation, MMRec "
        "| ratio | goal | set-up s, robustrec / MMRec | GEMM GFLOP/s | load | "
        + ("peak MiB, robustrec / MMRec | " if cuda else "")
        + "metrics |",
        "|---" * (14 if cuda else 13) + "|",
    ]
    lines += [_row(result, cuda) for result in results]
    lines += [
        "",
        "Metrics: the largest difference of the 16 metrics between both sides when robustrec has MMRec's trained "
        "parameters (MMRec rounds to 4 decimals, and LGMRec of MMRec draws noise in evaluations too); \u2013 where its "
        "state_dict lacks parameters that it trains.",
    ]
    return "\n".join(lines)


def _row(result: dict[str, Any], cuda: bool) -> str:
    name = result["model"]
    peaks = " / ".join(f"{peak / 2**20:,.0f}" for peak in result["peak_bytes"])
    difference = result["largest_metric_difference"]
    digits = 3 if cuda else 2
    cells = [
        name,
        *(f"{seconds:.{digits}f}" for seconds in result["seconds_per_epoch"]),
        _ratio(result["seconds_per_epoch"], result["ratios"]),
        f"{GOALS.get(name, GOAL):g}",
        *(f"{seconds:.{digits}f}" for seconds in result["seconds_per_evaluation"]),
        _ratio(result["seconds_per_evaluation"], result["evaluation_ratios"]),
        f"{GOAL_OF_EVALUATION:g}",
        " / ".join(f"{seconds:.1f}" for seconds in result["setup_seconds"]),
        f"{result['gemm_gflops']:,.0f}",
        "\u2013".join(f"{load:.1f}" for load in result["load"]),
        *([peaks] if cuda else []),
        "\u2013" if difference is None else f"{difference:.1e}",
    ]
    return "| " + " | ".join(cells) + " |"


def _ratio(seconds: list[float], by_round: list[float]) -> str:
    return f"{seconds[1] / seconds[0]:.1f} ({min(by_round):.1f}\u2013{max(by_round):.1f})"


def main(arguments: list[str] | None = None) -> int:
    """Measure every model in a process of its own, print the page and write the results; 1 if a model failed."""
    options = parse(arguments)
    set_numerics(1)
    if options.worker:
        print(json.dumps(measure(options.worker, options)))
        return 0
    results, failed = [], []
    for name in options.models:
        print(f"measuring {name} …", file=sys.stderr, flush=True)
        command = [sys.executable, "-m", "benchmarks.against_mmrec", "--worker", name, "--mmrec", str(options.mmrec)]
        command += ["--device", options.device, "--seconds", str(options.seconds), *(["--quick"] * options.quick)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        finished = subprocess.run(command, check=False, stdout=subprocess.PIPE, text=True, env=environment)
        if finished.returncode:
            failed.append(name)
            continue
        results.append(json.loads(finished.stdout.splitlines()[-1]))
        text = _save(results, failed, options)  # now, so that a benchmark that is cut off has what it found
    if results:
        print(text if not failed else _save(results, failed, options))
    return int(bool(failed))


def _save(results: list[dict[str, Any]], failed: list[str], options: argparse.Namespace) -> str:
    """Write the results so far if a folder is given, and return the page."""
    device = pick_device(options.device)
    machine = {**describe_environment(device), "cpu": cpu_name(), "cores": os.cpu_count() or 0}
    shown = f"python -m benchmarks.against_mmrec --mmrec MMRec --models {' '.join(options.models)}"
    shown += f" --device {options.device} --seconds {options.seconds:g}" + " --quick" * options.quick
    size = (QUICK if options.quick else BABY)._asdict()
    settings = {"size": size, "commit": commit_of(options.mmrec), "command": shown}
    text = page(results, settings, machine)
    if failed:
        text += f"\n\nNot measured, because it failed: {', '.join(failed)}."
    if options.output is not None:
        record = {"settings": settings, "machine": machine, "results": results, "failed": failed}
        write_atomically(options.output / f"against-mmrec-{device.type}.json", json.dumps(record, indent=1) + "\n")
        write_atomically(options.output / f"against-mmrec-{device.type}.md", text + "\n")
    return text


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.against_mmrec", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--mmrec", type=Path, required=True, metavar="PATH", help="checkout of MMRec")
    parser.add_argument("--models", nargs="+", choices=list(CLASSES), default=list(CLASSES), metavar="MODEL")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--seconds", type=float, default=60.0, help="seconds for each model, by the clock")
    parser.add_argument("--quick", action="store_true", help="a tenth of the data")
    parser.add_argument(
        "--output", type=Path, metavar="DIR", help="folder to write against-mmrec-DEVICE.md and .json to"
    )
    parser.add_argument("--worker", choices=list(CLASSES), help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
