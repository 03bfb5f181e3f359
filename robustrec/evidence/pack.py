"""Make an evidence pack: one zip with a report, its raw arrays, documents made from them, a manifest and a signature.

The bytes depend on the input alone: names are sorted, times are fixed and nothing is compressed, so that the zip can be
made again from its files and compared byte by byte.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import AwareDatetime, Field

from robustrec import __version__
from robustrec.audits.checked import checked_report
from robustrec.errors import RobustrecError
from robustrec.evidence.documents import documents_of, json_bytes
from robustrec.results.arrays import arrays_file, arrays_in
from robustrec.results.report import MAX_BYTES, Report, read_report
from robustrec.results.verdict import VerdictWord
from robustrec.subject import Record
from robustrec.untrusted import NPZ_BYTES, UnreadableError, read_bytes

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

FORMAT: Literal[1] = 1
REPORT, ARRAYS, MANIFEST = "report.json", "users.npz", "manifest.json"
SIGNATURE, PUBLIC_KEY = "manifest.sig", "public-key.pem"
UNLISTED = (MANIFEST, SIGNATURE, PUBLIC_KEY)
"""Files that the manifest does not list: itself, its signature, and the key, whose fingerprint it has."""
_TIME = (1980, 1, 1, 0, 0, 0)


class PackedFile(Record):
    """A file of a pack."""

    name: str
    size: int = Field(ge=0)
    sha256: str


class Manifest(Record):
    """What a pack has: every file with its size and sha256."""

    format: Literal[1] = FORMAT
    robustrec: str = Field(description="version that made the pack")
    operator: str = Field(default="", description="who made the pack, as given")
    created: AwareDatetime = Field(description="end time of the run")
    verdict: VerdictWord
    signed_by: str | None = Field(default=None, description="sha256 of the Ed25519 public key; None if not signed")
    files: tuple[PackedFile, ...]


def pack_of(path: Path, *, operator: str = "", key: Ed25519PrivateKey | None = None) -> tuple[bytes, Report, Manifest]:
    """Return the bytes of the pack of a report, its report and its manifest.

    Args:
        path: JSON file of the report; its per-user arrays must be beside it.
        operator: who makes the pack.
        key: signs the manifest.

    Raises:
        RobustrecError: the report was edited, or it has no per-user arrays.
    """
    checked_report(path)
    report = read_report(path)
    arrays = arrays_file(report, path)
    if arrays is None or not arrays.is_file():
        raise RobustrecError(
            "the per-user arrays are not beside the report, and without them no number can be recomputed",
            where=str(path),
            fix="keep the .users.npz file that the audit wrote beside its report, or run the audit again",
        )
    arrays_in(report, arrays)
    try:
        raw = {REPORT: read_bytes(path, most=MAX_BYTES), ARRAYS: read_bytes(arrays, most=NPZ_BYTES)}
    except UnreadableError as error:
        raise RobustrecError(f"cannot read the report: {error}", where=str(path), fix="run the audit again") from error
    files = {**raw, **documents_of(report, operator)}
    fingerprint, signing = None, {}
    if key is not None:
        from robustrec.evidence import signing as keys

        fingerprint = keys.fingerprint(key.public_key())
        signing = {PUBLIC_KEY: keys.public_pem(key.public_key())}
    manifest = Manifest(
        robustrec=__version__,
        operator=operator,
        created=report.created,
        verdict=report.verdict,
        signed_by=fingerprint,
        files=listed(files),
    )
    text = manifest_bytes(manifest)
    if key is not None:
        signing[SIGNATURE] = key.sign(text)
    return zip_of({**files, MANIFEST: text, **signing}), report, manifest


def listed(files: Mapping[str, bytes]) -> tuple[PackedFile, ...]:
    """Return the entries of files in a manifest, by name."""
    return tuple(
        PackedFile(name=name, size=len(content), sha256=hashlib.sha256(content).hexdigest())
        for name, content in sorted(files.items())
    )


def manifest_bytes(manifest: Manifest) -> bytes:
    """Return the bytes of a manifest, which are signed."""
    return json_bytes(manifest.model_dump(mode="json"))


def zip_of(files: Mapping[str, bytes]) -> bytes:
    """Return files as an uncompressed zip, the same bytes for the same files."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, content in sorted(files.items()):
            entry = zipfile.ZipInfo(name, _TIME)
            entry.create_system, entry.external_attr = 3, 0o100644 << 16
            archive.writestr(entry, content)
    return buffer.getvalue()
