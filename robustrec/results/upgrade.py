"""Upgrade the JSON of older reports and baselines to the current schema, one version at a time.

Conditions were labels until version 2. They are parsed here and become fields.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from robustrec.results.exhibits import WITHIN
from robustrec.results.labels import condition_of
from robustrec.results.scale import SCALE_DEPENDENT

_BRACKET_NOTE = "bracket of the search"
_GROUPS = ("all", "edited", "head", "tail", "untouched")
_OF_A_VECTOR = (
    "snr_db",
    "movement",
    "factor",
    "contraction",
    "distance_to_clean",
    "nearer_by_encoding",
    "nearer_by_capfilt",
)
_EDIT_SIZES = {"words edited": "text", "RMS of pixel": "image", "mean of words": "both"}
"""Start of the unit of an edit's size -> what the edit changes."""

_WITH_CONDITIONS = ("findings", "over_seeds", "gates", "exhibits")
_NEW_KEYS = ("group", "modality", "within_models", "scale_dependent")


def upgraded(data: dict[str, Any]) -> dict[str, Any]:
    """Return the JSON content of a report in the newest schema version; missing records stay missing.

    Args:
        data: with a `schema_version` of at least 1. Content that is not a report is returned unchanged, and the
            validation refuses it.
    """
    while step := _STEPS.get(data["schema_version"]):
        data = step(data)
    return data


def with_conditions(data: dict[str, Any]) -> dict[str, Any]:
    """Return the sections of a report or baseline with conditions as fields instead of labels."""
    found = {name: _each(data[name], _with_condition) for name in _WITH_CONDITIONS if name in data}
    if "relations" in data:
        found["relations"] = _each(data["relations"], _with_properties)
    return {**data, **found}


def as_version_2(content: dict[str, Any]) -> dict[str, Any]:
    """Return sections as version 2 had them, to compare them with the digests of a report of that version."""
    sections = (*_WITH_CONDITIONS, "relations")
    return {name: _each(value, _with_label) if name in sections else value for name, value in content.items()}


def _from_1(data: dict[str, Any]) -> dict[str, Any]:
    """Version 2 adds the kind of interval, and the judgement, waivers and baseline."""
    return {**data, "schema_version": 2, "findings": _each(data.get("findings"), _with_interval)}


def _from_2(data: dict[str, Any]) -> dict[str, Any]:
    """Version 3 has conditions as fields, and the group or modality of a metric."""
    return {**with_conditions(data), "schema_version": 3}


def _each(rows: Any, change: Callable[[dict[str, Any]], dict[str, Any]]) -> Any:
    return [change(row) if isinstance(row, dict) else row for row in rows] if isinstance(rows, list) else rows


def _with_interval(finding: dict[str, Any]) -> dict[str, Any]:
    bracket = str(finding.get("note", "")).startswith(_BRACKET_NOTE)
    return {**finding, "interval": "bracket"} if bracket else finding


def _with_condition(row: dict[str, Any]) -> dict[str, Any]:
    label, metric = row.get("condition"), row.get("metric")
    if isinstance(label, str) and label:
        row = {**row, "condition": condition_of(label).model_dump(mode="json")}
    # Gate results have a metric too, and no unit.
    return {**row, **_of_metric(row, metric)} if isinstance(metric, str) and "unit" in row else row


def _of_metric(row: dict[str, Any], metric: str) -> dict[str, Any]:
    """Return the group or modality that the metric of a finding says."""
    if metric == "touched":
        return {"modality": row["note"]} if row.get("note") else {}
    if metric == "edit_size":
        return next(({"modality": kind} for unit, kind in _EDIT_SIZES.items() if str(row["unit"]).startswith(unit)), {})
    measure, _, group = metric.rpartition("_")
    if row.get("audit") == "merchant" and measure and group in _GROUPS:
        return {"group": group}
    for name in _OF_A_VECTOR:
        vector = metric.removeprefix(f"{name}_")
        if vector not in (metric, "") and not vector.endswith("_input"):
            return {"modality": vector}
    return {}


def _with_properties(relation: dict[str, Any]) -> dict[str, Any]:
    measure = str(relation.get("measure"))
    within, dependent = measure.endswith(WITHIN), measure.removesuffix(WITHIN).endswith(SCALE_DEPENDENT)
    return {**relation, "within_models": within, "scale_dependent": dependent}


def _with_label(row: dict[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in row.items() if key not in _NEW_KEYS}
    return kept | {"condition": kept["condition"]["label"]} if isinstance(kept.get("condition"), dict) else kept


_STEPS: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {1: _from_1, 2: _from_2}
