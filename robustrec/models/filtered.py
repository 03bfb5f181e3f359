"""Recommenders that read filtered features: the filter is the first step of the model, whatever calls it.

Noise, edits, missing content and gradients change the features before the filter, in their own units. The clean tables
are filtered once, for all models.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from threading import local
from typing import Any, NamedTuple

import torch
from torch import Tensor

from robustrec.models.contract import Features
from robustrec.models.feature_chunks import ChunkedFeatures

_OF_TRAINING = ("loss", "epoch_state", "training_constants")
_METHODS = ("represent", "item_graphs", *_OF_TRAINING)
"""Methods of recommenders whose first argument are features."""


class Affine(NamedTuple):
    """x' = μ + F (x - μ) of a modality: mean [D] and matrix [D, D], float64 on the CPU."""

    mean: Tensor
    matrix: Tensor


class _Made(NamedTuple):
    """A filtered table, and the table that it was made from with the number of its changes in place."""

    source: weakref.ref[Tensor]
    version: int
    table: Tensor


class FeatureFilter:
    """Filters feature tables row by row, at the precision and on the device of the table.

    The filtered clean tables are kept, as are those of the features of the last training step. A copy of a model has
    the filter of the model.

    Args:
        of: modality -> its filter; other modalities are left as they are.
        clean: the clean tables, which nobody changes.
    """

    def __init__(self, of: Mapping[str, Affine], clean: Features) -> None:
        self.of = dict(of)
        self._placed: dict[tuple[str, torch.device, torch.dtype], Affine] = {}
        self._latest: dict[str, _Made] = {}
        self._clean = {name: _made(table, self.table(name, table)) for name, table in clean.items() if name in of}

    def __deepcopy__(self, memo: dict[int, Any]) -> FeatureFilter:
        """Return the filter itself."""
        return self

    @property
    def clean(self) -> dict[str, Tensor]:
        """The filtered clean tables."""
        return {name: made.table for name, made in self._clean.items()}

    def __call__(self, features: Features, *, training: bool = False) -> dict[str, Tensor]:
        """Return filtered features, modality -> [I, D_m].

        Args:
            features: modality -> [I, D_m].
            training: keep the filtered tables for the next steps with the same features.
        """
        return {name: self._filtered(name, table, training) for name, table in features.items()}

    def table(self, modality: str, table: Tensor) -> Tensor:
        """Return any rows of a modality [n, D], filtered; differentiable in them."""
        if modality not in self.of:
            return table
        mean, matrix = self._at(modality, table)
        return torch.addmm(mean, table - mean, matrix.T)

    def _filtered(self, modality: str, table: Tensor, training: bool) -> Tensor:
        if modality not in self.of or (table.requires_grad and torch.is_grad_enabled()):
            return self.table(modality, table)
        # A graph of kernels that is being captured filters at each replay: its features may change in place.
        capturing = table.is_cuda and torch.cuda.is_current_stream_capturing()
        for made in (self._clean.get(modality), None if capturing else self._latest.get(modality)):
            if made is not None and made.source() is table and made.version == _version(table):
                return made.table
        filtered = self.table(modality, table)
        if training and not capturing:
            self._latest[modality] = _made(table, filtered)
        return filtered

    def _at(self, modality: str, table: Tensor) -> Affine:
        place = modality, table.device, table.dtype
        if place not in self._placed:
            self._placed[place] = Affine(*(each.to(table.device, table.dtype) for each in self.of[modality]))
        return self._placed[place]


@dataclass(frozen=True)
class FilteredChunks:
    """Features that are made by chunks of rows, filtered."""

    features: ChunkedFeatures
    filter: FeatureFilter

    def chunks(self) -> Iterator[dict[str, Tensor]]:
        """Yield modality -> filtered rows."""
        for rows in self.features.chunks():
            yield {name: self.filter.table(name, table) for name, table in rows.items()}


def filtered_class(kind: Any) -> Any:
    """Return a subclass of a recommender whose instances filter features first.

    Set `feature_filter` of each instance. Parameters, settings and further methods are those of the recommender.
    """
    if kind in _classes:
        return _classes[kind]
    there = [name for name in _METHODS if callable(getattr(kind, name, None))]
    body: dict[str, Any] = {name: _filtering(kind, name) for name in there}
    # Of the class itself and not of its bases, as `training.replay` reads it.
    body["static_passes"] = bool(vars(kind).get("static_passes", False))
    body["__module__"], body["__qualname__"], body["__doc__"] = kind.__module__, kind.__qualname__, kind.__doc__
    return _classes.setdefault(kind, type(kind)(kind.__name__, (kind,), body))


_classes: dict[Any, Any] = {}
_inside = local()


def _filtering(kind: type[Any], name: str) -> Any:
    def method(self: Any, features: Features, *others: Any, **named: Any) -> Any:
        inner = getattr(super(filtered_class(kind), self), name)
        outer = getattr(_inside, "models", ())
        if id(self) in outer:  # a method of the model that calls another one with filtered features
            return inner(features, *others, **named)
        _inside.models = (*outer, id(self))
        try:
            filtered = self.feature_filter(features, training=name in _OF_TRAINING)
            return inner(filtered, *others, **named)
        finally:
            _inside.models = outer

    method.__name__ = name
    return method


def _made(source: Tensor, table: Tensor) -> _Made:
    return _Made(weakref.ref(source), _version(source), table)


def _version(table: Tensor) -> int:
    return -1 if table.is_inference() else table._version
