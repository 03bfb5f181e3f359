"""Coverage, Gini, novelty and intra-list diversity: closed forms, plain definitions as oracles, and properties."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from robustrec.evaluation.beyond import Catalogue, coverage, gini, intra_list_diversity, novelty
from robustrec.evaluation.kinds import BEYOND

Items = NDArray[np.int32]


def lists(*rows: list[int]) -> Items:
    return np.array(rows, dtype=np.int32)


def random_case(seed: int, n: int = 12, n_items: int = 15, depth: int = 6) -> tuple[Items, Catalogue]:
    rng = np.random.default_rng(seed)
    weights = rng.dirichlet(np.full(n_items, 0.5)) + 1e-3
    items = np.stack([rng.choice(n_items, depth, replace=False, p=weights / weights.sum()) for _ in range(n)])
    for row, length in enumerate(rng.integers(0, depth + 1, 3)):
        items[row, length:] = -1  # short lists
    tables = {"image": rng.normal(size=(n_items, 4)).astype(np.float32), "text": rng.normal(size=(n_items, 3)) * 50}
    tables["image"][:2] = 0  # no picture
    tables["text"][1] = 0
    return items.astype(np.int32), Catalogue(rng.integers(0, 30, n_items), 40, tables)


def plain_gini(items: Items, n_items: int) -> float:
    """As RecBole's GiniIndex: Σ (2i - N - 1) x_(i) / (N Σ x)."""
    counts = np.sort(np.bincount(items[items >= 0], minlength=n_items))
    total = counts.sum()
    return sum((2 * i - n_items - 1) * x for i, x in enumerate(counts, 1)) / (n_items * total) if total else 0.0


def plain_coverage(items: Items, n_items: int) -> float:
    return len(set(items[items >= 0].tolist())) / n_items


def plain_novelty(row: list[int], catalogue: Catalogue) -> float:
    bits = [-np.log2(max(catalogue.trained[item], 1) / catalogue.n_users) for item in row if item >= 0]
    return float(np.mean(bits)) if bits else 0.0


def plain_diversity(row: list[int], catalogue: Catalogue) -> float:
    rows = {}
    for item in row:
        if item < 0:
            continue
        parts = [table[item].astype(float) for table in catalogue.tables.values()]
        joined = np.concatenate([part / (np.linalg.norm(part) or 1.0) for part in parts])
        rows[item] = joined / (np.linalg.norm(joined) or 1.0)
    pairs = [(i, j) for i in rows for j in rows if i < j]
    return float(np.mean([1 - rows[i] @ rows[j] for i, j in pairs])) if pairs else 0.0


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32 - 1), st.integers(1, 6))
def test_they_agree_with_the_plain_definitions(seed: int, k: int) -> None:
    items, catalogue = random_case(seed)
    shown, n = items[:, :k], len(items)
    for function, plain in ((coverage, plain_coverage), (gini, plain_gini)):
        values = function(items, catalogue, k)
        whole = plain(shown, catalogue.n_items)
        without = np.array([plain(np.delete(shown, user, axis=0), catalogue.n_items) for user in range(n)])
        assert values.mean() == pytest.approx(whole, abs=1e-12)
        np.testing.assert_allclose(values, whole + (n - 1) * (without.mean() - without), atol=1e-10)
    for function, plain_of_list in ((novelty, plain_novelty), (intra_list_diversity, plain_diversity)):
        expected = [plain_of_list(row, catalogue) for row in shown.tolist()]
        np.testing.assert_allclose(function(items, catalogue, k), expected, atol=1e-10)


def test_closed_forms() -> None:
    one_each = Catalogue(np.array([8, 4, 2, 1, 0, 16]), 16, {"text": np.eye(6)})
    spread, same = lists([0, 1], [2, 3], [4, 5]), lists([0, 1], [1, 0], [0, 1])
    assert coverage(spread, one_each, 2).mean() == 1
    assert coverage(same, one_each, 2).mean() == pytest.approx(1 / 3)
    assert gini(spread, one_each, 2).tolist() == pytest.approx([0, 0, 0])
    assert gini(lists([3], [3], [3]), one_each, 1).mean() == pytest.approx(1 - 1 / 6)
    # log2 of 16 users over 8, 4, 2, 1 of them; 4 for an item that nobody trained on, 0 for one that all did.
    assert novelty(spread, one_each, 2).tolist() == [1.5, 3.5, 2]
    assert intra_list_diversity(spread, one_each, 2).tolist() == [1, 1, 1]
    alike = Catalogue(np.ones(6, dtype=np.int64), 16, {"text": np.array([[2.0], [3], [-1], [0], [1], [1]])})
    assert intra_list_diversity(lists([0, 1], [0, 2], [0, 3]), alike, 2).tolist() == pytest.approx([0, 2, 1])


def test_a_modality_counts_the_same_whatever_the_size_of_its_numbers() -> None:
    items, catalogue = random_case(3)
    larger = Catalogue(catalogue.trained, 40, {**catalogue.tables, "text": 1e4 * catalogue.tables["text"]})
    np.testing.assert_allclose(
        intra_list_diversity(items, larger, 5), intra_list_diversity(items, catalogue, 5), rtol=0, atol=1e-10
    )


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32 - 1), st.integers(2, 6))
def test_they_are_in_range_and_do_not_depend_on_order_or_numbering(seed: int, k: int) -> None:
    items, catalogue = random_case(seed)
    rng = np.random.default_rng(seed)
    # New places in the lists, new numbers of the items, and users in another order.
    places, names, users = rng.permutation(k), rng.permutation(catalogue.n_items), rng.permutation(len(items))
    full = items[:, :k]
    renamed = np.where(full >= 0, names[full], -1)[users].astype(np.int32)
    tables = {name: table[np.argsort(names)] for name, table in catalogue.tables.items()}
    other = Catalogue(catalogue.trained[np.argsort(names)], catalogue.n_users, tables)
    for name, kind in BEYOND.items():
        values = kind.function(items, catalogue, k)
        assert kind.low <= values.mean() <= kind.high, name
        assert (kind.function(np.ascontiguousarray(full[:, places]), catalogue, k) == values).all(), name
        np.testing.assert_allclose(kind.function(renamed, other, k), values[users], atol=1e-9)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32 - 1))
def test_coverage_grows_with_k(seed: int) -> None:
    items, catalogue = random_case(seed)
    assert (np.diff([coverage(items, catalogue, k).mean() for k in range(1, 7)]) >= -1e-12).all()


def test_the_jackknife_variance_is_not_too_small() -> None:
    """Efron and Stein: its expectation is at least the variance of the number of n lists, here from 400 samples."""
    rng = np.random.default_rng(0)
    weights = 1 / np.arange(1, 61)
    catalogue = Catalogue(np.ones(60, dtype=np.int64), 50)
    found: dict[str, list[tuple[float, float]]] = {"coverage": [], "gini": []}
    for _ in range(400):
        keys = rng.gumbel(size=(40, 60)) + np.log(weights)
        items = np.argsort(-keys, axis=1)[:, :5].astype(np.int32)
        for name, rows in found.items():
            values = BEYOND[name].function(items, catalogue, 5)
            rows.append((values.mean(), values.var(ddof=1) / len(values)))
    for name, rows in found.items():
        means, variances = np.array(rows).T
        assert 0.85 < variances.mean() / means.var(ddof=1) < 2.5, name


def test_nothing_heavy_is_imported_with_the_descriptions() -> None:
    import subprocess
    import sys

    code = (
        "import sys, robustrec.evaluation.kinds; print({'torch', 'scipy', 'pydantic', 'matplotlib'} & set(sys.modules))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"
