"""The error class for users: what is wrong, where, and how to fix it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

EXIT_PASS = 0
EXIT_BREACH = 1
EXIT_ERROR = 2
EXIT_INTERRUPTED = 130


class RobustrecError(Exception):
    """Invalid use, invalid configuration, or missing or unreadable data; the process ends with exit code 2.

    Args:
        what: what is wrong, with the value.
        where: the file and key, or the option.
        fix: how to fix it, as a command that works when pasted, if there is one.
    """

    def __init__(self, what: str, *, where: str, fix: str) -> None:
        super().__init__(what, where, fix)
        self.what = what
        self.where = where
        self.fix = fix

    def __str__(self) -> str:
        return f"{self.what}\n  where: {self.where}\n  fix: {self.fix}"


def unknown_name(kind: str, value: str, choices: Iterable[str], *, where: str) -> RobustrecError:
    """Return the error for an unknown name, with the closest choice as a suggestion.

    Args:
        kind: kind of the name, in the singular ("model").
        value: the name given.
        choices: the known names.
        where: the option, or the file and key, of the name.
    """
    known = sorted(set(choices))
    near = difflib.get_close_matches(value.lower(), known, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}? " if near else ""
    listed = ", ".join(known) if known else "none"
    return RobustrecError(f"unknown {kind} {value!r}", where=where, fix=f"{hint}available {kind}s: {listed}")


def one_line(error: RobustrecError) -> str:
    """Return the three parts of an error on one line."""
    return f"{error.what} ({error.where}); {error.fix}"


def described(error: BaseException) -> str:
    """Return type and message of an exception of user code on one line, even if its message cannot be formatted."""
    try:
        text = " ".join(str(error).split())
    except KeyboardInterrupt:
        raise
    except BaseException:
        text = ""
    return f"{type(error).__name__}: {text}".rstrip(": ")
