"""Parts of a graph propagation of linearly projected features that depend on no parameter, computed once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from robustrec.models.contract import Features
from robustrec.models.dense import times_transposed
from robustrec.models.graphs import UserItemGraph
from robustrec.models.rows import distinct

# Floor of a row's norm in the row normalisation, as in spec's rn.
NORM_FLOOR = 1e-12
# The most bytes that propagated features may take on a CPU, and the share of a GPU's memory.
LARGEST_ON_CPU, LARGEST_SHARE = 2 * 2**30, 0.25
# Columns propagated at once, and rows whose squares are held at once.
COLUMNS, ROWS = 512, 256


class Sides(NamedTuple):
    """A table for the users [U, n] and one for the items [I, n]."""

    users: Tensor
    items: Tensor


@dataclass(frozen=True)
class FeatureConstants:
    """Constants of features X whose rows are normalised, projected and propagated: the mean of Â^l [0; X̂ Wᵀ + 1 bᵀ].

    The propagation P is linear, P(X̂ Wᵀ + 1 bᵀ) = P(X̂) Wᵀ + P(1) bᵀ, so that P(X̂) and P(1) are computed once and a step
    projects only the rows that it needs. The constants belong to the tables that they were computed from.

    Attributes:
        tables: modality -> X [I, D_m].
        versions: modality -> how often X had been changed in place.
        scales: modality -> the reciprocal norms of its rows [I, 1].
        propagated: modality -> P(X̂) [U, D_m] and [I, D_m]; empty where that is too large or not worth it.
        ones: P(1), [U, 1] and [I, 1].
    """

    tables: dict[str, Tensor]
    versions: dict[str, int]
    scales: dict[str, Tensor]
    propagated: dict[str, Sides]
    ones: Sides

    def are_of(self, modality: str, table: Tensor) -> bool:
        """Return whether these are the constants of a table as it is now, and no gradient is to reach it."""
        same = self.tables.get(modality) is table and self.versions[modality] == _version(table)
        return same and not table.requires_grad

    def project(self, modality: str, layer: nn.Linear, users: Tensor, items: Tensor) -> Sides:
        """Return the rows of P(X̂ Wᵀ + b) of the given users [B] and items [B], [B, d] each."""
        found = []
        for table, ones, ids in zip(self.propagated[modality], self.ones, (users, items), strict=True):
            rows, places = distinct(ids, table.shape[0])
            projected = times_transposed(table.index_select(0, rows), layer.weight)
            projected = projected + ones.index_select(0, rows) * layer.bias
            found.append(nn.functional.embedding(places, projected))
        return Sides(*found)


@torch.no_grad()
def feature_constants(tables: Features, graph: UserItemGraph, layers: int, batch_size: int) -> FeatureConstants:
    """Return the constants of features under a graph.

    Args:
        tables: modality -> X [I, D_m].
        graph: the user-item graph.
        layers: number of layers L.
        batch_size: triples in a step: with fewer items than rows in a step, propagating costs less than this saves.
    """
    scales = {modality: row_scales(table) for modality, table in tables.items()}
    n_users, n_items = graph.shape
    first = next(iter(tables.values()))
    ones = graph.propagate(first.new_zeros(n_users, 1), first.new_ones(n_items, 1), layers)
    propagated = {}
    if 2 * batch_size < n_items and _bytes(tables, n_users) <= _most_bytes(first.device):
        propagated = {m: _propagate(table, scales[m], graph, layers) for m, table in tables.items()}
    versions = {modality: _version(table) for modality, table in tables.items()}
    return FeatureConstants(
        dict(tables), versions, scales, propagated, Sides(ones.users_from_items, ones.items_from_items)
    )


def row_scales(x: Tensor) -> Tensor:
    """Return 1 / max(‖x_i‖, floor) for each row, [I, 1], differentiable in x [I, D]."""
    if x.requires_grad and torch.is_grad_enabled():
        squares = torch.linalg.vecdot(x, x)
    else:  # a few rows at a time: the same numbers, and no second table of the features' size
        squares = torch.cat([torch.linalg.vecdot(part, part) for part in x.split(ROWS)])  # type: ignore[no-untyped-call]
    floored: Tensor = squares[:, None].clamp_min(NORM_FLOOR**2)
    return floored.rsqrt()


def _propagate(table: Tensor, scales: Tensor, graph: UserItemGraph, layers: int) -> Sides:
    n_users, n_items = graph.shape
    sides = Sides(table.new_empty(n_users, table.shape[1]), table.new_empty(n_items, table.shape[1]))
    none = table.new_zeros(n_users, 1)
    for start in range(0, table.shape[1], COLUMNS):
        part = slice(start, start + COLUMNS)
        mean = graph.propagate(none, table[:, part] * scales, layers)
        sides.users[:, part], sides.items[:, part] = mean.users_from_items, mean.items_from_items
    return sides


def _version(table: Tensor) -> int:
    return -1 if table.is_inference() else table._version


def _bytes(tables: Features, n_users: int) -> int:
    return sum((n_users + table.shape[0]) * table.shape[1] * table.element_size() for table in tables.values())


def _most_bytes(device: torch.device) -> float:
    if device.type != "cuda":
        return LARGEST_ON_CPU
    return LARGEST_SHARE * torch.cuda.get_device_properties(device).total_memory
