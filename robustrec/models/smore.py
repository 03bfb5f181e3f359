"""SMORE: item features filtered and fused in the frequency domain, and spread over item graphs and interactions."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from robustrec.models.configs import SMOREConfig
from robustrec.models.contract import (
    Batch,
    Features,
    FindNeighbours,
    Graphs,
    Loss,
    Problem,
    RecommenderModule,
    Representation,
    feature_table,
    read_modalities,
)
from robustrec.models.frozen_item_graph import cosine_item_graphs, propagated
from robustrec.models.graphs import UserItemGraph, cosine_neighbours, largest_entries
from robustrec.models.initial import linear, table
from robustrec.models.rows import distinct, project_tuned
from robustrec.models.views import Spread, Views, spread, views_loss

FUSED = "all modalities"
"""Name of the graph of the fused view; no modality has a space in its name."""


class SMORE(RecommenderModule):
    """SMORE: LightGCN plus item graphs of features filtered by frequency, fused by their products and user preferences.

    Source: Ong and Khong, WSDM 2025, arXiv 2412.14978. The vectors are content + side.

    F is the orthonormal Fourier transform over the d coordinates of f_m = proj_m(x_m). The view of a modality is
    s_m = F⁻¹(w_m ⊙ F f_m), the fused view s_f = F⁻¹(w_f ⊙ Π_m F f_m), with trained complex filters w. Each view, also
    the fused one, gives y = S (E_i ⊙ σ(gate(s))) and e = [R̂ y ; y]. S_m is the frozen cosine graph of the raw
    features, and S_f has the largest of their entries. With c = LightGCN([E_u ; E_i]) and M modalities,

        side = (Σ_m d(σ(prefer_m(c))) ⊙ softmax(q_m(e_f)) ⊙ e_m + d(σ(prefer_f(c))) ⊙ e_f) / (M + 1)

    where d is dropout in training steps and the softmax is over the coordinates of a row. With one modality, which the
    paper does not have, there is neither a fused view nor the softmax: side = d(σ(prefer_m(c))) ⊙ e_m / 2.
    """

    Config = SMOREConfig
    static_passes = True
    modalities: tuple[str, ...] = SMOREConfig.modalities

    def __init__(self, problem: Problem, config: SMOREConfig, generator: torch.Generator) -> None:
        super().__init__()
        self.config = config
        self.draws_noise = config.dropout > 0
        self.n_users, self.n_items = problem.n_users, problem.n_items
        self.modalities = read_modalities("smore", problem, type(self).modalities)
        config.check_modalities("smore", self.modalities)
        self.widths = {m: problem.feature_widths[m] for m in self.modalities}
        d = config.latent_width
        self.users = table(problem.n_users, d, "xavier_uniform", generator)
        self.items = table(problem.n_items, d, "xavier_uniform", generator)
        self.projections = nn.ModuleDict({m: linear(width, d, generator) for m, width in self.widths.items()})
        self.filters = nn.ParameterDict({m: _filter(d, generator) for m in self.modalities})
        self.gates = nn.ModuleDict({m: linear(d, d, generator) for m in self.modalities})
        self.preferences = nn.ModuleDict({m: linear(d, d, generator) for m in self.modalities})
        if len(self.modalities) > 1:
            self.queries = nn.ModuleDict({m: linear(d, d, generator) for m in self.modalities})
            self.attention = nn.ParameterDict({m: table(d, d, "default", generator) for m in self.modalities})
            self.fused_filter = _filter(d, generator)
            self.fused_gate = linear(d, d, generator)
            self.fused_preference = linear(d, d, generator)
        self.deltas = nn.ParameterDict(
            {m: nn.Parameter(torch.zeros(problem.n_items, width)) for m, width in self.widths.items()}
        )
        self.graph = UserItemGraph(problem.n_users, problem.n_items, problem.edges, offset=0.0)

    def item_graphs(self, features: Features, neighbours: FindNeighbours = cosine_neighbours) -> Graphs:
        """Return S_m of every modality under its name, and S_f, from the raw features, not the fine-tuned ones."""
        k = {m: self.config.neighbours_of(m) for m in self.modalities}
        graphs = cosine_item_graphs(features, self.widths, self.n_items, k, neighbours)
        return graphs if len(graphs) == 1 else {**graphs, FUSED: largest_entries(list(graphs.values()))}

    def represent(self, features: Features, graphs: Graphs | None = None) -> Representation:
        """Return user and item vectors [U, d] and [I, d]."""
        users, items = self._views(features, self.item_graphs(features) if graphs is None else graphs)
        return Representation(users.content + users.side, items.content + items.side)

    def loss(self, features: Features, batch: Batch, graphs: Graphs | None = None) -> Loss:
        """Return the BPR loss, the squared norms of the batch vectors, and κ times the contrastive loss.

        Only the batch's rows take the last propagation and are fused.
        """
        user_rows, user_places = distinct(batch.users, self.n_users)
        item_rows, item_places = distinct(torch.cat([batch.positives, batch.negatives]), self.n_items)
        graphs = self.item_graphs(features) if graphs is None else graphs
        users, items = self._views(features, graphs, (user_rows, item_rows), batch)
        return views_loss((users, items), (user_places, item_places), self.config)

    def _carried(self, features: Features, graphs: Graphs) -> Tensor:
        """Return y of all modalities, then of the fused view, side by side [I, (M + 1)·d]."""
        columns, fused = [], None
        for m in self.modalities:
            raw = feature_table(features, m, self.n_items, self.widths[m])
            projected = project_tuned(raw, self.deltas[m], cast(nn.Linear, self.projections[m]))
            spectrum = torch.fft.rfft(projected, norm="ortho")
            fused = spectrum if fused is None else fused * spectrum
            columns.append(self._gated(spectrum, self.filters[m], self.gates[m], graphs, m))
        if len(columns) > 1 and fused is not None:
            columns.append(self._gated(fused, self.fused_filter, self.fused_gate, graphs, FUSED))
        return torch.cat(columns, dim=1)

    def _gated(self, spectrum: Tensor, weight: Tensor, gate: nn.Module, graphs: Graphs, name: str) -> Tensor:
        """Return S^n (E_i ⊙ σ(gate(s))) of a view from the spectrum that its filter takes, [I, d]."""
        d = self.config.latent_width
        signal = torch.fft.irfft(spectrum * _complex(weight, d), n=d, norm="ortho")
        return propagated(graphs[name], self.items * torch.sigmoid(gate(signal)), self.config.item_layers)

    def _views(
        self,
        features: Features,
        graphs: Graphs,
        rows: tuple[Tensor | None, Tensor | None] = (None, None),
        batch: Batch | None = None,
    ) -> tuple[Views, Views]:
        """Return the views of the given users and items, None meaning all; a batch with a seed has dropout."""
        tables, carried = (self.users, self.items), self._carried(features, graphs)
        sides = spread(self.graph.bipartite(), tables, carried, self.config.layers, rows)
        sizes = (self.n_users, self.n_items)
        users, items = (
            self._fused(part, DroppedGates(self.config.dropout, batch, side, ids, size))
            for part, side, ids, size in zip(sides, ("users", "items"), rows, sizes, strict=True)
        )
        return users, items

    def _fused(self, spreaded: Spread, dropped: DroppedGates) -> Views:
        """Return the views of users or items from their content [n, d] and their e side by side [n, (M + 1)·d]."""
        content, carried = spreaded
        if len(self.modalities) == 1:
            (m,) = self.modalities
            return Views(content, dropped(torch.sigmoid(self.preferences[m](content)), m) * carried / 2)
        *parts, fused = carried.chunk(len(self.modalities) + 1, dim=1)
        side = dropped(torch.sigmoid(self.fused_preference(content)), FUSED) * fused
        for m, part in zip(self.modalities, parts, strict=True):
            shares = torch.softmax(torch.tanh(self.queries[m](fused)) @ self.attention[m].T, dim=1)
            side = side + dropped(torch.sigmoid(self.preferences[m](content)), m) * shares * part
        return Views(content, side / (len(parts) + 1))


class DroppedGates:
    """Dropout of the preference gates of some users or items: each has one mask, however often a batch has it.

    Args:
        rate: probability of a zero; the others are divided by 1 - rate.
        batch: a training batch; None, or no seed, for no dropout.
        side: "users" or "items".
        rows: int64 [n], ids of the rows; None for all.
        size: number of users or of items.
    """

    def __init__(self, rate: float, batch: Batch | None, side: str, rows: Tensor | None, size: int) -> None:
        self.rate, self.batch, self.side, self.rows, self.size = rate, batch, side, rows, size

    def __call__(self, gates: Tensor, name: str) -> Tensor:
        """Return the gates [n, d] of a view after dropout."""
        generator = None if self.batch is None or self.rate == 0 else self.batch.noise(f"dropout {self.side} {name}")
        if generator is None:
            return gates
        return gates * self._kept(gates, generator) / (1 - self.rate)

    def _kept(self, gates: Tensor, generator: torch.Generator) -> Tensor:
        """Return the mask [n, d] of what is kept."""
        # On a CPU the rows are distinct; elsewhere they may repeat, and the draws of all rows cost less than to know.
        repeats = self.rows is not None and self.rows.device.type != "cpu"
        shape = (self.size, gates.shape[1]) if repeats else gates.shape
        kept = torch.rand(shape, generator=generator, device=gates.device) >= self.rate
        return kept[self.rows] if repeats else kept


def _filter(width: int, generator: torch.Generator) -> nn.Parameter:
    """Return a filter [1, bins, 2] of real and imaginary parts, each drawn from N(0, 1), as in the published code."""
    return nn.Parameter(torch.randn(1, width // 2 + 1, 2, generator=generator))


def _complex(weight: Tensor, width: int) -> Tensor:
    """Return a filter as complex numbers [1, bins] for signals of a width.

    The first bin of a real signal has no phase, nor has the last one of an even width; the imaginary parts of the
    filter there are left out, as the inverse transform of the published code does, and never train.
    """
    imaginary = weight[..., 1][:, 1 : (width + 1) // 2]
    bins = weight.shape[1]
    return torch.complex(weight[..., 0], functional.pad(imaginary, (1, bins - 1 - imaginary.shape[1])))
