"""Numbers of the published implementations on a tiny data set (tests/golden), brought into our names."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from robustrec.models import model_class
from robustrec.models.contract import Batch, Problem

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
SUMMARY = json.loads((GOLDEN / "summary.json").read_text())
MODALITY = {"v": "image", "t": "text"}

Numbers = dict[str, NDArray[Any]]


def unchanged(model: Any, numbers: Numbers) -> None:
    """Leave a model as it was built."""


@dataclass(frozen=True)
class Golden:
    """How a published model's numbers become ours.

    Attributes:
        model: our name.
        options: our Config.
        names: published stem of a tensor's name ("proj_v") -> ours; a suffix such as .weight stays.
        dead: published stems that nothing of ours stands for: they reach neither loss nor scores.
        transpose: published stems of matrices that we keep transposed.
        zero_gradient: our names of parameters whose true gradient is zero, so that Adam turns rounding noise into
            steps of full length (spec section 8); they are compared by gradient only.
        prepare: brings into a new model what is no parameter (a user graph, frozen tables).
        score: what the published model does to inner products before it calls them scores.
        batches: gives the batches what the model holds per epoch.
        exempt: how many single entries may have a gradient too small to have a settled direction under Adam.
        published: name of the published numbers where it differs from the case's.
        relative: how far an entry of a gradient may be off, relative to the largest entry of its tensor.
    """

    model: str
    options: dict[str, Any]
    names: dict[str, str]
    dead: frozenset[str] = frozenset()
    transpose: frozenset[str] = frozenset()
    zero_gradient: frozenset[str] = frozenset()
    prepare: Callable[[Any, Numbers], None] = unchanged
    score: Callable[[Tensor], Tensor] = lambda scores: scores
    exempt: int = 0
    batches: Callable[[Any, dict[str, Tensor], list[Batch]], list[Batch]] = field(
        default=lambda model, features, batches: batches
    )
    published: str = ""
    relative: float = 1e-4


@dataclass(frozen=True)
class Case:
    """A model at the published parameters, its inputs, and the published numbers."""

    golden: Golden
    model: Any
    features: dict[str, Tensor]
    batches: list[Batch]
    numbers: Numbers
    summary: dict[str, Any]

    def group(self, name: str) -> dict[str, Tensor]:
        """Return the published tensors of a group ("param", "grad", "after_adam", "after_mg") by our names."""
        found = {}
        for key, value in self.numbers.items():
            if not key.startswith(f"{name}/"):
                continue
            stem, dot, suffix = key.removeprefix(f"{name}/").partition(".")
            whole = stem + dot + suffix
            if stem in self.golden.dead or whole in self.golden.dead:
                continue
            tensor = torch.from_numpy(value)
            if stem in ("X_v", "X_t"):  # published: the table itself is trained; ours: what is added to it
                modality = MODALITY[stem[-1]]
                ours = f"deltas.{modality}"
                tensor = tensor if name.endswith("grad") else tensor - self.features[modality]
            else:
                ours = (
                    self.golden.names[whole] if whole in self.golden.names else self.golden.names[stem] + dot + suffix
                )
                tensor = tensor.T.contiguous() if stem in self.golden.transpose else tensor
            found[ours] = tensor
        return found


def tiny_data() -> tuple[Problem, dict[str, Tensor], list[Batch]]:
    """Return the tiny problem, its features and its four batches."""
    with np.load(GOLDEN / "tiny_data.npz", allow_pickle=False) as archive:
        tiny = dict(archive)
    inter = torch.from_numpy(tiny["inter"])
    features = {m: torch.from_numpy(tiny[f"{m}_feat"]) for m in ("image", "text")}
    problem = Problem(
        n_users=int(inter[:, 0].max()) + 1,
        n_items=int(inter[:, 1].max()) + 1,
        edges=inter[inter[:, 2] == 0, :2].T.contiguous(),
        feature_widths={m: table.shape[1] for m, table in features.items()},
    )
    return problem, features, [Batch(*rows) for rows in torch.from_numpy(tiny["batches"])]


def load(name: str, golden: Golden) -> Case:
    """Return a published model's case: our model holds the published parameters."""
    name = golden.published or name
    numbers: Numbers = {}
    for path in sorted(GOLDEN.glob(f"{name}.*npz")):  # the largest is cut into parts
        with np.load(path, allow_pickle=False) as archive:
            numbers |= dict(archive)
    problem, features, batches = tiny_data()
    kind = model_class(golden.model)
    model = kind(problem, kind.Config(**golden.options), torch.Generator().manual_seed(0))
    golden.prepare(model, numbers)
    case = Case(golden, model, features, golden.batches(model, features, batches), numbers, SUMMARY[name])
    model.load_state_dict(case.group("param"), strict=True)
    return case
