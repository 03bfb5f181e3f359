"""What a run records before its first measurement, and the digest of what decides its verdict.

The record is the tool's own, by the clock of its machine. It shows that a report was judged by the criteria that the
tool was given before; it does not show when that was to somebody who trusts neither the machine nor its operator.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import AwareDatetime, Field

from robustrec.files import digest_json
from robustrec.results.waivers import Waiver
from robustrec.subject import Record


class PlannedRecord(Record):
    """Suite, criteria, seeds and data of a run, recorded before its first measurement."""

    time: AwareDatetime = Field(description="time of the record; of a run that resumes, that of the first try")
    robustrec: str = Field(description="robustrec version")
    suite: str = Field(description="name of the suite")
    suite_digest: str = Field(description="sha256 of the resolved content of the suite")
    criteria_digest: str = Field(description="sha256 of gates, correction for multiple testing, and confidence level")
    waivers: tuple[Waiver, ...] = Field(default=(), description="waivers of the suite and of --waivers")
    baseline_digest: str | None = Field(default=None, description="sha256 of the baseline file; None without baseline")
    dataset_digest: str = Field(description="sha256 of interactions, texts, pictures and feature files")
    seeds: dict[str, int] = Field(description="seed of the audit and of each training")


def criteria_of(suite: Mapping[str, Any]) -> dict[str, Any]:
    """Return what decides the verdict by a suite: gates, correction for multiple testing, and confidence level."""
    return {
        "gates": suite.get("gates", []),
        "correction": suite.get("correction"),
        "level": suite.get("bootstrap", {}).get("level"),
    }


def criteria_digest(suite: Mapping[str, Any]) -> str:
    """Return the sha256 of the criteria of a suite."""
    return digest_json(criteria_of(suite))


def unplanned(planned: PlannedRecord, waivers: Iterable[Waiver]) -> list[Waiver]:
    """Return the waivers that the plan does not have, without their state."""
    plain = [Waiver(**{name: getattr(each, name) for name in Waiver.model_fields}) for each in waivers]
    return [each for each in plain if each not in planned.waivers]
