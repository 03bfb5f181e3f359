"""Reduction to a fixed width by PCA, fitted on the unedited catalog."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse
from numpy.typing import NDArray
from sklearn.utils.extmath import randomized_svd
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

_FIT_ROWS = 8192  # more rows hardly change the principal directions
_SEED = 20260
_TINY = 1e-9


@dataclass(frozen=True)
class Reduction:
    """A fitted affine map from raw descriptors to features: (x - mean) @ projection.

    Attributes:
        mean: float32 [R], the mean descriptor of the catalog.
        projection: float32 [R, D], principal directions, scaled.
        fallback: float32 [D], the mean feature row of the catalog, for items without content.
    """

    mean: NDArray[np.float32]
    projection: NDArray[np.float32]
    fallback: NDArray[np.float32]


def fit_reduction(
    rows: NDArray[np.float32] | scipy.sparse.csr_array, width: int, *, power: float
) -> tuple[Reduction, NDArray[np.float32]]:
    """Fit the reduction on the rows of a catalog and return it with their features.

    Args:
        rows: [n, R] descriptors of the items that have content, n >= 1.
        width: D, number of columns of the features; columns beyond the rank of the rows are zero.
        power: a principal direction with standard deviation s is divided by s**power; 0 keeps distances,
            1 whitens.

    Returns:
        The reduction, and the features float32 [n, D], with row norms of root mean square 1 within 1% (zeros if all
        rows are equal).
    """
    n = rows.shape[0]
    sample = np.sort(np.random.default_rng(_SEED).permutation(n)[:_FIT_ROWS])
    dense = rows[sample]
    if not isinstance(dense, np.ndarray):
        dense = dense.toarray()
    # One BLAS thread, so that sums and features do not depend on the number of cores.
    with threadpool_limits(limits=1):
        mean = dense.mean(axis=0, dtype=np.float64).astype(np.float32)
        rank = max(1, min(width, len(sample) - 1, rows.shape[1]))
        _, singular, directions = randomized_svd(
            dense - mean, rank, n_iter=4, power_iteration_normalizer="QR", random_state=_SEED
        )
    deviations = singular.astype(np.float64) / np.sqrt(len(sample))
    kept = deviations > max(_TINY, 1e-5 * float(deviations[0]))
    factors = np.zeros(len(deviations))
    factors[kept] = deviations[kept] ** -power
    norm = float(np.sqrt(np.sum(np.square(factors * deviations))))
    projection = np.zeros((rows.shape[1], width), np.float32)
    if norm > 0:
        projection[:, : len(factors)] = directions.T * (factors / norm)
    draft = Reduction(mean, projection, np.zeros(width, np.float32))
    features = reduce_rows(draft, rows)
    return replace(draft, fallback=features.mean(axis=0, dtype=np.float64).astype(np.float32)), features


def reduce_rows(reduction: Reduction, rows: NDArray[np.float32] | scipy.sparse.csr_array) -> NDArray[np.float32]:
    """Return the features float32 [n, D] of descriptors [n, R].

    Rows are computed one by one, so that an item has equal bits alone and in a batch; the order of summation of a
    matrix product depends on the number of rows.
    """
    projection = reduction.projection
    out = np.empty((rows.shape[0], projection.shape[1]), np.float32)
    offset = reduction.mean.astype(np.float64) @ projection.astype(np.float64)
    with threadpool_limits(limits=1):
        for index in range(rows.shape[0]):
            if isinstance(rows, np.ndarray):
                product = rows[index] @ projection
            else:
                span = slice(rows.indptr[index], rows.indptr[index + 1])
                product = rows.data[span] @ projection[rows.indices[span]]
            out[index] = product - offset
    return out
