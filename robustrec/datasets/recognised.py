"""What an import has recognised, in one line: format, files and number of rows."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from robustrec.datasets.formats.kinds import LABELS, format_of

Part = tuple[Sequence[Path], int]
"""The files of one table, and its number of rows."""


def recognised_line(parts: Iterable[Part]) -> str:
    """Return format, files and rows of tables: "Parquet: a.parquet (96 rows); JSON Lines: items.jsonl (12 rows)"."""
    by_format: dict[str, list[str]] = {}
    for files, rows in parts:
        by_format.setdefault(format_of(files[0]), []).append(_described(files, rows))
    return "; ".join(f"{LABELS[form]}: {', '.join(tables)}" for form, tables in by_format.items())


def _described(files: Sequence[Path], rows: int) -> str:
    counted = f"{rows:,} row{'s' if rows != 1 else ''}"
    if len(files) == 1:
        return f"{files[0].name} ({counted})"
    folder = Path(os.path.commonpath([path.parent for path in files]))
    return f"{folder.name}/ ({len(files)} files, {counted})"


def with_format(where: str, files: Iterable[Path]) -> str:
    """Return the place of an error with the format of the file that it names, if it is one of these."""
    named = next((path for path in files if str(path) in where), None)
    return where if named is None else f"{where} (format: {LABELS[format_of(named)]})"
