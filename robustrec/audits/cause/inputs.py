"""Inputs of a subject's scores with some parts edited and the others clean.

The parts are: the vectors of each modality; the rows of the item graphs that belong to edited items; and, as
bystanders, the rows of items that were not edited, whose neighbours changed because other items were edited. Vectors of
bystanders never change: edited items are encoded by the encoder as it was fitted on the clean catalogue.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from robustrec.audits.cause.shapley import Coalition
from robustrec.audits.merchant.drawn import Edited, replaced
from robustrec.models.contract import Graphs
from robustrec.models.graphs import Sparse, sparse_of
from robustrec.results.conditions import BYSTANDERS, ITEM_GRAPH
from robustrec.runs.trained import TrainedSubject

_PARTS: Coalition = frozenset({ITEM_GRAPH, BYSTANDERS})


@dataclass(frozen=True)
class Inputs:
    """Clean and edited inputs of a subject in one draw.

    Attributes:
        clean: modality -> [I, D_m].
        edited: the same after the edit.
        graphs: item graphs by the parts of them that are edited; no entry for a model without.
    """

    clean: dict[str, Tensor]
    edited: dict[str, Tensor]
    graphs: dict[Coalition, Graphs]

    def features(self, coalition: Coalition) -> dict[str, Tensor]:
        """Return the features with the vectors of some modalities edited."""
        return {name: self.edited[name] if name in coalition else table for name, table in self.clean.items()}

    def graphs_of(self, coalition: Coalition) -> Graphs | None:
        """Return the item graphs with some of their rows edited; None for a model without."""
        return self.graphs.get(coalition & _PARTS)

    def changed(self, player: str) -> bool:
        """Return whether the edit changed a part."""
        if player in self.clean:
            return not torch.equal(self.clean[player], self.edited[player])
        before, after = (self.graphs.get(frozenset(each)) for each in ((), (player,)))
        if before is None or after is None:
            return False
        return any(not _equal(graph, after[name]) for name, graph in before.items())


def inputs_of(subject: TrainedSubject, edited: Edited) -> Inputs:
    """Return the inputs of a subject before and after an edit."""
    after = {name: replaced(table, edited, name) for name, table in subject.tables.items()}
    graphs: dict[Coalition, Graphs] = {}
    if subject.graphs is not None and (rebuilt := subject.item_graphs(after)) is not None:
        items, clean = torch.from_numpy(edited.items), subject.graphs
        n_items = len(next(iter(after.values())))
        graphs = {frozenset(): clean, _PARTS: rebuilt}
        for part in _PARTS:
            graphs[frozenset({part})] = {
                name: with_rows(graph, rebuilt[name], items, own=part == ITEM_GRAPH)
                if graph.shape[0] == n_items
                else (rebuilt[name] if part == ITEM_GRAPH else graph)  # of a user-defined model: its rows are no items
                for name, graph in clean.items()
            }
    return Inputs(subject.tables, after, graphs)


def graph_players(subject: TrainedSubject) -> list[str]:
    """Return the parts of the item graphs of a subject: none for a model without."""
    return [] if subject.graphs is None else [ITEM_GRAPH, BYSTANDERS]


def with_rows(clean: Sparse, edited: Sparse, items: Tensor, *, own: bool) -> Sparse:
    """Return a matrix with the rows of some items from another one.

    Args:
        clean: [I, m].
        edited: [I, m].
        items: int64 [n], the edited items.
        own: whether the rows of these items come from `edited` (and all others from `clean`), or the reverse.
    """
    device = clean.values.device
    chosen = torch.zeros(clean.shape[0], dtype=torch.bool, device=device)
    chosen[items.to(device)] = True
    from_edited = chosen if own else ~chosen
    parts = []
    for matrix, wanted in ((edited, from_edited), (clean, ~from_edited)):
        rows = matrix.pattern.rows()
        kept = wanted[rows]
        parts.append((rows[kept], matrix.pattern.columns.long()[kept], matrix.values[kept]))
    rows, columns, values = (torch.cat(each) for each in zip(*parts, strict=True))
    return sparse_of(rows, columns, values, clean.shape)


def _equal(one: Sparse, other: Sparse) -> bool:
    return (
        torch.equal(one.pattern.starts, other.pattern.starts)
        and torch.equal(one.pattern.columns, other.pattern.columns)
        and torch.equal(one.values, other.values)
    )
