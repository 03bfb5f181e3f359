"""Checks of a model folder before transformers loads it.

A folder is data: none of its Python runs, no other repository or library is followed from it, and links stay inside.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from robustrec.encoders.sentence_modules import lacking_modules, network_folder
from robustrec.errors import RobustrecError
from robustrec.untrusted.documents import read_json_object
from robustrec.untrusted.files import UnreadableError, regular_file

INDEXES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
"""Files that name the shards of weights, in the order of preference."""
CONFIG, TOKENIZER_CONFIG = "config.json", "tokenizer_config.json"
PROCESSOR_CONFIGS = ("preprocessor_config.json", "processor_config.json")
PARTS = ("itm", "caption")
"""Subfolders of an encoder's folder that hold a model each."""
_OTHER_CONFIGS = ("generation_config.json", "video_preprocessor_config.json", "config_sentence_transformers.json")
_WHOLE = ("model.safetensors", "pytorch_model.bin")
_TOKENIZERS = (("tokenizer.json",), ("vocab.txt",), ("vocab.json", "merges.txt"), ("sentencepiece.bpe.model",))
# Keys by which a configuration makes transformers load something else than the folder's own plain weights.
_FOREIGN = {
    "custom_pipelines": "pipelines in the folder's own Python",
    "custom_generate": "generation in the folder's own Python",
    "quantization_config": "weights that a quantisation library has to unpack",
    "fusion_config": "layers replaced by others",
    "transformers_weights": "a file of weights by name",
    "fast_tokenizer_files": "tokenizer files by name",
}
_KERNELS = ("attn_implementation", "_attn_implementation", "experts_implementation", "_experts_implementation")
_POINTER = b"version https://git-lfs"
_FIX = "use a folder written by save_pretrained of the library class; robustrec runs no code from a folder"


def check_model_folder(folder: Path, *, loading: bool = True) -> None:
    """Refuse a folder that asks for code that is not the library's, leads outside, or has damaged files.

    Args:
        folder: a model folder; one without configuration files passes, since nothing in it asks for anything.
        loading: whether it is about to be loaded; else transformers is not imported to look up its model_type.

    Raises:
        RobustrecError: names the file, the key and its value.
    """
    for file in _files(folder):
        _check_link(folder, file)
        _regular(file)
    if (folder / "adapter_config.json").exists():
        base = _read(folder / "adapter_config.json").get("base_model_name_or_path")
        raise RobustrecError(
            f"the folder has an adapter for another model ({str(base)!r}), not a complete model",
            where=str(folder / "adapter_config.json"),
            fix="merge the adapter (peft: model.merge_and_unload()), save the model with save_pretrained, and give "
            "that folder to --weights",
        )
    for name in (CONFIG, TOKENIZER_CONFIG, *PROCESSOR_CONFIGS, *_OTHER_CONFIGS):
        if _regular(folder / name):
            _check_config(folder / name, _read(folder / name))
    if loading and _there(folder / CONFIG) and (model_type := _read(folder / CONFIG).get("model_type")) is not None:
        _check_model_type(folder / CONFIG, model_type)
    if damaged := damaged_files(folder):
        raise RobustrecError(
            f"the model folder is incomplete: {damaged[0]}",
            where=str(folder),
            fix=f"fetch the files again, for example: hf download OWNER/NAME --local-dir {folder}",
        )


def weight_files(folder: Path) -> list[Path]:
    """Return the files of weights that transformers loads: one whole file or the shards of an index, [] for none.

    Raises:
        RobustrecError: an index names a file outside the folder.
    """
    for whole, index in zip(_WHOLE, INDEXES, strict=True):
        if _there(folder / whole):
            return [folder / whole]
        if _there(folder / index):
            shards = _read(folder / index).get("weight_map")
            names = sorted({str(name) for name in shards.values()}) if isinstance(shards, dict) else []
            for name in names:
                if Path(name).name != name or "\\" in name:
                    raise RobustrecError(
                        f"the index of weights names a file outside the folder: {name!r}",
                        where=str(folder / index),
                        fix=_FIX,
                    )
            return [folder / name for name in names]
    return []


def damaged_files(folder: Path) -> list[str]:
    """Return what is wrong with files of a model that are named or present: links to nothing, pointers, lost shards."""
    problems: list[str] = []
    tokenizer = [name for names in _TOKENIZERS for name in names]
    small = [
        folder / name for name in (CONFIG, TOKENIZER_CONFIG, *PROCESSOR_CONFIGS, *tokenizer) if _there(folder / name)
    ]
    shards = weight_files(folder)
    for file in [*small, *shards]:
        if file.is_symlink() and not file.exists():
            problems.append(f"{file.name} is a broken link")
        elif not file.is_file():
            problems.append(f"{file.name} is missing ({len(shards)} files of weights are named by the index)")
        elif not file.stat().st_size:
            problems.append(f"{file.name} is empty")
        elif file.stat().st_size < 1024 and file.read_bytes().startswith(_POINTER):
            problems.append(f"{file.name} is a Git LFS pointer and not the file itself")
    return problems


def lacking_files(folder: Path, network: str) -> list[str]:
    """Return what a hub snapshot lacks of what a network reads; [] where it is whole.

    Args:
        folder: the snapshot.
        network: a name in `robustrec.encoders.weights.HUB_NAMES`, or "cnn".
    """
    blobs = folder.parent.parent / "blobs" if folder.parent.name == "snapshots" else folder
    modules = lacking_modules(folder) if network == "minilm" else []
    if network == "minilm":
        folder = network_folder(folder)
    lacking = [*modules] if _there(folder / CONFIG) else [f"{CONFIG} is missing", *modules]
    if network in ("blip", "captioner", "blip2") and not any(_there(folder / name) for name in PROCESSOR_CONFIGS):
        lacking.append(f"{PROCESSOR_CONFIGS[0]} is missing")
    if not weight_files(folder):
        lacking.append("no file of weights (model.safetensors)")
    if network != "cnn" and not any(all(_there(folder / name) for name in names) for names in _TOKENIZERS):
        lacking.append("no tokenizer (tokenizer.json or vocab.txt)")
    if any(blobs.glob("*.incomplete")):
        lacking.append("a download was interrupted (blobs/*.incomplete)")
    return [*lacking, *damaged_files(folder)]


def has_tokenizer(folder: Path) -> bool:
    """Tell whether a folder has the vocabulary of any kind of tokenizer."""
    return any(all((folder / name).is_file() for name in names) for names in _TOKENIZERS)


def tokenizer_files(folder: Path) -> list[Path]:
    """Return the vocabulary files of a folder that are neither JSON nor text, such as a SentencePiece model."""
    return sorted(folder.glob("*.model"))


def _files(folder: Path) -> Iterator[Path]:
    for pattern in ("*.json", "*.txt", "*.model", "*.safetensors", "*.bin", "*/config.json"):
        yield from sorted(folder.glob(pattern))


def _regular(file: Path) -> bool:
    """Tell whether a file is there; refuse a named pipe, a device or a directory, which a loader would wait for."""
    if not file.exists():
        return False  # a link to nothing
    try:
        regular_file(file)
    except UnreadableError as error:
        raise RobustrecError(f"{file.name} cannot be read: {error}", where=str(file), fix=_FIX) from error
    return True


def _there(file: Path) -> bool:
    return file.is_symlink() or file.is_file()


def _check_link(folder: Path, file: Path) -> None:
    """Refuse a link out of the folder; a snapshot of the hub's cache links to the blobs beside it."""
    place, target = folder.resolve(), file.resolve()
    roots = [place]
    if place.name in PARTS:
        roots.append(place.parent)
    snapshot = next((parent for parent in place.parents if parent.name == "snapshots"), None)
    if snapshot is not None:
        roots.append(snapshot.parent / "blobs")
    if not any(target.is_relative_to(root) for root in roots):
        raise RobustrecError(
            f"{file.name} is a link out of the model folder, to {target}",
            where=str(file),
            fix=f"copy the files themselves: cp -rL {folder} NEW_FOLDER",
        )


def _read(file: Path) -> dict[str, Any]:
    """Return the JSON object in a file; what this reader refuses, no other is given to read."""
    try:
        return read_json_object(file)
    except UnreadableError as error:
        raise RobustrecError(f"cannot be read: {error}", where=str(file), fix=_FIX) from error


def _check_config(file: Path, config: dict[str, Any]) -> None:
    for key, value in _entries(config):
        if key == "auto_map":
            _check_auto_map(file, value)
        elif key in _FOREIGN and value:
            raise RobustrecError(f"the folder requires {_FOREIGN[key]}: {key}", where=f"{file}: {key}", fix=_FIX)
        elif key in _KERNELS and "/" in json.dumps(value):
            raise RobustrecError(
                f"the folder requires a kernel from a hub: {value!r}", where=f"{file}: {key}", fix=f"delete {key}"
            )
        elif key.endswith("_file") and isinstance(value, str) and _leads_outside(file.parent, value):
            raise RobustrecError(
                f"{key} names a file outside the folder: {value!r}",
                where=f"{file}: {key}",
                fix=f"copy it into the folder and delete {key}",
            )


def _entries(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield every key of nested objects with its value."""
    waiting = [value]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            yield from value.items()
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value


def _leads_outside(folder: Path, name: str) -> bool:
    target = folder / name  # an absolute name stands alone
    return target.exists() and not target.resolve().is_relative_to(folder.resolve())


def _check_auto_map(file: Path, value: Any) -> None:
    """Refuse classes that transformers does not have; those it has are loaded from transformers."""
    names = value.values() if isinstance(value, dict) else value if isinstance(value, list) else [value]
    flat = [name for each in names for name in (each if isinstance(each, list) else [each]) if name is not None]
    library: Any = import_module("transformers")
    for name in flat:
        if not isinstance(name, str) or "--" in name or not _has(library, name.rpartition(".")[2]):
            raise RobustrecError(
                f"the folder asks for code that is not the library's: {str(name)!r}",
                where=f"{file}: auto_map",
                fix=_FIX,
            )


def _has(library: Any, name: str) -> bool:
    """Tell whether transformers exports a name; its lazy names are listed without loading them."""
    return name.isidentifier() and not {name, name.removesuffix("Fast")}.isdisjoint(dir(library))


def _check_model_type(file: Path, value: Any) -> None:
    auto: Any = import_module("transformers.models.auto.configuration_auto")
    if value not in auto.CONFIG_MAPPING_NAMES:
        raise RobustrecError(
            f"transformers has no model_type {value!r}",
            where=f"{file}: model_type",
            fix=_FIX,
        )
