"""Rows of tables against the plain expressions they stand for."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from robustrec.models import rows as module
from robustrec.models.rows import distinct, project_tuned, unit_rows


def inputs(n_items: int = 7, width: int = 5, d: int = 3) -> tuple[Tensor, Tensor, nn.Linear]:
    generator = torch.Generator().manual_seed(1)
    raw, delta = torch.randn(2, n_items, width, generator=generator, dtype=torch.float64).requires_grad_().unbind()
    return raw, delta, nn.Linear(width, d).double()


@pytest.mark.parametrize("chunk", [1, 3, 7, 64])
@pytest.mark.parametrize("chosen", [None, [4, 0, 4]])
def test_projections_are_those_of_the_sum(
    chunk: int, chosen: list[int] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHUNK", chunk)
    raw, delta, layer = inputs()
    rows = None if chosen is None else torch.tensor(chosen)
    found = project_tuned(raw, delta, layer, rows)
    expected = layer(raw + delta)
    torch.testing.assert_close(found, expected if rows is None else expected[rows])


@pytest.mark.parametrize("chosen", [None, [4, 0, 4]])
@pytest.mark.parametrize("fixed", [set(), {"raw"}, {"delta"}, {"raw", "delta"}, {"weight"}])
def test_first_and_second_derivatives(
    chosen: list[int] | None, fixed: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHUNK", 3)
    raw, delta, layer = inputs()
    given = {"raw": raw, "delta": delta, "weight": layer.weight, "bias": layer.bias}
    given = {name: value.detach().clone().requires_grad_(name not in fixed) for name, value in given.items()}
    rows = None if chosen is None else torch.tensor(chosen)

    def curved(raw: Tensor, delta: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        parameters = {"weight": weight, "bias": bias}
        return (
            torch.func.functional_call(
                _Projection(layer), {f"layer.{k}": v for k, v in parameters.items()}, (raw, delta, rows)
            )
            .tanh()
            .sum()
        )

    assert torch.autograd.gradcheck(curved, tuple(given.values()))
    assert torch.autograd.gradgradcheck(curved, tuple(given.values()))


class _Projection(nn.Module):
    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, raw: Tensor, delta: Tensor, rows: Tensor | None) -> Tensor:
        return project_tuned(raw, delta, self.layer, rows)


@given(ids=st.lists(st.integers(0, 9), min_size=1, max_size=30))
def test_distinct_rows_hold_every_id_where_it_says(ids: list[int]) -> None:
    drawn = torch.tensor(ids)
    rows, places = distinct(drawn, 10)
    assert torch.equal(rows[places], drawn)
    assert rows.tolist() == sorted(set(ids))


@pytest.mark.parametrize("size", [2, 5, 100])
def test_elsewhere_than_on_a_cpu_rows_may_occur_twice(size: int) -> None:
    """A tensor without values stands for one on a GPU: whatever needs to see them would fail."""
    rows, places = distinct(torch.zeros(5, dtype=torch.int64, device="meta"), size)
    assert len(rows) == min(size, 5)
    assert places.shape == (5,)


def test_unit_rows_are_normalised_rows() -> None:
    x = torch.linspace(-1, 2, 24, dtype=torch.float64).view(6, 4) * torch.tensor(
        [[1e-9], [1e-3], [1.0], [1e4], [0.0], [1e-13]]
    )
    torch.testing.assert_close(unit_rows(x), functional.normalize(x, dim=1, eps=1e-12), rtol=1e-12, atol=0)


def test_rows_of_zeros_have_second_derivatives() -> None:
    x = torch.zeros(2, 3, dtype=torch.float64)
    x[1] = 1
    x.requires_grad_()
    weights = torch.tensor([[0.0], [2.0]], dtype=torch.float64)
    (first,) = torch.autograd.grad((weights * unit_rows(x)).pow(3).sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), x)
    assert first.isfinite().all()
    assert second.isfinite().all()
    assert second[0].abs().sum() == 0


def test_rows_are_gathered_once_for_both_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    gathered: list[int] = []
    plain = module._sums
    monkeypatch.setattr(module, "_sums", lambda *given: (gathered.append(1), plain(*given))[1])
    found, layer = [], torch.nn.Linear(9, 4)
    for again in (False, True):  # a second derivative needs the tables themselves
        generator = torch.Generator().manual_seed(0)
        raw, delta = (torch.randn(600, 9, generator=generator) for _ in range(2))
        delta.requires_grad_()
        gathered.clear()
        projected = module.project_tuned(raw, delta, layer, torch.arange(0, 600, 2))
        found.append(torch.autograd.grad(projected.square().sum(), [delta, layer.weight], create_graph=again))
        assert len(gathered) == 1 + again
    assert all(torch.equal(once, twice) for once, twice in zip(*found, strict=True))
