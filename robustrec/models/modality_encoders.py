"""What DualGNN, DRAGON and MENTOR share: a smoothed channel for each modality, and the average over users alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from robustrec.models.contract import Batch, Features, Problem, feature_table
from robustrec.models.dense import apply_linear
from robustrec.models.graphs import (
    Bipartite,
    Sparse,
    SparseBuffer,
    UserItemGraph,
    chosen_rows,
    neighbour_average,
    product,
)
from robustrec.models.initial import linear, table
from robustrec.models.rows import unit_rows

LAYERS = 2


class Encoders(nn.Module):
    """x_m = rn([P_m ; mlp2(lrelu(mlp1(X_m)))]) of named tables X_m, for users and items.

    Args:
        n_users: U.
        widths: name -> D_m.
        width: d; the hidden layer is 4d wide.
        generator: source of the parameters.
    """

    def __init__(self, n_users: int, widths: Mapping[str, int], width: int, generator: torch.Generator) -> None:
        super().__init__()
        self.preferences = nn.ParameterDict({m: table(n_users, width, "xavier_normal", generator) for m in widths})
        self.first = nn.ModuleDict({m: linear(wide, 4 * width, generator) for m, wide in widths.items()})
        self.second = nn.ModuleDict({m: linear(4 * width, width, generator) for m in widths})

    def of_tables(self, tables: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Return the x_m of users [U, M·d] and of items [I, M·d] side by side, for tables [I, D_m]."""
        return (
            torch.cat([unit_rows(self.preferences[m]) for m in tables], dim=1),
            torch.cat([unit_rows(self._encoded(m, raw)) for m, raw in tables.items()], dim=1),
        )

    def _encoded(self, name: str, raw: Tensor) -> Tensor:
        hidden = functional.leaky_relu(apply_linear(cast(nn.Linear, self.first[name]), raw))
        return apply_linear(cast(nn.Linear, self.second[name]), hidden)


class ModalityEncoders(Encoders):
    """r_m = x_m + Âx_m + Â²x_m with the x_m of `Encoders`, for every modality m.

    The modalities are propagated side by side, over a graph that is normalised once.

    Args:
        problem: users, items, edges and feature widths.
        modalities: those to encode.
        width: d of a channel; the hidden layer is 4d wide.
        generator: source of the parameters.
    """

    def __init__(self, problem: Problem, modalities: tuple[str, ...], width: int, generator: torch.Generator) -> None:
        widths = {m: problem.feature_widths[m] for m in modalities}
        super().__init__(problem.n_users, widths, width, generator)
        self.modalities = modalities
        self.n_items = problem.n_items
        self.widths = widths
        self.graph = UserItemGraph(problem.n_users, problem.n_items, problem.edges, offset=0.0)

    def forward(self, features: Features) -> tuple[Tensor, Tensor]:
        """Return the channels of users [U, M, d] and of items [I, M, d]."""
        users, items = smoothed(self.graph.bipartite(), *self.of_tables(self.tables(features)))
        channels = len(self.modalities)
        return users.view(users.shape[0], channels, -1), items.view(items.shape[0], channels, -1)

    def tables(self, features: Features) -> dict[str, Tensor]:
        """Return the tables [I, D_m] that are encoded."""
        return {m: feature_table(features, m, self.n_items, self.widths[m]) for m in self.modalities}

    def regularisation(self, users: Tensor) -> Tensor:
        """Return Σ_m of the mean of P_m² over the rows of the given users [B]."""
        rows = [functional.embedding(users, self.preferences[m]) for m in self.modalities]
        return torch.stack([row.square().mean() for row in rows]).sum()


def smoothed(graph: Bipartite, users: Tensor, items: Tensor) -> tuple[Tensor, Tensor]:
    """Return the users' and the items' part of x + Âx + Â²x for x = [users ; items], [n, a] each."""
    at_users, at_items = users, items
    for _ in range(LAYERS):
        at_users, at_items = users + graph.to_users(at_items), items + graph.to_items(at_users)
    return at_users, at_items


class UserAverage(SparseBuffer):
    """Adds to each user the average of the k users nearest by shared items."""

    def __init__(self, problem: Problem, k: int) -> None:
        super().__init__(neighbour_average(problem.nearest_users(k), problem.n_users))

    def of_all(self, users: Tensor) -> Tensor:
        """Return x + S x for x on the users [U, d]."""
        return users + product(self.matrix(), users)

    def of_batch(self, users: Tensor, batch: Batch) -> Tensor:
        """Return the rows of x + S x that belong to a batch's users [B, d]."""
        if users.device.type != "cpu":
            # How many entries the rows have would have to travel to the host; the whole product costs less.
            return functional.embedding(batch.users, self.of_all(users))
        rows: Sparse = chosen_rows(self.matrix(), batch.users)
        return functional.embedding(batch.users, users) + product(rows, users)


def modality_weights(n_users: int, n_modalities: int, generator: torch.Generator) -> nn.Parameter:
    """Return each user's weights of the modalities [U, M, 1], initialized near 1/M and trainable."""
    start = table(n_users, n_modalities, "xavier_normal", generator).detach()
    return nn.Parameter(start.softmax(dim=1).unsqueeze(2))
