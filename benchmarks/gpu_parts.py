"""What `benchmarks/gpu_check.py` measures, each part in a process of its own.

    python -m benchmarks.gpu_parts parity --device cuda

Each finding is one JSON object on a line of stdout as soon as it is there, so that a part that is cut off loses only
what it was at. A finding that fails is {"error": …}, the next ones are still made, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.encode import SIZES, make_dataset, save_model
from benchmarks.encode import Size as BlipSize
from benchmarks.train import Clock, evaluate, make_subject
from benchmarks.workload import BABY, Size, Workload, make_workload, split_of
from robustrec.curvature.loss import AuditLoss, audited
from robustrec.curvature.products import parameter_products
from robustrec.curvature.triples import Triples, pairs_of
from robustrec.datasets.interactions import TRAIN
from robustrec.encoders.frozen import FrozenEncoder
from robustrec.encoders.options import EncoderOptions
from robustrec.hardware import describe_environment, pick_device, set_numerics
from robustrec.modalities import read_of
from robustrec.models import MODELS, model_class
from robustrec.models.contract import Batch, Problem, batch_loss, item_graphs, represent
from robustrec.seeds import torch_generator
from robustrec.training.sampling import batches_of, positives_of, sample_epoch
from robustrec.training.strategies import Strategy
from robustrec.training.strategy_config import STRATEGY_NAMES, StrategyConfig

REHEARSED = Size(60, 40, 400, 60, 60, 16, 8, 128)
TINY_BLIP = BlipSize(24, 1, 2, 32, 16)
EPOCHS = 5
WIDTHS = {"image": 24, "text": 12}

Finding = tuple[str, Callable[[], Any]]


def environment(device: torch.device, _rehearse: bool) -> Iterator[Finding]:
    """Yield what the check runs on."""
    yield "machine", lambda: describe_environment(device)
    yield "versions", _versions
    if device.type == "cuda":
        yield "gpu", lambda: _gpu(device)


def _versions() -> dict[str, str | None]:
    names = ("torch", "transformers", "torch-geometric", "numpy", "scipy", "pydantic", "safetensors", "tokenizers")
    found: dict[str, str | None] = {"python": platform.python_version(), "cuda": torch.version.cuda}
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = None
    return found


def _gpu(device: torch.device) -> dict[str, Any]:
    properties = torch.cuda.get_device_properties(device)
    return {
        "name": properties.name,
        "memory_bytes": properties.total_memory,
        "capability": f"{properties.major}.{properties.minor}",
    }


def parity(device: torch.device, rehearse: bool) -> Iterator[Finding]:
    """Yield, for each model, how far the device is from the CPU: relative differences, 0 where equal."""
    n_users, n_items = (30, 20) if rehearse else (400, 250)
    for name in MODELS:
        yield name, lambda name=name: _parity_of(name, device, n_users, n_items)  # type: ignore[misc]


def _parity_of(name: str, device: torch.device, n_users: int, n_items: int) -> dict[str, Any]:
    batch = _batch(n_users, n_items)
    here = _Side(name, torch.device("cpu"), n_users, n_items)
    there = _Side(name, device, n_users, n_items)
    found: dict[str, Any] = {
        "loss": _apart(here.loss(batch), there.loss(batch)),
        "gradient": _apart(here.gradient(batch), there.gradient(batch)),
        "scores": _apart(here.scores(), there.scores()),
    }
    for strategy in STRATEGY_NAMES:
        found[f"step {strategy}"] = _apart(here.step(strategy, batch), there.step(strategy, batch))
    for dtype in (torch.float32, torch.float64):
        key = f"hessian product {str(dtype).removeprefix('torch.')}"
        found[key] = _apart(here.hessian_product(batch, dtype), there.hessian_product(batch, dtype))
    return found


class _Side:
    """A model on one device; both devices start from the same parameters, features and graphs."""

    def __init__(self, name: str, device: torch.device, n_users: int, n_items: int) -> None:
        self.device, self.size = device, (n_users, n_items)
        generator = torch_generator(1, "features")
        tables = {key: torch.randn(n_items, width, generator=generator) for key, width in WIDTHS.items()}
        edges = torch.unique(torch.stack(_batch(n_users, n_items)[:2]), dim=1)
        kind = model_class(name)
        problem = Problem(n_users, n_items, edges, WIDTHS)
        self.model = kind(problem, kind.Config(latent_width=16), torch_generator(1, "parameters")).to(device)
        self.tables = {key: tables[key].to(device) for key in read_of(kind.modalities, tables)}
        self.graphs = item_graphs(self.model, self.tables)
        self.start = {key: value.detach().clone() for key, value in self.model.state_dict().items()}

    def _loss(self, batch: Batch) -> Tensor:
        self.model.load_state_dict(self.start)
        self.model.zero_grad(set_to_none=True)
        return batch_loss(self.model, self.tables, _moved(batch, self.device), self.graphs).total

    def loss(self, batch: Batch) -> Tensor:
        """Return the loss of a batch."""
        return self._loss(batch).detach()

    def gradient(self, batch: Batch) -> Tensor:
        """Return its gradient, one vector."""
        self._loss(batch).backward()  # type: ignore[no-untyped-call]
        return torch.cat([p.grad.flatten() for p in self.model.parameters() if p.grad is not None])

    def scores(self) -> Tensor:
        """Return all scores."""
        self.model.load_state_dict(self.start)
        with torch.no_grad():
            users, items = represent(self.model, self.tables, self.graphs)
            return users @ items.T

    def step(self, name: str, batch: Batch) -> Tensor:
        """Return what one step of a strategy around plain descent adds to the parameters, one vector."""
        self.model.load_state_dict(self.start)
        moved = _moved(batch, self.device)
        optimizer = torch.optim.SGD(self.model.parameters(), lr=0.1)
        strategy = Strategy(StrategyConfig.model_validate({"name": name}), optimizer)
        strategy.step(lambda: batch_loss(self.model, self.tables, moved, self.graphs).total)
        after = self.model.state_dict()
        return torch.cat([(after[key] - value).flatten() for key, value in self.start.items()])

    def hessian_product(self, batch: Batch, dtype: torch.dtype) -> Tensor:
        """Return the product of the audited loss's Hessian with a fixed vector."""
        self.model.load_state_dict(self.start)
        pairs = pairs_of(Triples(*batch[:3]), *self.size)
        loss = AuditLoss(audited(self.model, self.tables, self.graphs, dtype), pairs.to(self.device))
        products = parameter_products(loss)
        return products(products.space.normal(torch_generator(1, "vector")).to(self.device))


def _batch(n_users: int, n_items: int) -> Batch:
    """Return four triples of each user."""
    generator = torch_generator(1, "triples")
    users = torch.arange(n_users).repeat(4)
    positives, negatives = torch.randint(n_items, (2, 4 * n_users), generator=generator)
    return Batch(users, positives, negatives)


def _moved(batch: Batch, device: torch.device) -> Batch:
    return Batch(batch.users.to(device), batch.positives.to(device), batch.negatives.to(device))


def _apart(expected: Tensor, found: Tensor) -> float:
    """Return the length of the difference over the length of what is expected."""
    a, b = expected.detach().double().cpu(), found.detach().double().cpu()
    return float((a - b).norm() / a.norm().clamp_min(1e-300))


def determinism(device: torch.device, rehearse: bool) -> Iterator[Finding]:
    """Yield, for models of each kind, whether two trainings end in the same parameters."""
    work = make_workload(REHEARSED if rehearse else Size(2_000, 700, 12_000, 2_200, 2_100, 512, 64, 512))
    for name in ("bpr", "slmrec", "dragon", "dualgnn"):
        yield name, lambda name=name: _two_trainings(name, work, device)  # type: ignore[misc]


def _two_trainings(name: str, work: Workload, device: torch.device) -> dict[str, Any]:
    features = on_device(device, work)
    ends = []
    for _ in range(2):
        subject, draw = make_subject(name, "sgbd", work, features, device), drawn(work, device)
        for _ in range(2):
            subject.turn(features, draw())
        state = subject.model.module().state_dict()
        ends.append({key: value.detach().clone() for key, value in state.items()})
    largest = max(float((ends[0][key] - value).abs().max()) for key, value in ends[1].items())
    return {
        "equal": all(torch.equal(ends[0][key], value) for key, value in ends[1].items()),
        "largest_difference": largest,
    }


def epochs(device: torch.device, rehearse: bool, name: str, seconds: float) -> Iterator[Finding]:
    """Yield seconds per epoch under vanilla and sgbd, and of a full evaluation, at Baby's size."""
    work = make_workload(REHEARSED if rehearse else BABY)
    yield "size", work.size._asdict
    features = on_device(device, work)
    for strategy in ("vanilla", "sgbd"):
        yield strategy, partial(_epochs_of, name, strategy, work, features, device, seconds / 4)


def _epochs_of(
    name: str, strategy: str, work: Workload, features: dict[str, Tensor], device: torch.device, seconds: float
) -> dict[str, Any]:
    clock, draw, split = Clock(device), drawn(work, device), split_of(work)
    subject = make_subject(name, strategy, work, features, device)
    clock.reset_peak()
    first = clock.seconds(lambda: subject.turn(features, draw())).wall
    evaluate(subject, split, features)
    times: list[float] = []
    while len(times) < EPOCHS and sum(times) < seconds:
        times.append(clock.seconds(lambda: subject.turn(features, draw())).wall)
    peak_training = clock.peak_bytes()
    evaluations = [clock.seconds(lambda: evaluate(subject, split, features)).wall for _ in range(3)]
    return {
        "first_epoch_seconds": first,
        "seconds_per_epoch": statistics.median(times),
        "epochs": len(times),
        "seconds_per_evaluation": statistics.median(evaluations),
        "peak_bytes_training": peak_training,
        "peak_bytes": clock.peak_bytes(),
    }


def drawn(work: Workload, device: torch.device) -> Callable[[], list[Batch]]:
    """Return a function that draws an epoch's batches; drawing is part of an epoch."""
    users, items = work.interactions.pairs(TRAIN)
    positives = positives_of(torch.stack([torch.from_numpy(users), torch.from_numpy(items)]), work.size.n_items, device)
    generator = torch_generator(0, "triples", device=device)

    def draw() -> list[Batch]:
        batches = batches_of(sample_epoch(positives, generator), work.size.batch)
        return [batch._replace(step=place) for place, batch in enumerate(batches)]

    return draw


def on_device(device: torch.device, work: Workload) -> dict[str, Tensor]:
    """Return the features on a device."""
    return {modality: table.to(device) for modality, table in work.features.items()}


def blip(device: torch.device, rehearse: bool) -> Iterator[Finding]:
    """Yield items a second of the base BLIP's structure with random weights: pictures from disk to vectors."""
    size = TINY_BLIP if rehearse else SIZES["base"]
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        save_model(size, folder / "model")
        dataset = make_dataset(4 if rehearse else 1024, folder / "pictures")
        for precision in ("bfloat16",) if rehearse else ("bfloat16", "float32"):
            yield precision, lambda precision=precision: _items_a_second(dataset, folder, device, precision)  # type: ignore[misc]


def _items_a_second(dataset: Any, folder: Path, device: torch.device, precision: str) -> dict[str, Any]:
    options = EncoderOptions.model_validate(
        {"device": str(device), "precision": precision, "weights": (str(folder / "model"),), "offline": True}
    )
    warm, measured = (FrozenEncoder("blip", dataset, folder / f"{precision}-{n}", options) for n in range(2))
    warm.catalog_features(None)
    measured.parts["blip"].network = warm.parts["blip"].network
    clock = Clock(device)
    clock.reset_peak()
    seconds = clock.seconds(lambda: measured.catalog_features(None)).wall
    n_items = len(dataset.catalog.texts)
    return {"items_per_second": n_items / seconds, "items": n_items, "peak_bytes": clock.peak_bytes()}


def report(findings: Iterator[Finding], until: float) -> int:
    """Print each finding as a line of JSON, begin none after a time of `time.monotonic`, and return the exit code."""
    failed = False
    for name, find in findings:
        if time.monotonic() > until:
            value: Any = {"error": "not begun: no time left"}
        else:
            try:
                value = find()
            except Exception as error:  # the next findings are worth having
                traceback.print_exc()
                value = {"error": f"{type(error).__name__}: {error}"}
        failed = failed or (isinstance(value, dict) and "error" in value)
        print(json.dumps({name: value}), flush=True)
    return int(failed)


def main(arguments: list[str] | None = None) -> int:
    """Run one part."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu_parts", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("part", choices=["environment", "parity", "determinism", "epochs", "blip"])
    parser.add_argument("model", nargs="?", choices=list(MODELS))
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--rehearse", action="store_true")
    parser.add_argument("--seconds", type=float, default=60.0, help="no finding begins after four fifths of them")
    given = parser.parse_args(arguments)
    started = time.monotonic()
    device = pick_device(given.device)
    set_numerics()
    findings: Iterator[Finding]
    if given.part == "epochs":
        if given.model is None:
            parser.error("epochs needs a model")
        findings = epochs(device, given.rehearse, given.model, given.seconds)
    else:
        plain = {"environment": environment, "parity": parity, "determinism": determinism, "blip": blip}
        findings = plain[given.part](device, given.rehearse)
    return report(findings, started + 0.8 * given.seconds)


if __name__ == "__main__":
    sys.exit(main())
