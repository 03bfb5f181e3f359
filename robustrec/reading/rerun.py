"""Commands that run an audit again with other options."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence

from robustrec.results.report import Report


def audit_again(report: Report, *more: str, models: Iterable[str] = ()) -> str:
    """Return the command that made a report with other options, or one like it.

    Args:
        report: the report.
        more: options to add; those of the same name, or with the same key of --set, are left out.
        models: for a report that `robustrec audit` did not make; default: those of the report.
    """
    words = list(report.command)
    if words[:2] != ["robustrec", "audit"]:
        names = dict.fromkeys(models or (each.subject.model for each in report.subjects))
        words = ["robustrec", "audit", "--dataset", report.dataset.name]
        words += [word for name in names for word in ("--model", name)]
    return shlex.join([*_without(words, more), *more])


def _without(words: Sequence[str], more: Sequence[str]) -> list[str]:
    """Return a command line without the options that are given anew."""
    given = {_key(more[place : place + 2]) for place in range(len(more)) if more[place].startswith("--")}
    kept: list[str] = []
    place = 0
    while place < len(words):
        pair = words[place : place + 2]
        name, equals, value = words[place].partition("=")
        if equals and _key([name, value]) in given:
            place += 1
        elif not equals and _key(pair) in given:
            place += 2
        else:
            kept.append(words[place])
            place += 1
    return kept


_SHORT = {"-m": "--model", "-s": "--strategy", "-d": "--dataset", "-f": "--features"}


def _key(pair: Sequence[str]) -> tuple[str, str]:
    """Return what an option sets: --set sets a key, the others their name."""
    name = _SHORT.get(pair[0], pair[0])
    return name, pair[1].partition("=")[0] if name == "--set" and len(pair) > 1 else ""
