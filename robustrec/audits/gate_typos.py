"""What a mistyped gate in one line most likely means: other signs, a decimal comma, what the shell took away.

Nothing here is accepted in the place of a gate. An error names the likely gate, to be read and pasted.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from robustrec.evaluation.kinds import KINDS

_SIGNS = str.maketrans(
    {
        **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2212\ufe63\uff0d", "-"),
        **dict.fromkeys("\u2265\u2a7e", ">="),
        **dict.fromkeys("\u2264\u2a7d", "<="),
        **dict.fromkeys("\u00a0\u2009\u202f", " "),
        "\uff1e": ">",
        "\uff1c": "<",
        "\uff05": "%",
        "\uff0b": "+",
        "\uff20": "@",
        "\uff1a": ":",
    }
)
_QUOTES = "\"'`\u2018\u2019\u201c\u201d\u201e\u00ab\u00bb"
_FORMS = (
    (r"&gt;", ">"),
    (r"&lt;", "<"),
    (r"=([<>])", r"\1="),
    (r"([<>])[<>]+", r"\1"),
    (r"(\d),(\d)", r"\1.\2"),
    (r"([-+])\s+(?=[\d.])", r"\1"),
    (r"(?<=\d)\s*(?:percent|per cent|pct|%+)", "%"),
    (r"(?<=%)\s*(?=[<>])", ","),
    (r"\s*@\s*", "@"),
    (r"\[([^\]]*)\]\s*:", r"(\1):"),
    (r"\s(?:against|versus|relative to)\s", " vs "),
)
"""Patterns of what is often written, and what a gate has in that place."""
_NAMES = re.compile(rf"(?<![A-Za-z_])({'|'.join(sorted(KINDS, key=len, reverse=True))})@?(?=\d)", re.IGNORECASE)
_NO_UNIT = re.compile(r"([<>]=?\s*[-+](?:\d+\.?\d*|\.\d+))(?=\s*(?:,|$|vs\s))")
_SHARE = re.compile(r"(=\s*)(\d+(?:\.\d+)?)\s*%(?=\s*[,)])")
_REDIRECTED = re.compile(r"=?[-+]?[\d.,]+%?")


def likely_gates(text: str) -> Iterator[str]:
    """Yield what a text that is no gate may mean, the likeliest first; texts may be no gates either."""
    plain = text.translate(_SIGNS).strip().strip(_QUOTES).strip()
    for pattern, form in _FORMS:
        plain = re.sub(pattern, form, plain)
    plain = _NAMES.sub(lambda found: f"{found[1].lower()}@", plain)
    plain = _SHARE.sub(lambda found: f"{found[1]}{float(found[2]) / 100:g}", plain)
    plain = re.sub(r"\bvs\s+baseline\b", "vs baseline", plain, flags=re.IGNORECASE)
    for candidate in (plain, _NO_UNIT.sub(r"\1%", plain)):
        if candidate != text:
            yield candidate


def redirected_to() -> Path | None:
    """Return the file that the shell made of an unquoted limit, such as `-2%` of `--gate ndcg@20>-2%`; None if none.

    It is the file that stdout is written to, in this folder, with the name of a limit.
    """
    try:
        target = os.fstat(sys.stdout.fileno())
        entries = [entry for entry in os.scandir() if _REDIRECTED.fullmatch(entry.name)]
        return next((Path(entry.name) for entry in entries if os.path.samestat(entry.stat(), target)), None)
    except (OSError, ValueError, AttributeError):  # no stdout, or one that is no file
        return None
