"""Checks of a model folder before transformers loads it.

No Python code of a folder is run, no other repository or library is loaded from it, and links must stay inside.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from robustrec.encoders.families import DUAL, IMAGE, TEXT, generic
from robustrec.encoders.sentence_modules import missing_modules, network_folder
from robustrec.errors import RobustrecError
from robustrec.untrusted.documents import read_json_object
from robustrec.untrusted.files import UnreadableError, regular_file

INDEXES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
"""Files that name the shards of weights, in the order of preference."""
CONFIG, TOKENIZER_CONFIG = "config.json", "tokenizer_config.json"
MOST_CONFIG_BYTES = 1 << 24
"""Largest configuration file that is read; a tokenizer_config.json with thousands of added tokens has over 1 MB."""
PROCESSOR_CONFIGS = ("preprocessor_config.json", "processor_config.json")
PARTS = ("itm", "caption")
"""Subfolders with one model each in the folder of an encoder."""
_OTHER_CONFIGS = ("generation_config.json", "video_preprocessor_config.json", "config_sentence_transformers.json")
_WHOLE = ("model.safetensors", "pytorch_model.bin")
_TOKENIZERS = (("tokenizer.json",), ("vocab.txt",), ("vocab.json", "merges.txt"), ("sentencepiece.bpe.model",))
# Configuration keys that make transformers load something else than the weights of the folder.
_FOREIGN = {
    "custom_pipelines": "pipelines in Python code of the folder",
    "custom_generate": "generation in Python code of the folder",
    "quantization_config": "weights that need a quantization library",
    "fusion_config": "replaced layers",
    "transformers_weights": "a file of weights by name",
    "fast_tokenizer_files": "tokenizer files by name",
}
_LAYERS = ("layers", "layer", "depths")
_MOST_LAYERS = 1000  # a larger number is damage, and transformers would build them until memory is full
_KERNELS = ("attn_implementation", "_attn_implementation", "experts_implementation", "_experts_implementation")
_POINTER = b"version https://git-lfs"
_FIX = "use a folder written by save_pretrained of the library class; robustrec runs no code from a folder"


def check_model_folder(folder: Path, *, loading: bool = True) -> None:
    """Check that a folder requires no other code, does not lead outside, and has no damaged files.

    Args:
        folder: a model folder; one without configuration files passes.
        loading: whether its model_type is checked too, which imports transformers.

    Raises:
        RobustrecError: a check fails; the message has file, key and value.
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
    if loading and _exists(folder / CONFIG) and (model_type := _read(folder / CONFIG).get("model_type")) is not None:
        _check_model_type(folder / CONFIG, model_type)
    if damaged := damaged_files(folder):
        raise RobustrecError(
            f"the model folder is incomplete: {damaged[0]}",
            where=str(folder),
            fix=f"download the files again, for example: hf download OWNER/NAME --local-dir {folder}",
        )


def weight_files(folder: Path) -> list[Path]:
    """Return the files of weights that transformers loads: one file or the shards of an index, [] for none.

    Raises:
        RobustrecError: an index names a file outside the folder.
    """
    for whole, index in zip(_WHOLE, INDEXES, strict=True):
        if _exists(folder / whole):
            return [folder / whole]
        if _exists(folder / index):
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
    """Return the problems of the files of a model: broken links, Git LFS pointers, missing shards, empty files."""
    problems: list[str] = []
    tokenizer = [name for names in _TOKENIZERS for name in names]
    small = [
        folder / name for name in (CONFIG, TOKENIZER_CONFIG, *PROCESSOR_CONFIGS, *tokenizer) if _exists(folder / name)
    ]
    shards = weight_files(folder)
    for file in [*small, *shards]:
        if file.is_symlink() and not file.exists():
            problems.append(f"{file.name} is a broken link")
        elif not file.is_file():
            problems.append(f"{file.name} is missing; the index lists {len(shards)} files of weights")
        elif not file.stat().st_size:
            problems.append(f"{file.name} is empty")
        elif file.stat().st_size < 1024 and file.read_bytes().startswith(_POINTER):
            problems.append(f"{file.name} is a Git LFS pointer instead of the file")
    return problems


def missing_files(folder: Path, network: str) -> list[str]:
    """Return the files that a hub snapshot lacks for a network; [] if it is complete.

    Args:
        folder: the snapshot.
        network: a name in `robustrec.encoders.weights.HUB_NAMES`, a generic network or an alias, or "cnn".
    """
    blobs = folder.parent.parent / "blobs" if folder.parent.name == "snapshots" else folder
    family = generic(network)
    modules = missing_modules(folder) if family == TEXT else []
    if family == TEXT:
        folder = network_folder(folder)
    lacking = [*modules] if _exists(folder / CONFIG) else [f"{CONFIG} is missing", *modules]
    if family in ("blip", "captioner", "blip2", DUAL, IMAGE) and not any(
        _exists(folder / name) for name in PROCESSOR_CONFIGS
    ):
        lacking.append(f"{PROCESSOR_CONFIGS[0]} is missing")
    if not weight_files(folder):
        lacking.append("no file of weights (model.safetensors)")
    if family not in ("cnn", IMAGE) and not any(all(_exists(folder / name) for name in names) for names in _TOKENIZERS):
        lacking.append("no tokenizer (tokenizer.json or vocab.txt)")
    if any(blobs.glob("*.incomplete")):
        lacking.append("a download was interrupted (blobs/*.incomplete)")
    return [*lacking, *damaged_files(folder)]


def has_tokenizer(folder: Path) -> bool:
    """Return whether a folder has the vocabulary of a tokenizer."""
    return any(all((folder / name).is_file() for name in names) for names in _TOKENIZERS)


def tokenizer_files(folder: Path) -> list[Path]:
    """Return the vocabulary files of a folder that are neither JSON nor text, such as a SentencePiece model."""
    return sorted(folder.glob("*.model"))


def _files(folder: Path) -> Iterator[Path]:
    for pattern in ("*.json", "*.txt", "*.model", "*.safetensors", "*.bin", "*/config.json"):
        yield from sorted(folder.glob(pattern))


def _regular(file: Path) -> bool:
    """Return whether a file exists; reject named pipes, devices and directories."""
    if not file.exists():
        return False  # a broken link
    try:
        regular_file(file)
    except UnreadableError as error:
        raise RobustrecError(f"{file.name} cannot be read: {error}", where=str(file), fix=_FIX) from error
    return True


def _exists(file: Path) -> bool:
    return file.is_symlink() or file.is_file()


def _check_link(folder: Path, file: Path) -> None:
    """Check that a link stays inside the folder, or leads from a hub snapshot to its blobs."""
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
    """Return the JSON object in a file; reject files that transformers might read differently."""
    try:
        return read_json_object(file, most=MOST_CONFIG_BYTES)
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
                f"the folder requires a kernel from the hub: {value!r}", where=f"{file}: {key}", fix=f"delete {key}"
            )
        elif key.endswith("_file") and isinstance(value, str) and _leads_outside(file.parent, value):
            raise RobustrecError(
                f"{key} names a file outside the folder: {value!r}",
                where=f"{file}: {key}",
                fix=f"copy it into the folder and delete {key}",
            )
        elif key.endswith(_LAYERS) and any(
            isinstance(each, int) and each > _MOST_LAYERS for each in (value if isinstance(value, list) else [value])
        ):
            raise RobustrecError(
                f"{key} is {value!r}; a network has at most {_MOST_LAYERS} layers", where=f"{file}: {key}", fix=_FIX
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
    target = folder / name  # an absolute name replaces the folder
    return target.exists() and not target.resolve().is_relative_to(folder.resolve())


def _check_auto_map(file: Path, value: Any) -> None:
    """Reject classes that transformers does not have; others are loaded from transformers."""
    names = value.values() if isinstance(value, dict) else value if isinstance(value, list) else [value]
    flat = [name for each in names for name in (each if isinstance(each, list) else [each]) if name is not None]
    library: Any = import_module("transformers")
    for name in flat:
        if not isinstance(name, str) or "--" in name or not _has(library, name.rpartition(".")[2]):
            raise RobustrecError(
                f"the folder requires code that is not part of the library: {str(name)!r}",
                where=f"{file}: auto_map",
                fix=_FIX,
            )


def _has(library: Any, name: str) -> bool:
    """Return whether transformers exports a name, without loading lazy names."""
    return name.isidentifier() and not {name, name.removesuffix("Fast")}.isdisjoint(dir(library))


def _check_model_type(file: Path, value: Any) -> None:
    auto: Any = import_module("transformers.models.auto.configuration_auto")
    if value not in auto.CONFIG_MAPPING_NAMES:
        raise RobustrecError(
            f"transformers has no model_type {value!r}",
            where=f"{file}: model_type",
            fix=_FIX,
        )
