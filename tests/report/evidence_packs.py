"""Packs of measured reports, and packs that somebody forged."""

from __future__ import annotations

import hashlib
import io
import json

import numpy as np
from measured_report import written

from robustrec.evidence.documents import documents_of
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
    pack_of,
    zip_of,
)
from robustrec.results.report import Report
from robustrec.results.section_digests import section_digests
from robustrec.untrusted import read_npz
from robustrec.untrusted.archives import stored_files


def packed(folder, **options):
    """Write a report and its pack, and return the path of the pack."""
    path = folder / "pack.zip"
    path.write_bytes(pack_of(written(folder), **options)[0])
    return path


def changed(pack, change, *, listed_again=True, documents_again=True):
    """Change the files of a pack, and by default make its documents and its manifest again, as a careful forger would.

    Args:
        pack: the zip, which is replaced.
        change: gets the files by name and changes them.
        listed_again: make the manifest again.
        documents_again: make the documents again from the changed report.
    """
    files = stored_files(pack.read_bytes())
    change(files)
    if not (listed_again or documents_again):
        pack.write_bytes(zip_of(files))
        return
    manifest = Manifest.model_validate_json(files[MANIFEST])
    if documents_again:
        report = Report.model_validate_json(files[REPORT])
        files |= documents_of(report, manifest.operator)
        manifest = manifest.model_copy(update={"verdict": report.verdict, "created": report.created})
    if listed_again:
        entries = listed({name: content for name, content in files.items() if name not in UNLISTED})
        files[MANIFEST] = manifest_bytes(manifest.model_copy(update={"files": entries}))
    pack.write_bytes(zip_of(files))


def resealed(files, change):
    """Change the report of a pack, and give it the digests of what it then holds."""
    data = json.loads(files[REPORT])
    change(data)
    data["digests"] = {}
    report = Report.model_validate_json(json.dumps(data), strict=True)
    data["digests"] = section_digests(report)
    files[REPORT] = json.dumps(data).encode()


def other_arrays(files, change):
    """Change the arrays of a pack, and their digest in its report."""
    arrays = read_npz(files[ARRAYS])
    change(arrays)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    files[ARRAYS] = buffer.getvalue()
    digest = hashlib.sha256(files[ARRAYS]).hexdigest()
    resealed(files, lambda data: data["arrays"].update(digest=digest))


def unsigned(files):
    """Take the signature from a pack."""
    del files[SIGNATURE], files[PUBLIC_KEY]
    manifest = Manifest.model_validate_json(files[MANIFEST])
    files[MANIFEST] = manifest_bytes(manifest.model_copy(update={"signed_by": None}))
