"""Encoder `basic`: sanity, purity, and its rules for items without content."""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from toy_shop import MakeDataset, toy_picture, toy_text

from robustrec.datasets.catalog import Catalog
from robustrec.datasets.pictures import PictureSource
from robustrec.encoders import basic, ngrams, pictures
from robustrec.encoders.features import MODALITIES, item_features
from robustrec.encoders.store import tables_digest
from robustrec.errors import RobustrecError


def similarity(table: torch.Tensor) -> torch.Tensor:
    unit = table / table.norm(dim=1, keepdim=True)
    return unit @ unit.T


def test_tables_have_the_promised_form(make_dataset: MakeDataset, tmp_path: Path) -> None:
    features = item_features(make_dataset(24), "basic", home=tmp_path)
    assert tuple(features.tables) == MODALITIES
    assert features.tables["image"].shape == (24, 512)
    assert features.tables["text"].shape == (24, 384)
    assert features.notes == ()
    for table in features.tables.values():
        assert table.dtype == torch.float32
        assert torch.isfinite(table).all()
        assert float(table.square().sum(dim=1).mean().sqrt()) == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("modality", MODALITIES)
@pytest.mark.parametrize("period", [4, 3], ids=["colour", "shape"])
def test_items_of_one_attribute_are_closer(make_dataset: MakeDataset, modality: str, period: int) -> None:
    _, tables, _ = basic.fit(make_dataset(96).catalog)
    near = similarity(tables[modality])
    kind = torch.arange(96) % period
    other = ~torch.eye(96, dtype=torch.bool)
    same = (kind[:, None] == kind[None, :]) & other
    assert near[same].mean() > near[other & ~same].mean() + 0.05


@pytest.mark.parametrize("batch", [[5], [3, 17, 5], list(range(23, -1, -1))])
def test_an_item_alone_gets_the_bits_it_gets_in_the_catalogue(make_dataset: MakeDataset, batch: list[int]) -> None:
    state, tables, _ = basic.fit(make_dataset(24).catalog)
    texts = basic.encode_texts(state, [toy_text(item) for item in batch])
    images = basic.encode_pictures(state, [toy_picture(item) for item in batch])
    assert torch.equal(texts, tables["text"][batch])
    assert torch.equal(images, tables["image"][batch])


def test_state_survives_its_tensors(make_dataset: MakeDataset) -> None:
    state, _, _ = basic.fit(make_dataset(12).catalog)
    again = basic.state_from_tensors(basic.state_to_tensors(state))
    unseen = ["a violet kettle"]
    assert torch.equal(basic.encode_texts(again, unseen), basic.encode_texts(state, unseen))
    assert torch.equal(basic.encode_pictures(again, [toy_picture(99)]), basic.encode_pictures(state, [toy_picture(99)]))


def test_an_edit_moves_its_item_and_a_bigger_edit_moves_it_more(make_dataset: MakeDataset) -> None:
    state, tables, _ = basic.fit(make_dataset(48).catalog)
    texts = basic.encode_texts(state, [toy_text(0), toy_text(0) + " sale", toy_text(1)])
    steps = (texts - tables["text"][0]).norm(dim=1)
    assert steps[0] == 0
    assert 0 < steps[1] < steps[2]
    badge = toy_picture(0)
    badge.paste((250, 0, 0), (44, 0, 64, 12))
    images = basic.encode_pictures(state, [toy_picture(0), badge, toy_picture(1)])
    steps = (images - tables["image"][0]).norm(dim=1)
    assert steps[0] == 0
    assert 0 < steps[1] < steps[2]


def test_empty_texts_get_the_mean_vector_and_are_counted(make_dataset: MakeDataset) -> None:
    texts = [toy_text(item) if item > 1 else " \n" * item for item in range(12)]
    state, tables, notes = basic.fit(make_dataset(12, texts=texts).catalog)
    assert notes == ("2 items without a text: mean vector",)
    mean = tables["text"][2:].mean(dim=0)
    torch.testing.assert_close(tables["text"][0], mean, atol=1e-6, rtol=0)
    assert torch.equal(tables["text"][0], tables["text"][1])
    assert torch.equal(basic.encode_texts(state, [""])[0], tables["text"][0])


def test_missing_and_unreadable_pictures_get_the_mean_vector_and_are_counted(
    make_dataset: MakeDataset,
) -> None:
    buffer = io.BytesIO()
    toy_picture(1).save(buffer, "PNG")
    wrong = {0: None, 1: buffer.getvalue()[:200], 2: b"no picture", 3: b"<html>", 4: b"GIF89a"}
    state, tables, notes = basic.fit(make_dataset(12, pictures=wrong).catalog)
    assert notes[0] == "1 item without a picture: mean vector"
    assert notes[1].startswith("4 items with an unreadable picture: mean vector (item 1: ")
    assert "item 3: " in notes[1]
    assert notes[1].endswith("; and 1 more)")
    torch.testing.assert_close(tables["image"][0], tables["image"][5:].mean(dim=0), atol=1e-6, rtol=0)
    for item in range(5):
        assert torch.equal(tables["image"][item], basic.encode_pictures(state, [None])[0])


def test_a_modality_without_content_is_absent(make_dataset: MakeDataset, tmp_path: Path) -> None:
    silent = item_features(make_dataset(6, texts=[""] * 6), "basic", home=tmp_path)
    assert tuple(silent.tables) == ("image",)
    assert silent.notes == ("no item has a text: no text features",)
    unseen = item_features(make_dataset(6, with_pictures=False), "basic", home=tmp_path)
    assert tuple(unseen.tables) == ("text",)
    assert unseen.notes == ("no item has a picture: no image features",)
    state, _, _ = basic.fit(make_dataset(6, with_pictures=False).catalog)
    with pytest.raises(RobustrecError, match="cannot encode a picture"):
        basic.encode_pictures(state, [toy_picture(0)])
    broken = item_features(make_dataset(3, pictures=dict.fromkeys(range(3), b"x")), "basic", home=tmp_path)
    assert tuple(broken.tables) == ("text",)
    assert broken.notes[0].startswith("3 items with an unreadable picture: no image features")


def test_no_content_at_all_is_an_error_that_names_what_needs_none(make_dataset: MakeDataset, tmp_path: Path) -> None:
    for dataset in (
        make_dataset(3, texts=[""] * 3, with_pictures=False),
        make_dataset(3, texts=[""] * 3, pictures=dict.fromkeys(range(3), b"x")),
        make_dataset(3, texts=[""] * 3, pictures=dict.fromkeys(range(3))),
        make_dataset(3, with_catalog=False),
    ):
        with pytest.raises(RobustrecError, match="no content") as caught:
            item_features(dataset, "auto", home=tmp_path)
        assert "--model bpr" in caught.value.fix
        assert "--model lightgcn" in caught.value.fix
    assert not list((tmp_path / "features").glob("[!.]*"))


def test_degenerate_catalogues_are_encoded(make_dataset: MakeDataset) -> None:
    for n, texts in ((1, ["one cup"]), (2, ["a", "!?"]), (5, ["same text"] * 5)):
        _, tables, _ = basic.fit(make_dataset(n, texts=texts).catalog)
        assert all(torch.isfinite(table).all() for table in tables.values())


@pytest.mark.parametrize(
    "text", ["x" * 300_000, "\x00\x01\x1b[31m", "<b>cup</b> &amp; saucer", "🎁🔥 CUP", "杯子 чашка", "\ud800"]
)
def test_strange_texts_are_encoded(make_dataset: MakeDataset, text: str, tmp_path: Path) -> None:
    features = item_features(make_dataset(4, texts=[text, "cup", "red lamp", "rug"]), "basic", home=tmp_path)
    assert torch.isfinite(features.tables["text"]).all()


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (900, 30)])
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK", "P", "1"])
def test_strange_pictures_are_described(size: tuple[int, int], mode: str) -> None:
    described = pictures.describe_picture(Image.new("RGB", size, (200, 10, 90)).convert(mode))
    assert described.shape == (pictures.WIDTH,)
    assert np.isfinite(described).all()
    assert np.linalg.norm(described) <= 1 + 1e-6


def test_keyword_stuffing_dilutes_instead_of_growing(make_dataset: MakeDataset) -> None:
    state, tables, _ = basic.fit(make_dataset(24).catalog)
    stuffed = basic.encode_texts(state, [toy_text(0) + " best gift sale" * 500])
    assert stuffed.norm() < 2 * tables["text"].norm(dim=1).max()


def test_inner_products_survive_the_sketch() -> None:
    texts = [toy_text(item) for item in range(30)]
    counts = ngrams.count_ngrams(texts)
    weights = ngrams.inverse_document_frequency(counts)
    sketched = ngrams.sketch(counts, weights).toarray()
    exact = np.zeros((len(texts), len(texts)))
    for first, share in ((0, ngrams.WORD_SHARE), (ngrams.BUCKETS, 1 - ngrams.WORD_SHARE)):
        part = slice(first, first + ngrams.BUCKETS)
        raw = counts[:, part].toarray()
        rows = np.where(raw > 0, 1 + np.log(np.maximum(raw, 1)), 0) * weights[part]
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        exact += share * rows @ rows.T
    error = sketched @ sketched.T - exact
    assert np.sqrt(np.mean(error**2)) < 2 / np.sqrt(ngrams.WIDTH)


_ENCODE = """
import json, sys
from pathlib import Path
from robustrec.datasets.catalog import Catalog
from robustrec.datasets.pictures import PictureSource
from robustrec.encoders import basic
from robustrec.encoders.store import tables_digest
texts, folder = json.loads(sys.argv[1]), Path(sys.argv[2])
pictures = PictureSource(folder, [f"{i}.png" for i in range(len(texts))])
state, tables, _ = basic.fit(Catalog(tuple(texts), tuple(texts), pictures))
print(tables_digest(tables), tables_digest(basic.state_to_tensors(state)))
"""


def test_two_processes_with_other_thread_counts_get_the_same_bits(make_dataset: MakeDataset) -> None:
    dataset = make_dataset(60)
    assert dataset.catalog is not None
    assert torch.get_num_threads() == 1, "of this process: tests/conftest.py"
    hash_seed = "7" if os.environ.get("PYTHONHASHSEED") != "7" else "0"
    environment = {**os.environ, "OMP_NUM_THREADS": "2", "PYTHONHASHSEED": hash_seed}
    command = [sys.executable, "-c", _ENCODE, json.dumps(dataset.catalog.texts), str(dataset.folder)]
    other = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout
    pictures = PictureSource(dataset.folder, [f"{i}.png" for i in range(len(dataset.catalog.texts))])
    state, tables, _ = basic.fit(Catalog(dataset.catalog.texts, dataset.catalog.texts, pictures))
    assert len(other) > 128
    assert other.split() == [tables_digest(tables), tables_digest(basic.state_to_tensors(state))]


def test_real_posters_and_texts(shared_folder: Path) -> None:
    folder = shared_folder / "data" / "movielens"
    if not folder.is_dir():
        pytest.skip("no movielens in ../shared/data")
    lines = (folder / "items.jsonl").read_text(encoding="utf-8").splitlines()[:300]
    items = [json.loads(line) for line in lines]
    with zipfile.ZipFile(folder / "posters.zip") as archive:
        names = set(archive.namelist())
    entries = [next((n for n in (item["image"], Path(item["image"]).name) if n in names), None) for item in items]
    texts = tuple(f"{i['title']} {i['genres'].replace('|', ' ')} {i['tags']} {i['overview']}" for i in items)
    catalog = Catalog(texts, texts, PictureSource(folder / "posters.zip", entries))
    _, tables, notes = basic.fit(catalog)
    assert notes == ()
    genres = [set(item["genres"].split("|")) for item in items]
    shared = torch.tensor([[len(a & b) / len(a | b) for b in genres] for a in genres])
    near = similarity(tables["text"]).fill_diagonal_(-2).topk(5, dim=1).indices
    assert shared.gather(1, near).mean() > 1.5 * shared.mean()
    assert len({hashlib.sha256(row.numpy().tobytes()).digest() for row in tables["image"]}) == len(items)
