"""URLs of object storage, shown and recorded without the credentials that they may hold."""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import unquote

LOCAL_PROTOCOLS = ("file", "local", "memory")
"""Protocols that do not use the network."""

_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(.*)", re.DOTALL)


def protocol_of(url: str) -> str:
    """Return the protocol of a URL in small letters; "" for anything else."""
    found = _URL.fullmatch(url)
    return found[1].lower() if found else ""


def hidden_in(url: str) -> list[str]:
    """Return the parts of a URL that may be credentials: all before the last @ and all after a ?, the longest first."""
    found = _URL.fullmatch(url)
    rest = found[2] if found else url
    parts: list[str] = []
    before, _, query = rest.partition("?")
    account, at, _ = before.rpartition("@")
    if at:
        parts += [account, account.partition(":")[2]]
    if query:
        parts += [query, *(pair.partition("=")[2] for pair in query.split("&"))]
    parts += [unquote(part) for part in parts]
    return sorted({part for part in parts if part}, key=len, reverse=True)


def shown_url(url: str) -> str:
    """Return a URL as it may be printed: *** stands for an account, a password and a query."""
    found = _URL.fullmatch(url)
    if not found:
        return "***" if "@" in url or "?" in url else url
    before, question, _ = found[2].partition("?")
    _, at, place = before.rpartition("@")
    return f"{found[1]}://{'***@' if at else ''}{place}{'?***' if question else ''}"


def recorded_command(words: Sequence[str]) -> list[str]:
    """Return the words of a command without a `--store` whose URL may hold credentials."""
    kept: list[str] = []
    skipped = False
    for place, word in enumerate(words):
        if skipped:
            skipped = False
            continue
        if word == "--store" and place + 1 < len(words) and hidden_in(words[place + 1]):
            skipped = True
        elif not (word.startswith("--store=") and hidden_in(word.removeprefix("--store="))):
            kept.append(word)
    return kept
