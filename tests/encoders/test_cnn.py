"""Encoder `cnn`: the error where its library is not there, and the pooled vector where it is."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn
from toy_shop import MakeDataset

from robustrec.encoders import cnn
from robustrec.encoders.features import item_features
from robustrec.encoders.options import EncoderOptions
from robustrec.encoders.preprocessing import square_rule
from robustrec.errors import RobustrecError


class Classifier(nn.Module):
    """A little network in torchvision's way: features, pooling, and a classifier at the end."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 6, 3, stride=4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.classifier = nn.Sequential(nn.Linear(6, 7), nn.ReLU(), nn.Dropout(0.5), nn.Linear(7, 4))

    def forward(self, pixels: torch.Tensor) -> Any:
        return self.classifier(self.features(pixels))


@pytest.fixture
def torchvision(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> SimpleNamespace:
    """A stand-in for torchvision with one network, its weights not fetched yet."""
    torch.manual_seed(0)
    state = Classifier().state_dict()
    file = tmp_path / "hub" / "checkpoints" / "little-1.pth"

    def fetch(**how: Any) -> None:
        assert how == {"progress": False, "check_hash": True, "weights_only": True}
        file.parent.mkdir(parents=True)
        torch.save(state, file)

    weights = SimpleNamespace(url="https://somewhere/little-1.pth", get_state_dict=fetch)
    models = SimpleNamespace(
        list_models=lambda _: ["little"],
        get_model_weights=lambda _: SimpleNamespace(DEFAULT=weights),
        get_model=lambda name, weights: Classifier(),
    )
    made = SimpleNamespace(models=models)
    monkeypatch.setattr(cnn, "import_module", lambda _: made)
    monkeypatch.setattr(cnn, "find_spec", lambda _: made)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    return SimpleNamespace(file=file, state=state, weights=weights)


def options(**more: Any) -> EncoderOptions:
    return EncoderOptions(**{"weights": ("little",), "device": "cpu", "batch_size": 3, **more})


def test_the_vector_is_what_goes_into_the_last_layer(
    make_dataset: MakeDataset, tmp_path: Path, torchvision: SimpleNamespace
) -> None:
    dataset = make_dataset(5, pictures={4: None})
    features = item_features(dataset, "cnn", home=tmp_path, options=options())
    assert features.notes == ("1 item without a picture: mean vector",)
    assert tuple(features.tables) == ("image",)
    table = features.tables["image"]
    assert table.shape == (5, 7)
    torch.testing.assert_close(table[4], table[:4].mean(dim=0))
    classifier = Classifier().eval()
    classifier.load_state_dict(torchvision.state)
    shape = square_rule(224, cnn._MEAN, cnn._STD, fit="file")
    assert dataset.catalog is not None
    pixels = shape.normalised([shape.prepare(dataset.catalog.picture(0))], torch.device("cpu"), torch.float32)
    expected = classifier.classifier[:3](classifier.features(pixels))
    torch.testing.assert_close(table[:1], expected, atol=1e-6, rtol=0)


@pytest.mark.usefixtures("torchvision")
def test_offline_nothing_is_fetched(make_dataset: MakeDataset, tmp_path: Path) -> None:
    with pytest.raises(RobustrecError, match="this run is offline") as caught:
        item_features(make_dataset(2), "cnn", home=tmp_path, options=options(offline=True))
    assert "get_model('little'" in caught.value.fix


def test_no_backbone_is_fetched_that_nobody_named(
    make_dataset: MakeDataset, tmp_path: Path, torchvision: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cnn, "BACKBONE", "little")
    torchvision.weights.get_state_dict = lambda **_: pytest.fail("asked a network")
    with pytest.raises(RobustrecError, match="not found in the cache of torch"):
        item_features(make_dataset(2), "cnn", home=tmp_path, options=options(weights=()))


def test_a_fetch_that_fails_names_the_command(
    make_dataset: MakeDataset, tmp_path: Path, torchvision: SimpleNamespace
) -> None:
    torchvision.weights.get_state_dict = lambda **_: 1 / 0
    with pytest.raises(RobustrecError, match="ZeroDivisionError"):
        item_features(make_dataset(2), "cnn", home=tmp_path, options=options())


@pytest.mark.usefixtures("torchvision")
def test_an_unknown_backbone_is_refused(make_dataset: MakeDataset, tmp_path: Path) -> None:
    with pytest.raises(RobustrecError, match="unknown torchvision model 'large'"):
        item_features(make_dataset(2), "cnn", home=tmp_path, options=options(weights=("large",)))


@pytest.mark.skipif(find_spec("torchvision") is not None, reason="torchvision is installed")
def test_without_its_library_the_error_says_what_to_install(make_dataset: MakeDataset, tmp_path: Path) -> None:
    for name in ("cnn", "minilm+cnn"):
        with pytest.raises(RobustrecError, match="needs torchvision") as caught:
            item_features(make_dataset(2), name, home=tmp_path, options=EncoderOptions(device="cpu"))
        assert "pip install 'robustrec[cnn]'" in caught.value.fix


def test_a_folder_that_is_not_timms_is_refused(
    make_dataset: MakeDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "timm").mkdir()
    monkeypatch.setattr(cnn, "import_module", lambda _: SimpleNamespace())
    monkeypatch.setattr(cnn, "find_spec", lambda _: SimpleNamespace())
    with pytest.raises(RobustrecError, match="cannot load the timm model"):
        item_features(make_dataset(2), "cnn", home=tmp_path, options=options(weights=(str(tmp_path / "timm"),)))
