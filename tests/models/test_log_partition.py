"""The logarithm of a partition function summed over queries, without the table of logits."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from robustrec.models import log_partition
from robustrec.models.log_partition import total_log_partition


@settings(max_examples=40, deadline=None)
@given(
    n_queries=st.integers(1, 9),
    n_keys=st.integers(1, 30),
    width=st.integers(1, 5),
    scale=st.floats(0.01, 100),
    seed=st.integers(0, 1000),
    held=st.sampled_from([1, 400, 2**20]),
)
def test_value_and_gradients_are_those_of_the_whole_table(
    n_queries: int, n_keys: int, width: int, scale: float, seed: int, held: int
) -> None:
    """Whatever the chunk; `held` is the bytes of logits at once."""
    generator = torch.Generator().manual_seed(seed)
    queries = (scale * torch.randn(n_queries, width, generator=generator).double()).requires_grad_()
    keys = torch.randn(n_keys, width, generator=generator).double().requires_grad_()
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(log_partition.LOGIT_BYTES, "cpu", held)
        found = total_log_partition(queries, keys)
    expected = (queries @ keys.T).logsumexp(dim=1).sum()
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)
    for ours, theirs in zip(
        torch.autograd.grad(3 * found, (queries, keys)), torch.autograd.grad(3 * expected, (queries, keys)), strict=True
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)


def test_two_derivatives() -> None:
    generator = torch.Generator().manual_seed(0)
    queries = torch.randn(3, 2, generator=generator, dtype=torch.float64, requires_grad=True)
    keys = torch.randn(5, 2, generator=generator, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(total_log_partition, (queries, keys))
    assert torch.autograd.gradgradcheck(total_log_partition, (queries, keys))


def test_large_logits_do_not_overflow() -> None:
    queries = torch.tensor([[1e4], [-1e4]], requires_grad=True)
    keys = torch.tensor([[1.0], [-1.0]])
    total = total_log_partition(queries, keys)
    total.backward()
    assert total.item() == pytest.approx(2e4)
    torch.testing.assert_close(queries.grad, torch.tensor([[1.0], [-1.0]]))


def test_without_gradients_the_value_is_the_same() -> None:
    queries, keys = torch.randn(4, 3), torch.randn(6, 3)
    with torch.no_grad():
        silent = total_log_partition(queries, keys)
    assert torch.equal(silent, total_log_partition(queries.requires_grad_(), keys).detach())
