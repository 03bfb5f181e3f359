"""Matrix products of bf16 inputs: which inputs are rounded, what stays float32, and in which block."""

from __future__ import annotations

import threading

import pytest
import torch
from torch import Tensor

from robustrec.models.dense import are_bf16, bf16_inputs, times_transposed
from robustrec.models.graphs import cosine_neighbours
from robustrec.models.losses import contrast
from robustrec.models.rows import project_tuned
from robustrec.seeds import torch_generator


def _drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch_generator(seed, "bf16"))


def _rounded(x: Tensor) -> Tensor:
    return x.bfloat16().double()


def test_inputs_are_rounded_and_sums_and_gradients_are_float32() -> None:
    a, b, upper = _drawn(9, 300).requires_grad_(), _drawn(5, 300, seed=1).requires_grad_(), _drawn(9, 5, seed=2)
    with bf16_inputs():
        product = times_transposed(a, b)
    product.backward(upper)  # outside the block, as in the threads of a GPU's backward pass
    assert product.dtype == torch.float32
    torch.testing.assert_close(product.double(), _rounded(a) @ _rounded(b).T, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(a.grad.double(), _rounded(upper) @ _rounded(b), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(b.grad.double(), _rounded(upper).T @ _rounded(a), rtol=1e-5, atol=1e-5)
    assert float((product - a @ b.T).detach().abs().max()) > 1e-3, "bf16 has 8 bits, so that sums of 300 differ"


def test_fine_tuned_features_round_their_sum_in_both_passes() -> None:
    raw, delta, upper = _drawn(7, 40), _drawn(7, 40, seed=1).requires_grad_(), _drawn(3, 4, seed=2)
    layer, rows = torch.nn.Linear(40, 4), torch.tensor([6, 0, 3])
    with bf16_inputs():
        projected = project_tuned(raw, delta, layer, rows)
    projected.backward(upper)
    total = _rounded((raw + delta.detach())[rows])
    expected = total @ _rounded(layer.weight.detach()).T + layer.bias.detach().double()
    torch.testing.assert_close(projected.double(), expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(layer.weight.grad.double(), _rounded(upper).T @ total, rtol=1e-5, atol=1e-5)
    of_rows = delta.grad[rows].double()
    torch.testing.assert_close(of_rows, _rounded(upper) @ _rounded(layer.weight.detach()), rtol=1e-5, atol=1e-5)


def test_contrasts_round_their_inputs_whatever_the_number_of_logits(monkeypatch: pytest.MonkeyPatch) -> None:
    queries, keys = _drawn(6, 8), _drawn(6, 8, seed=1)
    expected = torch.nn.functional.cross_entropy(_rounded(queries / 0.5) @ _rounded(keys).T, torch.arange(6))
    for many in (1, 10**6):
        monkeypatch.setattr("robustrec.models.losses.MANY_LOGITS", many)
        with bf16_inputs():
            assert contrast(queries, keys, 0.5).item() == pytest.approx(expected.item(), rel=1e-5)


def test_the_block_ends_nests_and_belongs_to_its_thread() -> None:
    seen: list[bool] = []
    with bf16_inputs():
        other = threading.Thread(target=lambda: seen.append(are_bf16()))
        other.start()
        other.join()
        with bf16_inputs(rounded=False):
            seen.append(are_bf16())
        seen.append(are_bf16())
    assert [*seen, are_bf16()] == [False, False, True, False]


def test_float64_and_nearest_items_are_not_rounded() -> None:
    x = _drawn(60, 16)
    a = x.double()
    expected = cosine_neighbours(x, 5).items
    with bf16_inputs():
        assert torch.equal(times_transposed(a, a), a @ a.T)
        # Cosines of bf16 inputs are 1e-3 off, and their candidates 1e-5 apart at least.
        assert torch.equal(cosine_neighbours(x, 5).items, expected)
        assert not torch.equal(times_transposed(x, x), x @ x.T)
