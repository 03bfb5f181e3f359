"""Treatments of the content that a training reads, and the loss of a batch under them.

A treatment changes the item features of an epoch or of a step, or adds a term to the loss of a batch. It acts where
that loss is made, so that each evaluation of the loss by a step rule (`sam`, `mirror`, `sgbd`) sees it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from robustrec.models.contract import Batch, Features, Graphs, Recommender, batch_loss, training_constants


class Treatment:
    """A treatment that changes nothing; subclasses override what they change.

    What it draws is a function of the seed and of the number of the epoch or step, so that a training that is killed
    and resumed draws the same. Changed features are written into the same memory each time, where replayed passes read
    them.

    Attributes:
        changes_features: whether `of_epoch` or `of_step` change the features.
        changes_steps: whether the features of two steps of an epoch may differ, where it changes features.
    """

    changes_features: bool = False
    changes_steps: bool = True

    def of_epoch(self, features: Features, _epoch: int, /) -> Features:
        """Return the features of an epoch, counted from 0."""
        return features

    def of_step(self, features: Features, _step: int, /) -> Features:
        """Return the features of a step, counted from 0 over the training; called once a step, before its losses."""
        return features

    def term(self, _features: Features, _batch: Batch, /) -> Tensor | None:
        """Return a weighted term that is added to the loss of a batch on the features of the step, or None."""
        return None


class Content:
    """What a training reads: features after treatments, item graphs, and the loss of a batch.

    The item graphs are those of the clean features throughout: training derives them once. Constants that a model
    computed from the clean features are not passed on where a treatment changes the features.

    Args:
        model: the recommender.
        features: clean, modality -> [I, D_m].
        graphs: item graphs of the model from the clean features; None derives them in every loss.
        treatments: in the order in which they act; each changes the features that the one before it returned.
    """

    def __init__(
        self, model: Recommender, features: Features, graphs: Graphs | None, treatments: Sequence[Treatment] = ()
    ) -> None:
        self.model, self.features, self.graphs, self.treatments = model, features, graphs, tuple(treatments)
        self.of_epoch = self.of_step = features
        self._constants: Any = None

    @property
    def changes_features(self) -> bool:
        """Whether a treatment changes the features."""
        return any(each.changes_features for each in self.treatments)

    def start_epoch(self, epoch: int) -> None:
        """Make the features of an epoch, counted from 0."""
        found = self.features
        for each in self.treatments:
            found = each.of_epoch(found, epoch)
        self.of_epoch = self.of_step = found

    def constants(self, batch_size: int, *, replayed: bool = False) -> Any:
        """Return the constants of the model for the features of the epoch, or None.

        They are made once where no treatment changes the features, else once an epoch. There are none where the
        features of steps differ, nor with passes that are replayed, which read the constants of their capture.
        """
        if self.changes_features:
            self._constants = None  # those of the last epoch, before the next ones take memory
            if replayed or any(each.changes_features and each.changes_steps for each in self.treatments):
                return None
        if self._constants is None:
            self._constants = training_constants(self.model, self.of_epoch, batch_size)
        return self._constants

    def start_step(self, step: int) -> None:
        """Make the features of a step, counted from 0 over the training."""
        found = self.of_epoch
        for each in self.treatments:
            found = each.of_step(found, step)
        self.of_step = found

    def loss(self, batch: Batch) -> Tensor:
        """Return the loss of a batch on the features of the step with the terms of the treatments, with its graph."""
        if self.changes_features and batch.constants is not self._constants:
            batch = batch._replace(constants=None)
        if batch.more is None:
            return self._loss(batch)
        each = [batch.negatives, *batch.more]
        losses = [self._loss(batch._replace(negatives=negatives, more=None)) for negatives in each]
        return torch.stack(losses).mean()

    def _loss(self, batch: Batch) -> Tensor:
        total = batch_loss(self.model, self.of_step, batch, self.graphs).total
        for each in self.treatments:
            term = each.term(self.of_step, batch)
            if term is not None:
                total = total + term
        return total
