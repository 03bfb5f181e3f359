"""Measures by which strategies are compared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from robustrec.comparison.result import Better
from robustrec.results.conditions import Condition
from robustrec.results.findings import Group
from robustrec.results.scale import SCALE_DEPENDENT

MeasureKind = Literal["quality", "content", "drift", "stability", "flatness"]


@dataclass(frozen=True)
class Measure:
    """A measure of a strategy.

    Attributes:
        kind: clean quality, the same with mean features (content), drift or list stability under a condition, or
            flatness.
        metric: metric, or name of the flatness measure.
        condition: of drift and list stability.
        group: "edited" for a mean over the edited items of a draw.
        scale_dependent: whether it depends on the scale of the scores or parameters.
    """

    kind: MeasureKind
    metric: str
    condition: Condition | None = None
    group: Group | None = None
    scale_dependent: bool = False

    @property
    def name(self) -> str:
        """Name in reports: "ndcg@20 drift sigma2=1e-06"."""
        metric = f"{self.metric}_{self.group}" if self.group else self.metric
        if self.kind == "content":
            return f"{metric} with mean features"
        if self.condition is None:
            return metric + (SCALE_DEPENDENT if self.scale_dependent else "")
        return f"{metric} {'drift' if self.kind == 'drift' else 'under'} {self.condition.label}"

    @property
    def better(self) -> Better:
        """Better direction; "neither" if the measure depends on the scale of the scores or parameters."""
        if self.scale_dependent or self.kind == "content":
            return "neither"
        if self.kind == "drift":
            return "nearer to 0"
        return "lower" if self.kind == "flatness" else "higher"

    @property
    def idle(self) -> bool:
        """Whether it is of noise of size 0 (an A/A condition), so that no user can change."""
        return self.condition is not None and self.condition.kind == "noise" and self.condition.amount == 0
