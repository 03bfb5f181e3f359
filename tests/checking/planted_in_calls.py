"""Faults in how a recommender is built and called, each with the check that finds it."""

from __future__ import annotations

import numpy as np
import torch
from planted import Config, Sound, planter
from torch import nn
from torch.nn import functional

from robustrec.models.contract import Loss, Representation
from robustrec.models.initial import table

fault, FAULTS = planter()


@fault("built", "no parameters")
class NoParameters(nn.Module):
    Config, modalities = Config, ()

    def __init__(self, problem, config, generator):
        super().__init__()

    def module(self):
        return self


@fault("built", "TypeError")
class NoGenerator(Sound):
    def __init__(self, problem, config):
        super().__init__(problem, config, None)


@fault("built", "SystemExit")
class Leaves(Sound):
    def __init__(self, problem, config, generator):
        raise SystemExit(0)


@fault("module", "return self")
class PartAsModule(Sound):
    def module(self):
        return self.layers


@fault("module", "are not: users")
class Double(Sound):
    def __init__(self, *args):
        super().__init__(*args)
        self.users = nn.Parameter(self.users.detach().double())


@fault("module", "register_buffer")
class PlainTensor(Sound):
    def __init__(self, *args):
        super().__init__(*args)
        self.constants = {"degrees": [torch.ones(3)]}


@fault("initialisation", "global generator of torch")
class GlobalTorch(Sound):
    def __init__(self, problem, config, generator):
        super().__init__(problem, config, generator)
        self.users = nn.Parameter(torch.randn(problem.n_users, config.width))


@fault("initialisation", "global generator of numpy")
class GlobalNumpy(Sound):
    def __init__(self, problem, config, generator):
        super().__init__(problem, config, generator)
        self.users = nn.Parameter(torch.from_numpy(np.random.rand(problem.n_users, config.width)).float())  # noqa: NPY002


@fault("initialisation", "differ in users")
class Clock(Sound):
    def __init__(self, problem, config, generator):
        super().__init__(problem, config, generator)
        other = torch.Generator()
        other.seed()
        self.users = table(problem.n_users, config.width, "xavier_uniform", other)


@fault("initialisation", "another seed gives the same parameters")
class Constant(Sound):
    def __init__(self, problem, config, generator):
        super().__init__(problem, config, torch.Generator().manual_seed(0))


@fault("modalities", "does not declare")
class ReadsMore(Sound):
    modalities = ("text",)

    def __init__(self, *args):
        super().__init__(*args)
        self.modalities = ("image", "text")


@fault("modalities", "declares text")
class ReadsLess(Sound):
    def __init__(self, *args):
        super().__init__(*args)
        self.modalities = ("image",)


@fault("represent", "must return Representation(users, items)")
class BareTuple(Sound):
    def represent(self, features):
        return self.vectors(features)


@fault("represent", "(40, d) and (30, d)")
class Swapped(Sound):
    def represent(self, features):
        return Representation(*self.vectors(features)[::-1])


@fault("represent", "(40, d) and (30, d)")
class Widths(Sound):
    def represent(self, features):
        users, items = self.vectors(features)
        return Representation(users[:, :-1], items)


@fault("represent", "float64")
class Rounded(Sound):
    def represent(self, features):
        users, items = self.vectors(features)
        return Representation(users, items.double())


@fault("loss", "must return Loss(total, terms)")
class BareLoss(Sound):
    def loss(self, features, batch):
        return super().loss(features, batch).total


@fault("loss", "add up to")
class ForgottenTerm(Sound):
    def loss(self, features, batch):
        terms = self.terms(features, batch)
        return Loss(terms["bpr"], terms)


@fault("loss", "(64,)")
class VectorLoss(Sound):
    def loss(self, features, batch):
        users, items = self.vectors(features)
        rows = (users[batch.users] * items[batch.positives]).sum(1)
        return Loss(rows, {"rows": rows.sum()})


@fault("loss", "the loss is nan")
class NaNLoss(Sound):
    def terms(self, features, batch):
        return {"bpr": super().terms(features, batch)["bpr"] * float("nan")}


@fault("loss", "no gradient")
class DetachedLoss(Sound):
    def terms(self, features, batch):
        return {"bpr": super().terms(features, batch)["bpr"].detach()}


@fault("loss", "no terms")
class NoTerms(Sound):
    def loss(self, features, batch):
        return Loss(super().loss(features, batch).total, {})


@fault("finite scores", "degree of 0")
class DividesByDegree(Sound):
    def vectors(self, features):
        users, items = super().vectors(features)
        degrees = torch.bincount(self.problem.edges[1], minlength=self.problem.n_items)
        return users, items * (degrees / degrees)[:, None]


@fault("no shared memory", "the users vectors share memory with parameters")
class View(Sound):
    def vectors(self, features):
        return self.users, super().vectors(features)[1]


@fault("no shared memory", "the items vectors share memory with parameters or features")
class FeatureView(Sound):
    def represent(self, features):
        return Representation(self.users[:, :1].repeat(1, 12), features["image"])


@fault("repeatable scores", "no noise in represent")
class NoisyScores(Sound):
    def vectors(self, features):
        users, items = super().vectors(features)
        return users, functional.dropout(items, 0.5)


@fault("repeatable scores", "depend on earlier calls")
class RunningMean(Sound):
    mean = 0.0

    def represent(self, features):
        users, items = self.vectors(features)
        seen = self.mean
        if abs(float(seen) - float(features["image"].mean())) > 1e-9:
            self.mean = features["image"].mean().item()
        return Representation(users, items * (1 + (seen != self.mean) * (seen != 0)))


@fault("scores follow parameters", "keep no scores of earlier calls")
class CachedScores(Sound):
    """The classic: what the last training step left is what is scored."""

    def loss(self, features, batch):
        self.kept = [vectors.detach().clone() for vectors in self.vectors(features)]
        return super().loss(features, batch)

    def represent(self, features):
        return Representation(*getattr(self, "kept", None) or self.vectors(features))


@fault("scores follow parameters", "keeps other state")
class Remembers(Sound):
    steps = 0

    def loss(self, features, batch):
        self.steps += 1
        return super().loss(features, batch)

    def represent(self, features):
        users, items = self.vectors(features)
        return Representation(users, items * (1 + self.steps))


@fault("no side effects", "running_mean")
class BatchNorm(Sound):
    def __init__(self, problem, config, generator):
        super().__init__(problem, config, generator)
        self.norm = nn.BatchNorm1d(config.width)

    def vectors(self, features):
        users, items = super().vectors(features)
        return users, self.norm(items)


@fault("no side effects", "changes the image features")
class InPlace(Sound):
    def represent(self, features):
        features["image"].sub_(features["image"].mean(0))
        return super().represent(features)


@fault("no side effects", "loss uses the global generator of torch")
class Dropout(Sound):
    def loss(self, features, batch):
        torch.rand(1)
        return super().loss(features, batch)


@fault("repeatable loss", "batch.noise(name)")
class NoisyLoss(Sound):
    def terms(self, features, batch):
        return {"bpr": super().terms(features, batch)["bpr"] * (1 + torch.rand(()))}


@fault("repeatable loss", "with the same noise seed")
class UnseededNoise(Sound):
    def terms(self, features, batch):
        noise = 0.0 if batch.seed is None else torch.rand(())
        return {"bpr": super().terms(features, batch)["bpr"] * (1 + noise)}


@fault("reach of image", "declares image, but its top-k lists do not depend on it")
class IgnoresImages(Sound):
    def vectors(self, features):
        return super().vectors({**features, "image": torch.zeros_like(features["image"])})


@fault("reach of image", "declares image, but its top-k lists do not depend on it")
class KeepsFeatures(Sound):
    """Takes the features of its first call for good."""

    def vectors(self, features):
        self.kept = getattr(self, "kept", features["image"])
        return super().vectors({**features, "image": self.kept})


@fault("reach of image", "add it there")
class DeniesImages(Sound):
    modalities_in_scores = ("text",)


@fault("reach of image", "all scores are equal")
class AllEqual(Sound):
    def represent(self, features):
        users, items = self.vectors(features)
        return Representation(users * 0, items)
