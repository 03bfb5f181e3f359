"""The same numbers on a CUDA device, and no wait of the host for it inside a loop."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from tiny_curvature import MODELS, N_ITEMS, N_USERS, TRIPLES, build, features, generator, tiny_loss

from robustrec.curvature import krylov as process
from robustrec.curvature.inputs import input_products, input_traces, inputs_of
from robustrec.curvature.lanczos import extremes
from robustrec.curvature.loss import AuditLoss, audited
from robustrec.curvature.operators import Operator
from robustrec.curvature.perturbations import average_curvature
from robustrec.curvature.products import check_symmetry, parameter_products
from robustrec.curvature.spaces import latent_scales, space_of
from robustrec.curvature.traces import traces
from robustrec.curvature.triples import pairs_of
from robustrec.models.contract import item_graphs

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device"),
]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", list(MODELS))
def test_cuda_agrees_with_the_cpu(name: str, dtype: torch.dtype) -> None:
    """Sums on a GPU come in another order (scatters are not deterministic there), so equal up to rounding."""
    here, device = tiny_loss(name, dtype=dtype), torch.device("cuda")
    model = build(name).to(device)
    tables = {m: table.to(device) for m, table in features().items() if m in model.modalities}
    # The graphs of the CPU: a nearest neighbour chosen otherwise would be another loss.
    own = {m: features()[m] for m in model.modalities}
    graphs = item_graphs(build(name), own)
    if graphs is not None:
        graphs = {
            key: each._replace(
                pattern=each.pattern._replace(
                    starts=each.pattern.starts.to(device), columns=each.pattern.columns.to(device)
                ),
                values=each.values.to(device),
                transpose=each.transpose._replace(
                    starts=each.transpose.starts.to(device), columns=each.transpose.columns.to(device)
                ),
                transpose_values=each.transpose_values.to(device),
            )
            for key, each in graphs.items()
        }
    there = AuditLoss(audited(model, tables, graphs, dtype), pairs_of(TRIPLES, N_USERS, N_ITEMS).to(device))
    close = {"rtol": 1e-3, "atol": 1e-5} if dtype == torch.float32 else {"rtol": 1e-8, "atol": 1e-10}
    torch.testing.assert_close(there.value().cpu(), here.value(), **close)
    ours, theirs = parameter_products(here), parameter_products(there)
    check_symmetry(theirs, generator(1))
    v = ours.space.normal(generator(2))
    torch.testing.assert_close(theirs(v.to(device)).cpu(), ours(v), **close)
    mine, its = (extremes(each, generator(3), steps=20).largest[0].value for each in (ours, theirs))
    assert its == pytest.approx(mine, rel=1e-3)
    if tables:
        of_inputs = [input_products(loss, inputs_of(loss.tables), list(tables)) for loss in (here, there)]
        z = of_inputs[0].space.normal(generator(4))
        torch.testing.assert_close(of_inputs[1](z.to(device)).cpu(), of_inputs[0](z), **close)


@contextmanager
def _no_waits() -> Iterator[None]:
    """Every operation that makes the host wait for the device is an error."""
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


def _there(name: str, dtype: torch.dtype = torch.float32) -> AuditLoss:
    model = build(name).to("cuda")
    tables = {m: table.to("cuda") for m, table in features().items() if m in model.modalities}
    subject = audited(model, tables, item_graphs(model, tables), dtype)
    return AuditLoss(subject, pairs_of(TRIPLES, N_USERS, N_ITEMS).to(torch.device("cuda")))


def _drawn(seed: int) -> torch.Generator:
    return torch.Generator(device="cuda").manual_seed(seed)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", ["bpr", "vbpr", "lightgcn", "slmrec"])
def test_lanczos_waits_for_the_device_once_an_interval(
    name: str, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    products = parameter_products(_there(name, dtype))
    products(products.space.normal(_drawn(0)))  # libraries are loaded
    process.coordinates(torch.ones(2, 5000, device="cuda", dtype=dtype), torch.ones(5000, device="cuda", dtype=dtype))
    reads: list[int] = []
    advance = process._Span.advance

    def watched(span: Any, count: int) -> torch.Tensor:
        reads.append(count)
        with _no_waits():
            return advance(span, count)

    monkeypatch.setattr(process._Span, "advance", watched)
    found = extremes(products, _drawn(1), count=2, steps=8)
    assert reads == [8]
    here = extremes(parameter_products(tiny_loss(name, dtype=dtype)), generator(1), count=2, steps=8)
    assert found.largest[0].value == pytest.approx(here.largest[0].value, rel=0.2), "from another start"


def test_probes_are_drawn_and_summed_on_the_device() -> None:
    loss = _there("vbpr")
    products, inputs = parameter_products(loss), inputs_of(loss.tables)
    of_inputs = input_products(loss, inputs, ("image", "text"))
    scales = latent_scales(loss.parameters, N_USERS, N_ITEMS)

    def between_the_first_and_the_last(operator: Operator, probes: int) -> Operator:
        def multiply(vector: torch.Tensor) -> torch.Tensor:
            image = operator(vector)
            torch.cuda.set_sync_debug_mode("error" if watched.count < probes else "default")
            return image

        watched = Operator(operator.space, multiply)
        return watched

    try:
        for own in (products, of_inputs):
            own(own.space.signs(_drawn(0)))  # libraries are loaded
        traces(between_the_first_and_the_last(products, 6), {}, probes=6, generator=_drawn(2))
        watched = between_the_first_and_the_last(of_inputs, 6)
        input_traces(watched, inputs, probes=6, generator=_drawn(2))
        watched = between_the_first_and_the_last(products, 6)
        average_curvature(watched, scales, radius=0.1, probes=6, generator=_drawn(2))
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_no_eigenvalue_is_found_twice_on_the_device(dtype: torch.dtype) -> None:
    values = torch.cat([torch.tensor([1e4, 100.0, 50.0]), torch.linspace(-1, 1, 5000)]).to("cuda", dtype)
    found = extremes(Operator(space_of({"x": values}), lambda v: values * v), _drawn(3), count=4, steps=150)
    assert [each.value for each in found.largest[:3]] == pytest.approx([1e4, 100.0, 50.0], rel=1e-4)
    assert found.largest[3].value < 1.01
