"""Imported features with a built-in encoder: unchanged content, missing content, fused vectors, and the comparison."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from toy_shop import MakeDataset, toy_picture, toy_text

from robustrec.encoders.features import ItemFeatures, edited_tables, item_features, row_encoder
from robustrec.encoders.matching import Compared, fault_of_rows
from robustrec.encoders.options import EncoderOptions
from robustrec.encoders.rows import RowContent, catalog_rows
from robustrec.encoders.visibility import picture_views
from robustrec.errors import RobustrecError

OPTIONS = {"device": "cpu", "offline": True, "batch_size": 4}
Case = Callable[..., tuple[Any, ItemFeatures, ItemFeatures]]


@pytest.fixture
def case(make_dataset: MakeDataset, tmp_path: Path) -> Case:
    """Make a data set whose feature files are the vectors of `tiny-blip`, and return the features of both ways."""

    def make(
        change: Callable[[Any], Any] = lambda table: table, **given: Any
    ) -> tuple[Any, ItemFeatures, ItemFeatures]:
        dataset = make_dataset(12, **given)
        direct = item_features(dataset, "tiny-blip", home=tmp_path / "home", options=EncoderOptions(**OPTIONS))
        files = {}
        for name, table in direct.tables.items():
            files[name] = tmp_path / f"{name}_feat.npy"
            np.save(files[name], change(table.numpy()))
        dataset = replace(dataset, feature_files=files)
        return dataset, direct, item_features(dataset, "imported", home=tmp_path / "home", options=options())

    return make


def options(encoder: str = "tiny-blip") -> EncoderOptions:
    return EncoderOptions(encoder=encoder, **OPTIONS)


def test_edited_rows_are_those_of_the_encoder_and_unchanged_ones_keep_their_bits(case: Case, tmp_path: Path) -> None:
    dataset, direct, again = case(lambda table: table.astype(np.float16))
    rows = catalog_rows(dataset.catalog, tmp_path / "home" / "digests")
    edits = {
        2: replace(rows[2], text="another text"),
        5: RowContent(rows[5].text, lambda: toy_picture(9)),
        7: rows[7],
    }
    encoder = row_encoder(dataset, "imported", home=tmp_path / "home", options=options())
    found = edited_tables(dataset, again, edits, encoder).tables
    blip = row_encoder(dataset, "tiny-blip", home=tmp_path / "home", options=EncoderOptions(**OPTIONS))
    expected = edited_tables(dataset, direct, edits, blip).tables
    for name, table in found.items():
        torch.testing.assert_close(table[[2, 5]], expected[name][[2, 5]], atol=1e-5, rtol=0)
        assert torch.equal(table[7], again.tables[name][7])
        untouched = [item for item in range(12) if item not in edits]
        assert torch.equal(table[untouched], again.tables[name][untouched])
    assert again.weights == direct.weights
    assert picture_views(encoder) == picture_views(blip)
    assert len(picture_views(encoder)) == 1


def test_missing_content_gets_the_row_that_the_file_has_for_it(case: Case, tmp_path: Path) -> None:
    texts = [toy_text(item) if item != 3 else "" for item in range(12)]

    def zero_missing(table: Any) -> Any:
        copy = table.copy()
        copy[3] = 0
        return copy

    dataset, _, again = case(zero_missing, texts=texts, pictures={3: None})
    encoder = row_encoder(dataset, "imported", home=tmp_path / "home", options=options())
    found = edited_tables(dataset, again, {6: RowContent("", lambda: None)}, encoder)
    assert not found.tables["text"][6].any()
    assert "1 edited item without content for text: the imported row of items without content" in found.notes
    dataset, _, again = case()
    encoder = row_encoder(dataset, "imported", home=tmp_path / "home", options=options())
    found = edited_tables(dataset, again, {6: RowContent("", lambda: None)}, encoder)
    torch.testing.assert_close(found.tables["text"][6], again.tables["text"].mean(0), atol=1e-6, rtol=0)


def test_an_encoder_that_makes_no_imported_modality_or_has_nothing_to_read(case: Case, tmp_path: Path) -> None:
    dataset, _, _ = case()
    only = replace(dataset, feature_files={"audio": dataset.feature_files["text"]})
    with pytest.raises(RobustrecError, match="makes image and text, but the imported features are audio"):
        item_features(only, "imported", home=tmp_path / "home", options=options())
    bare = replace(dataset, catalog=None)
    with pytest.raises(RobustrecError, match="has no catalog, so that no item can be encoded again"):
        item_features(bare, "imported", home=tmp_path / "home", options=options())


def compared(table: torch.Tensor, again: torch.Tensor) -> Compared:
    return Compared("text", list(range(len(again))), table, again)


def test_limits_of_the_comparison() -> None:
    rows = torch.randn(20, 64, generator=torch.Generator().manual_seed(0))
    other = torch.randn(20, 64, generator=torch.Generator().manual_seed(1))
    other -= rows * ((other * rows).sum(1) / rows.square().sum(1))[:, None]
    other *= (rows.norm(dim=1) / other.norm(dim=1))[:, None]

    def at(cosine: float) -> torch.Tensor:
        return cosine * rows + (1 - cosine**2) ** 0.5 * other

    assert fault_of_rows(compared(rows, at(0.9991))) is None
    assert fault_of_rows(compared(rows, at(0.9989))) is not None
    assert fault_of_rows(compared(rows * 1.009, rows)) is None
    fault = fault_of_rows(compared(rows * 1.02, rows))
    assert fault is not None
    assert "are 1.02 times as long" in fault.what
    one = rows.clone()
    one[4] *= 1.1
    assert fault_of_rows(compared(one, rows)) is not None
    zero = rows.clone()
    zero[4] = 0
    assert fault_of_rows(compared(zero, zero)) is None  # both are zero
    fault = fault_of_rows(compared(zero, rows))
    assert fault is not None
    assert "worst: item 4 (0.000)" in fault.what
