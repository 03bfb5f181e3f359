"""Edited items of one draw, and their features."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from robustrec.audits.merchant.items import Items
from robustrec.runs.trained import TrainedSubject


class Edited(NamedTuple):
    """One treatment of a draw's items at one severity.

    Attributes:
        items: the items it changed, ascending.
        tables: modality -> float32 [n, D] their vectors.
        moved: modality -> bool [n] whether a vector is another than before.
    """

    items: Items
    tables: dict[str, Tensor]
    moved: dict[str, Tensor]


def of_share(edited: Edited, chosen: Items) -> Edited:
    """Return the edited part of the items of one share."""
    kept = np.flatnonzero(np.isin(edited.items, chosen))
    return Edited(
        edited.items[kept],
        {name: table[kept] for name, table in edited.tables.items()},
        {name: which[kept] for name, which in edited.moved.items()},
    )


def share_seen(draws: Sequence[Edited], subject: TrainedSubject) -> float:
    """Return the share of the changed items with a changed vector for the subject."""
    seen, total = 0, 0
    for edited in draws:
        read = [which for name, which in edited.moved.items() if name in subject.scored_tables]
        seen += int(torch.stack(read).any(dim=0).sum()) if read else 0
        total += len(edited.items)
    return seen / total if total else 0.0


def replaced(table: Tensor, edited: Edited, modality: str) -> Tensor:
    """Return a copy of a feature table with the vectors of the edited items; other rows are unchanged."""
    if not len(edited.items) or modality not in edited.tables:
        return table
    copy = table.clone()
    copy[torch.from_numpy(edited.items).to(table.device)] = edited.tables[modality].to(table.device)
    return copy
