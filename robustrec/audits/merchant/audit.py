"""Plan of a merchant audit: conditions, edited items and cost."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce

import numpy as np

from robustrec.audits.merchant.config import MerchantAudit
from robustrec.audits.merchant.items import PROBED, Items, choose_items, popularity_strata
from robustrec.datasets.registry import Dataset
from robustrec.results.conditions import Condition, Graphs
from robustrec.runs.treatments import Treatment, treatments_of


@dataclass(frozen=True)
class MerchantCondition:
    """One treatment of a share of the items, at one severity and graph setting.

    Attributes:
        treatment: the edit or combination of edits.
        severity: 0 (no edit) to 5.
        share: of the items.
        frozen: whether to keep the item graphs of the clean features instead of rebuilding them.
    """

    treatment: Treatment
    severity: int
    share: float
    frozen: bool = False

    @property
    def condition(self) -> Condition:
        """The condition in the findings."""
        return self._of(self.treatment.name)

    def mean_over(self, group: str) -> Condition:
        """Return the condition of the mean over all edits, or over those "seen" or "unseen" in training."""
        return self._of(group)

    @property
    def label(self) -> str:
        """Name of the condition."""
        return self.condition.label

    def _of(self, edit: str) -> Condition:
        graphs: Graphs = "frozen" if self.frozen else "rebuilt"
        return Condition(kind="edit", edit=edit, severity=self.severity, share=self.share, graphs=graphs)


def conditions_of(config: MerchantAudit, treatment: Treatment) -> tuple[MerchantCondition, ...]:
    """Return the conditions of one treatment."""
    return tuple(
        MerchantCondition(treatment, severity, share, graphs == "frozen")
        for graphs in config.graphs
        for share in config.shares
        for severity in config.severities
    )


def choices_of(config: MerchantAudit, dataset: Dataset, *, seed: int) -> dict[tuple[float, int], Items]:
    """Return the items that are edited, by share and number of the draw."""
    strata = popularity_strata(dataset.interactions, config.strata)
    return {
        (share, draw): choose_items(strata, share, seed=seed, draw=draw)
        for share in config.shares
        for draw in range(config.draws)
    }


def items_of_draw(choices: dict[tuple[float, int], Items], draw: int) -> Items:
    """Return all items that any share edits in a draw, ascending."""
    return reduce(np.union1d, [items for (_, number), items in choices.items() if number == draw])


@dataclass(frozen=True)
class MerchantCost:
    """Largest cost of a merchant audit.

    Attributes:
        rankings: of one subject.
        encodings: items that go through the encoder, for all subjects together.
    """

    rankings: int
    encodings: int


def cost_of_edits(config: MerchantAudit, dataset: Dataset, *, seed: int) -> MerchantCost:
    """Return the cost of an audit, which grows with the edited items and not with the catalogue."""
    treatments = treatments_of(config.edits)
    conditions = sum(len(conditions_of(config, treatment)) for treatment in treatments)
    choices = choices_of(config, dataset, seed=seed)
    items = sum(len(items_of_draw(choices, draw)) for draw in range(config.draws))
    severities = sum(severity > 0 for severity in config.severities)
    return MerchantCost(1 + conditions * config.draws, 2 * PROBED + len(treatments) * severities * items)
