"""stdout for results and stderr for messages, whatever their encoding and width, and when they cannot be written."""

from __future__ import annotations

import codecs
import errno
import io
import json
import os
import re
import sys
from contextlib import suppress
from typing import Any, TextIO

NARROWEST, WIDEST, USUAL_WIDTH = 40, 400, 80
"""Columns that are printed at least, at most, and where the terminal does not say."""

PLAIN = {"σ": "sigma", "²": "^2", "τ": "tau", "…": "...", "→": "->", "−": "-", "·": "-", "‖": "|", "–": "-", "—": "-"}
PLAIN |= {"≤": "<=", "≥": ">=", "×": "x", "λ": "lambda", "ρ": "rho", "α": "alpha", "₁": "1", "₂": "2", "±": "+/-"}
PLAIN |= dict.fromkeys("─━═", "-") | dict.fromkeys("│┃║", "|") | dict.fromkeys("┌┐└┘├┤┬┴┼╭╮╰╯", "+")
PLAIN |= dict(zip("▁▂▃▄▅▆▇█", ".:-=+*%#", strict=True)) | {"\xa0": " ", "“": '"', "”": '"', "‘": "'", "’": "'"}
"""What robustrec itself prints, for encodings that lack it; other letters become question marks."""

_HANDLER = "robustrec.plain"
_NOT_ASCII = re.compile(r"[^\x00-\x7f]")


class StdoutError(Exception):
    """Results cannot be written to stdout.

    Attributes:
        reader_left: the reader of a pipe has closed it, as `head` does when it has its lines.
    """

    def __init__(self, message: str, *, reader_left: bool = False) -> None:
        super().__init__(message)
        self.reader_left = reader_left


def prepare_streams() -> None:
    """Let stdout and stderr take every character, and make nonsense in COLUMNS and the like harmless."""
    codecs.register_error(_HANDLER, _plain)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            with suppress(OSError, ValueError):
                stream.reconfigure(errors=_HANDLER)
    for name in ("COLUMNS", "TERMINAL_WIDTH", "LINES"):
        given = os.environ.get(name)
        if given is not None:
            usable = given.isascii() and given.isdecimal() and int(given[:9]) > 0
            if usable and name != "LINES":
                os.environ[name] = str(min(max(int(given[:9]), NARROWEST), WIDEST))
            elif not usable:
                del os.environ[name]


def _plain(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(PLAIN.get(letter, "?") for letter in error.object[error.start : error.end]), error.end


def write_text(text: str) -> None:
    """Write a text to stdout.

    Raises:
        StdoutError: it cannot be written.
    """
    Stdout().write(text)


def write_bytes(content: bytes) -> None:
    """Write to stdout as it is, whatever encoding the terminal has.

    Raises:
        StdoutError: it cannot be written.
    """
    flush_stdout()
    binary = getattr(sys.stdout, "buffer", None)
    if binary is None:
        write_text(content.decode())
        return
    try:
        binary.write(content)
    except (OSError, ValueError) as error:
        raise _failed(error) from error
    flush_stdout()


def write_json(value: Any, *, indent: int = 2) -> None:
    """Write a value to stdout as JSON, with escapes where stdout is not UTF-8.

    Raises:
        StdoutError: it cannot be written.
    """
    write_json_text(json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=False))


def write_json_text(text: str) -> None:
    """Write a JSON text to stdout, with escapes where stdout is not UTF-8.

    Raises:
        StdoutError: it cannot be written.
    """
    if not Stdout().encoding.lower().startswith("utf"):
        # Outside of strings, JSON is ASCII.
        text = _NOT_ASCII.sub(lambda letter: json.dumps(letter[0])[1:-1], text)
    write_text(text.rstrip("\n") + "\n")


def flush_stdout() -> None:
    """Hand what was written to the system.

    Raises:
        StdoutError: it cannot be written.
    """
    Stdout().flush()


def abandon_stdout() -> None:
    """Let what is still to be written to stdout vanish, so that Python does not fail at exit on writing it."""
    with suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    with suppress(OSError, ValueError, AttributeError):
        sys.stdout.flush()


class Stdout(io.TextIOBase):
    """stdout, which raises `StdoutError` where it cannot be written."""

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """Its encoding."""
        return getattr(sys.stdout, "encoding", None) or "utf-8"

    def close(self) -> None:
        """Do nothing: this is called for each object that goes away, and what it writes to stays open."""

    def isatty(self) -> bool:
        """Tell whether it is a terminal."""
        return _is_terminal(sys.stdout)

    def fileno(self) -> int:
        """Return its descriptor."""
        return sys.stdout.fileno()

    def write(self, text: str, /) -> int:
        """Write a text."""
        try:
            return sys.stdout.write(text)
        except (OSError, ValueError, AttributeError) as error:
            raise _failed(error) from error

    def flush(self) -> None:
        """Hand what was written to the system."""
        try:
            sys.stdout.flush()
        except (OSError, ValueError, AttributeError) as error:
            raise _failed(error) from error


class Stderr(io.TextIOBase):
    """stderr; a message that cannot be written is lost, and nothing else fails for it."""

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """Its encoding."""
        return getattr(sys.stderr, "encoding", None) or "utf-8"

    def close(self) -> None:
        """Do nothing: this is called for each object that goes away, and what it writes to stays open."""

    def isatty(self) -> bool:
        """Tell whether it is a terminal."""
        return _is_terminal(sys.stderr)

    def fileno(self) -> int:
        """Return its descriptor."""
        return sys.stderr.fileno()

    def write(self, text: str, /) -> int:
        """Write a text."""
        with suppress(OSError, ValueError, AttributeError):
            sys.stderr.write(text)
        return len(text)

    def flush(self) -> None:
        """Hand what was written to the system."""
        with suppress(OSError, ValueError, AttributeError):
            sys.stderr.flush()


def _is_terminal(stream: TextIO | None) -> bool:
    try:
        return stream is not None and stream.isatty()
    except ValueError:  # closed
        return False


def _failed(error: Exception) -> StdoutError:
    if isinstance(error, AttributeError):
        return StdoutError("it is closed")
    if isinstance(error, OSError):
        left = error.errno in (errno.EPIPE, errno.ESHUTDOWN)
        return StdoutError(error.strerror or str(error), reader_left=left)
    return StdoutError(str(error))
