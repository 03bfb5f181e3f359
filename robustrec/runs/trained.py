"""A subject ready for audits, trained or loaded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from torch import Tensor

from robustrec.feature_names import with_filter
from robustrec.modalities import read_of
from robustrec.models import model_class
from robustrec.models.contract import Features, Graphs, Recommender, Representation, Scored, item_graphs, represent
from robustrec.models.feature_chunks import ChunkedFeatures
from robustrec.models.filtered import filtered_class
from robustrec.models.own import attributed_to
from robustrec.runs.prepared import Prepared
from robustrec.runs.specs import SubjectSpec, modalities_read
from robustrec.seeds import torch_generator
from robustrec.subject import Subject


@dataclass(frozen=True)
class TrainedSubject:
    """A trained model with its features at inference.

    Attributes:
        subject: its name in reports.
        spec: its definition.
        key: key of its run in the store.
        model: the recommender at its best validation, in evaluation mode; None for a scorer.
        tables: the modalities it reads, float32 [I, D_m] on the device.
        record: record of its training (see `robustrec.runs.store`).
        graphs: item graphs of its features, or None.
        score: the scorer, if there is no model.
        chunked: the scorer on features that are made by chunks, if it can read them.
    """

    subject: Subject
    spec: SubjectSpec
    key: str
    model: Recommender | None
    tables: dict[str, Tensor]
    record: dict[str, Any] = field(repr=False)
    graphs: Graphs | None = field(default=None, repr=False)
    score: Callable[[Features], Scored | Representation] | None = field(default=None, repr=False)
    chunked: Callable[[ChunkedFeatures], Representation] | None = field(default=None, repr=False)

    @property
    def scored_tables(self) -> dict[str, Tensor]:
        """The tables that its scores depend on; a model may declare that it uses some in training only."""
        declared = getattr(self.model, "modalities_in_scores", tuple(self.tables))
        return {name: self.tables[name] for name in read_of(declared, self.tables)}

    def represent(
        self, features: Features | None = None, *, frozen: bool = False, graphs: Graphs | None = None
    ) -> Representation | Scored:
        """Recompute the user and item vectors (or scores) from the features, by default the clean ones.

        Args:
            features: modality -> [I, D_m].
            frozen: use the item graphs of training; otherwise they are derived from the given features.
            graphs: use these item graphs.
        """
        with torch.no_grad(), attributed_to(self.spec.model, "represent"):
            if self.model is None:
                score = cast(Callable[[Features], Scored | Representation], self.score)
                return score(self.tables if features is None else features)
            if features is None:
                return represent(self.model, self.tables, self.graphs)
            return represent(self.model, features, self.graphs if frozen else graphs)

    def item_graphs(self, features: Features) -> Graphs | None:
        """Return the item graphs that the model derives from features; None for a model without."""
        if self.model is None:
            return None
        with torch.no_grad(), attributed_to(self.spec.model, "item_graphs"):
            return item_graphs(self.model, features)

    @property
    def by_chunks(self) -> bool:
        """Whether it can read features that are made by chunks of rows."""
        return self.chunked is not None

    def represent_chunks(self, features: ChunkedFeatures) -> Representation:
        """Return user and item vectors for features that are made by chunks of rows."""
        assert self.chunked is not None
        with torch.no_grad(), attributed_to(self.spec.model, "item_vectors"):
            return self.chunked(features)


def subject_of(spec: SubjectSpec, prepared: Prepared) -> Subject:
    """Return the name of a subject in reports."""
    reads = prepared.features is not None and bool(modalities_read(spec.model, prepared.tables))
    name = with_filter(prepared.features.label, spec.shrink) if prepared.features and reads else "none"
    return Subject(model=spec.model, strategy=spec.strategy_name, features=name, seed=spec.seed)


def build_model(spec: SubjectSpec, prepared: Prepared) -> Recommender:
    """Initialize a model on the CPU, so that all devices start from equal parameters, and move it to the device.

    With `spec.shrink` it filters the features that it is given.
    """
    kind = model_class(spec.model)
    chosen = prepared.filter_of(spec.shrink)
    if chosen is not None:
        kind = filtered_class(kind)
    with attributed_to(spec.model, "its constructor"):
        config = kind.Config(**spec.model_options)
        model = kind(prepared.problem, config, torch_generator(spec.seed, "parameters"))
        if chosen is not None:
            model.feature_filter = chosen
        return cast(Recommender, model.to(prepared.device))
