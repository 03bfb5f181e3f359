"""`dataset.toml`, the manifest of a data set folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import tomli_w
from pydantic import AfterValidator, Field, ValidationError

from robustrec.datasets.feature_files import named_features
from robustrec.datasets.split_record import NO_COLD_USERS, ColdUsers, SplitRecord
from robustrec.errors import RobustrecError
from robustrec.files import shown_path
from robustrec.invalid import invalid
from robustrec.modalities import MODALITIES, in_order, modality_fault
from robustrec.subject import Record
from robustrec.untrusted import UnreadableError, read_toml

MANIFEST = "dataset.toml"
NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_-]*$"
MOST_ROWS = 2**31 - 1
"""Users, items and interactions at most; their ids are 32-bit numbers in places."""


USUAL_FILES = {
    "items": "items.jsonl",
    "pictures": "pictures.zip",
    "clean_items": "clean_items.jsonl",
    "clean_pictures": "clean_pictures.zip",
    "attributes": "attributes.jsonl",
    "user_graph": "user_graph.npz",
}


def _further(files: dict[str, str]) -> dict[str, str]:
    for name in files:
        if name in MODALITIES:
            raise ValueError(f"{name} features are the key {name}_feat")
        if fault := modality_fault(name, (*MODALITIES, *files)):
            raise ValueError(f"{name!r} cannot be the name of a modality: it {fault}")
    return files


class Files(Record):
    """The files of a data set, by path relative to its folder; empty for a missing file."""

    interactions: str = Field(min_length=1, description="interactions in the MMRec layout")
    items: str = Field("", description="one JSON object per line: itemID, title, brand, categories, description, image")
    pictures: str = Field(default="", description="zip or folder with the pictures referenced by `image`")
    image_feat: str = Field(default="", description="image features .npy, [I, D]")
    text_feat: str = Field(default="", description="text features .npy, [I, D]")
    features: Annotated[dict[str, str], AfterValidator(_further)] = Field(
        default_factory=dict, description='features of further modalities, by name: audio = "audio_feat.npy"'
    )
    clean_items: str = Field(default="", description="sample editions: items without the merchant noise")
    clean_pictures: str = Field(default="", description="sample editions: pictures without the merchant noise")
    attributes: str = Field(default="", description="sample editions: hidden attributes of every item")
    user_graph: str = Field(default="", description="user graph, if it is not computed from the interactions")
    users: str = Field(default="", description="columns of the users that were named at import: userID, columns")

    @property
    def feature_files(self) -> dict[str, str]:
        """The feature file of each modality that has one, in the order of modalities."""
        files = {"image": self.image_feat, "text": self.text_feat, **self.features}
        return {name: files[name] for name in in_order(files) if files[name]}


class Filtered(Record):
    """Number of rows that an import dropped, and the reason."""

    reason: str
    rows: int = Field(ge=0)


class Counts(Record):
    """Counts of a data set; `items` counts the catalog and may include items without interactions."""

    users: int = Field(ge=1, le=MOST_ROWS)
    items: int = Field(ge=1, le=MOST_ROWS)
    interactions: int = Field(ge=1, le=MOST_ROWS, description="rows of the interactions file, to detect truncation")


class Manifest(Record):
    """The content of `dataset.toml`."""

    schema_version: Literal[1] = 1
    name: str = Field(pattern=NAME_PATTERN)
    edition: Literal["full", "sample"] = "full"
    synthetic: bool = False
    source: str = Field(default="", description="origin of the data, as text")
    recognised: str = Field(default="", description="format, files and rows that the import recognised, as text")
    seed: str = Field(default="", description="sample editions: name prefix of all random streams")
    imported: str = Field(
        default="", description="digest of the import options and of the sizes and times of the imported files"
    )
    counts: Counts | None = None
    files: Files | None = Field(default=None, description="missing: the default names, NAME.inter and those below")
    noise_rates: dict[str, dict[str, float]] = Field(
        default_factory=dict,
        description="sample editions: share of items with each kind of merchant noise, by modality",
    )
    filters: tuple[Filtered, ...] = ()
    split: SplitRecord | None = Field(default=None, description="how the interactions were split, if it is recorded")
    cold_users: ColdUsers = Field(default=NO_COLD_USERS, description="users without training interactions, left out")


def read_manifest(folder: Path) -> Manifest:
    """Read the `dataset.toml` of a folder.

    Raises:
        RobustrecError: the file is missing, is not TOML, or has unknown or invalid keys.
    """
    path = folder / MANIFEST
    try:
        return Manifest.model_validate(read_toml(path))
    except ValidationError as error:
        raise invalid(error, Manifest, source=shown_path(path), fix="correct this key") from error
    except UnreadableError as error:
        raise RobustrecError(
            f"cannot read {shown_path(path)}: {error}",
            where=shown_path(path),
            fix="correct the file, or import the data again with --replace",
        ) from error


def manifest_text(manifest: Manifest) -> str:
    """Return the TOML text of a manifest; keys with default values are omitted."""
    content = manifest.model_dump(exclude_defaults=True, exclude_none=True, exclude={"schema_version"})
    return tomli_w.dumps({"schema_version": manifest.schema_version, **content})


def files_of(manifest: Manifest, folder: Path) -> Files:
    """Return the files of a data set: those in its manifest, else those with default names."""
    if manifest.files is not None:
        return manifest.files
    there = {key: name for key, name in USUAL_FILES.items() if (folder / name).exists()}
    features = {modality: path.name for modality, path in named_features(folder).items()}
    return Files(interactions=f"{manifest.name}.inter", **there, **feature_fields(features))


def feature_fields(files: Mapping[str, str]) -> dict[str, Any]:
    """Return feature files, modality -> path in the folder, as fields of `Files`."""
    known = {f"{name}_feat": files[name] for name in MODALITIES if name in files}
    further = {name: path for name, path in files.items() if name not in MODALITIES}
    return {**known, "features": further} if further else known
