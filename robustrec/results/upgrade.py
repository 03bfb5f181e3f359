"""Bring the JSON of older reports to the schema of today, one version at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

_BRACKET_NOTE = "bracket of the search"


def upgraded(data: dict[str, Any]) -> dict[str, Any]:
    """Return a report's JSON content in the newest schema version; what it did not record stays out.

    Args:
        data: with a `schema_version` that is a whole number, 1 or more. What does not look like a report is left
            as it is, for the validation to name.
    """
    while step := _STEPS.get(data["schema_version"]):
        data = step(data)
    return data


def _from_1(data: dict[str, Any]) -> dict[str, Any]:
    """Version 2 says of an interval whether it is a search's bracket, and how gates were judged, waived, compared."""
    findings = data.get("findings")
    if isinstance(findings, list):
        findings = [_with_interval(each) for each in findings]
    return {**data, "schema_version": 2, "findings": findings}


def _with_interval(finding: Any) -> Any:
    if not isinstance(finding, dict) or not str(finding.get("note", "")).startswith(_BRACKET_NOTE):
        return finding
    return {**finding, "interval": "bracket"}


_STEPS: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {1: _from_1}
