"""What the GPU check says of stalls, of large data, of encoding and of whole audits.

    python -m benchmarks.gpu_costs syncs --device cuda

Each finding is one JSON object on a line, as in `benchmarks/gpu_parts.py`.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch

from benchmarks import encode, scale
from benchmarks.gpu_parts import REHEARSED, TINY_BLIP, Finding, drawn, on_device, report
from benchmarks.train import Clock, evaluate, make_subject
from benchmarks.workload import BABY, Workload, make_workload, split_of
from robustrec.curvature.lanczos import extremes
from robustrec.curvature.loss import AuditLoss, audited
from robustrec.curvature.products import Products, parameter_gradient, parameter_products
from robustrec.curvature.triples import Triples, pairs_of
from robustrec.datasets.interactions import TRAIN
from robustrec.datasets.registry import Dataset
from robustrec.encoders.frozen import FrozenEncoder
from robustrec.encoders.networks import Network, NetworkInput
from robustrec.encoders.options import EncoderOptions
from robustrec.hardware import pick_device, set_numerics
from robustrec.models import MODELS, model_class
from robustrec.models.dense import bf16_inputs
from robustrec.seeds import torch_generator
from robustrec.training.sampling import positives_of, sample_epoch

PACKAGE = str(Path(__file__).resolve().parent.parent / "robustrec")
PRODUCTS = 40
GEMM = 8192


def syncs(device: torch.device, rehearse: bool, _seconds: float) -> Iterator[Finding]:
    """Yield how often a second epoch, a second evaluation and Hessian products of some models wait for the device."""
    work = make_workload(REHEARSED if rehearse else BABY)
    features = on_device(device, work)
    for name in ("bpr", "slmrec", "dragon", "freedom", "lattice", "smore", "mentor"):
        yield name, partial(_syncs_of, name, work, features, device)


def _syncs_of(name: str, work: Workload, features: dict[str, torch.Tensor], device: torch.device) -> dict[str, Any]:
    subject, draw = make_subject(name, "sgbd", work, features, device), drawn(work, device)
    subject.turn(features, draw())
    split = split_of(work)
    evaluate(subject, split, features)
    loss, count = _loss_of(subject.model.model, work, features, subject.model.graphs, device), PRODUCTS // 4
    products = parameter_products(loss)
    start = products.space.normal(torch_generator(1, "vector")).to(device)

    def several() -> None:
        for _ in range(count):
            products(start)

    several()
    batches = draw()
    found: dict[str, Any] = {"steps": len(batches)}
    found["epoch"] = _waits(lambda: subject.turn(features, batches), device)
    found["drawing"] = _waits(draw, device)
    found["evaluation"] = _waits(lambda: evaluate(subject, split, features), device)
    found[f"{count} products"] = _waits(several, device)
    found["lanczos of 20 products"] = _waits(partial(_extremes, products, 20), device)
    return found


def _waits(work: Callable[[], object], device: torch.device) -> dict[str, int]:
    """Return how often each line of the package made the CPU wait for the device."""
    counts: Counter[str] = Counter()

    def note(*_: Any, **__: Any) -> None:
        frame = sys._getframe()
        while frame is not None and not frame.f_code.co_filename.startswith(PACKAGE):
            frame = frame.f_back  # type: ignore[assignment]
        place = "elsewhere" if frame is None else f"{frame.f_code.co_filename[len(PACKAGE) + 1 :]}:{frame.f_lineno}"
        counts[place] += 1

    if device.type != "cuda":
        work()
        return {}
    torch.cuda.synchronize(device)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = note
        torch.cuda.set_sync_debug_mode("warn")
        try:
            work()
        finally:
            torch.cuda.set_sync_debug_mode("default")
    return dict(counts.most_common(12))


def _loss_of(model: Any, work: Workload, features: Any, graphs: Any, device: torch.device) -> AuditLoss:
    """Return the audited loss over one epoch's triples."""
    users, items = work.interactions.pairs(TRAIN)
    positives = positives_of(torch.stack([torch.from_numpy(users), torch.from_numpy(items)]), work.size.n_items, device)
    triples = Triples(*sample_epoch(positives, torch_generator(1, "triples", device=device))[:3])
    pairs = pairs_of(triples, work.size.n_users, work.size.n_items)
    return AuditLoss(audited(model, features, graphs, torch.float32), pairs.to(device))


def _extremes(products: Products, steps: int) -> object:
    return extremes(products, torch_generator(2, "vector"), steps=steps)


def curvature(device: torch.device, rehearse: bool, _seconds: float) -> Iterator[Finding]:
    """Yield seconds of a gradient, a Hessian product and a Lanczos step at Baby's size."""
    work = make_workload(REHEARSED if rehearse else BABY)
    features = on_device(device, work)
    for name in ("vbpr", "slmrec"):
        yield name, partial(_curvature_of, name, work, features, device)


def _curvature_of(name: str, work: Workload, features: dict[str, torch.Tensor], device: torch.device) -> dict[str, Any]:
    clock = Clock(device)
    subject = make_subject(name, "vanilla", work, features, device)
    subject.turn(features, drawn(work, device)())
    loss = _loss_of(subject.model.model, work, features, subject.model.graphs, device)
    products = parameter_products(loss)
    start = products.space.normal(torch_generator(1, "vector")).to(device)
    found: dict[str, Any] = {}
    works: dict[str, tuple[int, Callable[[], object]]] = {
        "gradient": (5, lambda: parameter_gradient(loss)),
        "product": (5, lambda: products(start)),
        "lanczos step": (PRODUCTS, partial(_extremes, products, PRODUCTS)),
    }
    for key, (count, one) in works.items():
        one()
        repeated = 1 if count == PRODUCTS else count
        clock.reset_peak()
        seconds = clock.seconds(lambda one=one, n=repeated: [one() for _ in range(n)]).wall  # type: ignore[misc]
        found[f"seconds of a {key}"] = seconds / count
    found["peak_bytes"] = clock.peak_bytes()
    return found


def replay(device: torch.device, rehearse: bool, _seconds: float) -> Iterator[Finding]:
    """Yield seconds of an epoch with passes launched one by one, replayed, and replayed with bf16 products."""
    work = make_workload(REHEARSED if rehearse else BABY)
    features = on_device(device, work)
    for name in MODELS:
        if vars(model_class(name)).get("static_passes"):
            yield name, partial(_replay_of, name, work, features, device)


def _replay_of(name: str, work: Workload, features: dict[str, torch.Tensor], device: torch.device) -> dict[str, Any]:
    clock, ends, found = Clock(device), {}, {}
    ways = {"one by one": (False, False), "replayed": (True, False), "replayed, bf16": (True, True)}
    for way, (replayed, bf16) in ways.items():
        if bf16 and not model_class(name).modalities:
            continue
        options = {"dropout": 0.0} if name == "smore" else {}  # with dropout it is not replayed
        subject, draw = make_subject(name, "vanilla", work, features, device, **options), drawn(work, device)
        subject.replay = replayed
        with bf16_inputs(bf16):
            times = [clock.seconds(lambda one=subject, next_=draw: one.turn(features, next_())).wall for _ in range(3)]  # type: ignore[misc]
        found[way] = times[-1]
        ends[way] = subject.model.module().state_dict()
    plain = ends.pop("one by one")
    for way, state in ends.items():
        found[f"largest difference {way}"] = max(
            float((plain[key] - value).abs().max()) for key, value in state.items()
        )
    return found


def mmrec(device: torch.device, rehearse: bool, seconds: float) -> Iterator[Finding]:
    """Yield the comparison with MMRec's own code, from the checkout that $MMREC names."""
    models = ("bpr",) if rehearse else ("slmrec", "bpr", "dragon", "freedom")
    for name in models:
        yield name, partial(_against, name, device, seconds / 10, ("--quick",) if rehearse else ())


def _against(name: str, device: torch.device, seconds: float, more: tuple[str, ...]) -> dict[str, Any]:
    checkout = os.environ.get("MMREC", "")
    if not checkout:
        return {"not measured": "$MMREC names no checkout of MMRec"}
    command = [sys.executable, "-m", "benchmarks.against_mmrec", "--mmrec", checkout, "--models", name, *more]
    with tempfile.TemporaryDirectory() as folder:
        command += ["--device", str(device), "--seconds", str(seconds), "--output", folder]
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=6 * seconds)
        if done.returncode != 0:
            return {"error": done.stderr[-1500:]}
        (path,) = Path(folder).glob("*.json")
        found: dict[str, Any] = json.loads(path.read_text())
        return found


def sizes(device: torch.device, rehearse: bool, _seconds: float) -> Iterator[Finding]:
    """Yield seconds and peak memory of each model at Electronics' size."""
    work = make_workload(REHEARSED if rehearse else scale.ELECTRONICS)
    features = on_device(device, work)
    last = ("lattice", "dragon", "dualgnn")  # their graphs take longest
    for name in sorted(MODELS, key=lambda each: (each in last, each)):
        yield name, partial(_size_of, name, work, features, device)


def _size_of(name: str, work: Workload, features: dict[str, torch.Tensor], device: torch.device) -> dict[str, Any]:
    clock = Clock(device)
    clock.reset_peak()
    before = clock.peak_bytes()
    made: list[Any] = []
    build = clock.seconds(lambda: made.append(make_subject(name, "vanilla", work, features, device))).wall
    (subject,) = made
    batches = drawn(work, device)()
    subject.turn(features, batches[:1])
    steps = batches[1:21]
    step = clock.seconds(lambda: subject.turn(features, steps)).wall / len(steps) if steps else math.nan
    peak = clock.peak_bytes()
    split = split_of(work)
    evaluation = clock.seconds(lambda: evaluate(subject, split, features)).wall
    return {
        "seconds of the graphs and the model": build,
        "seconds of a step": step,
        "seconds of an epoch, from the step": step * len(batches),
        "seconds of an evaluation": evaluation,
        "peak_bytes before": before,
        "peak_bytes of training": peak,
        "peak_bytes": clock.peak_bytes(),
    }


@contextmanager
def _blip(device: torch.device, rehearse: bool, items: int) -> Iterator[tuple[Dataset, EncoderOptions, Path]]:
    """Yield a catalog, the options of an encoder with the base BLIP's structure in bfloat16, and a scratch folder."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        encode.save_model(_size(rehearse), folder / "model")
        weights = (str(folder / "model"),)
        options = EncoderOptions(device=str(device), precision="bfloat16", weights=weights, offline=True)
        yield encode.make_dataset(8 if rehearse else items, folder / "pictures"), options, folder


def _size(rehearse: bool) -> encode.Size:
    return TINY_BLIP if rehearse else encode.SIZES["base"]


def _bf16_peak(device: torch.device, rehearse: bool) -> Iterator[Finding]:
    yield "operations of an item", lambda: operations(_size(rehearse), 27)
    yield "bf16 product", lambda: _peak(device, 64 if rehearse else GEMM)


def encoding(device: torch.device, rehearse: bool, _seconds: float) -> Iterator[Finding]:
    """Yield items a second of the base BLIP beside plain loops over transformers, and the share of the bf16 peak."""
    with _blip(device, rehearse, 768) as (dataset, options, folder):
        yield "ways", lambda: encode.measure(dataset, options, folder, 1)
        yield "items", lambda: len(encode.catalog_of(dataset).texts)
    yield from _bf16_peak(device, rehearse)


def network(device: torch.device, rehearse: bool, _seconds: float) -> Iterator[Finding]:
    """Yield items a second of the base BLIP alone, of decoding alone, and the share of the bf16 peak."""
    with _blip(device, rehearse, 256) as (dataset, options, folder):
        part = FrozenEncoder("blip", dataset, folder / "home", options).parts["blip"].network
        yield "parts", partial(_network, part, dataset, device)
    yield from _bf16_peak(device, rehearse)


def _network(part: Network, dataset: Dataset, device: torch.device) -> dict[str, float]:
    catalog, clock = encode.catalog_of(dataset), Clock(device)
    n = len(catalog.texts)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        started = time.perf_counter()
        pictures = list(pool.map(lambda item: part.prepare(catalog.picture(item)), range(n)))
        decoding = time.perf_counter() - started
    texts = part.tokens(catalog.texts)
    rows = [NetworkInput(texts[0][item], texts[1][item], pictures[item], True) for item in range(n)]
    rows.sort(key=lambda row: -len(row.ids))
    batches = [rows[start : start + part.batch_size] for start in range(0, n, part.batch_size)]

    def whole() -> None:
        for batch in batches:
            part.vectors(batch)

    whole()
    rate = n / statistics.median(clock.seconds(whole).wall for _ in range(3))
    return {"decoded a second": n / decoding, "items a second": rate, "batch size": part.batch_size}


def operations(size: encode.Size, tokens: int) -> float:
    """Return floating-point operations of one item: a picture through the vision tower, `tokens` of text through both.

    A token of a layer costs 24 d² in projections and feed-forward net and 4 n d in products with n tokens; text
    layers have a second attention whose keys and values are made of the picture's patches.
    """
    d, patches = size.width, (size.side // size.patch) ** 2 + 1
    vision = patches * (24 * d * d + 4 * patches * d)
    text = tokens * (24 * d * d + 4 * tokens * d)
    across = tokens * (4 * d * d + 4 * patches * d) + patches * 4 * d * d
    return float(size.layers * (vision + text + across))


def _peak(device: torch.device, n: int) -> dict[str, float]:
    a, b = (torch.randn(n, n, device=device).to(torch.bfloat16) for _ in range(2))
    clock = Clock(device)
    for _ in range(3):
        a @ b
    seconds = clock.seconds(lambda: [a @ b for _ in range(10)]).wall / 10
    return {"seconds": seconds, "operations_per_second": 2 * n**3 / seconds}


def audits(device: torch.device, _rehearse: bool, seconds: float) -> Iterator[Finding]:
    """Yield exit code, verdict and seconds of whole audits of the sample on the device."""
    with tempfile.TemporaryDirectory() as scratch:
        yield "default", partial(_audit, Path(scratch), device, seconds, ())
        yield "merchant", partial(_audit, Path(scratch), device, seconds, ("--suite", "merchant"))


def _audit(folder: Path, device: torch.device, seconds: float, more: tuple[str, ...]) -> dict[str, Any]:
    command = [sys.executable, "-m", "robustrec", "audit", "--model", "slmrec", "--dataset", "clothing", *more]
    command += ["--device", str(device), "--offline", "--output-format", f"json:{folder / 'report.json'}"]
    environment = {**os.environ, "ROBUSTREC_HOME": str(folder / "home")}
    started = time.monotonic()
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=seconds, env=environment)
    found = {"exit code": done.returncode, "seconds": round(time.monotonic() - started, 1)}
    if done.returncode > 1:
        return {**found, "error": done.stderr[-1500:]}
    return {**found, "output": done.stdout[-3000:]}


def main(arguments: list[str] | None = None) -> int:
    """Run one part."""
    parts = (replay, mmrec, syncs, curvature, sizes, network, encoding, audits)
    kinds = {part.__name__: part for part in parts}
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu_costs", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("part", choices=list(kinds))
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--rehearse", action="store_true")
    parser.add_argument("--seconds", type=float, default=60.0, help="no finding begins after four fifths of them")
    parser.add_argument("--models", nargs="*", default=[], help="of a part that measures models, only these")
    given = parser.parse_args(arguments)
    started = time.monotonic()
    device = pick_device(given.device)
    set_numerics()
    findings = kinds[given.part](device, given.rehearse, given.seconds)
    chosen = (each for each in findings if not given.models or each[0] not in MODELS or each[0] in given.models)
    return report(chosen, started + 0.8 * given.seconds)


if __name__ == "__main__":
    sys.exit(main())
