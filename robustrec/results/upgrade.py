"""Upgrade the JSON of older reports to the current schema, one version at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

_BRACKET_NOTE = "bracket of the search"


def upgraded(data: dict[str, Any]) -> dict[str, Any]:
    """Return the JSON content of a report in the newest schema version; missing records stay missing.

    Args:
        data: with a `schema_version` of at least 1. Content that is not a report is returned unchanged, and the
            validation refuses it.
    """
    while step := _STEPS.get(data["schema_version"]):
        data = step(data)
    return data


def _from_1(data: dict[str, Any]) -> dict[str, Any]:
    """Version 2 adds the kind of interval, and the judgement, waivers and baseline."""
    findings = data.get("findings")
    if isinstance(findings, list):
        findings = [_with_interval(each) for each in findings]
    return {**data, "schema_version": 2, "findings": findings}


def _with_interval(finding: Any) -> Any:
    if not isinstance(finding, dict) or not str(finding.get("note", "")).startswith(_BRACKET_NOTE):
        return finding
    return {**finding, "interval": "bracket"}


_STEPS: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {1: _from_1}
