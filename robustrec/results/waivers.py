"""Waivers: accepted breaches of a gate, with a reason and an expiry date."""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from pydantic import Field, SerializerFunctionWrapHandler, ValidationError, model_serializer

from robustrec.errors import RobustrecError
from robustrec.invalid import invalid
from robustrec.subject import Record
from robustrec.untrusted import UnreadableError, read_toml

_FIX = '[[waivers]], and below it, one per line: gate = "NAME", reason = "WHY", expires = 2030-12-31'

WaiverState = Literal["used", "not_needed", "matches_nothing", "expired"]


class Waiver(Record):
    """An accepted breach: failures and inconclusive results of a gate for some subjects, until a date.

    A gate that cannot be judged cannot be waived.
    """

    gate: str = Field(min_length=1, description="name of the gate")
    subject: str = Field(
        default="*", min_length=1, description="subjects of the waiver, as a label with wildcards: slmrec/sgbd/*"
    )
    reason: str = Field(min_length=1, description="reason, and who is responsible if there is no owner")
    expires: datetime.date = Field(description="last valid day; after it the run fails")
    owner: str | None = Field(default=None, min_length=1, description="who accepted the breach and answers for it")

    @model_serializer(mode="wrap")
    def _without_empty(self, handler: SerializerFunctionWrapHandler):  # type: ignore[no-untyped-def]
        # Without an owner, the digests of suites and reports are those of versions that did not know it.
        return {name: value for name, value in handler(self).items() if name != "owner" or value is not None}

    def expired(self, today: datetime.date) -> bool:
        """Return whether the waiver is expired."""
        return today > self.expires


class WaiverRecord(Waiver):
    """A waiver with its state."""

    state: WaiverState

    @property
    def sentence(self) -> str:
        """State of the waiver, as a sentence."""
        owner = f" (owner {self.owner})" if self.owner else ""
        states = {
            "used": f"is valid until {self.expires}: {self.reason}{owner}",
            "not_needed": "is no longer needed, because no covered finding breaches the gate: remove it",
            "matches_nothing": f"matches nothing: no judged gate of this name has findings of subject {self.subject!r}",
            "expired": f"expired on {self.expires}: fix the breach, or set a new date ({self.reason}){owner}",
        }
        return f"waiver of {self.gate!r} {states[self.state]}"


class Waived(Record):
    """Effect of a waiver on a gate result."""

    reason: str
    expires: datetime.date
    findings: int = Field(ge=1, description="number of waived findings that breach the gate")
    otherwise: Literal["pass", "fail", "inconclusive", "error"] = Field(
        description="status of the gate without the waived findings, which counts for the verdict"
    )


def warnings_of(records: Iterable[WaiverRecord]) -> tuple[str, ...]:
    """Return a warning for each waiver without effect."""
    return tuple(each.sentence for each in records if each.state in ("not_needed", "matches_nothing"))


class _WaiversFile(Record):
    waivers: tuple[Waiver, ...] = Field(min_length=1)


def read_waivers(path: Path) -> tuple[Waiver, ...]:
    """Return the waivers in a TOML file with nothing but [[waivers]] tables.

    Raises:
        RobustrecError: not readable, invalid TOML, or an unknown key or value.
    """
    source = str(path)
    try:
        data = read_toml(path)
    except UnreadableError as error:
        raise RobustrecError(f"cannot read the waivers: {error}", where=source, fix=_FIX) from error
    try:
        return _WaiversFile.model_validate_json(json.dumps(data, default=str), strict=True).waivers
    except ValidationError as error:
        raise invalid(error, _WaiversFile, source=source, fix=_FIX) from error
