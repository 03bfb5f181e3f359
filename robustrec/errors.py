"""The one error a user sees: what was wrong, where, and what to do next."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

EXIT_PASS = 0
EXIT_BREACH = 1
EXIT_ERROR = 2
EXIT_INTERRUPTED = 130


class RobustrecError(Exception):
    """Wrong use, bad configuration, missing or unreadable data; the process ends with exit code 2.

    Args:
        what: what was wrong, with the value.
        where: the file and key, or the option.
        fix: what to do next, as a command that can be pasted where there is one.
    """

    def __init__(self, what: str, *, where: str, fix: str) -> None:
        super().__init__(what, where, fix)
        self.what = what
        self.where = where
        self.fix = fix

    def __str__(self) -> str:
        return f"{self.what}\n  where: {self.where}\n  fix: {self.fix}"


def unknown_name(kind: str, value: str, choices: Iterable[str], *, where: str) -> RobustrecError:
    """Return the error for a name that is none of the choices, with the nearest one suggested.

    Args:
        kind: what the name should have named, in the singular ("model").
        value: the name given.
        choices: the names there are.
        where: the option or the file and key that held the name.
    """
    known = sorted(choices)
    near = difflib.get_close_matches(value.lower(), known, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}? " if near else ""
    listed = ", ".join(known) if known else "none"
    return RobustrecError(f"unknown {kind} {value!r}", where=where, fix=f"{hint}{kind}s there are: {listed}")


def one_line(error: RobustrecError) -> str:
    """Return an error's three parts on one line, for a table cell or a status."""
    return f"{error.what} ({error.where}); {error.fix}"


def described(error: BaseException) -> str:
    """Return the kind and message of what somebody's code raised, on one line, even where its own text fails."""
    try:
        text = " ".join(str(error).split())
    except KeyboardInterrupt:
        raise
    except BaseException:
        text = ""
    return f"{type(error).__name__}: {text}".rstrip(": ")
