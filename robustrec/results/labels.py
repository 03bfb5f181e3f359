"""Conditions from their labels, for reports of schema version 1 and 2 and for selections by label in suites.

Nothing else parses a label.
"""

from __future__ import annotations

import re
from typing import Any

from pydantic import ValidationError

from robustrec.results.conditions import ALL, Condition

_PAIR = re.compile(r"(?:^|(?<=\s))([a-z_][a-z0-9_]*)=(\S+)")
_BREAK = re.compile(r"break point: (?P<metric>\S+) -(?P<drop>\d+)%")
_POOLED = re.compile(r"edits of (?P<modality>\S+) severity=\S+")


def condition_of(label: str) -> Condition:
    """Return the condition with a label; one that no audit uses is of kind other."""
    try:
        found = Condition.model_validate(_fields(label))
    except (ValidationError, ValueError):
        found = None
    return found if found is not None and found.label == label else Condition(kind="other", name=label)


def _fields(label: str) -> dict[str, Any]:
    """Return the fields that a label seems to have; the caller checks them."""
    keys = dict(_PAIR.findall(label))
    words = _PAIR.sub("", label).split()
    numbers = {name: float(keys[name]) for name in ("sigma2", "sigma_rel", "sigma_std", "rho", "share") if name in keys}
    numbers |= {name: int(keys[name]) for name in ("severity", "steps") if name in keys}
    if label == "test":
        return {"kind": "test"}
    if found := _BREAK.fullmatch(label):
        return {"kind": "break_point", "metric": found["metric"], "drop": int(found["drop"]) / 100}
    if label.startswith("merchant noise"):
        return {"kind": "clean_content", "denoise": label.partition(", ")[2] or None}
    if "severity" in keys:
        return _edit_fields(label, keys, numbers, words)
    if keys.keys() & {"sigma2", "sigma_rel", "sigma_std"}:
        return _noise_fields(numbers, words)
    return _loss_fields(label, numbers)


def _edit_fields(label: str, keys: dict[str, str], numbers: dict[str, Any], words: list[str]) -> dict[str, Any]:
    if label.startswith("all edits "):
        return {"kind": "edit", "edit": ALL, "modality": ALL, **numbers}
    if pooled := _POOLED.fullmatch(label):
        return {"kind": "edit", "edit": ALL, "modality": pooled["modality"], **numbers}
    graphs = {"graphs": "frozen" if "frozen" in words else "rebuilt"} if "share" in keys else {}
    return {"kind": "edit", "edit": keys.get("edit"), **graphs, **numbers}


def _noise_fields(numbers: dict[str, Any], words: list[str]) -> dict[str, Any]:
    scope = [word for word in words if word not in ("trained", "frozen", "rebuilt", "graphs", "standardised")]
    common = {"modality": " ".join(scope) or ALL, **numbers}
    if "sigma_std" in numbers:
        graphs = "rebuilt" if "rebuilt" in words else "frozen"
        return {"kind": "std_noise", "graphs": graphs, "standardised": "standardised" in words, **common}
    graphs = "frozen" if "frozen" in words else "rebuilt"
    return {"kind": "noise", "graphs": graphs, "trained": "trained" in words, **common}


def _loss_fields(label: str, numbers: dict[str, Any]) -> dict[str, Any]:
    where, _, part = label.partition(": ")
    first, *words = where.split()
    common = {"standardised": "standardised" in words, **numbers}
    if first == "clean":
        return {"kind": "clean_loss", **common}
    if first == "features":
        return {"kind": "features", "modality": words[0] if words else None, **common}
    kind = "training_loss" if where == "training loss" else first
    return {"kind": kind, "part": part or None, **common}
