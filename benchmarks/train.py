"""Seconds per epoch and per full evaluation, passes and memory, for each model and strategy at Baby's size.

    python -m benchmarks.train [--device cpu] [--models bpr slmrec] [--rounds 3] [--quick]

Strategies are compared in pairs: they take turns on the same few batches, in an order that rotates, so what else the
machine does touches all alike. A ratio is a strategy's time over vanilla's on the same batches. A block holds a
whole number of beta steps and so its exact share of mirrored ones. On a machine that others use too, believe the
ratio of processor time. Each model runs in a process of its own, so
peaks of memory do not mix.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from benchmarks.report import save_results
from benchmarks.workload import BABY, QUICK, Workload, make_workload, split_of
from robustrec.config import Settings
from robustrec.datasets.interactions import TRAIN
from robustrec.evaluation.places import per_user_accuracy
from robustrec.hardware import describe_environment, pick_device, set_numerics
from robustrec.models import MODELS, model_class
from robustrec.models.contract import (
    Batch,
    Features,
    Graphs,
    Loss,
    Problem,
    Representation,
    batch_loss,
    item_graphs,
    represent,
    training_constants,
)
from robustrec.runs.plan import subject_specs
from robustrec.runs.prepared import Split
from robustrec.seeds import torch_generator
from robustrec.training.content import Content
from robustrec.training.replay import ReplayedPasses, replayed_passes
from robustrec.training.sampling import Positives, batches_of, positives_of, sample_epoch
from robustrec.training.strategies import STRATEGY_NAMES, Strategy, StrategyConfig
from robustrec.training.trainer import begin_epoch, make_optimizer, take_steps

BLOCK = 6  # batches a turn: two mirrored steps at beta = 3
METRICS = [f"{kind}@{k}" for kind in ("recall", "precision", "ndcg", "map") for k in (5, 10, 20, 50)]


@dataclass
class Passes:
    """Forward passes with gradient, backward passes, and forward passes without gradient (probes)."""

    forward: int = 0
    backward: int = 0
    probes: int = 0


class Counted:
    """A recommender that counts the passes made through it."""

    def __init__(self, model: Any, graphs: Graphs | None) -> None:
        self.model = model
        self.graphs = graphs
        self.modalities: tuple[str, ...] = model.modalities
        self.passes = Passes()

    def loss(self, features: Features, batch: Batch) -> Loss:
        """Return the model's loss; its backward pass will be counted too."""
        loss: Loss = batch_loss(self.model, features, batch, self.graphs)
        if loss.total.requires_grad:
            self.passes.forward += 1
            loss.total.register_hook(self._backward)  # type: ignore[no-untyped-call]
        else:
            self.passes.probes += 1
        return loss

    def represent(self, features: Features) -> Representation:
        """Return the model's representation."""
        return represent(self.model, features, self.graphs)

    def module(self) -> nn.Module:
        """Return the model."""
        module: nn.Module = self.model.module()
        return module

    def _backward(self, _: Tensor) -> None:
        self.passes.backward += 1


class Seconds(NamedTuple):
    """Time by the clock, and time that this process computed: other load stretches the first, hardly the second."""

    wall: float
    cpu: float


@dataclass
class Subject:
    """One strategy's model, optimiser and measurements; time of each turn and of each evaluation."""

    model: Counted
    strategy: Strategy
    steps: int = 0
    epoch: Any = None
    constants: Any = None
    turns: list[Seconds] = field(default_factory=list)
    evaluations: list[Seconds] = field(default_factory=list)
    peak_bytes: int = 0
    replay: bool = True
    _replayed: ReplayedPasses | None = None

    def turn(self, features: Features, batches: list[Batch]) -> None:
        """Take one step on each batch; the first of an epoch begins it."""
        if batches[0].step == 0:
            self.epoch = begin_epoch(self.model.model, features, batches[0].users.device, self.steps, 0)
        known = [
            batch._replace(epoch=self.epoch, seed=self.steps + i, constants=self.constants)
            for i, batch in enumerate(batches)
        ]
        if self.replay and self.steps == 0:
            self._replayed = replayed_passes(
                self.model.model, self.model.module(), lambda batch: self.model.loss(features, batch).total
            )
        take_steps(Content(self.model, features, None), known, self.strategy, self.steps, self._replayed)
        self.steps += len(batches)


def peak_resident_bytes() -> int:
    """Return the peak of this process's resident memory."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


class Clock:
    """Measures seconds until the device is done, and its peak of memory."""

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def seconds(self, work: Callable[[], object]) -> Seconds:
        """Return how long the work took."""
        self._wait()
        wall, cpu = time.perf_counter(), time.process_time()
        work()
        self._wait()
        return Seconds(time.perf_counter() - wall, time.process_time() - cpu)

    def reset_peak(self) -> None:
        """Forget the peak so far; the peak of a process on the CPU cannot be forgotten."""
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)

    def peak_bytes(self) -> int:
        """Return the peak: of allocated memory on a CUDA device, else of the process's resident memory."""
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device)
        return peak_resident_bytes()

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def make_subject(
    name: str, strategy: str, work: Workload, features: Features, device: torch.device, **options: Any
) -> Subject:
    """Return a model in training mode with its published settings under one strategy; all start alike.

    Args:
        name: name of the model.
        strategy: name of the strategy.
        work: the data.
        features: the item features on the device.
        device: where to train.
        options: settings of the model that differ from the published ones.
    """
    spec = subject_specs(Settings(model=(name,), strategy=(strategy,), dataset="baby"), "full")[0]
    users, items = work.interactions.pairs(TRAIN)
    edges = torch.stack([torch.from_numpy(users), torch.from_numpy(items)])
    widths = {modality: table.shape[1] for modality, table in work.features.items()}
    problem = Problem(work.size.n_users, work.size.n_items, edges, widths)
    cls = model_class(name)
    model = cls(problem, cls.Config(**{**spec.model_options, **options}), torch_generator(0, "model")).to(device)
    model.train()
    optimizer = make_optimizer(model, spec.training.model_copy(update={"batch_size": work.size.batch}))
    graphs = item_graphs(model, features)
    known = Strategy(StrategyConfig.model_validate({"name": strategy}), optimizer)
    constants = training_constants(model, features, work.size.batch)
    return Subject(Counted(model, graphs), known, constants=constants)


def evaluate(subject: Subject, split: Split, features: Features) -> dict[str, float]:
    """Represent all, compare all items for every test user, and return all metrics, as an evaluation of a training."""
    with torch.no_grad():
        representation = subject.model.represent(features)
    found = per_user_accuracy(representation, split.users, split.mask, split.wanted, METRICS)
    return {name: float(values.mean()) for name, values in found.items()}


def measure(name: str, work: Workload, device: torch.device, rounds: int) -> dict[str, Any]:
    """Return the measurements of one model under all strategies, as JSON values."""
    clock = Clock(device)
    start_bytes = clock.peak_bytes()
    features = {modality: table.to(device) for modality, table in work.features.items()}
    split = split_of(work)
    users, items = work.interactions.pairs(TRAIN)
    positives = positives_of(torch.stack([torch.from_numpy(users), torch.from_numpy(items)]), work.size.n_items, device)
    generator = torch_generator(0, "triples", device=device)
    subjects = {strategy: make_subject(name, strategy, work, features, device) for strategy in STRATEGY_NAMES}
    warm_up = list(batches_of(sample_epoch(positives, generator), work.size.batch))[:BLOCK]
    for subject in subjects.values():
        subject.turn(features, warm_up)  # its batches all stand at place 0, so that everything is warmed up

    order = list(subjects)
    sampling: list[Seconds] = []
    epoch_passes: dict[str, Passes] = {}
    n_batches = 0
    for round_number in range(rounds):
        batches: list[Batch] = []
        sampling.append(clock.seconds(partial(_draw_epoch, batches, positives, generator, work.size.batch)))
        n_batches = len(batches)
        for first in range(0, n_batches, BLOCK):
            block = batches[first : first + BLOCK]
            for strategy in order:
                subject = subjects[strategy]
                clock.reset_peak()
                subject.turns.append(clock.seconds(partial(subject.turn, features, block)))
                subject.peak_bytes = max(subject.peak_bytes, clock.peak_bytes())
            order = order[1:] + order[:1]
        if round_number == 0:
            epoch_passes = {each: _passes(name, each, work, features, device, batches) for each in subjects}
        for subject in subjects.values():
            subject.evaluations.append(clock.seconds(partial(evaluate, subject, split, features)))
    return {
        "model": name,
        "batches_per_epoch": n_batches,
        "sampling_seconds": statistics.median(turn.wall for turn in sampling),
        "peak_bytes_before": start_bytes,
        "peak_bytes": clock.peak_bytes() if device.type == "cpu" else None,
        "strategies": {
            strategy: summarise(subject, subjects["vanilla"], n_batches, epoch_passes[strategy], sampling)
            for strategy, subject in subjects.items()
        },
    }


def _passes(
    name: str, strategy: str, work: Workload, features: Features, device: torch.device, batches: list[Batch]
) -> Passes:
    """Return the passes of an epoch; in a subject of its own, because passes that are replayed are not counted."""
    subject = make_subject(name, strategy, work, features, device)
    subject.replay = False
    subject.turn(features, batches)
    return subject.model.passes


def _draw_epoch(batches: list[Batch], positives: Positives, generator: torch.Generator, size: int) -> None:
    drawn = batches_of(sample_epoch(positives, generator), size)
    batches.extend(batch._replace(step=place) for place, batch in enumerate(drawn))


def summarise(
    subject: Subject, vanilla: Subject, n_batches: int, passes: Passes, sampling: list[Seconds]
) -> dict[str, Any]:
    """Return what one strategy cost; the last block of an epoch has other shares of steps and counts in no ratio."""
    blocks = -(-n_batches // BLOCK)
    epochs = [sum(turn.wall for turn in subject.turns[i : i + blocks]) for i in range(0, len(subject.turns), blocks)]
    whole = [i for i in range(len(subject.turns)) if i % blocks < n_batches // BLOCK]
    ratios = [subject.turns[i].wall / vanilla.turns[i].wall for i in whole]
    cpu_ratios = [subject.turns[i].cpu / vanilla.turns[i].cpu for i in whole]
    evaluations = [turn.wall for turn in subject.evaluations]
    return {
        "seconds_per_epoch": statistics.median(epochs) + statistics.median(turn.wall for turn in sampling),
        "seconds_per_evaluation": statistics.median(evaluations),
        "evaluation_min": min(evaluations),
        "evaluation_max": max(evaluations),
        "ratio": statistics.median(ratios),
        "ratio_min": min(ratios),
        "ratio_max": max(ratios),
        "cpu_ratio": statistics.median(cpu_ratios),
        "ratio_bound": subject.strategy.config.evaluations_per_step,
        "blocks": len(ratios),
        "forward_passes": passes.forward,
        "backward_passes": passes.backward,
        "probe_passes": passes.probes,
        "peak_device_bytes": subject.peak_bytes,
    }


def main(arguments: list[str] | None = None) -> None:
    """Measure every model in a process of its own, print the table and write the results."""
    options = parse(arguments)
    device = pick_device(options.device)
    set_numerics(options.threads)
    size = QUICK if options.quick else BABY
    if options.worker:
        print(json.dumps(measure(options.worker, make_workload(size), device, options.rounds)))
        return
    results = []
    for name in options.models:
        command = [sys.executable, "-m", "benchmarks.train", "--worker", name, "--device", str(device)]
        command += ["--rounds", str(options.rounds), *(["--quick"] if options.quick else [])]
        command += ["--threads", str(torch.get_num_threads())]
        print(f"measuring {name} …", file=sys.stderr, flush=True)
        finished = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        results.append(json.loads(finished.stdout))
    settings = {"size": size._asdict(), "rounds": options.rounds, "block": BLOCK}
    save_results(results, settings, describe_environment(device), device, None if options.quick else options.output)


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.train", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--models", nargs="+", default=list(MODELS), choices=list(MODELS))
    parser.add_argument("--rounds", type=int, default=3, help="epochs measured for each strategy")
    parser.add_argument("--threads", type=int, default=None, help="CPU threads; torch's choice by default")
    parser.add_argument("--quick", action="store_true", help="a tenth of the size, printed and not written")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results")
    parser.add_argument("--worker", choices=list(MODELS), help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.rounds < 1:
        parser.error("--rounds must be 1 or more")
    return options


if __name__ == "__main__":
    main()
