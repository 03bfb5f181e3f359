"""Faults in what a recommender learns by, keeps and derives, each with the check that finds it."""

from __future__ import annotations

import torch
from planted import Sound, planter
from torch.autograd.function import once_differentiable

from robustrec.models.contract import Loss, Representation
from robustrec.models.graphs import cosine_neighbours, mean_graph, product, similarity_graph

fault, FAULTS = planter()


class Graphed(Sound):
    """Items smoothed over their nearest neighbours."""

    def item_graphs(self, features, neighbours=None):
        return {"items": mean_graph((neighbours or cosine_neighbours)(features["text"], 3), dtype=self.users.dtype)}

    def smoothed(self, features, graphs):
        users, items = self.vectors(features)
        return users, items + product((graphs or self.item_graphs(features))["items"], items)

    def represent(self, features, graphs=None):
        return Representation(*self.smoothed(features, graphs))

    def loss(self, features, batch, graphs=None):
        users, items = self.smoothed(features, graphs)
        total = -(users[batch.users] * items[batch.positives]).sum(1).mean()
        return Loss(total, {"all": total})


@fault("item graphs", "depend on parameters")
class LearnedGraph(Graphed):
    def item_graphs(self, features, neighbours=None):
        return {
            "items": similarity_graph(cosine_neighbours(features["text"], 3), self.layers["text"](features["text"]))
        }


@fault("item graphs", "name -> Sparse")
class DenseGraph(Graphed):
    def item_graphs(self, features, neighbours=None):
        return features["text"] @ features["text"].T


@fault("item graphs", "the same graphs for other features")
class KeptGraph(Graphed):
    def item_graphs(self, features, neighbours=None):
        self.kept = getattr(self, "kept", None) or super().item_graphs(features)
        return self.kept


@fault("item graphs", "without graphs differs")
class GraphOnlyGiven(Graphed):
    def represent(self, features, graphs=None):
        return Representation(*(self.smoothed(features, graphs) if graphs else self.vectors(features)))


@fault("item graphs", "TypeError")
class NoArgument(Graphed):
    def represent(self, features):
        return Representation(*self.vectors(features))


@fault("epoch state", "global generator of torch")
class GlobalEpoch(Sound):
    def epoch_state(self, features, generator):
        return torch.rand(3)


@fault("epoch state", "with the same generator state")
class OtherEpoch(Sound):
    calls = 0

    def epoch_state(self, features, generator):
        self.calls += 1
        return {"weights": [torch.rand(3, generator=generator) + self.calls]}


@fault("epoch state", "epoch_state changes users")
class ChangingEpoch(Sound):
    def epoch_state(self, features, generator):
        self.users.add_(1.0)


@fault("epoch state", "the loss with the state of an epoch is nan")
class UnusableEpoch(Sound):
    def epoch_state(self, features, generator):
        return torch.rand(3, generator=generator)

    def terms(self, features, batch):
        factor = 1.0 if batch.epoch is None else float("nan")
        return {name: term * factor for name, term in super().terms(features, batch).items()}


@fault("gradients of parameters", "scores depend on users, but the loss has no gradient in it")
class Forgotten(Sound):
    def terms(self, features, batch):
        users, items = self.vectors(features)
        return {"all": (users.detach()[batch.users] * items[batch.positives]).sum(1).mean()}


@fault("gradients of parameters", "NaN or infinite for users")
class BrokenGradient(Sound):
    def terms(self, features, batch):
        return {**super().terms(features, batch), "norm": (self.users * 0).norm(dim=1).pow(0.5).sum()}


@fault("gradients in image", "neither scores nor loss")
class DetachedFeatures(Sound):
    def vectors(self, features):
        return super().vectors({name: rows.detach() for name, rows in features.items()})


@fault("float64", "does not run in float64", status="not applicable")
class OnlyFloat32(Sound):
    def vectors(self, features):
        users, items = super().vectors(features)
        return users, items @ torch.eye(4, dtype=torch.float32)


@fault("float64", "returns torch.float32 for float64 inputs", status="not applicable")
class Narrows(Sound):
    def represent(self, features):
        users, items = self.vectors(features)
        return Representation(users.float(), items.float())


class _WrongTanh(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.tanh()

    @staticmethod
    def backward(ctx, gradient):
        (x,) = ctx.saved_tensors
        return gradient * (1 - x.tanh())


class _OnceTanh(_WrongTanh):
    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        (x,) = ctx.saved_tensors
        return gradient * (1 - x.tanh() ** 2)


class _HalfTanh(_WrongTanh):
    @staticmethod
    def backward(ctx, gradient):
        (x,) = ctx.saved_tensors
        return gradient * (1 - x.detach().tanh() ** 2)


def bent(function):
    class Bent(Sound):
        def vectors(self, features):
            users, items = super().vectors(features)
            return users, function.apply(items)

    return Bent


for what in ("represent", "loss"):
    for function, check, error_text, status in (
        (_WrongTanh, "derivatives of", "do not match finite differences in", "PROBLEM"),
        (_HalfTanh, "second derivatives of", "do not match finite differences in", "PROBLEM"),
        (_OnceTanh, "second derivatives of", "has no second derivatives", "not applicable"),
    ):
        fault(f"{check} {what}", error_text, status)(bent(function), f"{function.__name__} {what}")


@fault("derivatives of loss", "tensor.detach()")
class HiddenConstant(Sound):
    def terms(self, features, batch):
        users, items = self.vectors(features)
        return {"pull": (users[batch.users] - items.data[batch.positives]).square().sum(1).mean()}


@fault("saved state", "another seed")
class DrawnBuffer(Sound):
    def __init__(self, problem, config, generator):
        super().__init__(problem, config, generator)
        drawn = torch.randn(config.width, generator=generator)
        self.register_buffer("scale", drawn, persistent=False)

    def vectors(self, features):
        users, items = super().vectors(features)
        return users, items * self.scale


@fault("saved state", "share no memory")
class Tied(Sound):
    def __init__(self, *args):
        super().__init__(*args)
        self.twin = self.users


@fault("saved state", "share no memory")
class SparseBuffer(Sound):
    def __init__(self, *args):
        super().__init__(*args)
        self.register_buffer("graph", torch.eye(3).to_sparse())


@fault("training", "the loss becomes")
class Explodes(Sound):
    def terms(self, features, batch):
        terms = super().terms(features, batch)
        return {"bpr": terms["bpr"], "cliff": torch.log(1 - 100 * (self.items - self.items.detach()).abs().sum()) * 0
                + (self.items.sum() * 1e30) ** 2}  # fmt: skip
