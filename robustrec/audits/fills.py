"""Item features with some rows replaced: by their mean, by zeros, or by those of another item."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import torch
from torch import Tensor

from robustrec.results.conditions import Fill
from robustrec.seeds import torch_generator


def filled(
    tables: Mapping[str, Tensor],
    modalities: Collection[str],
    fill: Fill,
    items: Tensor | None = None,
    others: Tensor | None = None,
) -> dict[str, Tensor]:
    """Return the features with the rows of some items replaced; the given tables are not changed.

    Args:
        tables: modality -> [I, D_m].
        modalities: which tables have replaced rows.
        fill: mean (of all items, one value for each column), zero, or other.
        items: int64 [n], the items; None for all.
        others: int64 [n], for each item the item whose row replaces its own; for `other` alone.
    """
    found = dict(tables)
    for modality in modalities:
        table = tables[modality]
        rows = slice(None) if items is None else items.to(table.device)
        copy = table.clone()
        if fill == "zero":
            copy[rows] = 0
        elif fill == "mean":
            copy[rows] = mean_row(table)
        else:
            assert others is not None
            copy[rows] = table[others.to(table.device)]
        found[modality] = copy
    return found


def mean_row(table: Tensor) -> Tensor:
    """Return the mean row [D] of a table [I, D], summed in float64."""
    return table.mean(dim=0, dtype=torch.float64).to(table.dtype)


def exchanged(n_items: int, *names: str | int, seed: int) -> Tensor:
    """Return for each item another item, int64 [I]: one random cycle through all items, so that none keeps its own.

    Args:
        n_items: I.
        names: of the random stream.
        seed: of the audits.
    """
    order = torch.randperm(n_items, generator=torch_generator(seed, *names))
    others = torch.empty_like(order)
    others[order] = order.roll(1)
    return others
