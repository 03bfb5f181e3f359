"""A fitted filter of features, as subjects put it before their model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from robustrec.models.filtered import Affine

FACTS = ("share of variance kept", "lambda", "norm", "identity weight", "displacements")
"""What is stored of a filter of a modality besides mean and matrix; the last two are 0 of an isotropic filter."""


@dataclass(frozen=True)
class Fitted:
    """A filter of all modalities of the features of a data set.

    Attributes:
        of: modality -> mean and matrix; a modality whose vectors are all equal has none.
        identity: all that the filter depends on, as JSON values.
        facts: modality -> `FACTS`.
        notes: notes for the user.
    """

    of: Mapping[str, Affine]
    identity: Mapping[str, Any]
    facts: Mapping[str, Mapping[str, float]]
    notes: tuple[str, ...] = ()
