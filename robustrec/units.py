"""Sizes and ages in words, and as people write them on a command line."""

from __future__ import annotations

import re

from robustrec.errors import RobustrecError

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?)(i?)b?", re.IGNORECASE)
_AGE = re.compile(r"(\d+(?:\.\d+)?)\s*(h|d|w)", re.IGNORECASE)
_POWER = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}
_SECONDS = {"h": 3600, "d": 86_400, "w": 7 * 86_400}


def size_text(size: float) -> str:
    """Return a size in decimal units: "512 B", "5.8 MB"."""
    for unit, factor in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= 0.9995 * factor:
            value = size / factor
            return f"{value:.1f} {unit}" if value < 99.95 else f"{value:.0f} {unit}"
    return f"{size:.0f} B"


def seconds_text(seconds: float) -> str:
    """Return a time for people who decide whether to wait: "< 1 s", "21 s", "6 min", "3.5 h"."""
    if seconds < 1:
        return "< 1 s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 2 * 3600:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def age_text(seconds: float) -> str:
    """Return an age in its largest whole unit: "3 d", "5 h", "12 min"."""
    for unit, length in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{int(seconds // length)} {unit}"
    return "< 1 min"


def parse_size(text: str, *, where: str) -> int:
    """Return the bytes of a size such as 500MB, 2GB or 1.5GiB.

    Raises:
        RobustrecError: it is not one.
    """
    found = _SIZE.fullmatch(text.strip())
    # A bare number would be bytes, of which nobody thinks.
    if found is None or not found[2]:
        raise RobustrecError(f"{text!r} is not a size", where=where, fix="for example: 500MB, 2GB or 1.5GiB")
    return int(float(found[1]) * (1024 if found[3] else 1000) ** _POWER[found[2].lower()])


def parse_age(text: str, *, where: str) -> float:
    """Return the seconds of an age such as 12h, 30d or 4w.

    Raises:
        RobustrecError: it is not one.
    """
    found = _AGE.fullmatch(text.strip())
    if found is None:
        raise RobustrecError(f"{text!r} is not an age", where=where, fix="for example: 12h, 30d or 4w")
    return float(found[1]) * _SECONDS[found[2].lower()]
