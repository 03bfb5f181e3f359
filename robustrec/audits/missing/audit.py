"""Features of which a modality is missing for a share of the items."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from robustrec.audits.missing.config import MissingAudit, MissingFill
from robustrec.results.conditions import ALL, Condition

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from robustrec.audits.by_subject import AuditedSubject

STRATA = 3
"""Popularity strata, of each of which the same share is missing."""


@dataclass(frozen=True)
class MissingCondition:
    """One way in which a modality is missing.

    Attributes:
        fill: what replaces the features.
        scope: the modality, or "all".
        share: of the items.
        frozen: whether to keep the item graphs of the clean features instead of rebuilding them.
    """

    fill: MissingFill
    scope: str
    share: float
    frozen: bool = False

    @property
    def condition(self) -> Condition:
        """The condition in the findings."""
        graphs = "frozen" if self.frozen else "rebuilt"
        return Condition.model_validate(
            {"kind": "missing", "fill": self.fill, "modality": self.scope, "share": self.share, "graphs": graphs}
        )

    @property
    def drawn(self) -> bool:
        """Whether anything is random: not where all items get their mean or zeros, or none is replaced."""
        return self.share > 0 and (self.share < 1 or self.fill == "other")

    def touches(self, audited: AuditedSubject, draws: int) -> bool:
        """Whether it changes any features that the scores of a subject depend on, in any draw."""
        scored = audited.trained.scored_tables
        if self.fill != "removed" or self.scope in (ALL, *scored) or self.share == 0 or not scored:
            return self.reads(scored)
        found = features_of(audited, self, draws)
        return any(each[name] is not table for each in found for name, table in scored.items())

    def reads(self, scored: Collection[str]) -> bool:
        """Whether it can change what a subject reads, by the modalities that its scores depend on.

        Without its picture, an item can have another text vector too, if the encoder reads both together.
        """
        return bool(scored) and (self.fill == "removed" or self.scope in (ALL, *scored))

    def draws(self, config: MissingAudit) -> int:
        """Return the number of draws; 0 for an A/A condition, which is measured by no ranking."""
        return 0 if self.share == 0 else config.draws if self.drawn else 1


def conditions_of(config: MissingAudit) -> tuple[MissingCondition, ...]:
    """Return the conditions of an audit, shares innermost."""
    return tuple(
        MissingCondition(fill, scope, share, graphs == "frozen")
        for graphs in config.graphs
        for scope in config.scopes
        for fill in config.fills
        for share in config.shares
    )


class Replaced(NamedTuple):
    """Items of a draw, int64 [n], and the other item whose row each gets, int64 [n]."""

    items: Tensor
    others: Tensor


def replaced_items(audited: AuditedSubject, share: float, draw: int) -> Replaced:
    """Return the items of a draw; they are the same for every subject, fill and modality, and nested over shares."""
    import torch

    from robustrec.audits.fills import exchanged
    from robustrec.audits.merchant.items import choose_items, popularity_strata
    from robustrec.seeds import derive_seed

    seed = derive_seed(audited.work.context.seed, "missing")
    interactions = audited.work.plan.dataset.interactions
    strata = audited.work.once("missing strata", lambda: popularity_strata(interactions, STRATA))
    items = torch.from_numpy(choose_items(strata, share, seed=seed, draw=draw))
    others = exchanged(interactions.n_items, "other items", draw, seed=seed)
    return Replaced(items, others[items])


def features_of(audited: AuditedSubject, condition: MissingCondition, draws: int) -> Iterator[dict[str, torch.Tensor]]:
    """Yield the features of each draw, modality -> [I, D_m]."""
    from robustrec.audits.fills import filled
    from robustrec.audits.missing.removed import removed, removed_vectors

    scored = audited.trained.scored_tables
    chosen = list(scored) if condition.scope == ALL else [condition.scope]
    for draw in range(draws):
        items, others = replaced_items(audited, condition.share, draw)
        if condition.fill == "removed":
            yield removed(audited.tables, items, removed_vectors(audited.work, items, condition.scope))
            continue
        yield filled(audited.tables, chosen, condition.fill, items, others)
