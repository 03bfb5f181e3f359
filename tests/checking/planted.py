"""A sound recommender, and how faults are planted in it."""

from __future__ import annotations

import pytest
import torch
from pydantic import BaseModel
from torch import nn

from robustrec.checking import Toy, checks_of, run_checks
from robustrec.models.contract import Loss, Problem, Representation
from robustrec.models.initial import linear, table
from robustrec.models.losses import bpr_loss


class Config(BaseModel):
    width: int = 4


class Sound(nn.Module):
    """Free vectors plus projected features."""

    Config = Config
    modalities = ("image", "text")

    def __init__(self, problem: Problem, config, generator):
        super().__init__()
        self.problem = problem
        self.modalities = tuple(m for m in type(self).modalities if m in problem.feature_widths)
        self.users = table(problem.n_users, config.width, "xavier_uniform", generator)
        self.items = table(problem.n_items, config.width, "xavier_uniform", generator)
        self.layers = nn.ModuleDict(
            {m: linear(problem.feature_widths[m], config.width, generator) for m in self.modalities}
        )

    def vectors(self, features):
        items = self.items
        for name, layer in self.layers.items():
            items = items + torch.tanh(layer(features[name]))
        return self.users.clone(), items

    def represent(self, features):
        return Representation(*self.vectors(features))

    def terms(self, features, batch):
        users, items = self.vectors(features)
        positive = (users[batch.users] * items[batch.positives]).sum(1)
        negative = (users[batch.users] * items[batch.negatives]).sum(1)
        return {"bpr": bpr_loss(positive, negative), "decay": 1e-3 * users.square().sum()}

    def loss(self, features, batch):
        terms = self.terms(features, batch)
        return Loss(sum(terms.values()), terms)

    def module(self):
        return self


def verdict(kind, check, name="shop:Model"):
    toy = Toy(name, kind)
    (row,) = run_checks(name, {check: checks_of(toy)[check]})
    return row


def planter():
    """Return a decorator that registers a class with the check that must find its fault, and the list it fills."""
    faults: list = []

    def fault(check, error_text, status="PROBLEM"):
        def register(kind, name=None):
            faults.append(pytest.param(check, kind, error_text, status, id=name or kind.__name__))
            return kind

        return register

    return fault, faults
