"""Checks of optional parts of a recommender: item graphs derived from features, and a state per epoch."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from robustrec.checking.toy import Toy, copies_of, demand, differing, no_global_generators, not_applicable
from robustrec.models.contract import DerivesItemGraphs, DrawsPerEpoch
from robustrec.models.graphs import Sparse
from robustrec.seeds import torch_generator


def item_graphs(toy: Toy) -> str:
    """Check that item graphs depend on the features only, and that the model derives the same graphs by default."""
    model = toy.build()
    if not isinstance(model, DerivesItemGraphs):
        raise not_applicable("the model derives no item graphs")
    features = toy.features()
    model.module().eval()
    with torch.no_grad():
        graphs: Any = model.item_graphs(features)
        named = isinstance(graphs, Mapping) and all(isinstance(graph, Sparse) for graph in graphs.values())
        demand(named, f"item_graphs must return a dict of name -> Sparse, but got {type(graphs).__name__}")
        first = list(_tensors(graphs))
        demand(
            _equal(first, model.item_graphs(features)),
            "two calls of item_graphs with the same features return different graphs",
        )
        given, derived = model.represent(features, graphs), model.represent(features)
        loss, again = (model.loss(features, toy.batch(), each).total for each in (graphs, None))
        same = all(torch.equal(a, b) for a, b in zip(given, derived, strict=True)) and torch.equal(loss, again)
        demand(same, "represent or loss without graphs differs from that with the graphs of the same features")
        other = model.item_graphs(toy.features(seed=1))
        demand(not _equal(first, other), "item_graphs returns the same graphs for other features")
        for parameter in model.module().parameters():
            parameter.add_(0.1)
        demand(
            _equal(first, model.item_graphs(features)),
            "item_graphs must not depend on parameters: training derives the graphs once",
        )
    return f"graphs {', '.join(sorted(graphs))} depend on the features only"


def epoch_state(toy: Toy) -> str:
    """Check that the state of an epoch depends on its generator only, and that the loss accepts it."""
    model, features = toy.build(), toy.features()
    if not isinstance(model, DrawsPerEpoch):
        raise not_applicable("the model has no state per epoch")
    before = copies_of(model.module())
    model.module().train()
    with torch.no_grad(), no_global_generators("epoch_state"):
        first, second = (model.epoch_state(features, torch_generator(3, "epoch")) for _ in range(2))
    changed = differing(before, copies_of(model.module()))
    demand(not changed, f"epoch_state changes {', '.join(changed)}; return the state instead")
    demand(
        _equal(list(_tensors(first)), second),
        "two calls of epoch_state with the same generator state return different states",
    )
    losses = [float(model.loss(features, toy.batch(epoch=state)).total.detach()) for state in (first, second)]
    demand(math.isfinite(losses[0]), f"the loss with the state of an epoch is {losses[0]}")
    demand(
        losses[0] == losses[1],
        f"two calls with the same epoch state return the losses {losses[0]:.6g} and {losses[1]:.6g}",
    )
    return "the state depends on the generator only, and the loss accepts it"


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
