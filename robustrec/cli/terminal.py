"""stdout for data, stderr for progress and messages; progress bars and colour on a terminal only."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, cast

from rich.console import Console
from rich.text import Text

from robustrec.errors import EXIT_PASS, RobustrecError
from robustrec.progress import Progress as Report
from robustrec.progress import silent
from robustrec.streams import (
    NARROWEST,
    USUAL_WIDTH,
    WIDEST,
    Stderr,
    Stdout,
    StdoutError,
    abandon_stdout,
    flush_stdout,
)


class Finished(Exception):  # noqa: N818 - not an error
    """The end of a command with an exit code; raised by commands only."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


@contextmanager
def finishing(code: int) -> Iterator[None]:
    """Print results inside the block and end the command with an exit code.

    If stdout cannot be written, the exit code of a breached gate is kept. A closed pipe does not change the exit code.

    Raises:
        Finished: always, unless printing raises another exception.
        StdoutError: stdout is full or closed, and no gate was breached.
    """
    try:
        yield
        flush_stdout()
    except StdoutError as error:
        if not error.reader_left:
            if code == EXIT_PASS:
                raise
            print_error(stdout_error(error))
        abandon_stdout()
    raise Finished(code)


def stdout_error(error: StdoutError) -> RobustrecError:
    """Return the error for a stdout that cannot be written."""
    return RobustrecError(
        f"cannot write the results: {error}",
        where="stdout",
        fix="free disk space, or redirect the results: robustrec COMMAND … > FILE",
    )


def data_console() -> Console:
    """Return the console for results, on stdout."""
    return _sized(Console(file=cast(IO[str], Stdout()), highlight=False))


def message_console() -> Console:
    """Return the console for messages, on stderr."""
    return _sized(Console(file=cast(IO[str], Stderr()), highlight=False))


def _sized(console: Console) -> Console:
    width = console.width
    if not NARROWEST <= width <= WIDEST:
        console.width = min(max(width, NARROWEST), WIDEST) if width > 0 else USUAL_WIDTH
    return console


def say(message: str, *, quiet: bool = False) -> None:
    """Print a message to stderr, with unencodable characters replaced."""
    if not quiet:
        message_console().print(Text(message), soft_wrap=True)


def print_error(error: RobustrecError) -> None:
    """Print the three parts of an error to stderr."""
    console = message_console()
    console.print(Text.assemble(("error: ", "bold red"), error.what), soft_wrap=True)
    console.print(Text.assemble(("  where: ", "bold"), error.where), soft_wrap=True)
    console.print(Text.assemble(("  fix:   ", "bold"), error.fix), soft_wrap=True)


@contextmanager
def progress_bars(*, quiet: bool = False) -> Iterator[Report]:
    """Yield a progress reporter: progress bars on a terminal, one line per stage elsewhere, nothing if quiet."""
    console = message_console()
    if quiet:
        yield silent
    elif console.is_terminal:
        from robustrec.cli.bars import bars

        with bars(console) as report:
            yield report
    else:
        yield _lines(console)


def _lines(console: Console) -> Report:
    """Report a stage when it begins, and then every 30 seconds, for build logs."""
    last: dict[str, float] = {}

    def report(stage: str, done: int, total: int, note: str = "", /) -> None:
        now = time.monotonic()
        if stage not in last or now - last[stage] >= 30:
            first = stage not in last
            last[stage] = now
            detail = "" if first and not note else f": {done} of {total}{' · ' + note if note else ''}"
            console.print(Text(f"{stage}{detail}"), soft_wrap=True)

    return report
