"""Baselines: the part of an accepted report that later reports are compared with, in a file to commit."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import AwareDatetime, Field, ValidationError

from robustrec.errors import RobustrecError
from robustrec.files import write_atomically
from robustrec.invalid import invalid
from robustrec.results.arrays import Arrays, Packed, arrays_beside, packed, unpacked
from robustrec.results.findings import CLEAN, Finding
from robustrec.results.report import MAX_BYTES, DatasetRecord, Report, SuiteRecord, read_report
from robustrec.results.section_digests import DIGESTS, refuse_edited, section_digests
from robustrec.results.upgrade import as_version_2, with_conditions
from robustrec.subject import Record, Subject
from robustrec.untrusted import UnreadableError, parse_json, read_bytes

MOST_ARRAY_BYTES = 1 << 20
"""Largest compressed size, in bytes, of per-user arrays in a baseline."""

_KIND: Literal["robustrec baseline"] = "robustrec baseline"
_FIX = "create it again: robustrec baseline accept REPORT --output FILE"


class BaselineSubject(Record):
    """A subject of a baseline, with the digests of its features and parameters."""

    subject: Subject
    features_digest: str | None
    parameters_digest: str


class BaselineFile(Record):
    """The content of a baseline: findings to compare with, and what makes reports comparable."""

    kind: Literal["robustrec baseline"] = _KIND
    schema_version: Literal[2] = 2
    robustrec: str = Field(description="robustrec version of the run")
    created: AwareDatetime = Field(description="end time of the run")
    verdict: str
    dataset: DatasetRecord
    suite: SuiteRecord
    audit_seed: int | None = Field(description="seed of the random draws of perturbations")
    subjects: tuple[BaselineSubject, ...]
    findings: tuple[Finding, ...] = Field(description="findings with reference clean")
    arrays: Packed | None = None
    digests: dict[str, str] = Field(default_factory=dict, description="key -> sha256 of its content")


@dataclass(frozen=True)
class Baseline:
    """A baseline in memory.

    Attributes:
        record: its content.
        arrays: per-user arrays of its findings, or None.
        file: where it was read from.
        digest: sha256 of the file.
    """

    record: BaselineFile
    arrays: Arrays | None
    file: str
    digest: str

    @property
    def subjects(self) -> tuple[Subject, ...]:
        """Subjects of the baseline."""
        return tuple(each.subject for each in self.record.subjects)


def baseline_of(report: Report, arrays: Arrays | None, *, most_bytes: int = MOST_ARRAY_BYTES) -> BaselineFile:
    """Return the baseline of a report.

    Args:
        report: the accepted one.
        arrays: its per-user arrays, or None.
        most_bytes: largest compressed size; larger arrays are not kept.

    Raises:
        RobustrecError: the report's verdict is error.
    """
    if report.verdict == "error":
        raise RobustrecError(
            f"a report with verdict error cannot become a baseline: {report.verdict_reason}",
            where="baseline accept",
            fix="fix the run first, then accept its report",
        )
    return _from_report(report, packed(arrays, most_bytes=most_bytes) if arrays else None)


def _from_report(report: Report, arrays: Packed | None) -> BaselineFile:
    return BaselineFile(
        robustrec=report.robustrec,
        created=report.created,
        verdict=report.verdict,
        dataset=report.dataset,
        suite=report.suite,
        audit_seed=report.seeds.get("audit"),
        subjects=tuple(
            BaselineSubject(
                subject=each.subject, features_digest=each.features_digest, parameters_digest=each.parameters_digest
            )
            for each in report.subjects
        ),
        findings=tuple(row for row in report.findings if row.reference == CLEAN),
        arrays=arrays,
    )


def write_baseline(record: BaselineFile, path: Path) -> None:
    """Write a baseline with one finding per line, so that a commit shows the changes.

    Raises:
        RobustrecError: the folder is not writable.
    """
    sealed = record.model_copy(update={DIGESTS: section_digests(record)})
    content = json.loads(sealed.model_dump_json(exclude_none=True))
    content.setdefault("audit_seed", None)
    for subject in content["subjects"]:
        subject.setdefault("features_digest", None)
    lines = []
    for key, value in content.items():
        if key in ("findings", "subjects"):
            rows = ",\n".join("  " + json.dumps(row, ensure_ascii=False) for row in value)
            lines.append(f"{json.dumps(key)}: [\n{rows}\n ]")
        else:
            lines.append(f"{json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}")
    write_atomically(path, "{\n " + ",\n ".join(lines) + "\n}\n")


def read_baseline(path: Path) -> Baseline:
    """Return the baseline in a file: one that `baseline accept` wrote, or a whole report.

    Raises:
        RobustrecError: not readable, too large, neither of both, damaged, edited, or with verdict error.
    """
    source = str(path)
    try:
        data = read_bytes(path, most=MAX_BYTES)
        content = parse_json(data.decode("utf-8"))
    except (UnreadableError, UnicodeDecodeError) as error:
        raise RobustrecError(f"cannot read the baseline: {error}", where=source, fix=_FIX) from error
    digest = hashlib.sha256(data).hexdigest()
    if not isinstance(content, dict) or content.get("kind") != _KIND:
        report = read_report(path)
        if report.verdict == "error":
            raise RobustrecError("a report with verdict error is not a baseline", where=source, fix=_FIX)
        return Baseline(_from_report(report, None), arrays_beside(report, path), source, digest)
    labelled = content.get("schema_version") == 1
    if labelled:
        content = {**with_conditions(content), "schema_version": 2}
    try:
        record = BaselineFile.model_validate_json(json.dumps(content) if labelled else data, strict=True)
    except ValidationError as error:
        raise invalid(error, BaselineFile, source=source, fix=_FIX) from error
    if record.verdict == "error":
        raise RobustrecError("a report with verdict error is not a baseline", where=f"{source}, key verdict", fix=_FIX)
    arrays = unpacked(record.arrays, source=source) if record.arrays else None
    refuse_edited(record, record.digests, source=source, fix=_FIX, form=as_version_2 if labelled else dict)
    return Baseline(record.model_copy(update={DIGESTS: {}}), arrays, source, digest)
