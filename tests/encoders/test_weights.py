"""Weights: found, refused with the command that mends it, never half loaded, and without chatter."""

from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_networks import save_sentence
from toy_shop import MakeDataset, toy_picture, toy_text

from robustrec import digests
from robustrec.cli.main import run
from robustrec.encoders import weights
from robustrec.encoders.blip import Blip
from robustrec.encoders.features import item_features
from robustrec.encoders.options import EncoderOptions, encoder_options, options_of
from robustrec.encoders.rows import RowContent
from robustrec.encoders.stored_network import StoredNetwork
from robustrec.encoders.weights import digest_weights, load_tokenizer, locate, locate_captioner, quiet
from robustrec.errors import RobustrecError
from robustrec.files import digest_bytes


@pytest.fixture
def model_folder(tiny_blip: Path, tmp_path: Path) -> Path:
    """A copy of the tiny BLIP's matching model that a test may spoil."""
    return Path(shutil.copytree(tiny_blip / "itm", tmp_path / "model"))


def encode(make: MakeDataset, tmp_path: Path, place: object, **more: Any) -> Any:
    given = {"device": "cpu", "offline": True, **more}
    return item_features(
        make(3), "blip", home=tmp_path / "home", options=EncoderOptions(weights=(str(place),), **given)
    )


@pytest.mark.usefixtures("no_cache")
@pytest.mark.parametrize("network", ["blip", "blip2"])
def test_weights_that_are_nowhere_name_the_command(
    make_dataset: MakeDataset, tmp_path: Path, network: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub

    asked: list[bool] = []
    download = huggingface_hub.snapshot_download

    def counted(name: str, **how: Any) -> str:
        asked.append(how.get("local_files_only", False))
        return download(name, **how)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", counted)
    for offline in (True, False):  # the tests' HF_HUB_OFFLINE holds in both
        with pytest.raises(RobustrecError, match="offline") as caught:
            item_features(make_dataset(3), network, home=tmp_path, options=EncoderOptions(offline=offline))
        assert f"hf download {weights.HUB_NAMES[network]}" in caught.value.fix
        assert "--features minilm or basic" in caught.value.fix or network != "blip"
    assert asked == [True, True]


@pytest.fixture
def online(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tiny_blip: Path) -> list[Any]:
    """What a hub is asked for; it has the tiny BLIP with random weights as .bin files only."""
    import huggingface_hub
    from huggingface_hub import constants
    from huggingface_hub.errors import LocalEntryNotFoundError

    asked: list[Any] = []

    def hub(name: str, *, local_files_only: bool = False, allow_patterns: Any = None) -> str:
        if local_files_only:
            raise LocalEntryNotFoundError("not here")
        asked.append(allow_patterns)
        if "pytorch_model*.bin" in allow_patterns:
            shutil.copytree(tiny_blip / "itm", tmp_path / "hub" / name)
            (tmp_path / "hub" / name / "model.safetensors").rename(tmp_path / "hub" / name / "pytorch_model.bin")
        return str(tmp_path / "hub" / name)

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", hub)
    return asked


@pytest.mark.usefixtures("no_cache")
def test_online_the_hub_is_asked_for_safetensors_first(online: list[Any], tmp_path: Path) -> None:
    named = EncoderOptions(weights=("owner/model",))
    assert locate("blip", named, first="blip") == (tmp_path / "hub" / "owner/model", "owner/model")
    assert [patterns[-1] for patterns in online] == ["*.safetensors", "pytorch_model*.bin"]
    assert {"*.json", "*.txt", "*.model"} < set(online[0])


@pytest.mark.usefixtures("no_cache")
def test_a_hub_that_fails_names_the_command(online: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "rglob", lambda *_: 1 / 0)
    with pytest.raises(RobustrecError, match="ZeroDivisionError") as caught:
        locate("blip", EncoderOptions(weights=("some/where",)), first="blip")
    assert "hf download some/where" in caught.value.fix
    assert len(online) == 1


@pytest.mark.usefixtures("no_cache")
@pytest.mark.parametrize("network", ["blip", "blip2", "captioner"])
def test_no_weights_are_fetched_that_nobody_named(online: list[Any], network: str) -> None:
    with pytest.raises(RobustrecError, match="not found in the local cache") as caught:
        locate(network, EncoderOptions(), first=network)
    assert f"hf download {weights.HUB_NAMES[network]}" in caught.value.fix
    assert online == []


@pytest.mark.parametrize("place", ["./nothing", "/nothing/at/all", "a/b/c", "plain"])
def test_a_path_that_is_no_folder_is_refused_before_any_hub(
    make_dataset: MakeDataset, tmp_path: Path, place: str
) -> None:
    with pytest.raises(RobustrecError, match="is not a directory"):
        encode(make_dataset, tmp_path, place)


def lose_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def lose_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer_config.json").unlink()


def lose_processor(folder: Path) -> None:
    (folder / "preprocessor_config.json").unlink()


def odd_processor(folder: Path) -> None:
    config = json.loads((folder / "preprocessor_config.json").read_text())
    (folder / "preprocessor_config.json").write_text(json.dumps({**config, "size": {"shortest_edge": 32}}))


def cut_weights(folder: Path) -> None:
    content = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(content[: len(content) // 2])


def lose_a_parameter(folder: Path) -> None:
    state = load_file(folder / "model.safetensors")
    del state["itm_head.weight"]
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})


def odd_shape(folder: Path) -> None:
    state = load_file(folder / "model.safetensors")
    state["itm_head.weight"] = torch.zeros(3, 48)
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})


def pickled(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(b"cos\nsystem\n(S'touch never'\ntR.")


def no_config(folder: Path) -> None:
    (folder / "config.json").write_text("{")


def small_vocabulary(folder: Path) -> None:
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokenizer["model"]["vocab"]["zebra"] = 5000
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))


def not_a_number(folder: Path) -> None:
    state = load_file(folder / "model.safetensors")
    state["vision_model.post_layernorm.weight"][3] = float("nan")
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})


SPOILED = {
    lose_weights: "cannot load BlipForImageTextRetrieval",
    cut_weights: "cannot load BlipForImageTextRetrieval",
    pickled: "cannot load BlipForImageTextRetrieval",
    no_config: "cannot be read: not valid JSON",
    lose_a_parameter: "1 parameters are missing .itm_head.weight.",
    odd_shape: "cannot load BlipForImageTextRetrieval",
    lose_tokenizer: "cannot load tokenizer",
    small_vocabulary: "it has token id 5000",
    lose_processor: "no usable picture processor",
    odd_processor: "no usable picture processor",
    not_a_number: "NaN or infinity",
}


@pytest.mark.parametrize("spoil", SPOILED, ids=lambda spoil: spoil.__name__)
def test_half_a_model_is_never_used(
    make_dataset: MakeDataset, tmp_path: Path, model_folder: Path, spoil: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    spoil(model_folder)
    with pytest.raises(RobustrecError, match=SPOILED[spoil]):
        encode(make_dataset, tmp_path, model_folder)
    assert capfd.readouterr() == ("", "")
    assert not list((tmp_path / "home").glob("encodings/*/*.safetensors"))


def test_weights_of_another_kind_of_model_are_refused(
    make_dataset: MakeDataset, tmp_path: Path, tiny_blip: Path, tiny_blip2: Path
) -> None:
    for other in (tiny_blip / "caption", tiny_blip2):
        with pytest.raises(RobustrecError, match=r"cannot load|parameters are missing"):
            encode(make_dataset, tmp_path, other)


def test_plain_bin_weights_are_read_by_the_loader_that_runs_no_code(
    make_dataset: MakeDataset, tmp_path: Path, model_folder: Path
) -> None:
    whole = encode(make_dataset, tmp_path, model_folder)
    torch.save(load_file(model_folder / "model.safetensors"), model_folder / "pytorch_model.bin")
    (model_folder / "model.safetensors").unlink()
    again = encode(make_dataset, tmp_path, model_folder)
    assert again.identity != whole.identity
    torch.testing.assert_close(again.tables["image"], whole.tables["image"], atol=1e-5, rtol=0)


def test_enc_is_the_tokenizers_or_the_last_of_the_vocabulary(tiny_blip: Path, tmp_path: Path) -> None:
    blip = Blip(EncoderOptions(weights=(str(tiny_blip),), device="cpu"), tmp_path)
    tokenizer = load_tokenizer(weights.Weights(tiny_blip / "itm", "tiny"), 10_000)
    config = {"text_config": {"vocab_size": 30524}}
    assert blip.loaded.first_token == tokenizer.convert_tokens_to_ids("[ENC]") < 200
    # Salesforce's checkpoints come with BERT's own vocabulary.
    assert blip._first_token({"[CLS]": 2}, 2, config) == 30523


def test_the_captioner_lies_beside_or_is_named(tiny_blip: Path, tmp_path: Path) -> None:
    both = EncoderOptions(weights=(str(tiny_blip),))
    assert locate_captioner(both, first="blip").folder == tiny_blip / "caption"
    named = EncoderOptions(weights=(str(tmp_path), f"captioner={tiny_blip / 'caption'}"))
    assert locate_captioner(named, first="blip").folder == tiny_blip / "caption"


def test_weights_are_hashed_once(model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digests, "_SETTLED_NS", -1)
    cache = tmp_path / "cache"
    first = digest_weights(model_folder, cache)
    with monkeypatch.context() as patch:
        patch.setattr(digests, "digest_file", lambda path: pytest.fail(f"read {path}"))
        assert digest_weights(model_folder, cache) == first
    (model_folder / "config.json").write_text((model_folder / "config.json").read_text() + "\n")
    assert digest_weights(model_folder, cache) != first
    (cache / next(iter(cache.iterdir())).name).write_text("{half")
    digest_weights(model_folder, cache)


def test_quiet_is_quiet_and_gives_back_what_was(capfd: pytest.CaptureFixture[str]) -> None:
    from transformers.utils import logging as chatter

    before = chatter.get_verbosity(), chatter.is_progress_bar_enabled()
    with quiet():
        chatter.get_logger("transformers.modeling_utils").error("chatter")
        warnings.warn("chatter", UserWarning, stacklevel=1)
    assert (chatter.get_verbosity(), chatter.is_progress_bar_enabled()) == before
    assert "chatter" not in "".join(capfd.readouterr())
    assert logging.getLogger("transformers").level == before[0]


def test_options_are_checked() -> None:
    assert encoder_options({"weights": "x"}).weights == ("x",)
    for key, value in (("precison", "x"), ("precision", "float8"), ("threshold", 2), ("batch_size", 0)):
        with pytest.raises(RobustrecError, match=key):
            encoder_options({key: value})


def folder_of(tmp_path: Path, n: int = 6) -> Path:
    folder = tmp_path / "shop"
    (folder / "pictures").mkdir(parents=True)
    lines = ["userID\titemID\trating\ttimestamp\tx_label"]
    lines += [f"{user}\t{(user + step) % n}\t5.0\t{step}\t{step % 3}" for user in range(4) for step in range(5)]
    (folder / "shop.inter").write_text("\n".join(lines) + "\n")
    rows = [{"itemID": item, "title": toy_text(item), "image": f"{item}.png"} for item in range(n)]
    (folder / "items.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for item in range(n - 1):
        toy_picture(item).save(folder / "pictures" / f"{item}.png")
    return folder


def test_the_command_encodes_and_says_what_was_missing(
    tiny_blip: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    command = ["encode", "--dataset", str(folder_of(tmp_path)), "--features", "blip", "--weights", str(tiny_blip)]
    command += ["--device", "cpu", "--home", str(tmp_path / "home"), "--json", "--set", "encoder.batch_size=2"]
    assert run(command) == 0
    out, err = capfd.readouterr()
    rows = json.loads(out)
    assert [(row["modality"], row["encoder"], row["items"], row["width"]) for row in rows] == [
        ("image", "blip", 6, 48),
        ("text", "blip", 6, 48),
    ]
    lines = err.splitlines()
    assert lines[0] == "encoding with blip"
    assert lines[1:] == ["1 item without a picture: blank picture"]
    assert run([*command, "--denoise", "capfilt"]) == 0
    assert "capfilt, matching probability of at least 0.5:" in capfd.readouterr().err
    assert run([*command, "--set", "encoder.enc=false"]) == 2
    assert "unknown key 'enc'" in capfd.readouterr().err


def test_settings_reach_the_options(tmp_path: Path) -> None:
    from robustrec.config import resolve

    (tmp_path / "robustrec.toml").write_text('weights = "some/model"\n[set.encoder]\nside = 224\n')
    given = {"device": "cpu", "denoise": "capfilt"}
    resolved = resolve(given, environment={"ROBUSTREC_OFFLINE": "1"}, folder=tmp_path)
    options = options_of(resolved.settings)
    assert (options.weights, options.side, options.offline) == (("some/model",), 224, True)
    assert (options.device, options.denoise) == ("cpu", "capfilt")
    listed = resolve({}, environment={"ROBUSTREC_WEIGHTS": "a folder,captioner=b"}, folder=tmp_path)
    assert listed.settings.weights == ("a folder", "captioner=b")


def test_help_and_lists_load_neither_torch_nor_transformers() -> None:
    script = (
        "import sys; from robustrec.cli.main import run; run(sys.argv[1:]); "
        "assert not {'torch', 'transformers'} & set(sys.modules)"
    )
    for command in (["--help"], ["encode", "--help"], ["list", "encoders"]):
        done = subprocess.run([sys.executable, "-c", script, *command], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")


def test_a_warm_store_does_not_load_transformers(
    tiny_blip: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    script = "import sys; from robustrec.cli.main import run; print(run(sys.argv[1:]), 'transformers' in sys.modules)"
    command = ["encode", "--dataset", str(folder_of(tmp_path)), "--features", "blip", "--weights", str(tiny_blip)]
    command += ["--device", "cpu", "--home", str(tmp_path / "home"), "--quiet", "--json"]
    assert run(command) == 0
    cold = capfd.readouterr().out
    done = subprocess.run([sys.executable, "-c", script, *command], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == (f"{cold}0 False\n", "")


def test_a_folder_of_blip2s_processor_is_read_and_its_image_token_is_words(tiny_blip2: Path, tmp_path: Path) -> None:
    """The processor adds <image> beyond the vocabulary of the first stage, which no text may become."""
    from transformers import AutoTokenizer, Blip2Processor
    from transformers.models.blip.image_processing_pil_blip import BlipImageProcessorPil

    folder = Path(shutil.copytree(tiny_blip2, tmp_path / "blip2"))
    processor: Any = Blip2Processor(
        BlipImageProcessorPil.from_pretrained(folder), AutoTokenizer.from_pretrained(folder), num_query_tokens=32
    )
    for name in ("tokenizer.json", "tokenizer_config.json", "preprocessor_config.json"):
        (folder / name).unlink()
    processor.save_pretrained(folder)
    tokens = processor.tokenizer.get_vocab()
    assert tokens["<image>"] == len(tokens) - 1
    texts = ["a red lamp", "see <image> here", "image"]
    rows = [RowContent(text, lambda: toy_picture(1)) for text in texts]

    def encode_all(place: Path) -> torch.Tensor:
        options = EncoderOptions(weights=(str(place),), device="cpu")
        return StoredNetwork("blip2", options, tmp_path, first="blip2").uncached(rows, None).outputs["fused"]

    torch.testing.assert_close(encode_all(folder), encode_all(tiny_blip2))


def snapshot(tmp_path: Path, source: Path, revision: str = "0123") -> Path:
    """Put a model into a hub's cache as the hub's client does: links to blobs, and a name for the revision."""
    repository = tmp_path / "hub" / "models--owner--model"
    folder = repository / "snapshots" / revision
    (repository / "blobs").mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(revision)
    for file in sorted(file for file in source.rglob("*") if file.is_file()):
        name = file.relative_to(source)
        blob = repository / "blobs" / digest_bytes([str(name).encode()])
        shutil.copy(file, blob)
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).symlink_to(os.path.relpath(blob, (folder / name).parent))
    return folder


def interrupted(folder: Path) -> None:
    (folder.parent.parent / "blobs" / "0123.incomplete").touch()


def lost_blob(folder: Path) -> None:
    (folder / "model.safetensors").resolve().unlink()


def without(name: str) -> Any:
    def remove(folder: Path) -> None:
        (folder / name).unlink()

    return remove


LACKING = [
    (without("model.safetensors"), "no file of weights"),
    (without("config.json"), "config.json is missing"),
    (without("tokenizer.json"), "no tokenizer"),
    (without("preprocessor_config.json"), "preprocessor_config.json is missing"),
    (lost_blob, "a broken link"),
    (interrupted, "a download was interrupted"),
]


@pytest.mark.usefixtures("no_cache")
@pytest.mark.parametrize(("spoil", "says"), LACKING, ids=[says for _, says in LACKING])
def test_a_partial_snapshot_is_not_taken_for_a_whole_one(
    tiny_blip: Path, tmp_path: Path, spoil: Any, says: str
) -> None:
    folder = snapshot(tmp_path, tiny_blip / "itm")
    named = EncoderOptions(weights=("owner/model",), offline=True)
    assert locate("blip", named, first="blip").folder == folder
    spoil(folder)
    with pytest.raises(RobustrecError, match="is incomplete") as caught:
        locate("blip", named, first="blip")
    assert says in caught.value.what
    assert "hf download owner/model" in caught.value.fix


@pytest.mark.usefixtures("no_cache")
@pytest.mark.parametrize("name", ["modules.json", "1_Pooling/config.json"])
def test_a_snapshot_without_its_pooling_is_partial(tmp_path: Path, name: str) -> None:
    source = save_sentence(tmp_path / "sentence")
    (source / "1_Pooling").mkdir()
    (source / "1_Pooling" / "config.json").write_text('{"pooling_mode": "cls"}')
    (source / "sentence_bert_config.json").write_text('{"max_seq_length": 32}')
    kinds = [{"path": "", "type": "sentence_transformers.models.Transformer"},
             {"path": "1_Pooling", "type": "sentence_transformers.models.Pooling"}]  # fmt: skip
    (source / "modules.json").write_text(json.dumps(kinds))
    folder = snapshot(tmp_path, source)
    named = EncoderOptions(weights=("owner/model",), offline=True)
    assert locate("minilm", named, first="minilm").folder == folder
    (folder / name).unlink()
    with pytest.raises(RobustrecError, match=f"is incomplete: {name} is missing"):
        locate("minilm", named, first="minilm")


@pytest.mark.usefixtures("no_cache")
def test_online_a_partial_snapshot_is_completed(
    tiny_blip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub
    from huggingface_hub import constants

    folder = snapshot(tmp_path, tiny_blip / "itm")
    target = (folder / "tokenizer.json").readlink()
    (folder / "tokenizer.json").unlink()
    download = huggingface_hub.snapshot_download

    def hub(name: str, *, local_files_only: bool = False, allow_patterns: Any = None) -> str:
        if local_files_only:
            return str(download(name, local_files_only=True))
        (folder / "tokenizer.json").symlink_to(target)
        return str(folder)

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", hub)
    assert locate("blip", EncoderOptions(weights=("owner/model",)), first="blip").folder == folder
    assert (folder / "tokenizer.json").is_file()
