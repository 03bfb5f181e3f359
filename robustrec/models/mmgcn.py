"""MMGCN: modality-specific graph neural networks, averaged over modalities."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from robustrec.models.configs import MMGCNConfig
from robustrec.models.contract import (
    Batch,
    Features,
    Loss,
    Problem,
    RecommenderModule,
    Representation,
    feature_table,
    read_modalities,
)
from robustrec.models.dense import apply_linear, times_transposed
from robustrec.models.graphs import Sparse, SparseBuffer, product, sparse_of
from robustrec.models.initial import Scheme, linear, table
from robustrec.models.losses import bpr_loss
from robustrec.models.rows import unit_rows


class Sides(NamedTuple):
    """What belongs to users [U, w] and to items [I, w]."""

    users: Tensor
    items: Tensor


class MMGCN(RecommenderModule):
    """MMGCN: a graph neural network per modality on the user-item graph with id embeddings, averaged over modalities.

    Source: Wei et al., MM 2019. Convolutions start from x = rn([P_m ; f_m]), P_m the users' preferences and f_m the
        features (images projected), and one is

        h = lrelu(mean over neighbours of x W),  x̂ = lrelu(A x + a) + id,  x ← lrelu(G [h ; x̂] + b).

    Image or text may be missing; without images the regularisation has no preferences. Other modalities are treated as
    texts.
    """

    Config = MMGCNConfig
    static_passes = True
    modalities: tuple[str, ...] = MMGCNConfig.modalities
    ids: Tensor

    def __init__(self, problem: Problem, config: MMGCNConfig, generator: torch.Generator) -> None:
        super().__init__()
        self.config = config
        self.sizes = [problem.n_users, problem.n_items]
        self.widths = dict(problem.feature_widths)
        self.modalities = read_modalities("mmgcn", problem, type(self).modalities)
        self.channels = nn.ModuleDict(
            {m: Channel(problem.n_users, self.widths[m], m == "image", config, generator) for m in self.modalities}
        )
        ids = table(sum(self.sizes), config.latent_width, "xavier_normal", generator)
        _keep(self, "ids", ids, trained=not config.mmrec_compat)
        users, items = problem.edges.detach().cpu()
        self.of_users = SparseBuffer(_mean_over_row(users, items, (problem.n_users, problem.n_items)))
        self.of_items = SparseBuffer(_mean_over_row(items, users, (problem.n_items, problem.n_users)))

    def represent(self, features: Features) -> Representation:
        """Return user and item vectors [U, d] and [I, d]."""
        return Representation(*self._vectors(features, None))

    def loss(self, features: Features, batch: Batch) -> Loss:
        """Return BPR plus λ times the mean squares; the last layer is computed for the batch's rows only."""
        users, items = self._vectors(features, Sides(batch.users, torch.cat([batch.positives, batch.negatives])))
        positive, negative = items.chunk(2)
        terms = {
            "bpr": bpr_loss((users * positive).sum(1), (users * negative).sum(1)),
            "regularisation": self.config.reg_weight * self._squares(batch),
        }
        return Loss(terms["bpr"] + terms["regularisation"], terms)

    def _vectors(self, features: Features, rows: Sides | None) -> Sides:
        """Return the vectors of the given users and items, or of all."""
        ids, averages = self._ids(), (self.of_users.matrix(), self.of_items.matrix())
        found = []
        for modality, channel in self.channels.items():
            raw = feature_table(features, modality, self.sizes[1], self.widths[modality])
            found.append(channel(raw, ids, averages, rows))
        share = 1 / len(found)
        return Sides(*(torch.stack(side).sum(0) * share for side in zip(*found, strict=True)))

    def _squares(self, batch: Batch) -> Tensor:
        """Return what λ weighs: each batch user stands twice, beside its positive and beside its negative."""
        ids = self._ids()
        users = functional.embedding(batch.users, ids.users)
        items = functional.embedding(torch.cat([batch.positives, batch.negatives]), ids.items)
        squares = users.square().mean() + items.square().mean()
        if "image" in self.modalities:
            squares = squares + self.channels["image"].preferences.square().mean()  # type: ignore[operator]
        return squares

    def _ids(self) -> Sides:
        return Sides(*torch.split(self.ids, self.sizes))


class Channel(nn.Module):
    """The graph network of one modality.

    Args:
        n_users: U.
        feature_width: D.
        projected: whether the features pass a linear layer first.
        config: widths, layers, and whether the preferences train.
        generator: source of the parameters.
    """

    preferences: Tensor

    def __init__(
        self, n_users: int, feature_width: int, projected: bool, config: MMGCNConfig, generator: torch.Generator
    ) -> None:
        super().__init__()
        width = config.image_width if projected else feature_width
        self.projection = linear(feature_width, width, generator) if projected else None
        _keep(
            self,
            "preferences",
            table(n_users, width, "xavier_normal", generator),
            trained=not config.mmrec_compat,
        )
        widths = [width] + [config.latent_width] * (config.layers - 1)
        self.layers = nn.ModuleList(
            Convolution(w, config.latent_width, place == 0, generator) for place, w in enumerate(widths)
        )

    def forward(self, features: Tensor, ids: Sides, averages: tuple[Sparse, Sparse], rows: Sides | None) -> Sides:
        """Return the last layer's vectors, of the given rows of both sides where there are any.

        Args:
            features: raw [I, D].
            ids: [U, d] and [I, d].
            averages: mean over a user's items [U, I] and over an item's users [I, U].
            rows: int64 [n] and [m]; None for all.
        """
        start = features if self.projection is None else apply_linear(self.projection, features)
        x = Sides(unit_rows(self.preferences), unit_rows(start))
        for place, layer in enumerate(self.layers):
            last = place == len(self.layers) - 1
            users, items = (None, None) if rows is None or not last else rows
            x = Sides(
                layer(x.users, x.items, ids.users, averages[0], users),
                layer(x.items, x.users, ids.items, averages[1], items),
            )
        return x


class Convolution(nn.Module):
    """One graph convolution: W, A and G of `MMGCN`.

    Args:
        width: numbers per vector that come in.
        latent_width: d, numbers per vector that go out.
        first: whether it is a channel's first, whose G is drawn by another scheme.
        generator: source of the parameters.
    """

    def __init__(self, width: int, latent_width: int, first: bool, generator: torch.Generator) -> None:
        super().__init__()
        self.neighbours = table(width, width, "xavier_normal", generator)
        self.own = linear(width, latent_width, generator, weight="xavier_normal")
        scheme: Scheme = "xavier_normal" if first else "default"
        self.merge = linear(width + latent_width, latent_width, generator, weight=scheme)

    def forward(self, here: Tensor, there: Tensor, ids: Tensor, average: Sparse, rows: Tensor | None) -> Tensor:
        """Return the new vectors of one side [n, d], or those of the given rows.

        Args:
            here: the side's vectors [n, w].
            there: those of the other side [m, w].
            ids: the side's ids [n, d].
            average: [n, m].
            rows: int64; None for all.
        """
        if rows is not None:
            here, ids = functional.embedding(rows, here), functional.embedding(rows, ids)
            received = self._times_w(functional.embedding(rows, product(average, there)))
        elif there.shape[0] < here.shape[0]:  # W meets whichever side has fewer rows
            received = product(average, self._times_w(there))
        else:
            received = self._times_w(product(average, there))
        # In place, and G in two parts: a table of all users is 300 MB for a data set like Electronics.
        received = functional.leaky_relu(received, inplace=True)
        own = functional.leaky_relu(apply_linear(self.own, here)) + ids
        for_received, for_own = torch.split(self.merge.weight, [received.shape[1], own.shape[1]], dim=1)
        merged = times_transposed(received, for_received) + times_transposed(own, for_own) + self.merge.bias
        return functional.leaky_relu(merged, inplace=True)

    def _times_w(self, x: Tensor) -> Tensor:
        return times_transposed(x, self.neighbours.T)


def _mean_over_row(rows: Tensor, columns: Tensor, shape: tuple[int, int]) -> Sparse:
    """Return the matrix that averages over the distinct places of each row; rows without any stay zero."""
    weights = (1 / torch.bincount(rows, minlength=shape[0]).double())[rows]
    return sparse_of(rows, columns, weights.to(torch.get_default_dtype()), shape)


def _keep(module: nn.Module, name: str, values: nn.Parameter, *, trained: bool) -> None:
    """Register drawn values as a parameter, or as a constant that is saved with the parameters."""
    if trained:
        module.register_parameter(name, values)
    else:
        module.register_buffer(name, values.detach())
