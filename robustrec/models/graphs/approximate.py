"""Nearest rows of very many rows by faiss, with a recall that is measured."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from torch import Tensor

from robustrec.errors import RobustrecError
from robustrec.models.dense import times_transposed
from robustrec.seeds import torch_generator

LARGE = 200_000
"""Rows up to which the search is exact: the cost of an exact search grows with their square."""
LEAST_RECALL = 0.99
SAMPLED = 1_000
"""Rows whose exact neighbours the recall is measured against."""
# A neighbour this little farther than the k-th exact one counts as found: float32 products do not tell them apart.
_EQUAL = 1e-6
_FEWEST_PROBES = 8
_TRAINED_PER_LIST = 64
_CHUNK = 4_096


def is_wanted(n: int, device: torch.device) -> bool:
    """Return whether so many rows are searched by faiss: on a CPU, and only if it is installed.

    Other devices multiply fast enough for the exact search.
    """
    return n > LARGE and device.type == "cpu" and find_spec("faiss") is not None


def search(unit: Tensor, k: int, wide: int) -> tuple[Tensor, Tensor, float]:
    """Return the cosines [n, wide], decreasing, and the rows [n, wide] of candidates of each row, and the recall.

    Rows are grouped by k-means into 4√n lists (an inverted file of the vectors as they are: Jégou, Douze and Schmid,
    "Product quantization for nearest neighbor search", 2011, section IV). A query is compared with the rows of the
    nearest lists: 8, and twice as many until the recall is reached; with all lists the search is exact.

    Args:
        unit: float32 [n, D] of length 1, on the CPU.
        k: number of neighbours that the recall counts.
        wide: number of candidates, at least k.

    Raises:
        RobustrecError: the recall of a sample of rows stays below `LEAST_RECALL`.
    """
    import faiss

    table, n = unit.numpy(), unit.shape[0]
    lists = min(n, int(4 * math.sqrt(n)))
    sample = torch.randperm(n, generator=torch_generator(0, "recall of nearest items"))[: min(SAMPLED, n)]
    least = _exact(unit, sample, k)[0][:, -1:]
    with _threads(faiss):
        index = faiss.IndexIVFFlat(faiss.IndexFlatIP(unit.shape[1]), unit.shape[1], lists, faiss.METRIC_INNER_PRODUCT)
        trained = torch.randperm(n, generator=torch_generator(0, "lists of nearest items"))
        index.train(table[trained[: _TRAINED_PER_LIST * lists].sort().values.numpy()])
        for start in range(0, n, _CHUNK):
            index.add(table[start : start + _CHUNK])
        probes, recall = _FEWEST_PROBES // 2, 0.0
        while recall < LEAST_RECALL and probes < lists:
            probes = index.nprobe = min(2 * probes, lists)
            found = torch.from_numpy(index.search(table[sample.numpy()], k)[0])
            recall = float((found >= least - _EQUAL).double().mean())
        if recall < LEAST_RECALL:
            raise RobustrecError(
                f"the approximate search finds {recall:.1%} of the {k} nearest of {len(sample):,} items, but at least"
                f" {LEAST_RECALL:.0%} are required",
                where=f"item features, {n:,} items",
                fix="uninstall faiss to search exactly, or look for damaged features: robustrec data describe NAME",
            )
        cosines, rows = np.empty((n, wide), np.float32), np.empty((n, wide), np.int64)
        for start in range(0, n, _CHUNK):
            cosines[start : start + _CHUNK], rows[start : start + _CHUNK] = index.search(
                table[start : start + _CHUNK], wide
            )
    short = torch.from_numpy(np.flatnonzero((rows < 0).any(axis=1)))
    found_cosines, found_rows = torch.from_numpy(cosines), torch.from_numpy(rows)
    for part in torch.split(
        short, SAMPLED
    ):  # the lists probed for these rows hold fewer rows than candidates are wanted
        found_cosines[part], found_rows[part] = _exact(unit, part, wide)
    return found_cosines, found_rows, recall


def _exact(unit: Tensor, rows: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Return the exact k largest cosines of some rows [m] with all rows, [m, k], and these rows."""
    best = unit.new_full((len(rows), k), -torch.inf)
    ids = torch.zeros(len(rows), k, dtype=torch.int64)
    for start in range(0, unit.shape[0], _CHUNK):
        similar = times_transposed(unit[rows], unit[start : start + _CHUNK])
        columns = torch.arange(start, start + similar.shape[1]).expand(len(rows), -1)
        best, order = torch.cat([best, similar], dim=1).topk(k, dim=1)
        ids = torch.cat([ids, columns], dim=1).gather(1, order)
    return best, ids


@contextmanager
def _threads(faiss: Any) -> Iterator[None]:
    """Let faiss use as many threads as torch does."""
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(torch.get_num_threads())
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)
