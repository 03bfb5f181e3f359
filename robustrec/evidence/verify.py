"""Verify an evidence pack: bytes, signature, documents, judgement, and the numbers that follow from the raw arrays.

A pack is untrusted input: its files are read with limits, nothing is unpacked to a path that it names.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from robustrec import __version__
from robustrec.audits.checked import checked_report
from robustrec.errors import RobustrecError
from robustrec.evidence.documents import TEXTS, documents_of
from robustrec.evidence.pack import (
    ARRAYS,
    MANIFEST,
    PUBLIC_KEY,
    REPORT,
    SIGNATURE,
    UNLISTED,
    Manifest,
    listed,
    manifest_bytes,
    zip_of,
)
from robustrec.evidence.recompute import ABSOLUTE, RELATIVE, Recomputed, recomputed
from robustrec.results.arrays import arrays_in
from robustrec.results.planned import criteria_digest, unplanned
from robustrec.results.report import JUDGEMENT_RULES, Report, read_report
from robustrec.untrusted import UnreadableError, parse_json, read_bytes
from robustrec.untrusted.archives import stored_files

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

MOST_BYTES = 3 << 30
_MOST_SHOWN = 5
_JUDGED = ("gates", "waivers", "verdict", "verdict_reason", "recommendation", "content_use")
_LISTS = ("warnings", "cautions")
"""Sections of a report that follow from its findings; the order of the last two differs between run and judgement."""
_FIX = "ask for the original file, or make the pack again: robustrec evidence pack REPORT --output pack.zip"


class RefusedError(Exception):
    """A pack that is not what was packed; its text has the reasons."""

    def __init__(self, *reasons: str) -> None:
        super().__init__("; ".join(reasons))
        self.reasons = reasons


@dataclass(frozen=True)
class Verified:
    """What is known of a pack that was not refused.

    Attributes:
        report: its report, judged again.
        manifest: its manifest.
        key: fingerprint of the key of the signature; empty if it is not signed.
        expected: whether the key is the one that was asked for.
        numbers: numbers by what is known of them.
        derived: kind of derived number -> how many were derived again from the findings.
        notes: what a reader must know.
    """

    report: Report
    manifest: Manifest
    key: str
    expected: bool
    numbers: Recomputed
    derived: Mapping[str, int]
    notes: tuple[str, ...] = field(default=())


def verify(path: Path, *, key: Ed25519PublicKey | None = None) -> Verified:
    """Verify a pack.

    Args:
        path: the zip.
        key: the key that must have signed it; None: any key, or none.

    Raises:
        RobustrecError: not a pack that can be read.
        RefusedError: it was changed, is not signed by the key, or its numbers do not follow from its arrays.
    """
    files, manifest = _opened(path)
    fingerprint = _signature(files, manifest, key)
    with tempfile.TemporaryDirectory(prefix="robustrec-") as folder:
        for name in (REPORT, ARRAYS):
            Path(folder, name).write_bytes(files[name])
        try:
            report = read_report(Path(folder, REPORT))
            arrays = arrays_in(report, Path(folder, ARRAYS))
            judged = checked_report(Path(folder, REPORT))
        except RobustrecError as error:
            raise RefusedError(error.what) from error
    if (manifest.created, manifest.verdict) != (report.created, report.verdict):
        raise RefusedError("date and verdict in the manifest differ from those of the report")
    notes = [*_documents(files, manifest, report), *_plan(report)]
    try:
        numbers = recomputed(report, arrays)
    except (RobustrecError, ValueError, KeyError, IndexError) as error:
        raise RefusedError(f"the numbers cannot be recomputed from the arrays: {error}") from error
    if numbers.differences:
        more = len(numbers.differences) - _MOST_SHOWN
        other = () if report.robustrec == __version__ else (_other_version(report),)
        rest = (f"and {more:,} more",) if more > 0 else ()
        raise RefusedError(*numbers.differences[:_MOST_SHOWN], *rest, *other)
    notes += check_judgement(report, judged)
    return Verified(judged, manifest, fingerprint, key is not None, numbers, _derived(report), tuple(notes))


def _opened(path: Path) -> tuple[dict[str, bytes], Manifest]:
    """Return the files of a pack and its manifest, after all bytes were compared."""
    try:
        data = read_bytes(path, most=MOST_BYTES)
    except UnreadableError as error:
        raise RobustrecError(f"cannot read the pack: {error}", where=str(path), fix=_FIX) from error
    if not data.startswith(b"PK"):
        raise RobustrecError("not an evidence pack: it is not a zip", where=str(path), fix=_FIX)
    try:
        files = stored_files(data)
    except UnreadableError as error:
        raise RefusedError(f"not the zip that robustrec wrote: {error}") from error
    if MANIFEST not in files:
        raise RobustrecError(f"not an evidence pack: it has no {MANIFEST}", where=str(path), fix=_FIX)
    manifest = _manifest(files[MANIFEST], path)
    own = {name: content for name, content in files.items() if name not in UNLISTED}
    entries = {each.name: each for each in manifest.files}
    reasons = [f"{name} is in the manifest, but not in the pack" for name in entries if name not in own]
    reasons += [f"{name} is in the pack, but not in the manifest" for name in own if name not in entries]
    reasons += [f"{each.name} was changed" for each in listed(own) if entries.get(each.name, each) != each]
    if reasons:
        raise RefusedError(*reasons)
    if manifest_bytes(manifest) != files[MANIFEST] or zip_of(files) != data:
        raise RefusedError("the bytes of the zip differ from those that robustrec writes for its files")
    missing = [name for name in (REPORT, ARRAYS) if name not in files]
    if missing:
        raise RefusedError(*(f"{name} is missing" for name in missing))
    return files, manifest


def _manifest(content: bytes, path: Path) -> Manifest:
    try:
        data = parse_json(content.decode())
    except (UnreadableError, UnicodeDecodeError) as error:
        raise RefusedError(f"{MANIFEST} was changed: {error}") from error
    if isinstance(data, dict) and isinstance(data.get("format"), int) and data["format"] > 1:
        raise RobustrecError(
            f"a pack of format {data['format']}; this version reads format 1",
            where=str(path),
            fix="verify it with the robustrec that made it, or a later one",
        )
    try:
        return Manifest.model_validate_json(content, strict=True)
    except ValidationError as error:
        raise RefusedError(f"{MANIFEST} was changed: it is not a manifest") from error


def _signature(files: Mapping[str, bytes], manifest: Manifest, key: Ed25519PublicKey | None) -> str:
    """Return the fingerprint of the key of a valid signature; empty if there is none and none is needed."""
    parts = [name for name in (SIGNATURE, PUBLIC_KEY) if name in files]
    if not parts and manifest.signed_by is None:
        if key is not None:
            raise RefusedError("the pack is not signed, but --public-key asks for a signature")
        return ""
    if len(parts) < 2 or manifest.signed_by is None:
        raise RefusedError("the signature, its key or its entry in the manifest is missing")
    from robustrec.evidence import signing

    try:
        own = signing.public_key(files[PUBLIC_KEY], where=PUBLIC_KEY)
    except RobustrecError as error:
        if "not installed" in error.what:
            raise
        raise RefusedError(f"{PUBLIC_KEY}: {error.what}") from error
    fingerprint = signing.fingerprint(own)
    if key is not None and signing.fingerprint(key) != fingerprint:
        raise RefusedError(f"signed by the key {fingerprint}, not by the expected one {signing.fingerprint(key)}")
    if fingerprint != manifest.signed_by or signing.public_pem(own) != files[PUBLIC_KEY]:
        raise RefusedError(f"{PUBLIC_KEY} is not the key that the manifest names")
    if not signing.valid(own, files[SIGNATURE], files[MANIFEST]):
        raise RefusedError("the signature is not one of this manifest by this key")
    return fingerprint


def _documents(files: Mapping[str, bytes], manifest: Manifest, report: Report) -> list[str]:
    """Return notes on the documents, which must be what the report gives."""
    made = documents_of(report, manifest.operator)
    if made.keys() | {REPORT, ARRAYS} != files.keys() - set(UNLISTED):
        raise RefusedError("the pack has other files than robustrec writes")
    changed = [name for name, content in made.items() if content != files[name]]
    same = manifest.robustrec == __version__
    wrong = [name for name in changed if same or name not in TEXTS]
    if wrong:
        raise RefusedError(*(f"{name} is not what the report gives" for name in wrong))
    if not changed:
        return []
    return [f"written by robustrec {manifest.robustrec}, so that their wording was not compared: {', '.join(changed)}"]


def _plan(report: Report) -> list[str]:
    """Return notes on the plan of a report, which must be that of its suite, data and seeds.

    Raises:
        RefusedError: it is of other ones, or of a later time.
    """
    planned, judged = report.planned, report.judgement
    criteria = criteria_digest(report.suite.content)
    notes = []
    if judged is not None and judged.content is not None and criteria_digest(judged.content) != criteria:
        notes.append("the criteria were changed after the run: plan.json has those of the run and of the judgement")
    if planned is None:
        return [*notes, "the report has no record from before the run: suite and criteria are those that it has now"]
    pairs = (
        ("suite", planned.suite_digest, report.suite.digest),
        ("criteria", planned.criteria_digest, criteria),
        ("data set", planned.dataset_digest, report.dataset.digest),
        ("seed of the audit", planned.seeds.get("audit"), report.seeds.get("audit")),
        ("training seeds", sorted(planned.seeds.values()), sorted(report.seeds.values())),
    )
    wrong = [f"the {what} of the report differs from the plan" for what, before, now in pairs if before != now]
    if planned.time > report.created:
        wrong.append("the plan is later than the report")
    if wrong:
        raise RefusedError(*wrong)
    notes += [
        f"waiver of {each.gate!r} was added after the plan, or its text differs"
        for each in unplanned(planned, report.waivers)
    ]
    digest = None if report.baseline is None else report.baseline.digest
    if digest != planned.baseline_digest:
        notes.append("the baseline of the judgement is not that of the plan")
    return notes


def check_judgement(report: Report, judged: Report) -> list[str]:
    """Return notes on the judgement of a report, which must be what its findings give, to the last word and number.

    `checked_report` compares what decides a verdict, of reports of any version.

    Args:
        report: as read.
        judged: judged again.

    Raises:
        RefusedError: a part of the judgement differs.
    """
    record = report.judgement
    if record is None or record.rules != JUDGEMENT_RULES or report.robustrec != __version__:
        added = [each for each in judged.warnings if each not in report.warnings]
        return [*added, f"judged by robustrec {report.robustrec}: messages of gates and notes were not compared"]
    ours, theirs = (each.model_dump(mode="json", include={*_JUDGED, *_LISTS}) for each in (report, judged))
    wrong = [name for name in _JUDGED if not _alike(ours[name], theirs[name])]
    wrong += [name for name in _LISTS if sorted(ours[name]) != sorted(theirs[name])]
    if wrong:
        raise RefusedError(*(f"{name} in the report is not what its findings give" for name in wrong))
    return []


def _alike(one: Any, other: Any) -> bool:
    """Return whether two values of JSON are equal, with numbers up to the order of their sums."""
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=RELATIVE, abs_tol=ABSOLUTE)
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_alike(value, other[name]) for name, value in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_alike, one, other))
    return bool(one == other)


def _derived(report: Report) -> dict[str, int]:
    """Return how many gates, waivers and verdicts were derived again from the findings."""
    return {"gates": len(report.gates), "waivers": len(report.waivers), "verdict": 1}


def _other_version(report: Report) -> str:
    return (
        f"the report is of robustrec {report.robustrec}, this is {__version__}: if nothing else speaks of a change,"
        " verify it with that version"
    )
