"""Losses against their formulas, and where the formulas overflow."""

from __future__ import annotations

import math

import pytest
import torch

from robustrec.models import losses
from robustrec.models.losses import bpr_loss, contrast, embedding_loss


def test_bpr_is_the_mean_negative_log_of_the_logistic() -> None:
    positive, negative = torch.tensor([0.3, -1.2]), torch.tensor([0.1, 2.0])
    expected = sum(math.log1p(math.exp(-delta)) for delta in (0.2, -3.2)) / 2
    assert bpr_loss(positive, negative).item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("delta", [-1e4, -200.0, 200.0, 1e4])
def test_bpr_and_its_gradient_stay_finite(delta: float) -> None:
    positive = torch.tensor([delta], requires_grad=True)
    loss = bpr_loss(positive, torch.zeros(1))
    loss.backward()
    assert loss.item() == pytest.approx(max(-delta, 0.0), abs=1e-6)
    assert positive.grad is not None
    assert positive.grad.item() == pytest.approx(-1.0 if delta < 0 else 0.0, abs=1e-6)


def test_embedding_loss_divides_norms_by_the_last_row_count() -> None:
    first, last = torch.full((2, 2), 3.0), torch.tensor([[0.0, 4.0], [3.0, 0.0], [0.0, 0.0], [0.0, 0.0]])
    assert embedding_loss(first, last).item() == pytest.approx((6 + 5) / 4)


def test_contrast_matches_its_sum() -> None:
    generator = torch.Generator().manual_seed(0)
    queries, keys = torch.randn(4, 3, generator=generator), torch.randn(4, 3, generator=generator)
    logits = (queries @ keys.T / 0.3).double()
    expected = -sum(logits[a, a] - torch.log(logits[a].exp().sum()) for a in range(4)) / 4
    assert contrast(queries, keys, 0.3).item() == pytest.approx(expected.item(), rel=1e-5)


def test_contrast_of_equal_keys_is_the_log_of_their_number() -> None:
    assert contrast(torch.randn(5, 2), torch.ones(5, 2), 0.2).item() == pytest.approx(math.log(5), rel=1e-6)


def test_contrast_of_many_logits_is_the_same_loss_with_the_same_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(3)
    found = []
    drawn = torch.randn(2, 40, 6, generator=generator, dtype=torch.float64)
    for many in (losses.MANY_LOGITS, 1):
        monkeypatch.setattr(losses, "MANY_LOGITS", many)
        queries, keys = (each.clone().requires_grad_() for each in drawn)
        loss = contrast(queries, keys, 0.2)
        first = torch.autograd.grad(loss, (queries, keys), create_graph=True)
        second = torch.autograd.grad(sum((each**2).sum() for each in first), (queries, keys))
        found.append((loss, *first, *second))
    for plain, chunked in zip(*found, strict=True):
        torch.testing.assert_close(chunked, plain, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("rows", "width"), [(512, 64), (512, 32), (318, 64), (9, 5)])
def test_contrast_has_the_bits_of_the_cross_entropy_of_its_logits(rows: int, width: int) -> None:
    """Stored trainings and their reports depend on them; the sizes are those of both products of matrices."""
    generator = torch.Generator().manual_seed(5)
    drawn = 0.3 * torch.randn(2, rows, width, generator=generator)
    found = []
    for loss_of in (contrast, lambda queries, keys, t: losses._cross_entropy(queries / t, keys)):
        queries, keys = (each.clone().requires_grad_() for each in drawn)
        loss = loss_of(queries, keys, 0.2)
        (0.3 * loss).backward()
        found.append((loss.detach(), queries.grad, keys.grad))
    for own, usual in zip(*found, strict=True):
        assert torch.equal(own, usual)
        assert own.is_contiguous()


def test_contrast_has_the_derivatives_of_its_gradient_and_of_one_side_alone() -> None:
    generator = torch.Generator().manual_seed(6)
    queries, keys = torch.randn(2, 6, 3, generator=generator, dtype=torch.float64).unbind()
    assert torch.autograd.gradgradcheck(
        lambda q, k: contrast(q, k, 0.5), (queries.requires_grad_(), keys.requires_grad_())
    )
    (both,) = torch.autograd.grad(contrast(queries, keys, 0.5), queries)
    (alone,) = torch.autograd.grad(contrast(queries, keys.detach(), 0.5), queries)
    assert torch.equal(both, alone)
