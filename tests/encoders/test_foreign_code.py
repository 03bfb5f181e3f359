"""A model folder is data: its Python never runs, whatever a folder asks for and whatever is typed on the terminal."""

from __future__ import annotations

import ast
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_families import save_clip, save_image
from tiny_networks import save_sentence
from toy_shop import toy_picture, toy_text

import robustrec
from robustrec.encoders.model_folders import check_model_folder
from robustrec.encoders.weights import Weights, load_model, load_tokenizer
from robustrec.errors import RobustrecError

PLANTED = """
from pathlib import Path
Path({marker!r}).write_text("ran")
from transformers import BertConfig, BertModel, BertTokenizer
from transformers.models.blip.image_processing_pil_blip import BlipImageProcessorPil
class PlantedConfig(BertConfig): model_type = "planted"
class PlantedModel(BertModel): config_class = PlantedConfig
class PlantedTokenizer(BertTokenizer): pass
class PlantedProcessor(BlipImageProcessorPil): pass
"""
SCRIPT = """
import json, sys
from robustrec.cli.main import run
for command in json.loads(sys.argv[1]):
    print("code", run(command), file=sys.stderr)
"""
AUTO_MAPS: dict[str, dict[str, Any]] = {
    "config.json": {
        "auto_map": {"AutoConfig": "planted.PlantedConfig", "AutoModel": "planted.PlantedModel"},
        "model_type": "planted",
    },
    "tokenizer_config.json": {
        "auto_map": {"AutoTokenizer": ["planted.PlantedTokenizer", None]},
        "tokenizer_class": "PlantedTokenizer",
    },
    "preprocessor_config.json": {
        "auto_map": {"AutoImageProcessor": "planted.PlantedProcessor"},
        "image_processor_type": "PlantedProcessor",
    },
}


@pytest.fixture(scope="session")
def sentence(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT with random weights."""
    return save_sentence(tmp_path_factory.mktemp("sentence"))


def changed(file: Path, values: dict[str, Any]) -> None:
    config = json.loads(file.read_text()) if file.is_file() else {}
    file.write_text(json.dumps({**config, **values}))


def plant(folder: Path, file: str, marker: Path) -> Path:
    """Return the folder with a module that writes a marker, and a configuration that names it."""
    (folder / "planted.py").write_text(PLANTED.format(marker=str(marker)))
    (folder / "__init__.py").write_text("")
    changed(folder / file, AUTO_MAPS[file])
    return folder


def shop(tmp_path: Path) -> Path:
    folder = tmp_path / "shop"
    (folder / "pictures").mkdir(parents=True)
    lines = ["userID\titemID\trating\ttimestamp\tx_label"]
    lines += [f"{user}\t{(user + step) % 4}\t5.0\t{step}\t{step % 3}" for user in range(4) for step in range(4)]
    (folder / "shop.inter").write_text("\n".join(lines) + "\n")
    rows = [{"itemID": item, "title": toy_text(item), "image": f"{item}.png"} for item in range(4)]
    (folder / "items.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for item in range(4):
        toy_picture(item).save(folder / "pictures" / f"{item}.png")
    return folder


def test_yes_on_the_terminal_runs_nothing(tiny_blip: Path, tiny_blip2: Path, sentence: Path, tmp_path: Path) -> None:
    """Every network with every file that can name a class, in one process that has "y" typed for ever."""
    marker = tmp_path / "marker"
    cases: list[tuple[str, str, str]] = []
    for encoder, source, part in [
        ("blip", tiny_blip, "itm"),
        ("blip", tiny_blip, "caption"),
        ("blip2", tiny_blip2, ""),
        ("minilm", sentence, ""),
        ("hf-text", sentence, ""),
        ("hf-dual", save_clip(tmp_path / "clip"), ""),
        ("hf-image", save_image(tmp_path / "image", "Dinov2"), ""),
    ]:
        for file in AUTO_MAPS:
            folder = tmp_path / f"{encoder}-{part}-{file}"
            shutil.copytree(source, folder)
            plant(folder / part, file, marker)
            cases.append((encoder, part, str(folder)))
    base = ["encode", "--dataset", str(shop(tmp_path)), "--device", "cpu", "--offline", "--quiet"]
    base += ["--home", str(tmp_path / "home")]
    commands = [
        [*base, "--features", encoder, "--weights", folder, *(["--denoise", "capfilt"] if part == "caption" else [])]
        for encoder, part, folder in cases
    ]
    with subprocess.Popen(["yes"], stdout=subprocess.PIPE) as typed:
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, json.dumps(commands)],
            stdin=typed.stdout, capture_output=True, text=True, check=False,
        )  # fmt: skip
        typed.kill()
    assert not marker.exists(), "the folder's module ran"
    assert done.stderr.count("code 2") == len(cases), done.stderr
    assert done.stderr.count("code that is not part of the library") == len(cases)
    assert "Traceback" not in done.stderr


def test_a_class_of_the_library_is_loaded_from_the_library(sentence: Path, tmp_path: Path) -> None:
    from transformers import AutoModel, BertModel

    marker = tmp_path / "marker"
    folder = Path(shutil.copytree(sentence, tmp_path / "model"))
    module = PLANTED.format(marker=str(marker)).replace("class PlantedModel", "class BertModel")
    (folder / "planted.py").write_text(module)
    changed(folder / "config.json", {"auto_map": {"AutoModel": "planted.BertModel"}})
    changed(folder / "tokenizer_config.json", {"auto_map": {"AutoTokenizer": ["planted.BertTokenizerFast", None]}})
    model = load_model(AutoModel, Weights(folder, "x"))
    assert type(model) is BertModel
    load_tokenizer(Weights(folder, "x"), model.config.vocab_size)
    assert not marker.exists()


@pytest.mark.parametrize(
    ("file", "values", "says"),
    [
        ("config.json", {"auto_map": {"AutoModel": "owner/name--modeling.BertModel"}}, "owner/name--modeling"),
        ("config.json", {"text_config": {"auto_map": {"AutoConfig": "planted.Planted"}}}, "planted.Planted"),
        ("config.json", {"auto_map": "planted.Planted"}, "planted.Planted"),
        ("config.json", {"auto_map": {"AutoModel": 7}}, "'7'"),
        ("config.json", {"model_type": "planted"}, "no model_type 'planted'"),
        ("config.json", {"attn_implementation": "owner/kernel"}, "owner/kernel"),
        ("config.json", {"vision_config": {"_attn_implementation": {"": "owner/kernel:entry"}}}, "owner/kernel"),
        ("config.json", {"quantization_config": {"quant_method": "awq"}}, "quantization_config"),
        ("config.json", {"transformers_weights": "../other.safetensors"}, "transformers_weights"),
        ("config.json", {"custom_pipelines": {"x": {"impl": "planted.Pipe"}}}, "custom_pipelines"),
        ("generation_config.json", {"custom_generate": "owner/name"}, "custom_generate"),
        ("processor_config.json", {"auto_map": {"AutoProcessor": "planted.Planted"}}, "planted.Planted"),
        ("tokenizer_config.json", {"auto_map": ["planted.Slow", "planted.Fast"]}, "planted.Slow"),
        ("tokenizer_config.json", {"vocab_file": "../secret.txt"}, "outside the folder"),
        ("config.json", {"num_hidden_layers": 10**9}, "at most 1000 layers"),
        ("config.json", {"vision_config": {"depths": [2, 10**9]}}, "at most 1000 layers"),
        ("adapter_config.json", {"base_model_name_or_path": "owner/base"}, "an adapter for another model"),
    ],
)
def test_whatever_leads_out_of_the_folder_is_refused(
    sentence: Path, tmp_path: Path, file: str, values: dict[str, Any], says: str
) -> None:
    folder = Path(shutil.copytree(sentence, tmp_path / "model"))
    (tmp_path / "secret.txt").write_text("[PAD]")
    check_model_folder(folder)
    changed(folder / file, values)
    with pytest.raises(RobustrecError) as caught:
        check_model_folder(folder)
    assert says in caught.value.what
    assert file in caught.value.where


def link_out(folder: Path) -> None:
    shutil.move(folder / "model.safetensors", folder.parent / "other.safetensors")
    (folder / "model.safetensors").symlink_to(folder.parent / "other.safetensors")


def dangling(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors").symlink_to("nowhere.safetensors")


def empty(folder: Path) -> None:
    (folder / "tokenizer.json").write_bytes(b"")


def pointer(folder: Path) -> None:
    (folder / "model.safetensors").write_text(
        "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 90868376\n"
    )


def shard_outside(folder: Path) -> None:
    shutil.move(folder / "model.safetensors", folder.parent / "other.safetensors")
    names = dict.fromkeys(load_file(folder.parent / "other.safetensors"), "../other.safetensors")
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": names}))


def shard_lost(folder: Path) -> None:
    state = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = {key: f"model-0000{1 + place % 2}-of-00002.safetensors" for place, key in enumerate(state)}
    part = {key: value for key, value in state.items() if names[key].startswith("model-00001")}
    save_file(part, folder / "model-00001-of-00002.safetensors", metadata={"format": "pt"})
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": names}))


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (link_out, "a link out of the model folder"),
        (dangling, "a broken link"),
        (empty, "tokenizer.json is empty"),
        (pointer, "a Git LFS pointer"),
        (shard_outside, "outside the folder: '../other.safetensors'"),
        (shard_lost, "model-00002-of-00002.safetensors is missing"),
    ],
)
def test_a_folder_that_is_not_whole_is_refused(
    sentence: Path, tmp_path: Path, spoil: Callable[[Path], None], says: str
) -> None:
    folder = Path(shutil.copytree(sentence, tmp_path / "model"))
    spoil(folder)
    with pytest.raises(RobustrecError) as caught:
        check_model_folder(folder)
    assert says in caught.value.what


def test_links_within_a_hubs_cache_are_its_way_to_store_files(sentence: Path, tmp_path: Path) -> None:
    snapshot = tmp_path / "models--owner--name" / "snapshots" / "0123"
    blobs = snapshot.parent.parent / "blobs"
    snapshot.mkdir(parents=True)
    shutil.copytree(sentence, blobs)
    for file in blobs.iterdir():
        (snapshot / file.name).symlink_to(Path("../../blobs") / file.name)
    check_model_folder(snapshot)


def test_weights_that_are_pickles_with_code_are_not_unpickled(sentence: Path, tmp_path: Path) -> None:
    from transformers import AutoModel

    class Planted:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "marker",))

    folder = Path(shutil.copytree(sentence, tmp_path / "model"))
    state = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save({**state, "planted": Planted()}, folder / "pytorch_model.bin")
    with pytest.raises(RobustrecError, match="cannot load AutoModel"):
        load_model(AutoModel, Weights(folder, "x"))
    assert not (tmp_path / "marker").exists()


def test_every_from_pretrained_refuses_foreign_code() -> None:
    package = Path(robustrec.__file__).parent
    calls = [
        (file, node)
        for file in sorted(package.rglob("*.py"))
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "from_pretrained"
    ]
    assert len(calls) >= 2
    for file, call in calls:
        given = {keyword.arg: keyword.value for keyword in call.keywords}
        for name, value in (("trust_remote_code", False), ("local_files_only", True)):
            found = given.get(name)
            assert isinstance(found, ast.Constant), f"{file}:{call.lineno}: {name} is not given"
            assert found.value is value, f"{file}:{call.lineno}: {name}"
