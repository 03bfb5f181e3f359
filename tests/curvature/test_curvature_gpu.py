"""The same numbers on a CUDA device."""

from __future__ import annotations

import pytest
import torch
from tiny_curvature import MODELS, N_ITEMS, N_USERS, TRIPLES, build, features, generator, tiny_loss

from robustrec.curvature.inputs import input_products, inputs_of
from robustrec.curvature.lanczos import extremes
from robustrec.curvature.loss import AuditLoss, audited
from robustrec.curvature.products import check_symmetry, parameter_products
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
