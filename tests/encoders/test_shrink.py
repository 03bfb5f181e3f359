"""Filters of features: the closed form, what is kept, and that nothing is amplified, for hostile tables too."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from robustrec.encoders.shrink import RowFilter, fit_shrink, fit_shrink_edits

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


def test_displacements_along_an_axis_shrink_this_axis() -> None:
    # The catalog has equal variances, so that only the displacements tell directions apart.
    table = np.array([[1, 1], [1, -1], [-1, 1], [-1, -1]], np.float32)
    random = np.random.default_rng(0)
    displacements = (random.normal(size=(4000, 2)) * [3, 1]).astype(np.float32)
    fitted = fit_shrink_edits(table, 0.7, displacements)
    assert fitted is not None
    second = displacements.astype(np.float64).T @ displacements / 4000
    assert fitted.identity_weight == pytest.approx(0.01)
    noise = 0.99 * second + 0.01 * np.trace(second) / 2 * np.eye(2)
    np.testing.assert_allclose(fitted.matrix, np.linalg.inv(np.eye(2) + fitted.strength * noise), rtol=1e-9)
    assert fitted.matrix[0, 0] < 0.71 < 0.9 < fitted.matrix[1, 1]
    assert kept_of(table, fitted) == pytest.approx(0.7)


def test_the_covariance_of_displacements_is_that_of_scikit_learn() -> None:
    from sklearn.covariance import ledoit_wolf

    table, displacements = drawn(1, 300, 12), drawn(2, 40, 12)
    fitted = fit_shrink_edits(table, 0.7, displacements)
    assert fitted is not None
    noise, weight = ledoit_wolf(displacements.astype(np.float64), assume_centered=True)
    assert fitted.identity_weight == pytest.approx(weight)
    if fitted.norm < 1:
        between = np.cov(table.astype(np.float64).T, bias=True)
        expected = between @ np.linalg.inv(between + fitted.strength * noise)
        np.testing.assert_allclose(fitted.matrix, expected, atol=1e-8)


@settings(max_examples=60)
@given(
    seed=st.integers(0, 2**32 - 1),
    items=st.integers(2, 40),
    width=st.integers(1, 30),
    moved=st.integers(1, 40),
    ranks=st.tuples(st.integers(1, 30), st.integers(1, 30)),
    constant=st.integers(0, 3),
    scales=st.tuples(*2 * [st.sampled_from([1e-6, 1.0, 1e6])]),
    kept=st.floats(0.01, 0.99),
)
def test_no_displacements_make_the_filter_amplify(
    seed: int,
    items: int,
    width: int,
    moved: int,
    ranks: tuple[int, int],
    constant: int,
    scales: tuple[float, float],
    kept: float,
) -> None:
    """Fewer items or displacements than columns, low rank, constant columns, all displacements alike."""
    table = drawn(seed, items, width, rank=min(ranks[0], items, width), scale=scales[0])
    displacements = drawn(seed + 1, moved, width, rank=min(ranks[1], moved, width), scale=scales[1])
    table[:, :constant] = 1
    fitted = fit_shrink_edits(table, kept, displacements)
    if np.ptp(table, axis=0).max() == 0:
        assert fitted is None
        return
    assert fitted is not None
    singular = np.linalg.svd(fitted.matrix, compute_uv=False)
    assert singular[0] <= 1 + 1e-9
    assert singular[0] == pytest.approx(fitted.norm, rel=1e-6)
    assert fitted.kept == pytest.approx(kept, rel=1e-4)
    assert kept_of(table, fitted) == pytest.approx(kept, rel=1e-4)


def test_a_filter_that_would_amplify_is_clipped() -> None:
    """Correlated displacements make the filter oblique: as solved, one of its singular values is above 1."""
    random = np.random.default_rng(4)
    table = (random.normal(size=(500, 2)) * [1, 0.2]).astype(np.float32)
    displacements = (random.normal(size=(500, 1)) * [[1, 1]] + 0.05 * random.normal(size=(500, 2))).astype(np.float32)
    fitted = fit_shrink_edits(table, 0.7, displacements)
    assert fitted is not None
    between = np.cov(table.astype(np.float64).T, bias=True)
    second = displacements.astype(np.float64).T @ displacements / 500
    noise = 0.99 * second + 0.01 * np.trace(second) / 2 * np.eye(2)
    assert np.linalg.norm(between @ np.linalg.inv(between + fitted.strength * noise), 2) > 1.1
    assert np.linalg.norm(fitted.matrix, 2) == pytest.approx(1)
    assert kept_of(table, fitted) == pytest.approx(0.7, rel=1e-5)


def test_displacements_of_nothing_have_no_filter() -> None:
    table = drawn(1, 20, 4)
    assert fit_shrink_edits(table, 0.7, np.zeros((9, 4), np.float32)) is None
    assert fit_shrink_edits(np.ones((7, 4), np.float32), 0.7, drawn(2, 9, 4)) is None
