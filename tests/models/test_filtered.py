"""Models on filtered features: the filter is applied once, first of all, and to whatever they are given."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

from robustrec.models import MODELS, modalities_of
from robustrec.models.contract import Batch, batch_loss, item_graphs, represent, training_constants
from robustrec.models.filtered import Affine, FeatureFilter, FilteredChunks, filtered_class
from robustrec.runs.prepared import Prepared
from robustrec.runs.specs import SubjectSpec
from robustrec.runs.trained import build_model
from robustrec.training.config import TrainingConfig
from robustrec.training.strategy_config import StrategyConfig

READERS = [name for name in MODELS if modalities_of(name)]


def filter_of(tables: dict[str, Tensor], factor: float = 0.5) -> FeatureFilter:
    """Halve the distance from the mean, and mix two columns, in every modality."""
    of = {}
    for name, table in tables.items():
        matrix = torch.eye(table.shape[1], dtype=torch.float64) * factor
        matrix[0, 1] = 0.25
        of[name] = Affine(table.double().mean(0), matrix)
    return FeatureFilter(of, tables)


def by_hand(tables: dict[str, Tensor], chosen: FeatureFilter) -> dict[str, Tensor]:
    return {
        name: (chosen.of[name].mean + (table.double() - chosen.of[name].mean) @ chosen.of[name].matrix.T).to(table)
        for name, table in tables.items()
    }


def model_of(name: str, prepared: Prepared, chosen: FeatureFilter | None = None) -> Any:
    model = build_model(SubjectSpec(name, {}, TrainingConfig(), StrategyConfig(), seed=0), prepared)
    if chosen is not None:
        kind = filtered_class(type(model))
        model.__class__ = kind
        model.feature_filter = chosen  # type: ignore[attr-defined]
    return model


@pytest.mark.parametrize("name", READERS)
def test_every_model_reads_what_the_filter_makes(name: str, tiny: Prepared) -> None:
    """Loss, vectors, graphs and constants are those of the model on features filtered by hand: once, not twice."""
    chosen = filter_of(tiny.tables)
    plain, filtered = model_of(name, tiny), model_of(name, tiny, chosen)
    noisy = {key: table + 0.1 * torch.randn(table.shape) for key, table in tiny.tables.items()}
    batch = Batch(torch.tensor([0, 1, 2]), torch.tensor([3, 4, 5]), torch.tensor([6, 7, 8]))
    for tables in (tiny.tables, noisy):
        expected = by_hand(tables, chosen)
        found = []
        for model, own in ((filtered, tables), (plain, expected)):
            graphs, constants = item_graphs(model, own), training_constants(model, own, 3)
            loss = batch_loss(model, own, batch._replace(constants=constants), graphs).total
            found.append((*represent(model, own, graphs), *represent(model, own, None), loss))
        for ours, theirs in zip(*found, strict=True):
            torch.testing.assert_close(ours, theirs)
    assert {key: value.shape for key, value in plain.state_dict().items()} == {
        key: value.shape for key, value in filtered.state_dict().items()
    }


def test_gradients_pass_the_filter(tiny: Prepared) -> None:
    chosen = filter_of(tiny.tables)
    model = copy.deepcopy(model_of("vbpr", tiny, chosen)).double()
    tables = {name: table.double().requires_grad_() for name, table in tiny.tables.items()}
    model.represent(tables).items.sum().backward()
    ours = tables["image"].grad
    plain = model_of("vbpr", tiny).double()
    made = {name: table.detach().requires_grad_() for name, table in by_hand(tables, chosen).items()}
    plain.represent(made).items.sum().backward()
    assert ours is not None
    assert made["image"].grad is not None
    torch.testing.assert_close(ours, made["image"].grad @ chosen.of["image"].matrix)


def test_a_kept_table_is_that_of_the_features_as_they_are_now(tiny: Prepared) -> None:
    """Features of training are kept between steps; one that is changed in place is filtered again."""
    chosen = filter_of(tiny.tables)
    changed = {name: table.clone() for name, table in tiny.tables.items()}
    first = chosen(changed, training=True)
    assert chosen(changed, training=True)["image"] is first["image"]
    changed["image"][3] += 1
    torch.testing.assert_close(chosen(changed, training=True)["image"], by_hand(changed, chosen)["image"])
    assert not torch.equal(chosen(changed)["image"], first["image"])
    assert chosen(tiny.tables)["image"] is chosen.clean["image"]


def test_rows_in_chunks_are_filtered_alike(tiny: Prepared) -> None:
    chosen = filter_of(tiny.tables)

    @dataclass
    class Chunks:
        def chunks(self) -> Iterator[dict[str, Tensor]]:
            for rows in (slice(0, 16), slice(16, None)):
                yield {name: table[rows] for name, table in tiny.tables.items()}

    parts = list(FilteredChunks(Chunks(), chosen).chunks())
    torch.testing.assert_close(torch.cat([part["text"] for part in parts]), chosen.clean["text"])


def test_replayed_passes_are_those_of_the_model_itself(tiny: Prepared) -> None:
    chosen = filter_of(tiny.tables)
    for name in ("vbpr", "slmrec"):
        plain, filtered = model_of(name, tiny), model_of(name, tiny, chosen)
        assert vars(type(filtered))["static_passes"] == vars(type(plain)).get("static_passes", False)
