"""The reports folder, HOME/reports: its files, and reports by the beginning of their names."""

from __future__ import annotations

import os
import shlex
import stat
from pathlib import Path
from typing import Any

from robustrec.config import home_words
from robustrec.errors import RobustrecError
from robustrec.files import shown_path
from robustrec.untrusted import UnreadableError, parse_json, read_text

MAX_BYTES = 256 << 20
"""Largest report read, in bytes; a full audit has a few MiB."""

SHORTEST_PREFIX = 4
MOST_CANDIDATES = 8


def report_files(home: Path) -> list[Path]:
    """Return the JSON files of the reports folder by name, which begins with their time; no links, none half-written.

    A report that is being written has a temporary name with a dot in front until it is whole.
    """
    folder = home / "reports"
    found = []
    try:
        if folder.is_symlink():
            return []
        with os.scandir(folder) as listed:
            for each in listed:
                if each.name.startswith(".") or not each.name.endswith(".json"):
                    continue
                if stat.S_ISREG(each.stat(follow_symlinks=False).st_mode):
                    found.append(Path(each.path))
    except OSError:
        pass
    return sorted(found, key=lambda path: path.name)


def find_report(given: str | Path, home: Path) -> Path:
    """Return the path of a report given by path, or by a name of the reports folder or its unique beginning.

    A path that exists comes first. What looks like a path stays as it is, so that reading says what is wrong with it.

    Raises:
        RobustrecError: several names begin so, or none.
    """
    path = Path(given)
    text = str(given)
    if os.path.lexists(path) or "/" in text or text in ("", ".", ".."):
        return path
    files = report_files(home)
    stem = text.removesuffix(".json")
    if exact := [each for each in files if each.stem == stem]:
        return exact[0]
    matching = [each for each in files if each.stem.startswith(stem)] if len(stem) >= SHORTEST_PREFIX else []
    if len(matching) == 1:
        return matching[0]
    if matching:
        names = ", ".join(shown_path(each.stem) for each in matching[:MOST_CANDIDATES])
        more = f" and {len(matching) - MOST_CANDIDATES} more" if len(matching) > MOST_CANDIDATES else ""
        raise RobustrecError(
            f"{text!r} is the beginning of {len(matching)} reports: {names}{more}",
            where=shown_path(home / "reports"),
            fix="give more of the name, or the path of the file",
        )
    if text.endswith(".json"):
        return path
    raise RobustrecError(
        f"report {text!r} not found: neither a file, nor the beginning of a name in the reports folder",
        where=shown_path(home / "reports"),
        fix=f"list the reports: {shlex.join(['robustrec', 'report', 'list', *home_words(home)])}",
    )


def runs_of_reports(home: Path) -> dict[str, list[tuple[str, str]]]:
    """Return run key -> the name of each report that uses the run, and its name of the features.

    A file that is no report of an audit, or is damaged, uses nothing.
    """
    found: dict[str, list[tuple[str, str]]] = {}
    for path in report_files(home):
        try:
            content: Any = parse_json(read_text(path, most=MAX_BYTES))
        except UnreadableError:
            continue
        subjects = content.get("subjects") if isinstance(content, dict) else None
        for record in subjects if isinstance(subjects, list) else ():
            key = record.get("run") if isinstance(record, dict) else None
            if isinstance(key, str):
                subject = record.get("subject")
                features = subject.get("features") if isinstance(subject, dict) else None
                found.setdefault(key, []).append((path.stem, features if isinstance(features, str) else ""))
    return found
