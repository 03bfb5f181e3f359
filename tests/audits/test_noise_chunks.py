"""Noise by chunks of rows is that of whole tables, to the bit, and so are the findings of a scorer that takes it."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import Tensor

from robustrec.audits.noise import audit as noise_audit
from robustrec.audits.noise.chunks import NoisyChunks
from robustrec.audits.noise.condition import NoiseCondition, add_noise, share_lost
from robustrec.audits.noise.draws import standard_noise
from robustrec.audits.plan import make_plan
from robustrec.audits.run import measure
from robustrec.config import Settings
from robustrec.errors import RobustrecError
from robustrec.models import feature_chunks
from robustrec.models.contract import Problem
from robustrec.models.feature_chunks import row_chunks
from robustrec.models.vector_scorers import VectorScorer

SUITE = """
schema_version = 1
name = "s"
metrics = ["ndcg@20"]
stability = ["rbo@20"]
[[audits]]
kind = "noise"
sigma2 = [0.5]
relative = [0.3]
scopes = ["all", "text"]
draws = 3
[audits.break_point]
metric = "ndcg@20"
max_relative_drop = 0.2
sigma2_min = 1e-3
sigma2_max = 10.0
draws = 2
steps = 1
"""


@pytest.mark.parametrize("width", [1, 3, 7, 16, 30, 129])
@pytest.mark.parametrize("n_items", [17, 33, 48, 100, 257])
@pytest.mark.parametrize("condition", [NoiseCondition(0.01), NoiseCondition(0.1, relative=True), NoiseCondition(1e-16)])
def test_chunks_have_the_noise_of_the_whole_table(
    width: int, n_items: int, condition: NoiseCondition, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feature_chunks, "CHUNK_BYTES", 4 * 16 * (width + 5))
    generator = torch.Generator().manual_seed(n_items)
    tables = {name: torch.randn(n_items, size, generator=generator) for name, size in (("image", width), ("text", 5))}
    noise = standard_noise(tables, seed=3, draw=2)
    whole = add_noise(tables, noise, condition)
    made = NoisyChunks(tables, condition, 3, 2)
    parts = list(made.chunks())
    assert len(parts) == len(row_chunks(tables))
    assert len(parts) > 1 or n_items < 33
    for name, table in tables.items():
        if table.numel() >= 16:
            assert torch.equal(torch.cat([part[name] for part in parts]), whole[name])
    assert made.lost(tables) == pytest.approx(share_lost(tables, whole, condition, list(tables)))


@pytest.mark.parametrize("n_items", [0, 1, 15, 16, 17, 31, 32, 33, 47, 64, 1000])
def test_chunks_cover_every_row_once_and_the_last_is_no_fragment(n_items: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feature_chunks, "CHUNK_BYTES", 4 * 2 * 20)
    chunks = row_chunks({"text": torch.zeros(n_items, 2)})
    assert [row for chunk in chunks for row in range(chunk.start, chunk.stop)] == list(range(n_items))
    assert all((chunk.stop - chunk.start) % 16 == 0 for chunk in chunks[:-1])
    assert len(chunks) == 1 or chunks[-1].stop - chunks[-1].start > 16


class Mean:
    """Users have the mean of fixed vectors; items a projection of both modalities, row by row."""

    modalities = ("image", "text")
    calls: list[int] = []  # noqa: RUF012

    def __init__(self, problem: Problem) -> None:
        random = np.random.default_rng(5)
        self.projections = {name: random.normal(size=(width, 6)) for name, width in problem.feature_widths.items()}
        self.users = random.normal(size=(problem.n_users, 6))

    def item_vectors(self, rows: dict[str, np.ndarray]) -> np.ndarray:
        self.calls.append(len(next(iter(rows.values()))))
        return sum(rows[name] @ self.projections[name] for name in self.modalities)

    def user_vectors(self, users: np.ndarray) -> np.ndarray:
        return self.users[users]


@pytest.fixture
def shop(monkeypatch: pytest.MonkeyPatch) -> str:
    module = ModuleType("shop_of_vectors")
    Mean.__module__, module.Mean = "shop_of_vectors", Mean
    module.__file__ = __file__
    monkeypatch.setitem(sys.modules, "shop_of_vectors", module)
    return "shop_of_vectors:Mean"


def findings(shop: str, folder: Path, home: Path) -> list[tuple[object, ...]]:
    suite = home / "suite.toml"
    suite.write_text(SUITE)
    settings = Settings(home=home, model=(shop,), dataset=str(folder), suite=str(suite), device="cpu")
    found = measure(make_plan(settings)).results
    assert {each.status for each in found.statuses} == {"ok"}
    return [
        (row.audit, row.condition.label, row.metric, row.clean, row.perturbed, row.ci_low) for row in found.findings
    ]


def test_a_scorer_by_vectors_is_audited_by_chunks_with_the_numbers_of_whole_tables(
    shop: str, tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feature_chunks, "CHUNK_BYTES", 4 * 20 * 16)
    Mean.calls.clear()
    drawn = list[object]()
    kept = noise_audit.add_noise
    monkeypatch.setattr(noise_audit, "add_noise", lambda *given: drawn.append(given) or kept(*given))
    by_chunks = findings(shop, tiny_folder, tmp_path)
    assert max(Mean.calls) == 28, "60 items in chunks of 16 rows, 16 and 28"
    assert drawn == [], "no table of all rows with noise"
    monkeypatch.setattr(noise_audit, "can_chunk", lambda tables: False)
    assert findings(shop, tiny_folder, tmp_path) == by_chunks
    assert drawn


def scorer(item_vectors: object, user_vectors: object = None) -> VectorScorer:
    problem = Problem(4, 40, torch.zeros(2, 1, dtype=torch.int64), {"text": 3})
    kind = type(
        "Made", (), {"item_vectors": item_vectors, "user_vectors": user_vectors or (lambda _, u: np.ones((len(u), 3)))}
    )
    return VectorScorer("shop:Made", kind(), problem)


@pytest.mark.parametrize(
    ("item_vectors", "says"),
    [
        (lambda _, rows: rows["text"] - rows["text"].mean(0), "depend on its own row alone"),
        (lambda _, rows: rows["text"][:, 0], r"shape \(40, d\), but got float32 of shape \(40,\)"),
        (lambda _, rows: rows["text"][:2], "but got float32 of shape"),
        (lambda _, rows: rows["text"] * np.nan, "NaN"),
        (lambda _, rows: rows["text"].astype(str), "must return numbers"),
        (lambda _, rows: rows["text"][:, :2], "user vectors have 3 numbers, but item vectors 2"),
        (lambda _, rows: rows["missing"], "KeyError"),
    ],
)
def test_wrong_vectors_are_refused(item_vectors: object, says: str) -> None:
    table: Tensor = torch.randn(40, 3, generator=torch.Generator().manual_seed(1))
    with pytest.raises(RobustrecError, match=says):
        scorer(item_vectors).represent({"text": table})


def test_scores_of_read_only_arrays_are_products_of_the_vectors() -> None:
    made = scorer(lambda _, rows: rows["text"], lambda _, users: np.stack([users, users + 1, users + 2], axis=1))
    table = np.random.default_rng(2).normal(size=(40, 3)).astype(np.float32)
    table.flags.writeable = False
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scores = made({"text": table}, np.array([3, 1]))
    users = np.array([[3, 4, 5], [1, 2, 3]], np.float32)
    assert np.allclose(scores.numpy(), users @ table.T, atol=1e-5)
