"""Per-user arrays of findings: beside the report as npz, or packed into a baseline."""

from __future__ import annotations

import base64
import hashlib
import io
import lzma
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from robustrec.errors import RobustrecError
from robustrec.results.conditions import CLEAN_TEST, Condition
from robustrec.results.findings import CLEAN, STRATA, Finding, Group
from robustrec.results.report import Report
from robustrec.subject import Record, Subject
from robustrec.untrusted import NPZ_BYTES, UnreadableError, read_bytes, read_npz

Arrays = Mapping[str, NDArray[Any]]
"""Name -> per-user values [n] or [n_draws, n]; "users" has the user ids."""

USERS = "users"
LARGEST_RAW = 256 << 20
"""Largest size, in bytes, of arrays to pack or unpack."""


class Packed(Record):
    """Arrays within a JSON file: an npz, compressed by xz, in base64."""

    form: Literal["draws", "means"] = Field(
        description="draws: values [n_draws, n]; means: their means over the draws [n]"
    )
    digest: str = Field(description="sha256 of the compressed bytes")
    data: str


def users_key(group: Group | None) -> str:
    """Return the name of the array of user ids of a finding: of all test users, or of those of a stratum."""
    return f"{USERS}|{group}" if group in STRATA else USERS


def segment_key(by: str, name: str) -> str:
    """Return the name of the array of user ids of a segment; names of segments can have any characters."""
    return f"{USERS}|{by}|{hashlib.sha256(name.encode()).hexdigest()[:16]}"


def array_key(subject: Subject, audit: str, condition: Condition, metric: str) -> str:
    """Return the name of the per-user array of a finding."""
    return "|".join([subject.label.replace("/", ":"), audit, condition.label, metric])


def arrays_file(report: Report, path: Path) -> Path | None:
    """Return where the arrays of a report stand, beside its file; None if it has none."""
    return None if report.arrays is None else path.parent / Path(report.arrays.file).name


def arrays_beside(report: Report, path: Path) -> dict[str, NDArray[np.float64]] | None:
    """Return the arrays beside a report, or None if the file does not exist.

    Raises:
        RobustrecError: the digest of the file does not match the report, or the file cannot be read.
    """
    file = arrays_file(report, path)
    if report.arrays is None or file is None or not file.is_file():
        return None
    return arrays_in(report, file)


def arrays_in(report: Report, file: Path) -> dict[str, NDArray[np.float64]]:
    """Return the arrays of a report from a file.

    Raises:
        RobustrecError: the digest of the file does not match the report, or the file cannot be read.
    """
    fix = "restore the file that the audit wrote, or remove it to compare by intervals instead of by users"
    try:
        data = read_bytes(file, most=NPZ_BYTES)
    except UnreadableError as error:
        raise RobustrecError(f"the per-user arrays cannot be read: {error}", where=str(file), fix=fix) from error
    if report.arrays is None or hashlib.sha256(data).hexdigest() != report.arrays.digest:
        raise RobustrecError("the digest of the per-user arrays does not match the report", where=str(file), fix=fix)
    return _loaded(data, str(file), fix, most=NPZ_BYTES)


def moved_arrays(report: Report, source: Path, target: Path) -> Report:
    """Return a report with its arrays relative to another folder, or without arrays if that is not possible."""
    if report.arrays is None or source.resolve().parent == target.resolve().parent:
        return report
    return report.model_copy(update={"arrays": None})


def packed(arrays: Arrays, *, most_bytes: int) -> Packed | None:
    """Return arrays packed for a commit: all draws if they fit, else their means, else None."""
    means = {name: values if values.ndim < 2 else values.mean(axis=0) for name, values in arrays.items()}
    forms: tuple[tuple[Literal["draws", "means"], Arrays], ...] = (("draws", arrays), ("means", means))
    for form, chosen in forms:
        # What is 60 times too large does not become small enough: most of it are zeros, but not all.
        if sum(values.nbytes for values in chosen.values()) > min(LARGEST_RAW, 60 * most_bytes):
            continue
        buffer = io.BytesIO()
        np.savez(buffer, allow_pickle=False, **dict(chosen))
        data = lzma.compress(buffer.getvalue())
        if len(data) <= most_bytes:
            return Packed(form=form, digest=hashlib.sha256(data).hexdigest(), data=base64.b64encode(data).decode())
    return None


def unpacked(record: Packed, *, source: str) -> dict[str, NDArray[np.float64]]:
    """Return packed arrays.

    Raises:
        RobustrecError: damaged, or larger than LARGEST_RAW.
    """
    fix = "create it again: robustrec baseline accept REPORT"
    try:
        data = base64.b64decode(record.data, validate=True)
        if hashlib.sha256(data).hexdigest() != record.digest:
            raise RobustrecError("the per-user arrays are damaged", where=f"{source}, key arrays", fix=fix)
        opened = lzma.LZMADecompressor()
        raw = opened.decompress(data, max_length=LARGEST_RAW)
    except (ValueError, lzma.LZMAError) as error:
        raise RobustrecError(
            f"the per-user arrays are damaged: {error}", where=f"{source}, key arrays", fix=fix
        ) from error
    if not opened.eof:
        raise RobustrecError("the per-user arrays are too large", where=f"{source}, key arrays", fix=fix)
    return _loaded(raw, f"{source}, key arrays", fix, most=LARGEST_RAW)


def _loaded(data: bytes, where: str, fix: str, *, most: int) -> dict[str, NDArray[np.float64]]:
    try:
        arrays = read_npz(data, most=most)
    except UnreadableError as error:
        raise RobustrecError(f"the per-user arrays cannot be read: {error}", where=where, fix=fix) from error
    users = arrays.get(USERS)
    if users is None or users.ndim != 1:
        raise RobustrecError("the per-user arrays have no list of users", where=where, fix=fix)
    for name, values in arrays.items():
        if values.dtype.kind not in "fiub" or values.ndim == 0:
            raise RobustrecError(
                f"the per-user array {name!r} must be a table of numbers, but it is {values.dtype} "
                f"of shape {values.shape}",
                where=where,
                fix=fix,
            )
    return arrays


def both_states(finding: Finding, arrays: Arrays) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Return the per-user values of a finding, clean [n] and perturbed [n_draws, n], or None if they are missing.

    For audit "clean" both are the same. The means of the arrays must equal those of the finding; otherwise the
    arrays are not used.
    """
    users = arrays.get(users_key(finding.group))
    if users is None or finding.reference != CLEAN or finding.n_users != len(users):
        return None
    clean = arrays.get(array_key(finding.subject, CLEAN, CLEAN_TEST, finding.metric))
    if finding.audit == CLEAN:
        perturbed = clean
    else:
        perturbed = arrays.get(array_key(finding.subject, finding.audit, finding.condition, finding.metric))
    if clean is None and perturbed is not None and finding.clean in (0.0, 1.0):
        clean = np.full(len(users), finding.clean)  # what an undisturbed list has of rbo, overlap or changed
    if clean is None or perturbed is None or perturbed.shape[-1] != len(users) or clean.shape != users.shape:
        return None
    expected = (finding.clean, finding.clean if finding.audit == CLEAN else finding.perturbed)
    held = (float(clean.mean()), float(perturbed.mean()))
    if None in expected or not np.allclose(held, [value or 0.0 for value in expected], rtol=1e-9, atol=1e-12):
        return None
    return clean, np.atleast_2d(perturbed)
