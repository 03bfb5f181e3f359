"""Reach check of item graphs: if a model derives them from features, perturbed features must change them.

If a graph is frozen by mistake, "rebuilt" measures the same as "frozen" and misses the drift of a rebuilt pipeline.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor

from robustrec.audits.reach.check import ROUNDING, typical_entry
from robustrec.models.contract import DerivesItemGraphs, Features, Graphs, Representation
from robustrec.models.own import attributed_to
from robustrec.runs.trained import TrainedSubject
from robustrec.seeds import torch_generator


def check_item_graphs(subject: TrainedSubject, *, seed: int) -> str:
    """Return the fault of the item graphs of a subject; empty if they depend on the features or do not exist.

    Args:
        subject: trained.
        seed: of the perturbation, noise with the norm of a typical row.
    """
    clean = subject.graphs
    if clean is None or subject.model is None:
        return ""
    model = cast(DerivesItemGraphs, subject.model)
    noisy = dict(subject.tables)
    changed = False
    for modality, table in subject.scored_tables.items():
        generator = torch_generator(seed, "graphs", modality, device=table.device)
        noise = torch.randn(table.shape, generator=generator, device=table.device) * typical_entry(table)
        alone = {**subject.tables, modality: table + noise}
        noisy[modality] = alone[modality]
        with torch.no_grad(), attributed_to(subject.spec.model, "item_graphs"):
            graphs = model.item_graphs(alone)
        differs = not _equal(graphs, clean)
        changed |= differs
        if not differs and not _complete(clean):
            return f"item_graphs on {_noise(modality)} equal the clean graphs: item graphs are frozen"
        if _distance(_given(subject, alone, graphs), subject.represent(alone)) > ROUNDING:
            return (
                f"on {_noise(modality)}, represent without graphs differs from represent with the "
                "graphs of item_graphs:"
                " it uses other graphs"
            )
    if not changed or _unused(model):
        return ""
    if _distance(subject.represent(noisy), subject.represent(noisy, frozen=True)) <= ROUNDING:
        return (
            f"on {_noise('')}, rebuilt and frozen item graphs give equal scores: represent ignores its graphs argument"
        )
    return ""


def _given(subject: TrainedSubject, features: Features, graphs: Graphs) -> Representation:
    with torch.no_grad(), attributed_to(subject.spec.model, "represent"):
        return cast(DerivesItemGraphs, subject.model).represent(features, graphs)


def _unused(model: object) -> bool:
    """Tell whether the settings switch item graphs off: no propagation over them, or no share of them."""
    config = getattr(model, "config", None)
    return any(getattr(config, name, None) == 0 for name in ("item_layers", "frozen_share"))


def _noise(modality: str) -> str:
    return f"{modality} features with heavy noise" if modality else "features with heavy noise"


def _distance(first: object, second: object) -> float:
    """Return the largest difference of two representations' vectors, as a share of the largest entry."""
    a, b = cast(Representation, first), cast(Representation, second)
    pairs = zip(a, b, strict=True)
    return max(float((x - y).abs().max()) / max(float(x.abs().max()), 1e-30) for x, y in pairs)


def _equal(first: Graphs, second: Graphs) -> bool:
    def same(a: Tensor, b: Tensor) -> bool:
        return a.shape == b.shape and torch.equal(a, b)

    return set(first) == set(second) and all(
        same(graph.pattern.starts, second[name].pattern.starts)
        and same(graph.pattern.columns, second[name].pattern.columns)
        and same(graph.values, second[name].values)
        for name, graph in first.items()
    )


def _complete(graphs: Graphs) -> bool:
    """Tell whether every item is a neighbour of every other, as in a catalogue no larger than the neighbourhoods."""
    return all(graph.pattern.n_entries >= graph.shape[0] * (graph.shape[0] - 1) for graph in graphs.values())
