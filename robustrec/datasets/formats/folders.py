"""The tables that lie in a folder: files with one format and the same columns, what they hold, and their split."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from robustrec.datasets.formats import arrow, huggingface, json_lines, movielens
from robustrec.datasets.formats.compressed import data_suffix, plain_path
from robustrec.datasets.formats.kinds import format_of, is_data
from robustrec.datasets.interactions import TEST, TRAIN, VALIDATION
from robustrec.datasets.naming import CATALOG_ID, places_of, plain
from robustrec.datasets.tables import peek_header
from robustrec.errors import RobustrecError

INTERACTIONS, CATALOG, UNKNOWN, OTHER = "interactions", "catalog", "unknown", "other"
"""What a table holds. Interactions without known column names are UNKNOWN; users, tags and the like are OTHER."""
ROLES = {TRAIN: "train(ing)?", VALIDATION: "valid(ation)?|val|dev", TEST: "test(ing)?"}
TEXTS = ("title", "brand", "categories", "category", "description", "image")
CATALOG_STEMS = ("items", "meta", "products", "movies")
MOST_LEVELS = 6
_HUB_SHARD = re.compile(r"(.*?)[-_.]?[0-9]{5}-of-[0-9]{5}(-[0-9a-f]+)?")
_SPARK_PART = re.compile(r"part[-_.]?[0-9].*")
_NUMBERED = re.compile(r"(.*[-_.])?[0-9]+([-_.T][0-9]+)*")
_PARTITION = re.compile(r"[^=]+=.*|[0-9]+")


@dataclass(frozen=True)
class Table:
    """Files with one format and the same columns.

    Attributes:
        format: name of the format, see `kinds.LABELS`.
        role: what it holds: INTERACTIONS, CATALOG, UNKNOWN or OTHER.
        files: the files, in order.
        name: what it is called in messages, relative to the folder.
        stem: name without folder, suffixes and number of a part, to tell usual names.
        split: label of the split whose rows it has; None without one.
        base: what the files of one published split have in common; "" without one.
    """

    format: str
    role: str
    files: tuple[Path, ...]
    name: str
    stem: str
    split: int | None = None
    base: str = ""


def tables_in(
    folder: Path, files: Sequence[Path], skipped: Iterable[str] = (), named: Mapping[str, str] | None = None
) -> list[Table]:
    """Return the tables in a folder, sorted by name.

    Args:
        folder: the folder.
        files: files in it that are not ignored.
        skipped: names of sub-folders that are not searched.
        named: column name by kind, where the user gave one.

    Raises:
        RobustrecError: a saved data set of the library datasets is incomplete.
    """
    saved, loose = _columnar(folder, frozenset(skipped))
    named = named or {}
    tables = [table for place in saved for table in _saved(folder, place, named)]
    groups: dict[tuple[str, str], list[Path]] = {}
    texts = [file for file in files if is_data(file) and data_suffix(file) not in arrow.SUFFIXES]
    for path in [*loose, *(file for file in texts if file.name not in huggingface.DESCRIPTIONS)]:
        groups.setdefault(_group(folder, path), []).append(path)
    tables += [_table(folder, sorted(paths), named) for paths in groups.values()]
    return sorted(tables, key=lambda table: table.name)


def split_role(stem: str) -> tuple[str, int] | None:
    """Return what the names of the files of a published split share, and the label; None for another file."""
    for label, role in ROLES.items():
        if match := re.fullmatch(rf"(.*[._-])?({role})", stem, re.IGNORECASE):
            return match[1] or "", label
    return None


def role_of(names: Sequence[str], named: Mapping[str, str]) -> str:
    """Return what a table with these columns holds."""
    places = _kinds_in(names, named)
    if "user" in places and "item" in places:
        return INTERACTIONS
    has_id = "item" in places or CATALOG_ID in map(plain, names)
    return CATALOG if has_id and "user" not in places and any(kind in places for kind in TEXTS) else OTHER


def _kinds_in(names: Sequence[str], named: Mapping[str, str]) -> set[str]:
    """Return the kinds of columns among these, by usual names and by those that the user gave."""
    there = set(map(plain, names))
    return {
        *places_of(names, ("user", "item", *TEXTS)),
        *(kind for kind, name in named.items() if plain(name) in there),
    }


def _columnar(folder: Path, skipped: frozenset[str]) -> tuple[list[Path], list[Path]]:
    """Return the folders of saved data sets, and the other Parquet and Arrow files, at any level."""
    saved, loose = [], []
    for place, folders, names in os.walk(folder):
        at = Path(place)
        if huggingface.is_saved(at):
            saved.append(at)
            folders.clear()
            continue
        if len(at.relative_to(folder).parts) >= MOST_LEVELS:
            folders.clear()
        folders[:] = sorted(name for name in folders if name[0] not in "._" and name not in skipped)
        loose += [
            at / name
            for name in sorted(names)
            if name[0] not in "._" and data_suffix(at / name) in arrow.SUFFIXES and (at / name).is_file()
        ]
    return saved, loose


def _saved(folder: Path, place: Path, named: Mapping[str, str]) -> Iterator[Table]:
    for split, files in huggingface.saved_splits(place).items():
        role = split_role(split)
        name = place.relative_to(folder) / split if place != folder else Path(split or place.name)
        stem = split if role is None and split else place.name
        yield Table(
            "huggingface",
            _role_of_columns(files[0], named),
            files,
            f"{name.as_posix()}/",
            stem,
            None if role is None else role[1],
            f"{place}/{role[0]}" if role is not None else "",
        )


def _group(folder: Path, path: Path) -> tuple[str, str]:
    """Return the key that the parts of one table share."""
    inside = path.parent.relative_to(folder).parts
    partition = next((at for at, part in enumerate(inside) if _PARTITION.fullmatch(part)), None)
    suffix = data_suffix(path)
    if partition is not None:
        return "/".join(inside[:partition]), f"*{suffix}"
    base = shard_base(path)
    return "/".join(inside), path.name if base is None else f"{base}*{suffix}"


def shard_base(path: Path) -> str | None:
    """Return what the parts of a table have in common in their names; None for a file that is no part."""
    stem = plain_path(path).stem
    if match := _HUB_SHARD.fullmatch(stem):
        return match[1]
    if _SPARK_PART.fullmatch(stem):
        return "part"
    numbered = data_suffix(path) in (*arrow.SUFFIXES, *json_lines.SUFFIXES)
    if numbered and (match := _NUMBERED.fullmatch(stem)):
        return match[1] or ""
    return None


def _table(folder: Path, files: list[Path], named: Mapping[str, str]) -> Table:
    first = files[0]
    inside = first.relative_to(folder)
    parts = [part for part in inside.parts[:-1] if not _PARTITION.fullmatch(part)]
    base = shard_base(first)
    stem = plain_path(first).stem if base is None else base.rstrip("-_.")
    if base in ("", "part") or len(parts) + 1 < len(inside.parts):
        stem = parts[-1] if parts else folder.name
    name = inside.as_posix()
    if len(files) > 1:
        name = f"{'/'.join(parts)}/" if parts else f"{base or ''}*{data_suffix(first)}"
    role = split_role(stem)
    kind = format_of(first)
    return Table(
        kind,
        _role(first, kind, named),
        tuple(files),
        name,
        stem,
        None if role is None else role[1],
        f"{'/'.join(parts[:-1] if parts and stem == parts[-1] else parts)}/{role[0]}{data_suffix(first)}"
        if role is not None
        else "",
    )


def _role(path: Path, kind: str, named: Mapping[str, str]) -> str:
    """Return what a file holds, by its name or its columns."""
    name, suffix = plain_path(path).name, data_suffix(path)
    if kind in ("parquet", "arrow", "huggingface", "jsonl"):
        return _role_of_columns(path, named)
    if name in movielens.CATALOGS or suffix == ".item":
        return CATALOG
    if name in movielens.RATINGS or suffix == ".inter" or kind == "lightgcn":
        return INTERACTIONS
    if kind == "recbole" or name in ("users.dat", "tags.dat", "tags.csv", "links.csv"):
        return OTHER
    return _role_of_text(path, name, named)


def _role_of_text(path: Path, name: str, named: Mapping[str, str]) -> str:
    """Return what a delimited text file holds: a catalog by its name, or if it has a text and no user column."""
    header = peek_header(path)
    if plain_path(Path(name)).stem in CATALOG_STEMS:
        return CATALOG
    places = _kinds_in(header, named)
    if "user" not in places and ("title" in places or role_of(header, named) == CATALOG):
        return CATALOG
    return INTERACTIONS if "user" in places and "item" in places else UNKNOWN


def _role_of_columns(path: Path, named: Mapping[str, str]) -> str:
    """Return what a file with named columns holds; JSON with a usual name counts as a catalog, even if damaged."""
    is_json = data_suffix(path) in json_lines.SUFFIXES
    stem = plain_path(path).stem
    usual = is_json and (data_suffix(path) != ".json" or stem in CATALOG_STEMS or stem.startswith("meta_"))
    try:
        found = role_of(json_lines.table(path).header if is_json else arrow.ArrowFile(path).names, named)
    except RobustrecError:
        found = OTHER if is_json else UNKNOWN
    return CATALOG if usual and found == OTHER else found
