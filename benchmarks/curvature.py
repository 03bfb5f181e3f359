"""Top five eigenvalues and trace of one Hessian: robustrec beside curvlinops, hessian-eigenthings and PyHessian.

    python -m benchmarks.curvature [--dataset baby] [--tools robustrec curvlinops …] [--growth] [--output FOLDER]

VBPR on an imported data set with features `basic`, or at Baby's size on made-up data, trained for some epochs; the loss
is the mean softplus(-margin) over the
triples, the same weights and triples for every tool. Each tool runs in a process of its own, one after the other, as
its documentation shows it: all triples as one batch, default tolerances unless the row says otherwise. Tools that are
not installed are left out; they are no dependencies of robustrec.

References, both float64: the eigenvalues of scipy's eigsh at tolerance 1e-8, each with its residual (an
eigenvalue is off by its square over the gap); the trace in
closed form, as margins are affine in every single weight: H_jj = mean σ'(m) (∂m/∂θ_j)².
"""

from __future__ import annotations

import argparse
import copy
import itertools
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.func import functional_call

from benchmarks.curvature_cost import cost_lines, cost_of
from benchmarks.workload import BABY, Size, Workload, make_workload
from robustrec.config import default_home
from robustrec.curvature.lanczos import extremes
from robustrec.curvature.loss import Audited, AuditLoss, audited
from robustrec.curvature.products import Products, parameter_gradient, parameter_products
from robustrec.curvature.traces import WHOLE, traces
from robustrec.curvature.triples import Triples, draw_triples, pairs_of
from robustrec.datasets.interactions import TEST, TRAIN, VALIDATION
from robustrec.datasets.registry import load_dataset
from robustrec.encoders.features import MODALITIES, item_features
from robustrec.files import write_atomically
from robustrec.hardware import cpu_name, describe_environment, set_numerics
from robustrec.models.configs import VBPRConfig
from robustrec.models.contract import Problem
from robustrec.models.vbpr import VBPR
from robustrec.seeds import torch_generator
from robustrec.training.config import TrainingConfig
from robustrec.training.sampling import positives_of
from robustrec.training.strategy_config import StrategyConfig
from robustrec.training.trainer import train

COUNT, STEPS, PROBES = 5, 40, 32
CONFIG = VBPRConfig(reg_weight=1e-3)
LONGER = 71  # what eigsh takes to its tolerance here: for times at equal error
PACKAGES = {
    "robustrec": "robustrec",
    "robustrec, longer": "robustrec",
    "curvlinops": "curvlinops-for-pytorch",
    "hessian-eigenthings": "hessian-eigenthings",
    "PyHessian": "PyHessian",
}


class Case(NamedTuple):
    """One model with its features and triples."""

    subject: Audited
    triples: Triples
    sizes: tuple[int, int]

    @property
    def loss(self) -> AuditLoss:
        """The audited loss."""
        return AuditLoss(self.subject, pairs_of(self.triples, *self.sizes))


class Margins(nn.Module):
    """The same model in plain PyTorch, from triples [n, 3] to margins [n], as the other tools want one."""

    def __init__(self, case: Case) -> None:
        super().__init__()
        inner: Any = copy.deepcopy(case.subject.model.module())
        self.inner = inner.requires_grad_(True)
        self._features = torch.cat([case.subject.tables[name] for name in inner.columns], dim=1)

    def forward(self, triples: Tensor) -> Tensor:
        """Return s(u, p) - s(u, n)."""
        inner: Any = self.inner
        items = torch.cat([inner.items, inner.projection(self._features)], dim=1)
        chosen = inner.users[triples[:, 0]]
        found: Tensor = (chosen * (items[triples[:, 1]] - items[triples[:, 2]])).sum(1)
        return found


class Measured(NamedTuple):
    """What one tool found and took.

    Attributes:
        eigenvalues: the largest, descending.
        trace: its estimate.
        products: Hessian products of the eigenvalues; None where the tool does not tell.
        trace_products: of the trace.
        seconds: of the eigenvalues and of the trace, by the clock and by the processor.
        note: settings that are no defaults.
    """

    eigenvalues: list[float]
    trace: float
    products: int | None
    trace_products: int | None
    seconds: dict[str, float]
    note: str


def main(arguments: list[str] | None = None) -> None:
    """Measure every tool in turn, print the table and write the results."""
    given = _parse(arguments)
    set_numerics(given.threads)
    if given.tool:
        _child(given)
        return
    with tempfile.TemporaryDirectory() as scratch:
        state = Path(scratch) / "state.pt"
        workload = _workload(given.dataset, given.home)
        _train(workload, given.epochs, state)
        counts = sorted({*GROWTH, given.triples}) if given.growth else [given.triples]
        results = []
        for count in counts:
            tools = given.tools if count == given.triples else ["robustrec"]
            truth = _run("truth", count, state, given) if count == given.triples else None
            results += [_run(tool, count, state, given) | {"truth": truth} for tool in tools if _installed(tool)]
        cost = _run("cost", given.triples, state, given)
    machine = {**describe_environment(torch.device("cpu")), "cpu": cpu_name(), "cores": os.cpu_count() or 0}
    settings = {
        "data": given.dataset or "made up",
        "size": workload.size._asdict(),
        "epochs": given.epochs,
        "triples": given.triples,
        "steps": STEPS,
    }
    truth = next(each["truth"] for each in results if each["truth"])
    text = "\n".join([_page(results, settings, machine), *cost_lines(cost, truth["eigenvalues"])])
    print(text)
    if given.output is not None:
        record = {"settings": settings, "machine": machine, "results": results, "cost": cost}
        write_atomically(given.output / "curvature-cpu.json", json.dumps(record, indent=1) + "\n")
        write_atomically(given.output / "curvature-cpu.md", text + "\n")


GROWTH = (12_500, 25_000, 50_000)


def _installed(tool: str) -> bool:
    try:
        version(PACKAGES[tool])
    except PackageNotFoundError:
        if PACKAGES[tool] == "robustrec":
            return True
        print(f"{tool} is not installed: pip install --no-deps {PACKAGES[tool]}", file=sys.stderr)
        return False
    return True


def _workload(dataset: str | None, home: Path) -> Workload:
    """Return an imported data set as a workload, or the made-up one."""
    if dataset is None:
        return make_workload(BABY)
    data = load_dataset(dataset, home=home, edition="full")
    features = item_features(data, "basic", home=home).tables
    inner = data.interactions
    train, validation, test = (int((inner.labels == label).sum()) for label in (TRAIN, VALIDATION, TEST))
    image, text = (features[name].shape[1] if name in features else 0 for name in MODALITIES)
    size = Size(inner.n_users, inner.n_items, train, validation, test, image, text, BABY.batch)
    return Workload(size, inner, dict(features))


def _problem(workload: Workload) -> tuple[Problem, Tensor]:
    inner = workload.interactions
    chosen = inner.labels == TRAIN
    edges = torch.from_numpy(np.stack([inner.users[chosen], inner.items[chosen]]))
    widths = {name: table.shape[1] for name, table in workload.features.items()}
    return Problem(inner.n_users, inner.n_items, edges, widths), edges


def _train(workload: Workload, epochs: int, path: Path) -> None:
    problem, edges = _problem(workload)
    model = VBPR(problem, CONFIG, torch_generator(0, "parameters"))
    positives = positives_of(edges, problem.n_items, torch.device("cpu"))
    config = TrainingConfig(max_epochs=epochs, batch_size=workload.size.batch, learning_rate=5e-3)
    strategy = StrategyConfig(name="vanilla")
    later = itertools.count()  # the last epoch's parameters are kept
    train(model, workload.features, positives, lambda: next(later), config=config, strategy_config=strategy, seed=0)
    torch.save(model.state_dict(), path)


def _case(path: Path, count: int, dtype: torch.dtype, workload: Workload) -> Case:
    problem, edges = _problem(workload)
    model = VBPR(problem, CONFIG, torch_generator(0, "parameters"))
    model.load_state_dict(torch.load(path, weights_only=True))
    triples = draw_triples(edges, problem.n_items, count, seed=0)
    return Case(audited(model, workload.features, dtype=dtype), triples, (problem.n_users, problem.n_items))


def _run(tool: str, count: int, state: Path, given: argparse.Namespace) -> dict[str, Any]:
    print(f"{tool}, {count:,} triples …", file=sys.stderr, flush=True)
    command = [sys.executable, "-m", "benchmarks.curvature", "--tool", tool, "--triples", str(count), "--state"]
    command += [str(state), "--threads", str(given.threads), "--home", str(given.home)]
    command += ["--dataset", given.dataset] if given.dataset else []
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return {"tool": tool, "triples": count} | found


def _child(given: argparse.Namespace) -> None:
    workload = _workload(given.dataset, given.home)
    if given.tool == "truth":
        print(json.dumps(_truth(_case(given.state, given.triples, torch.float64, workload))))
        return
    case = _case(given.state, given.triples, torch.float32, workload)
    if given.tool == "cost":
        print(json.dumps(cost_of(case.loss, _plain(case), LONGER)))
        return
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    gradient = _gradient_seconds(case)
    found = TOOLS[given.tool](case)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    own = found._asdict() | {"gradient_seconds": gradient, "peak_kib": peak, "before_kib": before}
    print(json.dumps(own | {"parameters": sum(each.numel() for each in case.subject.parameters.values())}))


def _plain(case: Case) -> Callable[[Any], Tensor]:
    """Return the loss in plain PyTorch as a function of the parameters."""
    model, triples = Margins(case), torch.stack(list(case.triples), 1)

    def function(parameters: Any) -> Tensor:
        named = {f"inner.{name}": each for name, each in parameters.items()}
        return nn.functional.softplus(-functional_call(model, named, (triples,))).mean()

    return function


def _gradient_seconds(case: Case) -> float:
    """Return the processor time of a gradient of robustrec's loss, the unit that products are counted in."""
    loss = case.loss
    parameter_gradient(loss)
    start = time.process_time()
    for _ in range(3):
        parameter_gradient(loss)
    return (time.process_time() - start) / 3


class _Clock:
    """Seconds of blocks, by the clock and by the processor."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def timed(self, name: str, work: Callable[[], Any]) -> Any:
        """Return what some work returns, and note what it took."""
        wall, cpu = time.perf_counter(), time.process_time()
        result = work()
        self.seconds |= {name: time.perf_counter() - wall, f"{name} cpu": time.process_time() - cpu}
        return result


def _ours(case: Case, steps: int = STEPS) -> Measured:
    clock, kept = _Clock(), {}

    def largest() -> Any:
        products = kept["products"] = parameter_products(case.loss)
        return extremes(products, torch_generator(0, "start"), count=COUNT, steps=steps)

    found = clock.timed("eigenvalues", largest)
    products: Products = kept["products"]

    def trace() -> Any:  # the graph is at hand
        return traces(products, {}, probes=PROBES, generator=torch_generator(0, "probes"))

    value = clock.timed("trace", trace)[WHOLE]
    note = f"standard error of the trace {value.error / value.value:.2%}; its graph is that of the eigenvalues"
    return Measured([each.value for each in found.largest], value.value, found.products, PROBES, clock.seconds, note)


def _batch(case: Case) -> tuple[Tensor, Tensor]:
    triples = torch.stack(list(case.triples), 1)
    return triples, torch.ones(len(triples))


def _curvlinops(case: Case) -> Measured:
    import curvlinops  # type: ignore[import-not-found]
    from scipy.sparse.linalg import LinearOperator, eigsh

    clock, count = _Clock(), [0]
    model = Margins(case)

    def operator() -> Any:
        return curvlinops.HessianLinearOperator(
            model,
            nn.BCEWithLogitsLoss(),
            list(model.parameters()),
            [_batch(case)],
            check_deterministic=False,
        )

    def largest() -> Any:
        inner = operator().to_scipy()

        def multiply(vector: NDArray[np.float32]) -> Any:
            count[0] += 1
            return inner @ vector

        counted = LinearOperator(inner.shape, matvec=multiply, dtype=np.float32)
        return eigsh(counted, k=COUNT, which="LA", tol=1e-4, return_eigenvectors=False)

    values = clock.timed("eigenvalues", largest)
    trace = clock.timed("trace", lambda: curvlinops.hutchinson_trace(operator(), num_matvecs=PROBES))
    note = "scipy's eigsh, tol 1e-4"
    return Measured(sorted(map(float, values), reverse=True), float(trace), count[0], PROBES, clock.seconds, note)


def _eigenthings(case: Case) -> Measured:
    from hessian_eigenthings import HessianOperator, lanczos, trace  # type: ignore[import-not-found]

    clock, model = _Clock(), Margins(case)

    def loss(inner: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        return nn.functional.binary_cross_entropy_with_logits(inner(batch[0]), batch[1])

    def operator() -> Any:
        return HessianOperator(model, [_batch(case)], loss)

    found = clock.timed("eigenvalues", lambda: lanczos(operator(), k=COUNT, max_iter=STEPS, which="LA", seed=0))
    values = [float(each) for each in found.eigenvalues]
    whole = clock.timed("trace", lambda: trace(operator(), num_matvecs=PROBES, method="hutchinson", seed=0))
    note = f"max_iter {STEPS} (far from converged with its default, 10), Hutchinson"
    return Measured(sorted(values, reverse=True), float(whole.estimate), STEPS, PROBES, clock.seconds, note)


def _pyhessian(case: Case) -> Measured:
    import pyhessian  # type: ignore[import-not-found]

    torch.manual_seed(0)
    clock, model = _Clock(), Margins(case)

    def largest() -> Any:
        held = pyhessian.hessian(model, nn.BCEWithLogitsLoss(), data=_batch(case), cuda=False)
        return held, held.eigenvalues(top_n=COUNT)[0]

    held, values = clock.timed("eigenvalues", largest)
    draws = clock.timed("trace", lambda: held.trace(maxIter=PROBES, tol=0.0))
    note = "power iteration with its default tolerance 1e-3; it does not report the number of products"
    return Measured(sorted(values, reverse=True), float(np.mean(draws)), None, PROBES, clock.seconds, note)


TOOLS: dict[str, Callable[[Case], Measured]] = {
    "robustrec": _ours,
    "robustrec, longer": partial(_ours, steps=LONGER),
    "curvlinops": _curvlinops,
    "hessian-eigenthings": _eigenthings,
    "PyHessian": _pyhessian,
}


def _truth(case: Case) -> dict[str, Any]:
    from scipy.sparse.linalg import LinearOperator, eigsh

    products = parameter_products(case.loss)
    n = products.space.size

    def multiply(vector: NDArray[np.float64]) -> NDArray[np.float64]:
        return products(torch.from_numpy(np.ascontiguousarray(vector).reshape(-1))).numpy()

    operator = LinearOperator((n, n), matvec=multiply, dtype=np.float64)
    values, vectors = eigsh(operator, k=COUNT, which="LA", tol=1e-8, ncv=40)
    order = np.argsort(-values)
    residuals = [float(np.linalg.norm(multiply(vectors[:, i]) - values[i] * vectors[:, i])) for i in order]
    return {"eigenvalues": values[order].tolist(), "residuals": residuals, "trace": _exact_trace(case)}


def _exact_trace(case: Case) -> float:
    """Return Σ_j mean σ'(m) (∂m/∂θ_j)² over free vectors of users and items, and the projection."""
    with torch.no_grad():
        users, items = case.subject.represent()
        u, p, n = case.triples
        gap = items[p] - items[n]
        slope = torch.sigmoid((users[u] * gap).sum(1))
        slope = slope * (1 - slope)
        free = items.shape[1] // 2
        tables = case.subject.tables
        total = (slope * gap.square().sum(1)).mean()  # a user's vector
        total += (slope * 2 * users[u, :free].square().sum(1)).mean()  # both items' free vectors
        seen = users[u, free:].square().sum(1)
        for table in tables.values():  # the projection: ∂m/∂W = u (x_p - x_n)ᵀ
            weights = slope * seen
            moved = []
            for start in range(0, len(u), 5000):
                chosen = slice(start, start + 5000)
                moved.append((weights[chosen] * (table[p[chosen]] - table[n[chosen]]).square().sum(1)).sum())
            total += torch.stack(moved).sum() / len(u)
    return float(total)


def _page(results: list[dict[str, Any]], settings: dict[str, Any], machine: dict[str, Any]) -> str:
    truth = next(each["truth"] for each in results if each["truth"])
    count = f"{results[-1]['parameters']:,} parameters, {settings['triples']:,} triples"
    lines = [
        "# Curvature, compared with other tools",
        "",
        ", ".join(f"{key} {value}" for key, value in machine.items()) + ".",
        f"VBPR after {settings['epochs']} epochs on data {settings['data']}: {count}. One run each, one after "
        "the other, each in a separate process. Error: the largest of the five relative errors, against float64 "
        f"(scipy, residuals at most {max(truth['residuals']):.0e}); for the trace, against its closed form. "
        "Memory: the peak of the process minus its memory before.",
        "",
        f"λ₁ to λ₅ {', '.join(f'{value:.6g}' for value in truth['eigenvalues'])}; trace {truth['trace']:.6g}.",
        "",
        "| tool | products | seconds (processor) | gradients per product | error | trace: seconds | error | memory |",
        "|---|---|---|---|---|---|---|---|",
    ]
    compared = [each for each in results if each["truth"]]
    lines += [_row(each, truth) for each in compared]
    lines += ["", *(f"- {each['tool']} {_version(each['tool'])}: {each['note']}." for each in compared)]
    grown = [each for each in results if each["tool"] == "robustrec"]
    if len(grown) > 1:
        lines += [
            "",
            "robustrec, by number of triples:",
            "",
            "| triples | seconds (processor) | memory |",
            "|---|---|---|",
        ]
        lines += [
            f"| {each['triples']:,} | {each['seconds']['eigenvalues']:.1f} ({each['seconds']['eigenvalues cpu']:.1f}) "
            f"| {_mib(each)} |"
            for each in grown
        ]
    return "\n".join(lines)


def _row(found: dict[str, Any], truth: dict[str, Any]) -> str:
    seconds = found["seconds"]
    pairs = zip(found["eigenvalues"], truth["eigenvalues"], strict=True)
    error = max(abs(ours - true) / true for ours, true in pairs)
    products = found["products"]
    each = "" if products is None else f"{seconds['eigenvalues cpu'] / products / found['gradient_seconds']:.2f}"
    cells = (
        found["tool"],
        "-" if products is None else str(products),
        f"{seconds['eigenvalues']:.1f} ({seconds['eigenvalues cpu']:.1f})",
        each or "-",
        f"{error:.1e}",
        f"{seconds['trace']:.1f} ({seconds['trace cpu']:.1f})",
        f"{abs(found['trace'] - truth['trace']) / truth['trace']:.2%}",
        _mib(found),
    )
    return "| " + " | ".join(cells) + " |"


def _mib(found: dict[str, Any]) -> str:
    return f"{(found['peak_kib'] - found['before_kib']) / 1024:,.0f} MiB"


def _version(tool: str) -> str:
    try:
        return version(PACKAGES[tool])
    except PackageNotFoundError:
        return "(this checkout)"


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.curvature", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--triples", type=int, default=100_000)
    parser.add_argument("--dataset", default=None, help="an imported data set; made-up data otherwise")
    parser.add_argument("--home", type=Path, default=default_home(), help="folder of data sets and features")
    parser.add_argument("--epochs", type=int, default=10, help="of the training before")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    parser.add_argument("--tools", nargs="+", default=list(TOOLS), choices=list(TOOLS))
    parser.add_argument("--growth", action="store_true", help="also fewer triples, robustrec only")
    parser.add_argument("--output", type=Path, default=None, help="folder for curvature-cpu.json and .md")
    parser.add_argument("--tool", default=None, help=argparse.SUPPRESS)
    parser.add_argument("--state", type=Path, default=None, help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
