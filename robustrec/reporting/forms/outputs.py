"""What --output-format asks for: read before any work, written when there is a report."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from robustrec.errors import RobustrecError, unknown_name
from robustrec.files import check_writable, write_atomically
from robustrec.reporting.forms import BINARY, FORMATS
from robustrec.reporting.forms.findings_table import require_pyarrow
from robustrec.reporting.forms.github import append_step_summary
from robustrec.reporting.report import Report

_OPTION = "--output-format"


class Output(NamedTuple):
    """A form and where it goes; a path of None is stdout."""

    form: str
    path: Path | None


def parse_outputs(texts: Sequence[str], *, stdout_taken: bool = False) -> list[Output]:
    """Return what the values of --output-format ask for, and see that the files can be written.

    Args:
        texts: FORMAT or FORMAT:PATH.
        stdout_taken: whether something else goes to stdout already.

    Raises:
        RobustrecError: an unknown form, no path where one is needed, two for stdout, or a file that cannot be written.
    """
    outputs = [_parsed(text) for text in texts]
    to_stdout = [output.form for output in outputs if output.path is None]
    if len(to_stdout) + stdout_taken > 1:
        what = f"{' and '.join([*to_stdout, *(['--json'] if stdout_taken else [])])} would both go to stdout"
        raise RobustrecError(what, where=_OPTION, fix=f"give all but one a path: {to_stdout[0]}:PATH")
    paths = [output.path for output in outputs if output.path is not None]
    for path in paths:
        if paths.count(path) > 1:
            raise RobustrecError(f"two forms would be written to {path}", where=_OPTION, fix="give each its own path")
        check_writable(path)
    return outputs


def _parsed(text: str) -> Output:
    form, colon, path = text.partition(":")
    if form not in FORMATS:
        error = unknown_name("format", form, FORMATS, where=_OPTION)
        raise RobustrecError(error.what, where=_OPTION, fix=f"{error.fix}; for example json:PATH or html:PATH")
    if colon and not path:
        raise RobustrecError(f"{text!r} names no file", where=_OPTION, fix=f"give it one: {form}:PATH")
    if not colon and form in BINARY:
        raise RobustrecError(f"{form} cannot go to stdout", where=_OPTION, fix=f"give it a path: {form}:PATH")
    if form == "parquet":
        require_pyarrow()
    return Output(form, Path(path) if colon else None)


def write_outputs(report: Report, outputs: Sequence[Output]) -> None:
    """Write a report in every form asked for; github also appends to the job's step summary where there is one.

    Raises:
        RobustrecError: a file cannot be written, or a form needs what is not installed.
    """
    made: dict[str, bytes] = {}
    for output in outputs:
        if output.form not in made:
            made[output.form] = FORMATS[output.form](report)
        content = made[output.form]
        if output.path is None:
            print_bytes(content)
        else:
            write_atomically(output.path, content)
        if output.form == "github":
            append_step_summary(report)


def print_bytes(content: bytes) -> None:
    """Write to stdout as it is, whatever encoding the terminal has."""
    sys.stdout.flush()
    binary = getattr(sys.stdout, "buffer", None)
    if binary is None:
        sys.stdout.write(content.decode())
    else:
        binary.write(content)
    sys.stdout.flush()
