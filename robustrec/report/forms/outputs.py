"""Values of --output-format: checked before any work, written when the report exists."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from robustrec.errors import RobustrecError, unknown_name
from robustrec.files import check_outputs, write_atomically
from robustrec.report.forms import BINARY, FORMATS
from robustrec.streams import write_bytes

if TYPE_CHECKING:
    from robustrec.results.report import Report

_OPTION = "--output-format"


class Output(NamedTuple):
    """An output format and its path; None is stdout, which is written FORMAT or FORMAT:-."""

    form: str
    path: Path | None


def parse_outputs(
    texts: Sequence[str], *, inputs: Iterable[tuple[str, Path | None]] = (), stdout_taken: bool = False
) -> list[Output]:
    """Parse the values of --output-format and check that the files are writable.

    Args:
        texts: FORMAT:PATH, or FORMAT or FORMAT:- for stdout.
        inputs: option and path of each input file, so that none is overwritten.
        stdout_taken: whether something else already writes to stdout.

    Raises:
        RobustrecError: unknown format, missing path, duplicate target, or a file that is not writable or is an
            input.
    """
    outputs = [_parsed(text) for text in texts]
    to_stdout = [output.form for output in outputs if output.path is None]
    if len(to_stdout) + stdout_taken > 1:
        what = f"{' and '.join([*to_stdout, *(['--json'] if stdout_taken else [])])} cannot both write to stdout"
        raise RobustrecError(what, where=_OPTION, fix=f"write all but one to a file: {to_stdout[0]}:PATH")
    check_outputs([(output.form, output.path) for output in outputs if output.path is not None], inputs)
    return outputs


def _parsed(text: str) -> Output:
    form, colon, path = text.partition(":")
    if form not in FORMATS:
        error = unknown_name("format", form, FORMATS, where=_OPTION)
        raise RobustrecError(error.what, where=_OPTION, fix=f"{error.fix}; for example json:PATH or html:PATH")
    if colon and not path:
        raise RobustrecError(f"{text!r} has no file name", where=_OPTION, fix=f"add a path: {form}:PATH")
    to_stdout = not colon or path == "-"
    if to_stdout and form in BINARY:
        raise RobustrecError(f"{form} cannot be written to stdout", where=_OPTION, fix=f"add a path: {form}:PATH")
    if form == "parquet":
        from robustrec.report.forms.findings_table import require_pyarrow

        require_pyarrow()
    return Output(form, None if to_stdout else Path(path))


def write_outputs(report: Report, outputs: Sequence[Output]) -> None:
    """Write a report in all given formats; github also appends to the step summary of the job, if there is one.

    Files are written first, so that they exist even if stdout cannot be written.

    Raises:
        RobustrecError: a file cannot be written, or a format needs a package that is not installed.
        StdoutError: stdout cannot be written.
    """
    made: dict[str, bytes] = {}
    for output in sorted(outputs, key=lambda each: each.path is None):
        if output.form not in made:
            made[output.form] = FORMATS[output.form](report)
        content = made[output.form]
        if output.path is None:
            write_bytes(content)
        else:
            write_atomically(output.path, content)
        if output.form == "github":
            from robustrec.report.forms.github import append_step_summary

            append_step_summary(report)
