"""The sample of a guarantee: items that hold a place, in an order drawn once, each with its edited vectors."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from robustrec.audits.guarantee.config import GuaranteeAudit
from robustrec.audits.missing.removed import ROUNDING
from robustrec.encoders.visibility import picture_views
from robustrec.results.conditions import Condition
from robustrec.runs.edited_rows import encode_all
from robustrec.runs.treatments import EditApplier, Row, Treatment, applier_of
from robustrec.seeds import derive_seed, numpy_generator

if TYPE_CHECKING:
    from robustrec.audits.by_subject import AuditedSubject
    from robustrec.audits.results import Work

NAME = "guarantee"
"""Name of the audit and of its draws, which no other audit and no training shares."""


@dataclass(frozen=True)
class ItemEdit:
    """An edit of one item at a time.

    Attributes:
        treatment: the edit or combination of edits.
        severity: 0 (no edit) to 5.
        max_loss: share of its places above which the loss of an item counts.
        frozen: whether to keep the item graphs of the clean features instead of rebuilding them.
    """

    treatment: Treatment
    severity: int
    max_loss: float
    frozen: bool = False

    @property
    def condition(self) -> Condition:
        """The condition in the findings."""
        return Condition(
            kind="item_edit",
            edit=self.treatment.name,
            severity=self.severity,
            max_loss=self.max_loss,
            graphs="frozen" if self.frozen else "rebuilt",
        )


def item_edits(config: GuaranteeAudit, treatments: tuple[Treatment, ...]) -> tuple[ItemEdit, ...]:
    """Return the conditions of an audit."""
    return tuple(
        ItemEdit(treatment, severity, config.max_loss, graphs == "frozen")
        for graphs in config.graphs
        for treatment in treatments
        for severity in config.severities
    )


class EditedItem(NamedTuple):
    """A sampled item.

    Attributes:
        item: its id.
        vectors: modality -> float32 [D_m] after the edit, of those that the edit moved.
        hidden: share of the changed pixels that the encoder does not see; None if not known, or if none changed.
    """

    item: int
    vectors: dict[str, Tensor]
    hidden: float | None = None


def applier_for(work: Work) -> EditApplier:
    """Return what edits the items of this audit, with draws of its own."""
    plan, seed = work.plan, derive_seed(work.context.seed, NAME)
    seen = picture_views(work.edited_rows(NAME).encoder)
    return work.once("guarantee edits", lambda: applier_of(plan.dataset, plan.home, seed, work.languages, seen=seen))


def sampled(audited: AuditedSubject, edit: ItemEdit, holders: NDArray[np.int64], n: int) -> list[EditedItem]:
    """Return up to n items drawn without replacement from those that hold a place and that the edit changes.

    The order is one permutation of the catalogue for all subjects and edits, and an item that does not belong to the
    population is passed over, so that what is left is a uniform sample of the population.

    Args:
        audited: the subject.
        edit: what is done to an item.
        holders: [I] number of users with each item in their top k.
        n: largest number of items.

    Raises:
        RobustrecError: the encoder fails.
    """
    work = audited.work
    order = numpy_generator(work.context.seed, NAME, "items").permutation(len(holders))
    population = (int(item) for item in order if holders[item] > 0)
    if edit.severity == 0:
        return [EditedItem(item, {}) for _, item in zip(range(n), population, strict=False)]
    applier, items, hidden = applier_for(work), list[int](), list[float | None]()

    def rows() -> Iterator[Row]:
        for item in population:
            if len(items) == n:
                return
            for _, row in applier.edited(edit.treatment, item, (edit.severity,), 0):
                items.append(item)
                hidden.append(row.hidden)
                yield row

    encoder = work.edited_rows(NAME)
    tables = encode_all(rows(), encoder.encode)
    return [
        EditedItem(item, _moved(audited.trained.scored_tables, tables, item, place), hidden[place])
        for place, item in enumerate(items)
    ]


def _moved(scored: dict[str, Tensor], tables: dict[str, Tensor], item: int, place: int) -> dict[str, Tensor]:
    """Return the vectors of an item that moved by more than what another batch of the encoder moves them."""
    found = {}
    for modality, clean in scored.items():
        if modality not in tables:
            continue
        after, before = tables[modality][place].to(clean.device), clean[item]
        if bool((after - before).norm() > ROUNDING * before.norm().clamp_min(torch.finfo(before.dtype).tiny)):
            found[modality] = after
    return found
