"""`dataset.toml`: what a data set's folder says about itself."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from robustrec.errors import RobustrecError

MANIFEST = "dataset.toml"
SCHEMA_VERSION = 1
NAME_PATTERN = r"^[a-z0-9][a-z0-9_-]*$"


class Files(BaseModel):
    """The files of a data set, by path relative to its folder; empty means there is none."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    interactions: str = Field(min_length=1, description="interactions in the MMRec layout")
    items: str = Field(
        "", description="one JSON object a line: itemID, title, brand, categories, description, image"
    )
    pictures: str = Field(default="", description="zip or folder with the pictures that `image` names")
    image_feat: str = Field(default="", description="image features .npy, [I, D]")
    text_feat: str = Field(default="", description="text features .npy, [I, D]")
    clean_items: str = Field(default="", description="sample editions: items without the merchant noise")
    clean_pictures: str = Field(
        default="", description="sample editions: pictures without the merchant noise"
    )
    attributes: str = Field(default="", description="sample editions: hidden attributes of every item")


class Filtered(BaseModel):
    """Rows that an import left out, and why."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    reason: str
    rows: int = Field(ge=0)


class Manifest(BaseModel):
    """The content of `dataset.toml`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = 1
    name: str = Field(pattern=NAME_PATTERN)
    edition: Literal["full", "sample"] = "full"
    synthetic: bool = False
    n_items: int | None = Field(
        default=None, ge=1, description="number of items where the catalog has more than the interactions"
    )
    source: str = Field(default="", description="where the data came from, in words")
    files: Files
    filters: tuple[Filtered, ...] = ()


def read_manifest(folder: Path) -> Manifest:
    """Read `dataset.toml` of a folder.

    Raises:
        RobustrecError: the file is missing, is no TOML, or has unknown or wrong keys.
    """
    path = folder / MANIFEST
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
        return Manifest.model_validate(content)
    except OSError as error:
        raise RobustrecError(
            f"cannot read {path}: {error.strerror or error}",
            where=str(path),
            fix="give a folder with a dataset.toml, or import one: robustrec data import FOLDER --name NAME",
        ) from error
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise RobustrecError(
            f"{key or 'dataset.toml'}: {first['msg']} (got {first['input']!r})",
            where=f"{path}: {key}",
            fix=f"mend that key; keys there are: {', '.join(Manifest.model_fields)}; "
            f"files: {', '.join(Files.model_fields)}",
        ) from error
    except ValueError as error:  # no TOML, or no UTF-8
        raise RobustrecError(
            f"not a TOML file: {error}",
            where=str(path),
            fix="import the folder again: robustrec data import FOLDER --name NAME",
        ) from error


def manifest_text(manifest: Manifest) -> str:
    """Return the TOML text of a manifest; keys at their defaults are left out."""
    # JSON strings are TOML basic strings, except that TOML wants DEL escaped too.
    lines = [f"schema_version = {manifest.schema_version}"]
    for key, value in manifest.model_dump(
        exclude={"schema_version", "files", "filters"}, exclude_none=True
    ).items():
        lines.append(f"{key} = {_toml(value)}")
    lines += ["", "[files]"]
    lines += [f"{key} = {_toml(value)}" for key, value in manifest.files.model_dump().items() if value]
    for row in manifest.filters:
        lines += ["", "[[filters]]", f"reason = {_toml(row.reason)}", f"rows = {row.rows}"]
    return "\n".join(lines) + "\n"


def _toml(value: object) -> str:
    return json.dumps(value, ensure_ascii=True).replace("\x7f", "\\u007f")
