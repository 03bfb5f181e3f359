"""Blocks and commands of the documentation, and the command line's own parser for them."""

from __future__ import annotations

import functools
import re
import shlex
import sys
import textwrap
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

sys.path.insert(0, str(ROOT / "docs" / "generate"))
import site_commands  # noqa: E402

sys.path.pop(0)


def blocks(text: str) -> list[str]:
    """The blocks of a page: indented by four, or fenced; without their indentation."""
    fenced = re.findall(r"^```\w*\n(.*?)^```", text, re.M | re.S)
    rest = re.sub(r"^```\w*\n.*?^```", "", text, flags=re.M | re.S)
    indented = re.findall(r"(?:(?:^ {4}.*\n|^[ \t]*\n)*^ {4}.*\n)", f"{rest}\n", re.M)
    return [textwrap.dedent(each).strip("\n") for each in [*indented, *fenced]]


def commands_of(text: str) -> list[str]:
    """The robustrec commands on lines of their own in the blocks of a page, continuation lines joined."""
    found = []
    for block in blocks(text):
        joined = re.sub(r"\s*\\\n\s*", " ", block)
        found += re.findall(r"^(?:\$ )?((?:[A-Z_]+=\S+ )*robustrec [a-z].*)$", joined, re.M)
    return found


@functools.cache
def known_commands():
    """Every command by its words."""
    return dict(site_commands.commands())


def words_of(command: str) -> list[str]:
    """The words of a command as a shell has them, without variables before it, and without what follows ; or | or >."""
    lexer = shlex.shlex(command, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    words = []
    for word in lexer:
        if re.fullmatch(r"[();<>|&]+", word):
            break
        words.append(word)
    while words and re.match(r"[A-Z_]+=", words[0]):
        words.pop(0)
    return words


def parsed(words: list[str]) -> dict:
    """Parse the words of a command by the real command line, types and choices included; nothing is run."""
    known = known_commands()
    name = next(each for each in (" ".join(words[:3]), " ".join(words[:2])) if each in known)
    arguments = words[len(name.split()) :]
    return known[name].make_context(name, list(arguments)).params
