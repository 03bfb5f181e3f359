"""Edited items of one draw, and their features."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from robustrec.audits.merchant.items import Items
from robustrec.runs.trained import TrainedSubject


class Edited(NamedTuple):
    """One treatment of a draw's items at one severity.

    Attributes:
        items: the items it changed, ascending.
        tables: modality -> float32 [n, D] their vectors.
        moved: modality -> bool [n] whether a vector is another than before.
        hidden: [n] share of the changed pixels that the encoder does not see; NaN if not known, or if none changed.
    """

    items: Items
    tables: dict[str, Tensor]
    moved: dict[str, Tensor]
    hidden: NDArray[np.float64]


def of_share(edited: Edited, chosen: Items) -> Edited:
    """Return the edited part of the items of one share."""
    kept = np.flatnonzero(np.isin(edited.items, chosen))
    return Edited(
        edited.items[kept],
        {name: table[kept] for name, table in edited.tables.items()},
        {name: which[kept] for name, which in edited.moved.items()},
        edited.hidden[kept],
    )


def share_seen(draws: Sequence[Edited], subject: TrainedSubject) -> float:
    """Return the share of the changed items with a changed vector for the subject."""
    seen, total = 0, 0
    for edited in draws:
        read = [which for name, which in edited.moved.items() if name in subject.scored_tables]
        seen += int(torch.stack(read).any(dim=0).sum()) if read else 0
        total += len(edited.items)
    return seen / total if total else 0.0


def share_hidden(draws: Sequence[Edited]) -> float | None:
    """Return the mean share of changed pixels that the encoder does not see, over items with a changed picture."""
    every = np.concatenate([edited.hidden for edited in draws])
    known = every[~np.isnan(every)]
    return float(known.mean()) if len(known) else None


def replaced(table: Tensor, edited: Edited, modality: str) -> Tensor:
    """Return a copy of a feature table with the vectors of the edited items; other rows are unchanged."""
    if not len(edited.items) or modality not in edited.tables:
        return table
    copy = table.clone()
    copy[torch.from_numpy(edited.items).to(table.device)] = edited.tables[modality].to(table.device)
    return copy
