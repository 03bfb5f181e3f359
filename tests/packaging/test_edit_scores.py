"""The benchmark of how far edits move scores: its three sizes in closed form."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from torch import Tensor

from benchmarks.edit_scores import lines_of, sizes
from robustrec.models.contract import Representation
from robustrec.runs.trained import TrainedSubject

N_USERS, N_ITEMS, WIDTHS = 3, 7, {"image": 4, "text": 9}


def _linear(seed: int) -> tuple[TrainedSubject, dict[str, Tensor], dict[str, Tensor]]:
    """Return a subject that is linear in its features, the derivatives of its scores, and edited features."""
    rng = torch.Generator().manual_seed(seed)
    users = torch.randn(N_USERS, 2, generator=rng)
    free = torch.randn(N_ITEMS, 2, generator=rng)
    maps = {name: torch.randn(2, width, generator=rng) for name, width in WIDTHS.items()}
    tables = {name: torch.randn(N_ITEMS, width, generator=rng) for name, width in WIDTHS.items()}
    edited = {name: table + torch.randn(table.shape, generator=rng) for name, table in tables.items()}

    def represent(given: dict[str, Tensor]) -> Representation:
        items = free + given["image"] @ maps["image"].T + given["text"] @ maps["text"].T
        return Representation(users, items)

    subject: Any = SimpleNamespace(tables=tables, represent=represent)
    spread = (users @ represent(tables).items.T).std(dim=1, correction=0)
    weights = {name: users @ each / spread[:, None] for name, each in maps.items()}
    return cast(TrainedSubject, subject), weights, edited


def test_edits_noise_and_worst_case_of_a_linear_subject_are_those_of_its_weights() -> None:
    subject, weights, edited = _linear(0)
    edit, noise, worst, by_noise, _ = sizes(subject, [edited])
    moved = {name: edited[name] - subject.tables[name] for name in WIDTHS}
    change = sum((weights[name] @ moved[name].T for name in WIDTHS), torch.zeros(N_USERS, N_ITEMS))
    assert edit == pytest.approx(change.square().mean().sqrt().item(), rel=1e-4)
    most = sum((torch.outer(weights[n].norm(dim=1), moved[n].norm(dim=1)) for n in WIDTHS), torch.zeros(()))
    assert worst == pytest.approx(most.square().mean().sqrt().item(), rel=1e-4)
    assert by_noise == pytest.approx(edit / noise)

    rng, trials = torch.Generator().manual_seed(1), 4000
    total = 0.0
    for name, width in WIDTHS.items():
        directions = torch.randn(trials, width, generator=rng) / math.sqrt(width)
        lengths = moved[name].norm(dim=1).square().mean()
        total += float((directions @ weights[name].T).square().mean() * lengths)
    assert noise == pytest.approx(math.sqrt(total), rel=0.05)


def test_the_table_has_differences_paired_by_seed() -> None:
    rows = list(lines_of({"vanilla": [(1.0,) * 5, (2.0,) * 5], "sgbd": [(1.5,) * 5, (2.5,) * 5]}))
    assert rows[2] == "| `vanilla` | 1.500 | 1.500 | 1.500 | 1.500 | 1.500 |"
    assert rows[3].startswith("| `sgbd` | **+0.500 ± 0.000** |")
