"""The reach check: a large perturbation of each modality must arrive at the scores before any audit counts.

Research code often scores from tensors cached by the last training step (spec section 0, item 2); an audit of such a
model would report a drift of zero whatever is done to its features. Here that is an error, never a result.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from robustrec.errors import RobustrecError
from robustrec.models.contract import Features, Representation, Scored
from robustrec.seeds import torch_generator

# A score counts as moved when it changes by more than this share of the scores' own spread; rounding stays far below.
MOVED = 1e-3
SAMPLED_USERS = 256


class Reach(NamedTuple):
    """What became of a large perturbation of one modality.

    Attributes:
        modality: "image" or "text".
        reached: whether any sampled score moved.
        claimed: whether the subject says that its scores follow the modality.
        change: largest change of a score, in standard deviations of the clean scores.
    """

    modality: str
    reached: bool
    claimed: bool
    change: float


def check_reach(
    represent: Callable[[Features], Representation | Scored],
    tables: dict[str, Tensor],
    *,
    seed: int,
    claimed: Collection[str] | None = None,
) -> tuple[Reach, ...]:
    """Perturb one modality at a time, by noise as long as its typical row, and see whether the scores move.

    Args:
        represent: the subject's representation of given features, as the audits call it.
        tables: the modalities it reads, float32 [I, D_m].
        seed: seed of the perturbation.
        claimed: the modalities that the subject says its scores follow; None for all it reads.

    Raises:
        RobustrecError: the same features scored twice give different scores, or scores are not finite.
    """
    clean = _scores(represent(tables))
    finite = bool(torch.isfinite(clean).all())
    spread = float(clean.std()) if finite else 0.0
    if spread == 0.0:
        raise RobustrecError(
            "all scores are equal" if finite else "scores are not finite",
            where="model.represent",
            fix="train the model again; look at its validation metric with: robustrec train",
        )
    if not _close(clean, _scores(represent(tables))):
        raise RobustrecError(
            "the same features scored twice give different scores",
            where="model.represent",
            fix="make represent a pure function: no dropout and no fresh noise outside training",
        )
    results = []
    for modality, table in tables.items():
        generator = torch_generator(seed, "reach", modality)
        noise = torch.randn(table.shape, generator=generator).to(table.device)
        length = table.norm(dim=1).mean() / table.shape[1] ** 0.5
        moved = _scores(represent({**tables, modality: table + length * noise}))
        change = float((moved - clean).abs().max()) / spread
        results.append(Reach(modality, change > MOVED, claimed is None or modality in claimed, change))
    return tuple(results)


def _scores(representation: Representation | Scored) -> Tensor:
    if isinstance(representation, Scored):
        stride = max(1, representation.n_users // SAMPLED_USERS)
        return representation.score(np.arange(0, representation.n_users, stride))
    stride = max(1, len(representation.users) // SAMPLED_USERS)
    return representation.users[::stride].detach() @ representation.items.detach().T


def _close(a: Tensor, b: Tensor) -> bool:
    # Sums on a GPU may come in another order; that is rounding, not a model that draws fresh noise.
    return bool(torch.allclose(a, b, rtol=1e-5, atol=1e-6 * float(a.abs().max())))
