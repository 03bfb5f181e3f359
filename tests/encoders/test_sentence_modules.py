"""A folder of sentence-transformers gives the vectors that its own files describe, for texts of any length."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from tiny_networks import WIDTH, save_roberta, save_sentence
from torch import Tensor

from robustrec.encoders.hf_text import HfText
from robustrec.encoders.options import EncoderOptions
from robustrec.encoders.rows import RowContent
from robustrec.encoders.stored_network import StoredNetwork
from robustrec.errors import RobustrecError

TEXTS = ["red lamp", "a", "wool rug of green cups " * 9, "", "cup " * 400]
POOLINGS = {
    "cls": lambda h: h[0],
    "max": lambda h: h.amax(dim=0),
    "mean": lambda h: h.mean(dim=0),
    "mean_sqrt_len_tokens": lambda h: h.sum(dim=0) / len(h) ** 0.5,
    "weightedmean": lambda h: sum((t + 1) * v for t, v in enumerate(h)) / sum(range(1, len(h) + 1)),
    "lasttoken": lambda h: h[-1],
}
OLD_KEYS = {
    "cls": "pooling_mode_cls_token",
    "max": "pooling_mode_max_tokens",
    "mean": "pooling_mode_mean_tokens",
    "mean_sqrt_len_tokens": "pooling_mode_mean_sqrt_len_tokens",
    "weightedmean": "pooling_mode_weightedmean_tokens",
    "lasttoken": "pooling_mode_lasttoken",
}
LIBRARY = "sentence_transformers.models."


@pytest.fixture(scope="session")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT with random weights, without any file of sentence-transformers."""
    return save_sentence(tmp_path_factory.mktemp("plain"))


@pytest.fixture
def folder(plain: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    return Path(shutil.copytree(plain, tmp_path / "model"))


def write(file: Path, content: Any) -> None:
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(content))


def describe(folder: Path, *kinds: str, pooling: Any = None, **settings: Any) -> Path:
    """Write modules.json, and the pooling's configuration beside it."""
    kinds = ("Transformer", "Pooling", *kinds)
    modules = [
        {"idx": place, "name": str(place), "path": f"{place}_{kind}" if place else "", "type": LIBRARY + kind}
        for place, kind in enumerate(kinds)
    ]
    write(folder / "modules.json", modules)
    write(folder / "1_Pooling" / "config.json", {"word_embedding_dimension": WIDTH, **(pooling or {})})
    if settings:
        write(folder / "sentence_bert_config.json", settings)
    return folder


def encode(folder: Path, home: Path, texts: Sequence[str] = TEXTS, **more: Any) -> Tensor:
    options = EncoderOptions(weights=(str(folder),), device="cpu", batch_size=1, **more)
    rows = [RowContent(text, lambda: None) for text in texts]
    return StoredNetwork("minilm", options, home, first="minilm").uncached(rows, None).outputs["sentence"]


def states(folder: Path, longest: int, texts: Sequence[str] = TEXTS) -> list[Tensor]:
    """Return what transformers gives by hand, a text at a time: [T, D] each."""
    from transformers import AutoModel, AutoTokenizer

    model, tokenizer = AutoModel.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    with torch.no_grad():
        return [
            model(**tokenizer(text, truncation=True, max_length=longest, return_tensors="pt")).last_hidden_state[0]
            for text in texts
        ]


@pytest.mark.parametrize("old", [True, False], ids=["old keys", "new key"])
@pytest.mark.parametrize("name", POOLINGS)
def test_the_folders_own_pooling(folder: Path, tmp_path: Path, name: str, *, old: bool) -> None:
    keys = {key: mode == name for mode, key in OLD_KEYS.items()} if old else {"pooling_mode": name}
    describe(folder, pooling=keys)
    expected = torch.stack([POOLINGS[name](each) for each in states(folder, 64)])
    torch.testing.assert_close(encode(folder, tmp_path), expected, atol=1e-5, rtol=1e-5)


def test_poolings_are_joined_and_normalised(folder: Path, tmp_path: Path) -> None:
    describe(folder, "Normalize", pooling={"pooling_mode": ["cls", "mean"]})
    expected = torch.stack([torch.cat([POOLINGS["cls"](each), POOLINGS["mean"](each)]) for each in states(folder, 64)])
    found = encode(folder, tmp_path)
    torch.testing.assert_close(found, torch.nn.functional.normalize(expected, dim=1), atol=1e-5, rtol=0)


def test_without_modules_it_is_the_mean_with_norm_one_and_said(folder: Path, tmp_path: Path) -> None:
    expected = torch.stack([each.mean(dim=0) for each in states(folder, 64)])
    torch.testing.assert_close(
        encode(folder, tmp_path), torch.nn.functional.normalize(expected, dim=1), atol=1e-5, rtol=0
    )
    network = HfText(EncoderOptions(weights=(str(folder),), device="cpu"), tmp_path, name="minilm")
    assert "has no modules.json" in network.notes({})[0]
    described = HfText(EncoderOptions(weights=(str(describe(folder)),), device="cpu"), tmp_path, name="minilm")
    assert described.notes({}) == []


@pytest.mark.parametrize("activation", ["Tanh", "Identity"])
def test_a_dense_module_is_carried_out(folder: Path, tmp_path: Path, activation: str) -> None:
    describe(folder, "Dense", "Normalize")
    generator = torch.Generator().manual_seed(1)
    weight, bias = torch.randn(7, WIDTH, generator=generator), torch.randn(7, generator=generator)
    config = {"in_features": WIDTH, "out_features": 7, "bias": True}
    kind = "linear" if activation == "Identity" else "activation"
    write(
        folder / "2_Dense" / "config.json", {**config, "activation_function": f"torch.nn.modules.{kind}.{activation}"}
    )
    save_file({"linear.weight": weight, "linear.bias": bias}, folder / "2_Dense" / "model.safetensors")
    pooled = torch.stack([each.mean(dim=0) for each in states(folder, 64)]) @ weight.T + bias
    expected = torch.nn.functional.normalize(pooled.tanh() if activation == "Tanh" else pooled, dim=1)
    torch.testing.assert_close(encode(folder, tmp_path), expected, atol=1e-5, rtol=0)


def test_length_case_and_prompt(folder: Path, tmp_path: Path) -> None:
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokenizer["normalizer"]["lowercase"] = False
    write(folder / "tokenizer.json", tokenizer)
    write(folder / "tokenizer_config.json", {**json.loads((folder / "tokenizer_config.json").read_text()),
                                             "do_lower_case": False})  # fmt: skip
    describe(folder, max_seq_length=9)
    cased = encode(folder, tmp_path, ["Red Lamp", TEXTS[2]])
    short = torch.stack([each.mean(dim=0) for each in states(folder, 9, ["Red Lamp", TEXTS[2]])])
    torch.testing.assert_close(cased, short, atol=1e-5, rtol=1e-5)
    describe(folder, max_seq_length=9, do_lower_case=True)
    lowered = encode(folder, tmp_path, ["Red Lamp"])
    torch.testing.assert_close(lowered, encode(folder, tmp_path, ["red lamp"]))
    assert (lowered - cased[:1]).abs().max() > 0.01
    write(
        folder / "config_sentence_transformers.json",
        {"prompts": {"query": "find ", "document": "lamp: "}, "default_prompt_name": "document"},
    )
    prompted = encode(folder, tmp_path, ["red"])
    expected = states(folder, 9, ["lamp: red"])[0].mean(dim=0)
    torch.testing.assert_close(prompted[0], expected, atol=1e-5, rtol=1e-5)


def test_what_the_modules_say_is_part_of_the_identity(folder: Path, tmp_path: Path) -> None:
    def digest() -> Any:
        return HfText(EncoderOptions(weights=(str(folder),), device="cpu"), tmp_path / "cache", name="minilm").identity[
            "weights"
        ]

    found = [digest()]
    describe(folder, pooling={"pooling_mode": "mean"})
    found.append(digest())
    write(folder / "1_Pooling" / "config.json", {"pooling_mode": "cls_"[:3]})
    found.append(digest())
    describe(folder, pooling={"pooling_mode": "cls"}, max_seq_length=7)
    found.append(digest())
    assert len(set(found)) == 4


@pytest.mark.parametrize(
    ("file", "content", "says"),
    [
        ("modules.json", [{"path": "", "type": "planted.Transformer"}], "code that is not part of the library"),
        ("modules.json", [{"path": "", "type": LIBRARY + "CLIPModel"}], "module 'CLIPModel' is not supported"),
        ("modules.json", [{"path": "", "type": LIBRARY + "Transformer"}], "must be Transformer and Pooling"),
        ("modules.json", [{"path": "..", "type": LIBRARY + "Transformer"}], "is outside the folder"),
        ("modules.json", {"path": ""}, "expected a list of modules"),
        ("1_Pooling/config.json", {"pooling_mode": "median"}, "pooling 'median' is not supported"),
        ("1_Pooling/config.json", {"pooling_mode_median": True}, "'pooling_mode_median' is not supported"),
        ("2_Dense/config.json", {"activation_function": "planted.Act"}, "activation 'planted.Act' is not supported"),
        ("2_Dense/config.json", {"activation_function": "torch.nn.modules.linear.Identity", "use_residual": True},
         "use_residual"),
        ("sentence_bert_config.json", {"max_seq_length": -1}, "max_seq_length must be"),
        ("sentence_bert_config.json", {"max_seq_length": "long"}, "max_seq_length must be"),
        ("sentence_bert_config.json", {"modality_config": {"text": {"method_output_name": "pooler_output"}}},
         "output 'pooler_output' of the network is not supported"),
        ("config_sentence_transformers.json", {"default_prompt_name": "x", "prompts": {}}, "default_prompt_name 'x'"),
    ],
)  # fmt: skip
def test_what_is_not_supported_is_refused_by_name(
    folder: Path, tmp_path: Path, file: str, content: Any, says: str
) -> None:
    describe(folder, "Dense")
    write(folder / "2_Dense" / "config.json", {"activation_function": "torch.nn.modules.linear.Identity"})
    write(folder / file, content)
    with pytest.raises(RobustrecError) as caught:
        HfText(EncoderOptions(weights=(str(folder),), device="cpu"), tmp_path, name="minilm")
    assert says in caught.value.what
    assert str(folder) in caught.value.where


def test_a_network_in_a_subfolder(plain: Path, folder: Path, tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    whole.mkdir()
    describe(whole)
    modules = json.loads((whole / "modules.json").read_text())
    modules[0]["path"] = "0_Transformer"
    write(whole / "modules.json", modules)
    shutil.copytree(plain, whole / "0_Transformer")
    torch.testing.assert_close(encode(whole, tmp_path), encode(describe(folder), tmp_path))


@pytest.mark.parametrize("given", [None, 5, 20, 1000])
def test_no_length_of_text_is_too_long_for_a_roberta(tmp_path: Path, given: int | None) -> None:
    """Positions begin after the padding token's id: 20 of them leave 18."""
    folder = save_roberta(tmp_path / "roberta", positions=20)
    if given is not None:
        describe(folder, max_seq_length=given)
    texts = ["red " * length for length in (0, 1, 15, 16, 17, 18, 19, 20, 21, 500)]
    found = encode(folder, tmp_path, texts)
    network = HfText(EncoderOptions(weights=(str(folder),), device="cpu"), tmp_path, name="minilm")
    assert network.loaded.longest == min(given or 18, 18)
    assert torch.isfinite(found).all()
    # From the limit on, nothing that follows is read.
    torch.testing.assert_close(found[-1], found[network.loaded.longest - 13 if given != 5 else 2])


def test_a_model_that_needs_more_than_a_text_is_an_error(folder: Path, tmp_path: Path) -> None:
    from transformers import XmodConfig, XmodModel

    for name in ("config.json", "model.safetensors"):
        (folder / name).unlink()
    sizes: dict[str, Any] = {
        "hidden_size": 24,
        "intermediate_size": 24,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
    }
    XmodModel(XmodConfig(vocab_size=120, **sizes)).save_pretrained(folder)
    with pytest.raises(RobustrecError, match="hf-text does not support model_type 'xmod'"):
        encode(folder, tmp_path, ["red"])


def test_a_model_that_is_no_encoder_of_texts_is_refused(tiny_blip: Path, tmp_path: Path) -> None:
    with pytest.raises(RobustrecError, match="does not support model_type 'blip'"):
        encode(tiny_blip / "itm", tmp_path, ["red"])
