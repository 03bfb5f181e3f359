"""Toy data sets through the tiny BLIP, with a count of the rows that it encoded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from toy_shop import MakeDataset, toy_picture, toy_text

from robustrec.datasets.registry import Dataset
from robustrec.encoders import blip
from robustrec.encoders.features import ItemFeatures, edited_tables, item_features, row_encoder
from robustrec.encoders.networks import NetworkInput
from robustrec.encoders.options import EncoderOptions
from robustrec.encoders.rows import RowContent


class EncoderCase:
    """Encodes toy data sets with the tiny BLIP and counts the rows that went through the network."""

    def __init__(self, make: MakeDataset, weights: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.make, self.home = make, home
        self.options = EncoderOptions(weights=(str(weights),), device="cpu", batch_size=4, workers=2)
        self.encoded: list[str] = []
        vectors = blip.Blip.vectors

        def counted(network: blip.Blip, parts: Sequence[NetworkInput]) -> Any:
            self.encoded += [part.text for part in parts]
            return vectors(network, parts)

        monkeypatch.setattr(blip.Blip, "vectors", counted)

    def features(self, dataset: Dataset, name: str = "blip", **options: Any) -> ItemFeatures:
        given = self.options.model_copy(update=options)
        return item_features(dataset, name, home=self.home, options=given)

    def edited(self, dataset: Dataset, features: ItemFeatures, rows: dict[int, RowContent], name: str = "blip") -> Any:
        encoder = row_encoder(dataset, name, home=self.home, options=self.options)
        return edited_tables(dataset, features, rows, encoder)


def row(item: int, **changed: Any) -> RowContent:
    return replace(RowContent(toy_text(item), lambda: toy_picture(item)), **changed)


def chunks(home: Path) -> list[Path]:
    return sorted((home / "encodings").glob("*/*.safetensors"))
