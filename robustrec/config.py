"""Settings and their sources: command line > environment > file > default.

The file is `[tool.robustrec]` in the nearest pyproject.toml going up from the working folder that has such a table,
else `robustrec.toml`. An unknown key anywhere is an error before work starts.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import platformdirs
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from robustrec.columns import COLUMN_NAME, SegmentKind
from robustrec.errors import RobustrecError, unknown_name
from robustrec.invalid import reason_of
from robustrec.store_urls import shown_url
from robustrec.untrusted import UnreadableError, parse_json, read_toml

PREFIX = "ROBUSTREC_"


def default_home() -> Path:
    """Return the folder for data sets, features and runs: ROBUSTREC_HOME, else the platform's user data folder."""
    given = os.environ.get("ROBUSTREC_HOME")
    return Path(given).expanduser() if given else Path(platformdirs.user_data_path("robustrec"))


def home_words(home: Path) -> list[str]:
    """Return the option that a command needs to use a home folder; none for the default one."""
    return [] if home.resolve() == default_home().resolve() else ["--home", str(home)]


class Settings(BaseModel):
    """Settings shared by all commands."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    home: Path = Field(default_factory=default_home, description="folder of data sets, features and runs")
    model: tuple[str, ...] = Field(("slmrec",), min_length=1, description="recommenders")
    dataset: str = Field("clothing", description="name of a data set, or path of a folder")
    edition: Literal["auto", "full", "sample"] = Field("auto", description="edition of a named data set")
    features: str = Field(
        "auto",
        description="encoder of the item features, +shrink=SHARE to filter them; auto: imported features if the data"
        " set has them, tiny-blip on samples, else basic",
    )
    encoder: str | None = Field(
        None, min_length=1, description="imported features: the encoder that made the files, to encode edited items"
    )
    weights: tuple[str, ...] = Field(
        (),
        description="weights of the encoder: a folder or a Hugging Face Hub name; NETWORK=FOLDER for an encoder with"
        " several networks",
    )
    denoise: Literal["none", "capfilt"] = Field(
        "none", description="capfilt: add captions to texts and drop text that does not match the picture"
    )
    vocabulary: tuple[str, ...] = Field(
        (),
        description="TOML files with the words that edits put in; each replaces the pack of its language or adds one",
    )
    language: str = Field("en", description="language pack for edits of texts of unknown language")
    strategy: tuple[str, ...] = Field(("vanilla", "sgbd"), min_length=1, description="training strategies to compare")
    checkpoint: str | None = Field(
        None, description="stored run, or file of trained parameters, to audit instead of training"
    )
    suite: str = Field("quick", description="name of a suite, or path of a TOML file")
    users: int | None = Field(
        None, ge=2, description="audits: number of test users to rank, a stratified sample; default: all"
    )
    segments: tuple[SegmentKind, ...] | None = Field(
        None, description="audits: segments of the users with findings of their own; default: those of the suite"
    )
    value: str | None = Field(
        None,
        pattern=f"^{COLUMN_NAME}$",
        description="audits: numeric column of the catalog, such as price, whose values weigh the items in value@k and "
        "value_ndcg@k; default: that of the suite",
    )
    seed: int = Field(0, ge=0, le=2**63 - 1, description="first training seed; audit seeds are derived from it")
    seeds: int = Field(1, ge=1, le=1000, description="number of training seeds")
    device: str = Field("auto", description="auto, cpu, cuda or cuda:N")
    threads: int | None = Field(None, ge=1, le=4096, description="number of CPU threads; default: chosen by PyTorch")
    engine: str = Field(
        "local", description="where work runs: local, or ray or ray://HOST:PORT for the machines of a Ray cluster"
    )
    workers: int = Field(1, ge=1, le=256, description="number of processes of an audit")
    store: str | None = Field(
        None,
        min_length=1,
        repr=False,
        description="URL of object storage that shares finished trainings and encodings: s3://, gs:// or any of fsspec",
    )
    offline: bool = Field(False, description="never use the network for weights or data")
    fail_on: Literal["error", "warn", "inconclusive", "never"] = Field(
        "error", description="outcome that sets exit code 1"
    )
    set: dict[str, dict[str, Any]] = Field(
        default_factory=dict,
        description="overrides by section: training, strategy, encoder, evaluation or a model",
    )


def _names(value: str) -> list[str]:
    return value.replace(",", " ").split()


def _places(value: str) -> list[str]:
    return value.split(",")


LISTS = {"model": _names, "strategy": _names, "weights": _places, "vocabulary": _places, "segments": _names}
"""Settings that are lists, and how each is read from one text; a folder's name may hold spaces."""


_SHORT = {"--model": "-m", "--strategy": "-s", "--dataset": "-d", "--features": "-f"}
_PATHS = ("home", "suite", "dataset", "vocabulary", "weights", "checkpoint")


class Resolved(NamedTuple):
    """The active settings, and the source of each key."""

    settings: Settings
    sources: dict[str, str]


def resolve(
    command_line: Mapping[str, Any],
    *,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> Resolved:
    """Merge the sources of settings.

    Args:
        command_line: options as given; None and empty lists mean "not given".
        environment: variables; those named ROBUSTREC_* count.
        folder: where the search for a file starts.

    Raises:
        RobustrecError: an unknown key or a value of the wrong kind, naming its source.
    """
    values: dict[str, Any] = {}
    sources = dict.fromkeys(Settings.model_fields, "default")
    overrides: dict[str, dict[str, Any]] = {}
    given = {name: value for name, value in command_line.items() if value not in (None, [], ())}
    layers = [
        *_from_file(folder or Path.cwd()),
        *_from_environment(os.environ if environment is None else environment),
        *((name, value, f"--{name.replace('_', '-')}") for name, value in given.items()),
    ]
    for name, value, source in layers:
        if name not in Settings.model_fields:
            raise unknown_name("setting", name, Settings.model_fields, where=source)
        if "\\x00" in repr(value):
            raise RobustrecError(f"{name} contains a NUL character", where=source, fix="remove the NUL character")
        if name == "set":
            for section, entries in parse_overrides(value, source).items():
                overrides.setdefault(section, {}).update(entries)
        else:
            values[name] = [value] if name in LISTS and isinstance(value, str) else value
            if name == "segments" and isinstance(value, str):  # one option with commas
                values[name] = _names(value)
            if name == "features" and isinstance(value, list | tuple):  # of one encoder, with and without filters
                values[name] = " ".join(map(str, value))
        sources[name] = source
    try:
        return Resolved(Settings(**values, set=overrides), sources)
    except ValidationError as error:
        first = error.errors()[0]
        key = str(first["loc"][0])
        raise RobustrecError(
            f"{key} = {shown_value(key, values.get(key))!r}: {reason_of(first)}",
            where=sources.get(key, "settings"),
            fix="show all settings and their sources: robustrec config show",
        ) from error


def set_elsewhere(option: str, arguments: Sequence[str]) -> str | None:
    """Return the file or variable that an option's setting comes from; None if it is given, a default, or unknown.

    Args:
        option: name of the option, such as "--suite".
        arguments: the command line.
    """
    name, short = option.removeprefix("--").replace("-", "_"), _SHORT.get(option, option)
    given = any(each.split("=")[0] == option or (each.startswith(short) and each[1:2] != "-") for each in arguments)
    try:
        source = None if given else resolve({}).sources.get(name)
    except RobustrecError:
        return None
    return None if source == "default" else source


def shown_value(name: str, value: Any) -> Any:
    """Return the value of a setting as it may be printed: the URL of a store without credentials."""
    return shown_url(value) if name == "store" and isinstance(value, str) else value


def parse_overrides(value: Any, source: str) -> dict[str, dict[str, Any]]:
    """Return overrides by section, from a table of tables or from texts such as "training.learning_rate=0.01".

    Raises:
        RobustrecError: a text that is not SECTION.KEY=VALUE.
    """
    if isinstance(value, Mapping):
        wrong = [name for name, entries in value.items() if not isinstance(entries, Mapping)]
        if wrong:
            raise RobustrecError(
                f"set.{wrong[0]} must be a table",
                where=source,
                fix="write [tool.robustrec.set.training] and keys below it",
            )
        return {section: dict(entries) for section, entries in value.items()}
    overrides: dict[str, dict[str, Any]] = {}
    texts = value.split() if isinstance(value, str) else value
    if not isinstance(texts, list | tuple) or not all(isinstance(text, str) for text in texts):
        raise RobustrecError(
            "set must be a table of tables", where=source, fix="write [tool.robustrec.set.training] and keys below it"
        )
    for text in texts:
        path, equals, raw = text.partition("=")
        section, dot, key = path.partition(".")
        if not (equals and dot and section and key):
            raise RobustrecError(
                f"{text!r} is not SECTION.KEY=VALUE",
                where=source,
                fix="for example: --set training.learning_rate=0.01",
            )
        try:
            overrides.setdefault(section, {})[key] = parse_json(raw)
        except UnreadableError:
            overrides.setdefault(section, {})[key] = raw
    return overrides


def _from_environment(environment: Mapping[str, str]) -> list[tuple[str, Any, str]]:
    found: list[tuple[str, Any, str]] = []
    for variable in sorted(environment):
        if variable.startswith(PREFIX) and environment[variable] != "":
            name, value = variable.removeprefix(PREFIX).lower(), environment[variable]
            found.append((name, LISTS[name](value) if name in LISTS else value, f"environment {variable}"))
    return found


def _from_file(folder: Path) -> list[tuple[str, Any, str]]:
    for place in [folder, *folder.parents]:
        path = place / "pyproject.toml"
        tools = _read(path).get("tool", {}) if path.is_file() else {}
        table = tools.get("robustrec") if isinstance(tools, dict) else None
        if table is not None and not isinstance(table, dict):
            raise RobustrecError(
                "tool.robustrec must be a table", where=str(path), fix="write [tool.robustrec] and keys below it"
            )
        if table is not None:
            return [
                (name, _from_here(name, value, place, folder), f"{path}, [tool.robustrec] {name}")
                for name, value in table.items()
            ]
    for place in [folder, *folder.parents]:
        path = place / "robustrec.toml"
        if path.is_file():
            return [
                (name, _from_here(name, value, place, folder), f"{path}, {name}") for name, value in _read(path).items()
            ]
    return []


def _from_here(name: str, value: Any, place: Path, folder: Path) -> Any:
    """Return a setting of a file in a folder above, whose relative paths are those from that folder."""
    if place == folder or name not in _PATHS:
        return value
    if isinstance(value, list):
        return [_from_here(name, each, place, folder) for each in value]
    if not isinstance(value, str) or value.startswith("~"):
        return value
    network, equals, given = value.rpartition("=") if name == "weights" else ("", "", value)
    # A value may be a name as well, such as of a data set: only what is there, or can only be a path, is one.
    found = place / given
    is_path = name in ("home", "vocabulary") or given.endswith(".toml")
    is_path = is_path or (("/" in given or name == "checkpoint") and found.exists())
    return f"{network}{equals}{found}" if is_path else value


def _read(path: Path) -> dict[str, Any]:
    try:
        return read_toml(path)
    except UnreadableError as error:
        raise RobustrecError(
            f"cannot read the configuration: {error}",
            where=str(path),
            fix="correct the TOML syntax of the file, see https://toml.io",
        ) from error
