"""Modules of sentence-transformers in a model folder: prompts, pooling and further layers.

`modules.json` lists the network, the pooling of its token vectors (Pooling), and further layers (Dense, Normalize).
Formulas and file formats are those of sentence-transformers (Reimers and Gurevych, EMNLP 2019, arXiv 1908.10084).
Modules that are not in SUPPORTED are rejected, and nothing is imported by a name in a file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from robustrec.errors import RobustrecError
from robustrec.untrusted.documents import read_json, read_json_object
from robustrec.untrusted.files import UnreadableError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

MODULES, PROMPTS = "modules.json", "config_sentence_transformers.json"
SUPPORTED = ("Transformer", "Pooling", "Normalize", "Dense", "Dropout")
"""Supported modules of sentence-transformers; Dropout has no effect in evaluation."""
POOLINGS = ("cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken")
"""Pooling modes, in the order in which several are concatenated."""
_LIBRARY = "sentence_transformers."
_OWNER = "/models--sentence-transformers--"  # in the cache of the hub; all models of this owner have modules
_OLD_KEYS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
_ACTIVATIONS = ("Identity", "Tanh", "ReLU", "GELU", "Sigmoid")
"""Modules of torch.nn that a Dense module may name."""
_DOCUMENTS = ("document", "passage", "corpus")  # in the order of encode_document of sentence-transformers
_SHORTEST = 3  # token ids: two special tokens and one of the text


class Dense(NamedTuple):
    """A linear layer with an activation; its weights are in `folder`."""

    folder: Path
    activation: str
    bias: bool


class Normalize(NamedTuple):
    """L2 normalization."""


class Cut(NamedTuple):
    """The first `width` values of a vector, for weights trained with a Matryoshka loss (arXiv 2205.13147)."""

    width: int


Step = Dense | Normalize | Cut


class SentenceModules(NamedTuple):
    """Modules and settings of a folder.

    Attributes:
        network: folder of the network and its tokenizer.
        poolings: names in POOLINGS; their vectors are concatenated.
        steps: steps after pooling, in order.
        longest: maximum number of token ids of a text; None if it is not given.
        lower_case: whether texts are converted to lower case.
        prompt: prefix of each text.
        include_prompt: whether the pooling uses the tokens of the prompt.
        has_modules: whether there is a modules.json; without it, pooling is the L2-normalized mean.
    """

    network: Path
    poolings: tuple[str, ...]
    steps: tuple[Step, ...]
    longest: int | None
    lower_case: bool
    prompt: str
    include_prompt: bool
    has_modules: bool


def sentence_modules(folder: Path, *, documents: bool = False) -> SentenceModules:
    """Return the modules and settings of a sentence-transformers folder.

    Args:
        folder: the folder.
        documents: whether the prompt of documents is used if there is no default prompt.

    Raises:
        RobustrecError: a file is unreadable, a module or setting is not supported, or a path leads outside.
    """
    if not (folder / MODULES).is_file():
        longest, lower = _network_settings(folder)
        prompt = _prompt(folder, documents=documents)
        return SentenceModules(
            folder, ("mean",), (Normalize(),), longest, lower, prompt, include_prompt=True, has_modules=False
        )
    modules = _modules(folder)
    if [kind for kind, _ in modules[:2]] != ["Transformer", "Pooling"]:
        named = ", ".join(kind for kind, _ in modules)
        raise _refused(f"the first modules must be Transformer and Pooling, but got {named}", folder / MODULES)
    network, pooling = modules[0][1], modules[1][1]
    poolings, whole = _poolings(pooling / "config.json")
    prompt = _prompt(folder, documents=documents)
    steps: list[Step] = []
    for kind, place in modules[2:]:
        if kind == "Dense":
            steps.append(_dense(place))
        elif kind == "Normalize":
            steps.append(Normalize())
        elif kind != "Dropout":
            raise _refused(f"a second {kind} is not supported", folder / MODULES)
    longest, lower = _network_settings(network)
    return SentenceModules(
        network, poolings, tuple(steps), longest, lower, prompt, include_prompt=whole, has_modules=True
    )


def network_folder(folder: Path) -> Path:
    """Return the folder of the network, which is a subfolder in older models."""
    if not (folder / MODULES).is_file():
        return folder
    return next((place for kind, place in _modules(folder) if kind == "Transformer"), folder)


def module_files(folder: Path) -> list[Path]:
    """Return the files of the modules in subfolders."""
    if not (folder / MODULES).is_file():
        return []
    places = {place for _, place in _modules(folder) if place != folder}
    patterns = ("*.json", "*.txt", "*.model", "*.safetensors", "*.bin")
    return sorted(file for place in places for pattern in patterns for file in place.glob(pattern))


def missing_modules(folder: Path) -> list[str]:
    """Return the files that a snapshot lacks of the modules in its modules.json, or that file."""
    if not (folder / MODULES).is_file():
        partial = any((folder / name).is_file() for name in (PROMPTS, "sentence_bert_config.json"))
        partial |= _OWNER in folder.as_posix()
        return [f"{MODULES} is missing"] if partial else []
    needs = [(kind, place) for kind, place in _modules(folder) if kind in ("Transformer", "Pooling", "Dense")]
    return [f"{place.name}/config.json is missing" for _, place in needs if not (place / "config.json").is_file()]


def pooled(states: Tensor, mask: Tensor, poolings: Sequence[str]) -> Tensor:
    """Return one vector for each text, the concatenation of its poolings.

    Args:
        states: token vectors, float32 [n, T, D].
        mask: int64 [n, T], 1 for tokens, which come first in each row; each row has at least one.
        poolings: names in POOLINGS.

    Returns:
        Float32 [n, D · len(poolings)]. With m the mask and h the token vectors: cls h₁; lasttoken the last h with
        m = 1; max over tokens; mean Σmh / Σm; mean_sqrt_len_tokens Σmh / √Σm; weightedmean Σtmₜhₜ / Σtmₜ.
    """
    import torch

    weights = mask.unsqueeze(-1).to(states.dtype)
    count = weights.sum(dim=1)
    rows = torch.arange(len(states), device=states.device)
    places = torch.arange(1, states.shape[1] + 1, device=states.device, dtype=states.dtype).view(1, -1, 1)
    ways: dict[str, Callable[[], Tensor]] = {
        "cls": lambda: states[:, 0],
        "max": lambda: states.masked_fill(weights == 0, -torch.inf).amax(dim=1),
        "mean": lambda: (states * weights).sum(dim=1) / count,
        "mean_sqrt_len_tokens": lambda: (states * weights).sum(dim=1) / count.sqrt(),
        "weightedmean": lambda: (states * weights * places).sum(dim=1) / (weights * places).sum(dim=1),
        "lasttoken": lambda: states[rows, mask.sum(dim=1) - 1],
    }
    return torch.cat([ways[name]() for name in poolings], dim=1)


def loaded_steps(steps: Sequence[Step], device: torch.device) -> list[Callable[[Tensor], Tensor]]:
    """Return the steps after pooling as functions of float32 [n, D].

    Raises:
        RobustrecError: the weights of a Dense module are missing or damaged.
    """
    return [_loaded(step, device) for step in steps]


def cut(vectors: Tensor, width: int) -> Tensor:
    """Return the first values of vectors [n, D] as [n, width].

    Raises:
        RobustrecError: the vectors have fewer values.
    """
    if width > vectors.shape[1]:
        raise RobustrecError(
            f"the vectors have {vectors.shape[1]} values, but width {width} is requested",
            where="--set encoder.width",
            fix=f"--set encoder.width={vectors.shape[1]} or less",
        )
    return vectors[:, :width]


def _loaded(step: Step, device: torch.device) -> Callable[[Tensor], Tensor]:
    if isinstance(step, Dense):
        return _linear(step, device)
    return partial(cut, width=step.width) if isinstance(step, Cut) else _normalised


def _normalised(vectors: Tensor) -> Tensor:
    from torch.nn.functional import normalize

    return normalize(vectors, dim=1)


def _linear(step: Dense, device: torch.device) -> Callable[[Tensor], Tensor]:
    import torch
    from safetensors.torch import load_file
    from torch import nn

    safe = step.folder / "model.safetensors"
    try:
        if safe.is_file():
            state = load_file(safe)
        else:
            state = torch.load(step.folder / "pytorch_model.bin", map_location="cpu", weights_only=True)
        weight = state["linear.weight"].float().to(device)
        bias = state["linear.bias"].float().to(device) if step.bias else None
    except Exception as error:  # loaders raise many exception types
        raise RobustrecError(
            f"cannot load the weights of a Dense module: {type(error).__name__}: {error}",
            where=str(step.folder),
            fix="give --weights a complete folder written by save of sentence-transformers",
        ) from error
    activation: nn.Module = getattr(nn, step.activation)()

    def applied(vectors: Tensor) -> Tensor:
        after: Tensor = activation(nn.functional.linear(vectors, weight, bias))
        return after

    return applied


def _modules(folder: Path) -> list[tuple[str, Path]]:
    """Return type and folder of each module in modules.json, in order."""
    file = folder / MODULES
    listed = _read(read_json, file)
    if not isinstance(listed, list) or not listed or not all(isinstance(each, dict) for each in listed):
        raise _refused("expected a list of modules", file)
    modules: list[tuple[str, Path]] = []
    for each in listed:
        name, path = each.get("type"), each.get("path")
        if not isinstance(name, str) or not name.startswith(_LIBRARY):
            raise _refused(f"the folder requires code that is not part of the library: {str(name)!r}", file)
        kind = name.rpartition(".")[2]
        if kind not in SUPPORTED:
            raise _refused(f"module {kind!r} is not supported (supported: {', '.join(SUPPORTED)})", file)
        place = folder / path if isinstance(path, str) else folder
        if not isinstance(path, str) or not place.resolve().is_relative_to(folder.resolve()):
            raise _refused(f"the path of a module is outside the folder: {str(path)!r}", file)
        modules.append((kind, place))
    return modules


def _poolings(file: Path) -> tuple[tuple[str, ...], bool]:
    """Return the poolings of a configuration with old or new keys, and whether prompt tokens are included."""
    config = _read(read_json_object, file)
    given = config.get("pooling_mode")
    if given is None:
        given = [name for key, name in _OLD_KEYS.items() if config.get(key)] or ["mean"]
    names = tuple(given) if isinstance(given, list) else (given,)
    for name in names:
        if name not in POOLINGS:
            raise _refused(f"pooling {name!r} is not supported (supported: {', '.join(POOLINGS)})", file)
    for key in config:
        if key.startswith("pooling_mode_") and key not in _OLD_KEYS and config[key]:
            raise _refused(f"pooling {key!r} is not supported", file)
    return names, config.get("include_prompt", True) is not False


def _dense(place: Path) -> Dense:
    file = place / "config.json"
    config = _read(read_json_object, file)
    name = str(config.get("activation_function", "torch.nn.modules.activation.Tanh"))
    activation = name.rpartition(".")[2]
    if not name.startswith("torch.nn.modules.") or activation not in _ACTIVATIONS:
        raise _refused(f"activation {name!r} is not supported (supported: {', '.join(_ACTIVATIONS)})", file)
    for key in ("module_input_name", "module_output_name"):
        if config.get(key) not in (None, "sentence_embedding"):
            raise _refused(f"{key} {config[key]!r} is not supported", file)
    if config.get("use_residual"):
        raise _refused("use_residual is not supported", file)
    return Dense(place, activation, bias=config.get("bias", True) is not False)


def _network_settings(folder: Path) -> tuple[int | None, bool]:
    """Return the maximum number of token ids of a text, or None, and whether texts become lower case."""
    file = next(iter(sorted(folder.glob("sentence_*_config.json"))), None)
    config: Mapping[str, Any] = _read(read_json_object, file) if file is not None else {}
    longest = config.get("max_seq_length")
    if longest is not None and (not isinstance(longest, int) or isinstance(longest, bool) or longest < _SHORTEST):
        raise _refused(f"max_seq_length must be an integer of at least {_SHORTEST}, but got {longest!r}", str(file))
    method = (
        config.get("modality_config", {}).get("text", {}) if isinstance(config.get("modality_config"), dict) else {}
    )
    output = method.get("method_output_name", "last_hidden_state") if isinstance(method, dict) else method
    if output != "last_hidden_state":
        raise _refused(f"output {output!r} of the network is not supported; expected 'last_hidden_state'", str(file))
    return longest, config.get("do_lower_case") is True


def _prompt(folder: Path, *, documents: bool) -> str:
    """Return the default prompt of the folder, else that of documents if it is wanted; "" for none."""
    file = folder / PROMPTS
    if not file.is_file():
        return ""
    config = _read(read_json_object, file)
    name, prompts = config.get("default_prompt_name"), config.get("prompts")
    if name is None:
        named = prompts if documents and isinstance(prompts, dict) else {}
        return next((named[key] for key in _DOCUMENTS if isinstance(named.get(key), str)), "")
    prompt = prompts.get(name) if isinstance(prompts, dict) else None
    if not isinstance(prompt, str):
        raise _refused(f"default_prompt_name {name!r} is not in prompts", file)
    return prompt


def _read(reader: Callable[[Path], Any], file: Path) -> Any:
    try:
        return reader(file)
    except UnreadableError as error:
        raise _refused(f"cannot be read: {error}", file) from error


def _refused(what: str, where: Path | str) -> RobustrecError:
    return RobustrecError(
        what,
        where=str(where),
        fix="use another folder with --weights, or import existing features: --features imported",
    )
