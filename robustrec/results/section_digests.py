"""Digests of report sections, which detect edits after writing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pydantic import BaseModel

from robustrec.errors import RobustrecError
from robustrec.files import digest_json

DIGESTS = "digests"
"""Field of the digests, the only one without a digest."""

Form = Callable[[dict[str, Any]], dict[str, Any]]


def section_digests(record: BaseModel, form: Form = dict) -> dict[str, str]:
    """Return field -> sha256 of its JSON content, for each field that differs from its default.

    Defaults are omitted at every depth, so that a field of a later version does not change the digests of older
    reports. `form` changes the content into that of an older version.
    """
    content: dict[str, Any] = record.model_dump(mode="json", exclude_defaults=True, exclude={DIGESTS})
    return {name: digest_json(value) for name, value in form(content).items()}


def refuse_edited(record: BaseModel, recorded: dict[str, str], *, source: str, fix: str, form: Form = dict) -> None:
    """Check that the content of a file matches its digests.

    Args:
        record: as read.
        recorded: its digests, as read.
        source: the file, for the error.
        fix: what to do, for the error.
        form: as in `section_digests`, for a file of an older version.

    Raises:
        RobustrecError: a section was changed, added or removed.
    """
    if not recorded:
        raise RobustrecError(
            "the file was edited after robustrec wrote it: its digests are missing",
            where=f"{source}, key {DIGESTS}",
            fix=fix,
        )
    found = section_digests(record, form)
    changed = [name for name in (*found, *recorded) if found.get(name) != recorded.get(name)]
    if changed:
        sections = ", ".join(dict.fromkeys(changed))
        raise RobustrecError(
            f"the file was edited after robustrec wrote it: the digest of {sections} does not match the content",
            where=f"{source}, key {changed[0]}",
            fix=fix,
        )
