"""Removal of stored entries by commands: what would be removed and its size first, then a question."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from robustrec.cli.terminal import data_console, message_console, say
from robustrec.errors import RobustrecError
from robustrec.home_folders import Entry, remove
from robustrec.sheet import Sheet
from robustrec.units import size_text


def remove_after_question(entries: Sequence[Entry], *, command: str, yes: bool, named: bool = False) -> None:
    """Ask whether entries are to be removed, remove them, and say what was.

    Args:
        entries: what to remove; the caller has printed it.
        command: the command, for errors.
        yes: do not ask.
        named: the user named each entry, so that one in use is an error.

    Raises:
        RobustrecError: nobody answers, an entry cannot be removed, or a named one is in use.
    """
    if not yes and not _confirmed(f"Remove {_counted(entries)}?", command):
        say("nothing was removed")
        return
    result = remove(entries)
    Sheet(data_console()).line(f"removed {_counted(result.removed)}")
    for entry in result.kept:
        say(f"not removed, in use by another process: {entry.folder}/{entry.name}")
    if named and result.kept:
        raise RobustrecError(
            f"in use by another process: {', '.join(entry.name for entry in result.kept)}",
            where=command,
            fix="wait until that process has ended, and run the same command again",
        )


def _counted(entries: Sequence[Entry]) -> str:
    noun = "entry" if len(entries) == 1 else "entries"
    return f"{len(entries)} {noun}, {size_text(sum(entry.size for entry in entries))}"


def _confirmed(question: str, command: str) -> bool:
    console = message_console()
    console.print(f"{question} [y/N] ", end="", markup=False)
    answer = sys.stdin.readline() if sys.stdin is not None else ""
    if not answer:
        console.print()
        raise RobustrecError(
            "nobody answered, and nothing was removed", where=command, fix="confirm with --yes, or look with --dry-run"
        )
    return answer.strip().lower() in ("y", "yes")
