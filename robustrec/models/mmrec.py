"""Parameters of models trained with MMRec, brought into ours."""

from __future__ import annotations

from torch import Tensor

from robustrec.models.contract import Features


def from_mmrec(model: str, state: dict[str, Tensor], features: Features) -> dict[str, Tensor]:  # noqa: ARG001
    """Return a state_dict of MMRec's class by the names of ours."""
    return state
