"""Arguments of the API as settings: names, paths, and objects that can be imported by a name."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypedDict

from torch import Tensor, nn

from robustrec.config import Settings, resolve
from robustrec.datasets.registry import Dataset
from robustrec.errors import RobustrecError
from robustrec.own_code import import_own
from robustrec.runs.external import temporary_checkpoint

Names = str | type | object | Sequence[str | type | object]
"""A name, a class, or several of them."""


class CommonOptions(TypedDict, total=False):
    """Settings that most functions take; what is not given comes from the environment and the configuration file.

    Attributes:
        edition: auto, full or sample.
        features: encoder of the item features: a name, or a class of your own; "NAME+shrink=.7" filters them, and a
            list has subjects of one encoder with and without filters.
        encoder: of imported features, the encoder that made the files.
        weights: weights of the encoder: a folder or a Hugging Face Hub name, or NETWORK=FOLDER.
        denoise: none or capfilt.
        seed: first training seed; audit seeds are derived from it.
        device: auto, cpu, cuda or cuda:N.
        engine: local, or ray or ray://HOST:PORT for the machines of a Ray cluster.
        users: number of test users that an audit ranks, a stratified sample; all by default.
        workers: number of processes of an audit.
        home: folder of data sets, features and runs.
        store: URL of object storage where finished trainings and encodings are shared.
        offline: never use the network for weights or data.
        set: overrides by section: {"training": {"max_epochs": 30}}.
    """

    edition: str
    features: str | type | Sequence[str]
    encoder: str
    weights: str | Sequence[str]
    denoise: str
    seed: int
    device: str
    engine: str
    users: int
    workers: int
    home: Path | str
    store: str
    offline: bool
    set: Mapping[str, Mapping[str, Any]]


class Options(CommonOptions, total=False):
    """`CommonOptions`, and the number of training seeds.

    Attributes:
        seeds: number of training seeds.
    """

    seeds: int


def settings_of(given: Mapping[str, Any]) -> Settings:
    """Return the settings of arguments: model, dataset, strategy, features, suite, and those of `Options`.

    Raises:
        RobustrecError: an unknown setting, a wrong value, or a class that has no name to import it by.
    """
    values = {name: value for name, value in given.items() if value is not None}
    for name in ("model", "strategy"):
        if name in values:
            values[name] = [_name(each, name) for each in _listed(values[name])]
    if "features" in values:
        values["features"] = [_name(each, "features") for each in _listed(values["features"])]
    if isinstance(values.get("weights"), str):
        values["weights"] = [values["weights"]]
    data = values.get("dataset")
    if isinstance(data, Dataset):
        values["dataset"] = str(data.folder)
        values.setdefault("edition", "auto")
    elif isinstance(data, Path):
        values["dataset"] = str(data)
    for name in ("home", "checkpoint"):
        if isinstance(values.get(name), Path):
            values[name] = str(values[name])
    return resolve(values).settings


@contextmanager
def checkpoint_of(
    trained: nn.Module | Mapping[str, Tensor] | str | Path | None,
) -> Iterator[str | None]:
    """Yield the place of trained parameters; those of a module lie in a temporary folder while the block runs."""
    if trained is None or isinstance(trained, str | Path):
        yield None if trained is None else str(trained)
        return
    with TemporaryDirectory(prefix="robustrec-") as folder:
        yield str(temporary_checkpoint(trained, Path(folder)))


def _listed(value: Names) -> list[Any]:
    return list(value) if isinstance(value, Sequence) and not isinstance(value, str) else [value]


def _name(value: Any, argument: str) -> str:
    """Return a name as it is, and of a class or function the place to import it from.

    Raises:
        RobustrecError: the place leads to something else, as for a class that is defined in a notebook or a function.
    """
    if isinstance(value, str):
        return value
    kind = value if inspect.isclass(value) or inspect.isfunction(value) else type(value)
    place = f"{kind.__module__}:{kind.__qualname__}"
    importable = kind.__module__ != "__main__" and kind.__qualname__.isidentifier()
    if not importable or getattr(import_own(kind.__module__), kind.__qualname__, None) is not kind:
        raise RobustrecError(
            f"{kind.__qualname__} cannot be imported from {kind.__module__}",
            where=f"argument {argument}",
            fix="define it at the top level of a module (a .py file), so that its sources belong to the results",
        )
    return place
