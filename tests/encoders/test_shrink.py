"""Filters of features: the closed form, what is kept, and that nothing is amplified, for hostile tables too."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from robustrec.encoders.shrink import RowFilter, fit_shrink

Table = NDArray[np.float32]


def drawn(seed: int, items: int, width: int, *, rank: int | None = None, scale: float = 1.0) -> Table:
    random = np.random.default_rng(seed)
    rank = min(items, width) if rank is None else rank
    spread = random.lognormal(sigma=2, size=rank)
    table = (random.normal(size=(items, rank)) * spread) @ random.normal(size=(rank, width)) + random.normal(size=width)
    return (scale * table).astype(np.float32)


def kept_of(table: Table, fitted: RowFilter) -> float:
    """The share of variance of the filtered vectors themselves."""
    own = table.astype(np.float64)
    filtered = fitted.mean + (own - fitted.mean) @ fitted.matrix.T
    return float(filtered.var(axis=0).sum() / own.var(axis=0).sum())


def test_two_directions_have_the_closed_form() -> None:
    # Variances 4 and 1 along the axes: the share kept is (64 / (4 + λ)² + 1 / (1 + λ)²) / 5.
    table = np.array([[2, 1], [2, -1], [-2, 1], [-2, -1]], np.float32) + np.float32(3)
    kept = (64 / 25 + 1 / 4) / 5
    fitted = fit_shrink(table, kept)
    assert fitted is not None
    assert fitted.strength == pytest.approx(1, rel=1e-9)
    np.testing.assert_allclose(fitted.matrix, [[4 / 5, 0], [0, 1 / 2]], atol=1e-12)
    np.testing.assert_array_equal(fitted.mean, [3, 3])
    assert (fitted.kept, fitted.norm) == pytest.approx((kept, 4 / 5))


@settings(max_examples=60)
@given(
    seed=st.integers(0, 2**32 - 1),
    items=st.integers(2, 40),
    width=st.integers(1, 30),
    rank=st.integers(1, 30),
    constant=st.integers(0, 5),
    scale=st.sampled_from([1e-15, 1e-3, 1.0, 1e6, 1e15]),
    kept=st.floats(0.01, 0.99),
)
def test_the_share_is_kept_and_nothing_is_amplified(
    seed: int, items: int, width: int, rank: int, constant: int, scale: float, kept: float
) -> None:
    table = drawn(seed, items, width, rank=min(rank, items, width), scale=scale)
    table[:, :constant] = np.float32(scale / 3)
    fitted = fit_shrink(table, kept)
    if np.ptp(table, axis=0).max() == 0:
        assert fitted is None
        return
    assert fitted is not None
    assert np.isfinite(fitted.matrix).all()
    assert fitted.strength > 0
    singular = np.linalg.svd(fitted.matrix, compute_uv=False)
    assert singular[0] == pytest.approx(fitted.norm, rel=1e-9)
    assert singular[0] < 1
    assert fitted.kept == pytest.approx(kept, rel=1e-9)
    assert kept_of(table, fitted) == pytest.approx(kept, rel=1e-6)
    np.testing.assert_array_equal(fitted.mean[:constant], table[0, :constant])
    np.testing.assert_allclose(fitted.matrix[:, :constant], 0, atol=1e-12)


def test_equal_vectors_have_no_filter() -> None:
    # The mean of equal numbers differs from them in the last bit, which is no variance.
    assert fit_shrink(np.full((7, 5), 0.1, np.float32), 0.7) is None


def test_more_kept_is_less_filtered() -> None:
    table = drawn(3, 200, 20)
    strengths = [fitted.strength for share in (0.3, 0.5, 0.7, 0.9) if (fitted := fit_shrink(table, share))]
    assert strengths == sorted(strengths, reverse=True)


def test_the_filter_does_not_depend_on_the_number_of_threads() -> None:
    table = drawn(5, 300, 64)
    found = []
    for threads in (1, 2):
        with threadpool_limits(limits=threads):
            found.append(fit_shrink(table, 0.7))
    assert found[0] is not None
    assert found[1] is not None
    np.testing.assert_array_equal(found[0].matrix, found[1].matrix)
