"""Nearest items by cosine against brute force in float64."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from robustrec.errors import RobustrecError
from robustrec.models.graphs import approximate, cosine_neighbours, mean_graph, nearest, product, similarity_graph
from robustrec.models.graphs.nearest import DECIMALS


def brute_force(x: Tensor, k: int) -> list[list[int]]:
    """Return the k nearest by float64 cosine, ties by lower id."""
    table = x.double().numpy()
    norms = np.maximum(np.linalg.norm(table, axis=1), 1e-12)
    cosines = np.round((table[:, None] * table[None]).sum(2) / (norms[:, None] * norms), DECIMALS)
    return [sorted(range(len(x)), key=lambda j: (-row[j], j))[:k] for row in cosines]


def awkward(n_items: int, width: int, kind: str, seed: int) -> Tensor:
    """Return features with what makes a search go wrong: equal, parallel, nearly equal, opposite and empty rows."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n_items, width, generator=generator)
    pick = torch.randint(n_items, (n_items,), generator=generator)
    some = torch.rand(n_items, 1, generator=generator) < 0.5
    if kind == "equal":
        x = torch.where(some, x[pick % max(1, n_items // 4)], x)
    elif kind == "parallel":
        x = torch.where(some, x[pick % max(1, n_items // 4)] * 2.0 ** (pick % 5)[:, None], x)
    elif kind == "near":
        x = torch.where(some, x[pick % max(1, n_items // 4)] * (1 + 1e-6 * x), x)
    elif kind == "empty":
        x = torch.where(some, torch.zeros(()), x)
    elif kind == "signs":
        x = x.sign()
    elif kind == "counts":
        x = (x > 0.8).float()
    return x


@settings(max_examples=150, deadline=None)
@given(
    n_items=st.integers(1, 40),
    width=st.integers(1, 6),
    k=st.integers(1, 12),
    kind=st.sampled_from(["plain", "equal", "parallel", "near", "empty", "signs", "counts"]),
    chunk=st.sampled_from([1, 2, 3, 7, 16, 2048]),
    seed=st.integers(0, 10_000),
)
def test_neighbours_are_those_of_brute_force(
    n_items: int, width: int, k: int, kind: str, chunk: int, seed: int
) -> None:
    x = awkward(n_items, width, kind, seed)
    assert cosine_neighbours(x, k, chunk=chunk).items.tolist() == brute_force(x, k)


@pytest.mark.parametrize("kind", ["plain", "equal", "near", "signs"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16])
def test_wide_tables_of_any_precision(kind: str, dtype: torch.dtype) -> None:
    x = awkward(90, 300, kind, seed=1).to(dtype)
    assert cosine_neighbours(x, 10, chunk=32).items.tolist() == brute_force(x, 10)


def test_items_that_differ_by_less_than_float32_products_can_tell() -> None:
    """Thousands of neighbours within 1e-7 in cosine; float64 still orders them."""
    generator = torch.Generator().manual_seed(2)
    base = torch.randn(1, 64, generator=generator)
    x = base + 3e-4 * torch.randn(150, 64, generator=generator)
    found = cosine_neighbours(x, 10).items
    assert found.tolist() == brute_force(x, 10)
    unit = torch.nn.functional.normalize(x, dim=1)
    assert found.tolist() != (unit @ unit.T).topk(10, dim=1).indices.tolist()


def test_more_equal_items_than_a_list_holds() -> None:
    x = torch.zeros(30, 3)
    x[5:25] = torch.tensor([1.0, 2.0, 3.0])
    found = cosine_neighbours(x, 4).items.tolist()
    assert found[7] == [5, 6, 7, 8]
    assert found[24] == [5, 6, 7, 8]
    assert found[0] == found[29] == [0, 1, 2, 3], "at cosine 0 from everything, the lowest ids"


def test_fewer_items_than_neighbours() -> None:
    assert cosine_neighbours(torch.eye(3), 10).items.tolist() == [[0, 1, 2], [1, 0, 2], [2, 0, 1]]
    assert cosine_neighbours(torch.ones(1, 4), 10).items.tolist() == [[0]]


@pytest.mark.parametrize("scale", [1e-30, 1e-20, 1.0, 1e25, 1e37])
def test_lengths_do_not_matter(scale: float) -> None:
    x = torch.randn(40, 8, generator=torch.Generator().manual_seed(3))
    long = x.double() * scale
    assert cosine_neighbours(long.float(), 5).items.tolist() == brute_force(long.float(), 5)


def test_features_are_not_changed_and_nothing_global_is_drawn() -> None:
    x = awkward(50, 6, "equal", seed=4)
    kept, before = x.clone(), torch.get_rng_state()
    x.requires_grad_()
    assert not cosine_neighbours(x, 5).items.requires_grad
    assert torch.equal(x.detach(), kept)
    assert torch.equal(torch.get_rng_state(), before)


def test_rows_with_many_equal_neighbours_are_settled_together() -> None:
    """A loop over such rows waits for the device once a row; here all of a block are settled with one `nonzero`."""
    item = torch.arange(160)
    x = awkward(8, 6, "plain", seed=8)[item % 8] * 2.0 ** (item // 8)[:, None]
    with Operations() as counted:
        found = cosine_neighbours(x, 10).items
    assert found.tolist() == brute_force(x, 10)
    assert counted.names["nonzero"] <= 8


def approximated(monkeypatch: pytest.MonkeyPatch, **settings: float) -> None:
    """Search more than 100 items by faiss."""
    pytest.importorskip("faiss")
    monkeypatch.setattr(approximate, "LARGE", 100)
    for name, value in settings.items():
        monkeypatch.setattr(approximate, name, value)


def clustered(n_items: int, width: int) -> Tensor:
    generator = torch.Generator().manual_seed(9)
    centres = torch.randn(12, width, generator=generator)
    return centres[torch.arange(n_items) % 12] + 0.7 * torch.randn(n_items, width, generator=generator)


def test_very_many_items_are_searched_approximately_with_the_recall_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    approximated(monkeypatch, SAMPLED=700, _FEWEST_PROBES=2, LEAST_RECALL=0.9)
    x = clustered(700, 12)
    found, exact = cosine_neighbours(x, 10), torch.tensor(brute_force(x, 10))
    there = torch.tensor(
        [len({*ours} & {*theirs}) for ours, theirs in zip(found.items.tolist(), exact.tolist(), strict=True)]
    )
    assert found.recall is not None
    assert 0.9 <= found.recall < 1, "not all lists were probed, and some neighbours are missing"
    assert found.recall == pytest.approx(float(there.sum()) / 7000, abs=0.02)
    assert all(len({*row}) == 10 for row in found.items.tolist())
    assert torch.equal(cosine_neighbours(x, 10).items, found.items)


def test_a_recall_that_all_lists_reach_gives_the_exact_neighbours(monkeypatch: pytest.MonkeyPatch) -> None:
    approximated(monkeypatch, LEAST_RECALL=1.0)
    x = awkward(300, 40, "equal", seed=10)
    found = cosine_neighbours(x, 5)
    assert found.recall == 1.0
    assert found.items.tolist() == brute_force(x, 5)


def test_a_recall_below_the_least_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    approximated(monkeypatch, LEAST_RECALL=1.01)
    with pytest.raises(RobustrecError, match=r"finds 100.0% of the 5 nearest"):
        cosine_neighbours(clustered(200, 6), 5)


def test_few_items_are_searched_exactly(monkeypatch: pytest.MonkeyPatch) -> None:
    approximated(monkeypatch)
    assert cosine_neighbours(clustered(100, 6), 5).recall is None
    assert not approximate.is_wanted(101, torch.device("cuda"))
    assert approximate.is_wanted(101, torch.device("cpu"))


class Operations(TorchDispatchMode):
    """Counts operations by name."""

    def __init__(self) -> None:
        super().__init__()
        self.names = Counter[str]()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        self.names[func.overloadpacket.__name__] += 1
        return func(*args, **(kwargs or {}))


class LargestTensor(TorchDispatchMode):
    """Remembers the size of the largest tensor that any operation returned."""

    def __init__(self) -> None:
        super().__init__()
        self.numel = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        result = func(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, tuple | list) else [result]:
            if isinstance(tensor, Tensor) and tensor.layout == torch.strided:
                self.numel = max(self.numel, tensor.numel())
        return result


@pytest.mark.parametrize("kind", ["plain", "equal", "near"])
def test_the_matrix_of_all_similarities_never_exists(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nearest, "GATHERED", 2**12)
    x = awkward(800, 16, kind, seed=5)
    with LargestTensor() as largest:
        graph = mean_graph(cosine_neighbours(x, 10, chunk=32))
        product(graph, x)
    assert largest.numel < 800 * 800 / 8


@pytest.mark.parametrize("k", [1, 3, 20])
def test_graphs_over_the_neighbours(k: int) -> None:
    x = awkward(20, 5, "empty", seed=6).double().requires_grad_()
    found = cosine_neighbours(x, k)
    there = torch.zeros(20, 20, dtype=torch.float64).scatter(1, found.items, 1.0)
    mean = product(mean_graph(found, dtype=torch.float64), torch.eye(20, dtype=torch.float64))
    torch.testing.assert_close(mean, there / (min(k, 20) + 1e-7))
    unit = x / x.square().sum(1, keepdim=True).clamp_min(1e-24).sqrt()
    expected = there * (unit @ unit.T)
    graph = similarity_graph(found, x)
    matrix = product(graph, torch.eye(20, dtype=torch.float64))
    torch.testing.assert_close(matrix, expected)
    torch.testing.assert_close(
        torch.autograd.grad(matrix.pow(2).sum(), x), torch.autograd.grad(expected.pow(2).sum(), x)
    )


def test_cosines_have_second_derivatives_at_rows_of_zeros_too() -> None:
    x = torch.randn(6, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(7))
    x[2] = 0
    found = cosine_neighbours(x, 3)
    x.requires_grad_()
    y = torch.randn(6, 2, dtype=torch.float64)
    first = torch.autograd.grad(product(similarity_graph(found, x), y).pow(2).sum(), x, create_graph=True)[0]
    second = torch.autograd.grad(first.pow(2).sum(), x)[0]
    assert first.isfinite().all()
    assert second.isfinite().all()
