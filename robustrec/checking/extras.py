"""What only some recommenders have: graphs over items that follow from features, and a state for each epoch."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from robustrec.checking.toy import Toy, copied, demand, differing, global_generators_rest, not_applicable
from robustrec.models.contract import DerivesItemGraphs, DrawsPerEpoch
from robustrec.models.graphs import Sparse
from robustrec.seeds import torch_generator


def item_graphs(toy: Toy) -> str:
    """Check that item graphs are a pure function of the features, and mean what leaving them out means."""
    model = toy.build()
    if not isinstance(model, DerivesItemGraphs):
        raise not_applicable("it derives no graph over items")
    features = toy.features()
    model.module().eval()
    with torch.no_grad():
        graphs: Any = model.item_graphs(features)
        named = isinstance(graphs, Mapping) and all(isinstance(graph, Sparse) for graph in graphs.values())
        demand(named, f"item_graphs returns a {type(graphs).__name__}; return a dict of name -> Sparse")
        first = list(_tensors(graphs))
        demand(_equal(first, model.item_graphs(features)), "item_graphs of the same features differ from call to call")
        given, derived = model.represent(features, graphs), model.represent(features)
        loss, again = (model.loss(features, toy.batch(), each).total for each in (graphs, None))
        same = all(torch.equal(a, b) for a, b in zip(given, derived, strict=True)) and torch.equal(loss, again)
        demand(
            same, "represent or loss without graphs is not that with the graphs of the same features; derive them anew"
        )
        other = model.item_graphs(toy.features(seed=1))
        demand(not _equal(first, other), "item_graphs of other features are the same graphs")
        for parameter in model.module().parameters():
            parameter.add_(0.1)
        demand(
            _equal(first, model.item_graphs(features)), "item_graphs depend on parameters; training keeps them fixed"
        )
    return f"graphs {', '.join(sorted(graphs))} follow from the features alone"


def epoch_state(toy: Toy) -> str:
    """Check that what holds for an epoch follows from the generator it is given, and that the loss takes it."""
    model, features = toy.build(), toy.features()
    if not isinstance(model, DrawsPerEpoch):
        raise not_applicable("it draws nothing when an epoch begins")
    before = copied(model.module())
    model.module().train()
    with torch.no_grad(), global_generators_rest("epoch_state"):
        first, second = (model.epoch_state(features, torch_generator(3, "epoch")) for _ in range(2))
    changed = differing(before, copied(model.module()))
    demand(not changed, f"epoch_state changes {', '.join(changed)}; return what holds for the epoch instead")
    demand(_equal(list(_tensors(first)), second), "epoch_state differs with one state of its generator")
    losses = [float(model.loss(features, toy.batch(epoch=state)).total.detach()) for state in (first, second)]
    demand(math.isfinite(losses[0]), f"the loss with an epoch's state is {losses[0]}")
    demand(losses[0] == losses[1], f"one epoch's state gives two losses, {losses[0]:.6g} and {losses[1]:.6g}")
    return "it follows from the generator, and the loss takes it"


def _equal(first: list[Tensor], second: Any) -> bool:
    other = list(_tensors(second))
    return len(first) == len(other) and all(torch.equal(a, b) for a, b in zip(first, other, strict=True))


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        for name in sorted(value):
            yield from _tensors(value[name])
    elif isinstance(value, tuple | list):
        for each in value:
            yield from _tensors(each)
