"""The record of a plan: HOME/planned/KEY.json from before the first measurement until the report is written.

A key is the digest of the record without its time, so that a run that resumes keeps the record of the first try.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError

from robustrec import __version__
from robustrec.audits.plan import Plan
from robustrec.files import digest_json, write_atomically
from robustrec.results.planned import PlannedRecord, criteria_digest
from robustrec.untrusted import UnreadableError, read_text

FOLDER = "planned"


def record_plan(plan: Plan) -> PlannedRecord:
    """Record a plan before its first measurement, and return the record, or that of an earlier try of the same plan.

    Raises:
        RobustrecError: the home folder cannot be written.
    """
    now, path = _record(plan), _path(plan)
    try:
        found = PlannedRecord.model_validate_json(read_text(path), strict=True)
        if found.time <= now.time and _key(found) == _key(now):
            return found
    except (UnreadableError, ValidationError):
        pass  # there is none, or it is damaged
    write_atomically(path, f"{now.model_dump_json(indent=1)}\n")
    return now


def forget_plan(plan: Plan) -> None:
    """Remove the record of a plan, whose report has been written."""
    _path(plan).unlink(missing_ok=True)


def _record(plan: Plan) -> PlannedRecord:
    suite = plan.suite
    return PlannedRecord(
        time=datetime.now(UTC),
        robustrec=__version__,
        suite=suite.name,
        suite_digest=suite.digest,
        criteria_digest=criteria_digest(suite.model_dump(mode="json")),
        waivers=(*suite.waivers, *plan.waivers),
        baseline_digest=None if plan.baseline is None else plan.baseline.digest,
        dataset_digest=plan.dataset.digest,
        seeds={"audit": plan.settings.seed, **{f"training {spec.label}": spec.seed for spec in plan.specs}},
    )


def _key(record: PlannedRecord) -> str:
    return digest_json(record.model_dump(mode="json", exclude={"time"}))


def _path(plan: Plan) -> Path:
    return plan.home / FOLDER / f"{_key(_record(plan))}.json"
