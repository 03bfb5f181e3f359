"""The formats of data files, and which one a file has."""

from __future__ import annotations

from pathlib import Path

from robustrec.datasets.formats import arrow, huggingface, json_lines, lists, movielens, recbole
from robustrec.datasets.formats.compressed import data_suffix, plain_path
from robustrec.datasets.tables import SUFFIXES as TABLE_SUFFIXES
from robustrec.datasets.tables import peek_header
from robustrec.errors import RobustrecError

LABELS = {
    "mmrec": "MMRec layout",
    "recbole": "RecBole atomic files",
    "movielens": "MovieLens files",
    "csv": "CSV",
    "jsonl": "JSON Lines",
    "parquet": "Parquet",
    "arrow": "Arrow",
    "huggingface": "Hugging Face dataset",
    "lightgcn": "LightGCN lists",
}
"""The formats by the name of `--format`."""
RECBOLE_SUFFIXES = (".item", ".user", ".kg", ".link")
SUFFIXES = (*TABLE_SUFFIXES, ".inter", *RECBOLE_SUFFIXES, ".txt", ".dat", *json_lines.SUFFIXES, *arrow.SUFFIXES)
"""The suffixes of data files that are read, without that of a compression."""
MOVIELENS_TABLES = ("ratings.csv", "movies.csv")


def is_data(path: Path) -> bool:
    """Tell whether a file may be one of these formats, by its name."""
    return data_suffix(path) in SUFFIXES or plain_path(path).name in (*movielens.RATINGS, *movielens.CATALOGS)


def format_of(path: Path) -> str:
    """Return the name of the format of a file, by its name and, where that says too little, its first line."""
    suffix, name = data_suffix(path), plain_path(path).name
    by_suffix = {
        **dict.fromkeys(arrow.PARQUET_SUFFIXES, "parquet"),
        **dict.fromkeys(json_lines.SUFFIXES, "jsonl"),
        **dict.fromkeys(RECBOLE_SUFFIXES, "recbole"),
    }
    if suffix in by_suffix:
        return by_suffix[suffix]
    if suffix in arrow.ARROW_SUFFIXES:
        return "huggingface" if huggingface.is_part(path) else "arrow"
    if suffix == ".inter":
        return "recbole" if recbole.is_typed(peek_header(path)) else "mmrec"
    if _is_movielens(path, suffix, name):
        return "movielens"
    return "lightgcn" if suffix == ".txt" and _are_lists(path) else "csv"


def _is_movielens(path: Path, suffix: str, name: str) -> bool:
    if name in ("u.data", "u.item") or (suffix == ".dat" and movielens.has_separator(path)):
        return True
    return name in MOVIELENS_TABLES and _are_movielens_tables(path)


def _are_lists(path: Path) -> bool:
    try:
        return lists.are_lists(path)
    except RobustrecError:
        return False


def _are_movielens_tables(path: Path) -> bool:
    names = {plain_path(each).name for each in path.parent.iterdir()}
    return set(MOVIELENS_TABLES) <= names and "movieId" in peek_header(path)
