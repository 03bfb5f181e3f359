"""Mean over all edits of an audit, to compare strategies."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from robustrec.audits.merchant.audit import MerchantCondition
from robustrec.audits.quality import PerUser
from robustrec.audits.rows import Draws

_Floats = NDArray[np.float64]


@dataclass
class Pool:
    """Adds up the treatments of one subject at one severity, share and world; their draws edit the same items.

    Attributes:
        condition: of any of them.
        count: how many there are.
    """

    condition: MerchantCondition
    count: int = 0
    _clean: PerUser = field(default_factory=dict, init=False)
    _sums: dict[str, _Floats] = field(default_factory=dict, init=False)

    def add(self, clean: PerUser, perturbed: Draws) -> None:
        """Add a treatment's values; metrics whose clean values depend on what it touched are left out."""
        self.count += 1
        self._clean = {name: values for name, values in clean.items() if not name.startswith("exposure@")}
        for name in self._clean:
            self._sums[name] = self._sums[name] + perturbed[name] if name in self._sums else perturbed[name].copy()

    def mean(self) -> tuple[PerUser, Draws]:
        """Return (clean [n], perturbed [n_draws, n]), the mean over the treatments."""
        return self._clean, {name: total / self.count for name, total in self._sums.items()}
