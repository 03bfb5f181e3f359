"""Waivers: breaches of a gate that somebody answers for, with a reason, until a date."""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from robustrec.errors import RobustrecError
from robustrec.invalid import invalid
from robustrec.subject import Record
from robustrec.untrusted import UnreadableError, read_toml

_FIX = '[[waivers]], and below it on lines of their own: gate = "NAME", reason = "WHY", expires = 2030-12-31'

WaiverState = Literal["used", "not_needed", "matches_nothing", "expired"]


class Waiver(Record):
    """A breach that is tolerated until a date: the gate's failures, and what it leaves undecided, for some subjects.

    A gate that cannot be judged is never waived.
    """

    gate: str = Field(min_length=1, description="name of the gate")
    subject: str = Field(
        default="*", min_length=1, description="of which subjects, as their label with wildcards: slmrec/sgbd/*"
    )
    reason: str = Field(min_length=1, description="why, and who answers for it")
    expires: datetime.date = Field(description="last day on which it holds; afterwards the run fails")

    def expired(self, today: datetime.date) -> bool:
        """Whether its last day is over."""
        return today > self.expires


class WaiverRecord(Waiver):
    """A waiver with what became of it."""

    state: WaiverState

    @property
    def sentence(self) -> str:
        """What became of it, in plain words."""
        told = {
            "used": f"holds until {self.expires}: {self.reason}",
            "not_needed": "is no longer needed, nothing it covers is breached: remove it",
            "matches_nothing": f"matches nothing: no judged gate of this name has findings of subject {self.subject!r}",
            "expired": f"expired on {self.expires}: mend the breach, or give it a new date ({self.reason})",
        }
        return f"waiver of {self.gate!r} {told[self.state]}"


class Waived(Record):
    """What a waiver took from a gate's judgement."""

    reason: str
    expires: datetime.date
    findings: int = Field(ge=1, description="breached findings that are waived")
    otherwise: Literal["pass", "fail", "inconclusive", "error"] = Field(
        description="status of the gate without them; what the verdict counts"
    )


def warnings_of(records: Iterable[WaiverRecord]) -> tuple[str, ...]:
    """Return a warning for each waiver that does nothing."""
    return tuple(each.sentence for each in records if each.state in ("not_needed", "matches_nothing"))


class _WaiversFile(Record):
    waivers: tuple[Waiver, ...] = Field(min_length=1)


def read_waivers(path: Path) -> tuple[Waiver, ...]:
    """Return the waivers in a TOML file with nothing but [[waivers]] tables.

    Raises:
        RobustrecError: not readable, bad TOML, or a key or value that does not belong.
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
