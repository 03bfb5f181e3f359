"""The filters that subjects put before their features, fitted on the clean catalog and stored."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from robustrec.encoders.features import ItemFeatures
from robustrec.encoders.shrink import FORMAT, fit_shrink
from robustrec.encoders.store import Encoded, stored, tables_digest
from robustrec.errors import RobustrecError
from robustrec.feature_names import Shrink, with_filter
from robustrec.models.filtered import Affine, FeatureFilter
from robustrec.progress import Progress, silent
from robustrec.runs.specs import SubjectSpec, reads_features

FACTS = ("share of variance kept", "lambda", "norm")
"""What is stored of a filter of a modality besides mean and matrix."""


@dataclass(frozen=True)
class Fitted:
    """A filter of all modalities of the features of a data set.

    Attributes:
        of: modality -> mean and matrix; a modality whose vectors are all equal has none.
        identity: all that the filter depends on, as JSON values.
        facts: modality -> `FACTS`.
        notes: notes for the user.
    """

    of: Mapping[str, Affine]
    identity: Mapping[str, Any]
    facts: Mapping[str, Mapping[str, float]]
    notes: tuple[str, ...] = ()


def fitted_filters(
    specs: Iterable[SubjectSpec], features: ItemFeatures | None, home: Path, progress: Progress = silent
) -> dict[Shrink, Fitted]:
    """Return the filters that subjects name, from the store under `home`; fit and store them if needed.

    Args:
        specs: the subjects.
        features: of the clean catalog, or None if no model reads any.
        home: folder of the store.
        progress: reports the modalities that are fitted.

    Raises:
        RobustrecError: the store cannot be written.
    """
    wanted = dict.fromkeys(spec.shrink for spec in specs if spec.shrink is not None and reads_features(spec))
    return {} if features is None else {each: fitted_filter(each, features, home, progress) for each in wanted}


def fitted_filter(shrink: Shrink, features: ItemFeatures, home: Path, progress: Progress = silent) -> Fitted:
    """Return a filter of features from the store; fit and store it if needed.

    Raises:
        RobustrecError: the store cannot be written.
    """
    identity = {"filter": shrink.model_dump(mode="json"), "features": features.digest, "format": FORMAT}

    def produce() -> Encoded:
        return _fitted(shrink, features, progress)

    found = stored(home, identity, produce)
    of = {name: Affine(found.state[f"{name}.mean"], matrix) for name, matrix in found.tables.items()}
    facts = {name: dict(zip(FACTS, found.state[f"{name}.facts"].tolist(), strict=True)) for name in of}
    return Fitted(of, identity, facts, found.notes)


def _fitted(shrink: Shrink, features: ItemFeatures, progress: Progress) -> Encoded:
    tables: dict[str, torch.Tensor] = {}
    state: dict[str, torch.Tensor] = {}
    notes: list[str] = []
    for place, (name, table) in enumerate(features.tables.items()):
        progress(f"fitting {shrink.label}", place, len(features.tables), name)
        fitted = fit_shrink(table.numpy(), shrink.kept)
        if fitted is None:
            notes.append(f"{shrink.label}: the {name} vectors are all equal and are left as they are")
            continue
        tables[name] = torch.from_numpy(fitted.matrix)
        state[f"{name}.mean"] = torch.from_numpy(fitted.mean)
        state[f"{name}.facts"] = torch.tensor([fitted.kept, fitted.strength, fitted.norm], dtype=torch.float64)
        notes.append(
            f"{shrink.label}: {name} keeps {fitted.kept:.1%} of the variance of the catalog, lambda"
            f" {fitted.strength:.3g}, largest gain {fitted.norm:.3f}"
        )
    return Encoded(tables, tuple(notes), state)


def filtered_features(
    features: ItemFeatures, filters: Sequence[Shrink | None], home: Path, progress: Progress = silent
) -> ItemFeatures:
    """Return features as a model with a filter reads them; the features themselves without one.

    Args:
        features: of the clean catalog.
        filters: one filter, or None for none.
        home: folder of the store.
        progress: reports the modalities that are fitted.

    Raises:
        RobustrecError: there are several filters, or the store cannot be written.
    """
    if len(filters) > 1:
        raise RobustrecError(
            f"{len(filters)} features cannot be encoded at once", where="--features", fix="name one of them"
        )
    if (shrink := filters[0]) is None:
        return features
    fitted = fitted_filter(shrink, features, home, progress)
    tables = FeatureFilter(fitted.of, {})(features.tables)
    return replace(
        features,
        name=with_filter(features.name, shrink),
        tables=tables,
        digest=tables_digest(tables),
        notes=(*features.notes, *fitted.notes),
        identity={**features.identity, "filter": dict(fitted.identity)},
    )
