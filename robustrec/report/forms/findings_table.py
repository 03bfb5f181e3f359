"""The table of findings as CSV and Parquet: one row per finding, with separate columns for the subject."""

from __future__ import annotations

import csv
import importlib
import importlib.util
import io
from typing import Any, get_args

from robustrec.errors import RobustrecError
from robustrec.results.findings import Finding
from robustrec.results.report import Report
from robustrec.subject import Subject

_STARTS_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
_SUBJECT = tuple(Subject.model_fields)
_OWN = tuple(name for name in Finding.model_fields if name != "subject")
COLUMNS = (*_SUBJECT, *_OWN)
"""Columns, the same in both formats."""


def provenance_of(report: Report) -> dict[str, str]:
    """Return what a table of findings is of: version, data and suite with their digests."""
    return {
        "robustrec": report.robustrec,
        "dataset": report.dataset.name,
        "edition": report.dataset.edition,
        "dataset_digest": report.dataset.digest,
        "suite": report.suite.name,
        "suite_digest": report.suite.digest,
    }


def csv_bytes(report: Report) -> bytes:
    """Return the findings as CSV (RFC 4180) in UTF-8, with unrounded numbers and empty cells for missing ones.

    Texts that a spreadsheet would read as a formula get an apostrophe prefix.
    """
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for finding in report.findings:
        writer.writerow([_cell(value) for value in values_of(finding)])
    return buffer.getvalue().encode("utf-8", "replace")


def guarded(text: str) -> str:
    """Return a text that no spreadsheet takes for a formula."""
    return f"'{text}" if text.startswith(_STARTS_FORMULA) or text.lstrip().startswith(_STARTS_FORMULA) else text


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return guarded(value) if isinstance(value, str) else repr(value)


def values_of(finding: Finding) -> list[Any]:
    """Return the cells of a finding, in the order of `COLUMNS`."""
    own = [finding.condition.label if name == "condition" else getattr(finding, name) for name in _OWN]
    return [getattr(finding.subject, name) for name in _SUBJECT] + own


def require_pyarrow() -> None:
    """Check, before long work, that Parquet can be written.

    Raises:
        RobustrecError: pyarrow is not installed.
    """
    if importlib.util.find_spec("pyarrow") is None:
        raise RobustrecError(
            "the format parquet needs pyarrow, but pyarrow is not installed",
            where="--output-format parquet",
            fix="pip install 'robustrec[parquet]', or use csv",
        )


def parquet_bytes(report: Report) -> bytes:
    """Return the findings as Parquet, numbers as float64 or int64, with the report's provenance as metadata.

    Raises:
        RobustrecError: pyarrow is not installed.
    """
    table = arrow_table(report)
    buffer = io.BytesIO()
    importlib.import_module("pyarrow.parquet").write_table(table, buffer, compression="zstd")
    return buffer.getvalue()


def arrow_table(report: Report) -> Any:
    """Return the findings as a pyarrow table, numbers as float64 or int64, with the report's provenance as metadata.

    Raises:
        RobustrecError: pyarrow is not installed.
    """
    require_pyarrow()
    # An extra, so that it is no import of the package's own.
    pa = importlib.import_module("pyarrow")
    kinds = {float: pa.float64(), int: pa.int64(), str: pa.string()}
    fields = [pa.field(name, kinds[_kind(name)]) for name in COLUMNS]
    provenance = {**provenance_of(report), "created": report.created.isoformat()}
    columns = list(zip(*(values_of(finding) for finding in report.findings), strict=True)) or [()] * len(COLUMNS)
    return pa.table(
        [pa.array(column, type=field.type) for column, field in zip(columns, fields, strict=True)],
        schema=pa.schema(fields, metadata=provenance),
    )


def _kind(name: str) -> type:
    """Return the type of a column, from the field's own annotation."""
    field = Subject.model_fields[name] if name in _SUBJECT else Finding.model_fields[name]
    parts = {part for part in get_args(field.annotation) if part is not type(None)} or {field.annotation}
    return float if float in parts else int if int in parts else str
