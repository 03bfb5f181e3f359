"""Feature files are used as they are, or refused by file and row."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch
from toy_shop import MakeDataset

from robustrec.encoders.features import encoder_state, item_features
from robustrec.errors import RobustrecError


def saved(path: Path, values: object) -> Path:
    np.save(path, values, allow_pickle=True)
    return path


@pytest.fixture
def image() -> np.ndarray:
    return np.random.default_rng(0).gamma(1.0, 30.0, (1500, 7))


def test_files_are_used_as_they_are(make_dataset: MakeDataset, tmp_path: Path, image: np.ndarray) -> None:
    text = image[:, :3].astype(np.float32)
    files = {
        "text": saved(tmp_path / "text_feat.npy", text),
        "image": saved(tmp_path / "image_feat.npy", image),
    }
    dataset = make_dataset(1500, feature_files=files, with_catalog=False, with_pictures=False)
    calls = []
    features = item_features(dataset, "auto", home=tmp_path, progress=lambda *call: calls.append(call))
    assert features.name == "imported"
    assert list(features.tables) == ["image", "text"]
    assert torch.equal(features.tables["image"], torch.from_numpy(image.astype(np.float32)))
    assert torch.equal(features.tables["text"], torch.from_numpy(text))
    assert calls[-1] == ("reading text features", 1500, 1500)
    assert features.digest == item_features(dataset, "imported", home=tmp_path).digest
    assert encoder_state(dataset, "imported", home=tmp_path) == {}
    assert not (tmp_path / "features").exists()
    text[3, 1] += 1
    np.save(files["text"], text)
    assert item_features(dataset, "imported", home=tmp_path).digest != features.digest


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e300])
def test_a_planted_value_is_named_by_file_and_row(
    make_dataset: MakeDataset, tmp_path: Path, image: np.ndarray, bad: float
) -> None:
    image[1234, 5] = bad
    path = saved(tmp_path / "image_feat.npy", image)
    dataset = make_dataset(1500, feature_files={"image": path}, with_pictures=False)
    with pytest.raises(RobustrecError, match=r"image_feat.npy row 1234 \(item 1234\), column 5") as caught:
        item_features(dataset, "imported", home=tmp_path)
    assert caught.value.where == str(path)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.zeros((9, 4)), "9 rows, but the data set has 10 items"),
        (np.zeros(10), "must be a numeric table"),
        (np.zeros((10, 0)), "must be a numeric table"),
        (np.zeros((10, 4), complex), "must be a numeric table"),
        (np.full((10, 4), "a"), "must be a numeric table"),
        (np.array([[{}] * 4] * 10, object), "cannot be read"),
    ],
)
def test_wrong_files_are_refused(make_dataset: MakeDataset, tmp_path: Path, values: np.ndarray, message: str) -> None:
    path = saved(tmp_path / "image_feat.npy", values)
    dataset = make_dataset(10, feature_files={"image": path}, with_pictures=False)
    with pytest.raises(RobustrecError, match=message):
        item_features(dataset, "imported", home=tmp_path)


@pytest.mark.parametrize("content", [b"", b"not an array", b"PK\x03\x04 half a zip", None])
def test_damaged_files_are_refused(make_dataset: MakeDataset, tmp_path: Path, content: bytes | None) -> None:
    path = saved(tmp_path / "text_feat.npy", np.zeros((10, 4)))
    path.write_bytes(path.read_bytes()[:-8] if content is None else content)
    dataset = make_dataset(10, feature_files={"text": path}, with_pictures=False)
    with pytest.raises(RobustrecError, match="cannot be read as a numpy array"):
        item_features(dataset, "imported", home=tmp_path)


def test_an_archive_is_refused(make_dataset: MakeDataset, tmp_path: Path) -> None:
    path = tmp_path / "text_feat.npy"
    with path.open("wb") as file:
        np.savez(file, a=np.zeros((10, 4)))
    dataset = make_dataset(10, feature_files={"text": path}, with_pictures=False)
    with pytest.raises(RobustrecError, match="cannot be read"):
        item_features(dataset, "imported", home=tmp_path)


def test_integers_are_cast(make_dataset: MakeDataset, tmp_path: Path) -> None:
    path = saved(tmp_path / "text_feat.npy", np.arange(40).reshape(10, 4))
    dataset = make_dataset(10, feature_files={"text": path}, with_pictures=False)
    table = item_features(dataset, "imported", home=tmp_path).tables["text"]
    assert table.dtype == torch.float32
    assert table[9, 3] == 39


def test_no_files_is_an_error(make_dataset: MakeDataset, tmp_path: Path) -> None:
    with pytest.raises(RobustrecError, match="no feature files") as caught:
        item_features(make_dataset(3), "imported", home=tmp_path)
    assert "--features basic" in caught.value.fix


def test_large_files_are_mapped_and_not_copied(
    make_dataset: MakeDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = np.random.default_rng(1).normal(size=(20_000, 64)).astype(np.float32)
    path = saved(tmp_path / "image_feat.npy", table)
    before = path.read_bytes()

    def peak() -> int:
        dataset = make_dataset(20_000, feature_files={"image": path}, with_catalog=False, with_pictures=False)
        tracemalloc.start()
        features = item_features(dataset, "imported", home=tmp_path)
        bytes_used = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert torch.equal(features.tables["image"], torch.from_numpy(table))
        features.tables["image"][:3] = 7.0  # as a model may that changes its arguments
        assert path.read_bytes() == before
        return bytes_used

    assert peak() > table.nbytes
    monkeypatch.setattr("robustrec.encoders.imported.MAPPED_BYTES", 1000)
    assert peak() < table.nbytes / 2


def test_a_value_in_a_mapped_file_is_named_by_row(
    make_dataset: MakeDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("robustrec.encoders.imported.MAPPED_BYTES", 1)
    table = np.ones((1500, 3), np.float32)
    table[1400, 2] = np.inf
    files = {"text": saved(tmp_path / "text_feat.npy", table)}
    with pytest.raises(RobustrecError, match=r"row 1400 \(item 1400\), column 2 is inf"):
        item_features(
            make_dataset(1500, feature_files=files, with_catalog=False, with_pictures=False), "auto", home=tmp_path
        )
