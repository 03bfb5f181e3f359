"""The filters of features that subjects name, fitted on the clean catalog and on edited items, and stored."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import robustrec.edits
from robustrec.datasets.registry import Dataset
from robustrec.edits import EDITS, FAULTS
from robustrec.edits.languages import languages_of
from robustrec.encoders.features import ItemFeatures, row_encoder
from robustrec.encoders.shrink import FORMAT, RowFilter, fit_shrink, fit_shrink_edits
from robustrec.encoders.store import Encoded, stored, tables_digest
from robustrec.errors import RobustrecError
from robustrec.feature_names import Shrink, with_filter
from robustrec.files import digest_sources
from robustrec.models.filtered import Affine, FeatureFilter
from robustrec.progress import Progress, silent
from robustrec.runs.edit_pools import further_photos
from robustrec.runs.editable import SHRINK_ITEMS
from robustrec.runs.edited_rows import EditedRows, encode_all
from robustrec.runs.prepared import EditSource
from robustrec.runs.shrinking import FACTS, Fitted
from robustrec.runs.specs import SubjectSpec, reads_features
from robustrec.runs.treatments import EditApplier, Row, applier_of, treatments_of
from robustrec.seeds import numpy_generator

STREAM = "shrink edit"
"""Name of the random stream of the edits that a filter is fitted on; audits and trainings draw from others."""

SEVERITY = 3

Displacements = Mapping[str, NDArray[np.float32]]
"""Modality -> vector of each edited item minus its clean vector [n, D_m], of those that an edit moves."""


def fitted_filters(
    specs: Iterable[SubjectSpec],
    dataset: Dataset,
    features: ItemFeatures | None,
    source: EditSource,
    progress: Progress = silent,
) -> dict[Shrink, Fitted]:
    """Return the filters that subjects name, from the store; fit and store them if needed.

    Args:
        specs: the subjects.
        dataset: the data set.
        features: of the clean catalog, or None if no model reads any.
        source: home, and what edited items are encoded with.
        progress: reports what is fitted.

    Raises:
        RobustrecError: as `fitted_filter`.
    """
    wanted = dict.fromkeys(spec.shrink for spec in specs if spec.shrink is not None and reads_features(spec))
    return (
        {} if features is None else {each: fitted_filter(each, dataset, features, source, progress) for each in wanted}
    )


def fitted_filter(
    shrink: Shrink, dataset: Dataset, features: ItemFeatures, source: EditSource, progress: Progress = silent
) -> Fitted:
    """Return a filter of features from the store; fit and store it if needed.

    Raises:
        RobustrecError: no edit moves a vector, the encoder fails, or the store cannot be written.
    """
    identity: dict[str, Any] = {
        "filter": shrink.model_dump(mode="json"),
        "features": features.digest,
        "format": FORMAT,
        **({"edits": _edits_identity(dataset, features, source)} if shrink.edits else {}),
    }

    def produce() -> Encoded:
        moved = displacements(dataset, features, source, progress) if shrink.edits else {}
        return _fitted(shrink, features, moved, progress)

    found = stored(source.home, identity, produce)
    of = {name: Affine(found.state[f"{name}.mean"], matrix) for name, matrix in found.tables.items()}
    facts = {name: dict(zip(FACTS, found.state[f"{name}.facts"].tolist(), strict=True)) for name in of}
    return Fitted(of, identity, facts, found.notes)


def filtered_features(
    filters: Sequence[Shrink | None],
    dataset: Dataset,
    features: ItemFeatures,
    source: EditSource,
    progress: Progress = silent,
) -> ItemFeatures:
    """Return features as a model with a filter reads them; the features themselves without one.

    Args:
        filters: one filter, or None for none.
        dataset: the data set.
        features: of the clean catalog.
        source: home, and what edited items are encoded with.
        progress: reports what is fitted.

    Raises:
        RobustrecError: there are several filters, or as `fitted_filter`.
    """
    if len(filters) > 1:
        raise RobustrecError(
            f"{len(filters)} features cannot be encoded at once", where="--features", fix="name one of them"
        )
    if (shrink := filters[0]) is None:
        return features
    fitted = fitted_filter(shrink, dataset, features, source, progress)
    tables = FeatureFilter(fitted.of, {})(features.tables)
    return replace(
        features,
        name=with_filter(features.name, shrink),
        tables=tables,
        digest=tables_digest(tables),
        notes=(*features.notes, *fitted.notes),
        identity={**features.identity, "filter": dict(fitted.identity)},
    )


def displacements(
    dataset: Dataset, features: ItemFeatures, source: EditSource, progress: Progress = silent
) -> dict[str, NDArray[np.float32]]:
    """Return how edits of `SHRINK_ITEMS` random items move vectors, modality -> [n, D_m].

    Each item has one edit of its text and one of its picture, at severity 3; upload faults are left out. The items and
    edits are the same for every seed of a command; audits and trainings draw from other streams.

    Args:
        dataset: with texts or pictures.
        features: of the clean catalog.
        source: home, and what edited items are encoded with.
        progress: reports the number of encoded items.

    Raises:
        RobustrecError: the encoder fails.
    """
    languages = languages_of(source.language, source.vocabulary)
    applier = applier_of(dataset, source.home, 0, languages, stream=STREAM)
    encoder = row_encoder(dataset, features.name, home=source.home, options=source.options)
    edited = EditedRows(encoder, features, source.home, lambda _: None, progress)
    items: list[int] = []

    def rows() -> Iterator[Row]:
        for item, row in _edited(applier):
            items.append(item)
            yield row

    vectors = encode_all(rows(), edited.encode)
    moved = {name: (table - features.tables[name][items]).numpy() for name, table in vectors.items()}
    return {name: each[np.any(each != 0, axis=1)] for name, each in moved.items()}


def _edited(applier: EditApplier) -> Iterator[tuple[int, Row]]:
    """Yield (item, row) with an edit of its text, then of its picture, of those that change anything."""
    treatments = treatments_of(_edits())
    n_items = len(applier.rows)
    chosen = numpy_generator(0, STREAM, "items").permutation(n_items)[:SHRINK_ITEMS]
    for place, item in enumerate(chosen.tolist()):
        for modality in ("text", "image"):
            own = [each for each in treatments if each.modality == modality]
            in_turn = [own[(place + step) % len(own)] for step in range(len(own))]
            rows = (row for each in in_turn for _, row in applier.edited(each, item, (SEVERITY,), 0))
            if (row := next(rows, None)) is not None:
                yield item, row


def _edits() -> tuple[str, ...]:
    return tuple(name for name in EDITS if name not in FAULTS)


def _edits_identity(dataset: Dataset, features: ItemFeatures, source: EditSource) -> dict[str, Any]:
    return {
        "items": SHRINK_ITEMS,
        "names": list(_edits()),
        "severity": SEVERITY,
        "data": dataset.digest,
        "further photos": further_photos(dataset.catalog),
        "encoder": [features.name, dict(features.identity)],
        "languages": languages_of(source.language, source.vocabulary).digest,
        "code": digest_sources(Path(robustrec.edits.__file__).parent, Path(__file__)),
    }


def _fitted(shrink: Shrink, features: ItemFeatures, moved: Displacements, progress: Progress) -> Encoded:
    tables: dict[str, torch.Tensor] = {}
    state: dict[str, torch.Tensor] = {}
    notes: list[str] = []
    if shrink.edits and not any(len(each) for each in moved.values()):
        raise RobustrecError(
            "edits move no vector of these features, so that a filter cannot be fitted on them",
            where=f"--features {with_filter(features.name, shrink)}",
            fix=f"--features {with_filter(features.name, Shrink(kept=shrink.kept))}",
        )
    for place, (name, table) in enumerate(features.tables.items()):
        progress(f"fitting {shrink.label}", place, len(features.tables), name)
        own = moved.get(name, np.zeros((0, table.shape[1]), np.float32))
        fitted = (
            fit_shrink_edits(table.numpy(), shrink.kept, own) if len(own) else fit_shrink(table.numpy(), shrink.kept)
        )
        notes.append(f"{shrink.label}: {_words(name, fitted, len(own), isotropic=shrink.edits and not len(own))}")
        if fitted is None:
            continue
        tables[name] = torch.from_numpy(fitted.matrix)
        state[f"{name}.mean"] = torch.from_numpy(fitted.mean)
        facts = [fitted.kept, fitted.strength, fitted.norm, fitted.identity_weight or 0.0, float(len(own))]
        state[f"{name}.facts"] = torch.tensor(facts, dtype=torch.float64)
    return Encoded(tables, tuple(notes), state)


def _words(name: str, fitted: RowFilter | None, displaced: int, *, isotropic: bool) -> str:
    if fitted is None:
        return f"the {name} vectors are all equal and are left as they are"
    what = f"{name} keeps {fitted.kept:.1%} of the variance of the catalog, λ {fitted.strength:.3g}"
    if isotropic:
        return f"{what}; isotropic, as no edit moves a vector of it"
    return (
        f"{what}; fitted on {displaced} edited items, with other random draws than audits and trainings"
        if displaced
        else what
    )
