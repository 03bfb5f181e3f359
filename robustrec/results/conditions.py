"""Parse condition names, so that the conditions of one family can form one curve.

A condition is a list of words, mostly KEY=VALUE: "sigma2=1e-06 image", "trained sigma2=1e-06",
"edit=promo_badge severity=2 share=0.1 frozen graphs". Unknown words stay in `rest`. A condition without
known words is shown under its own name.
"""

from __future__ import annotations

import math
import re
from typing import NamedTuple

NOISE_KINDS = ("sigma2", "sigma_rel")

ENCODER = "encoder"
"""Name of the encoder audit."""

MOVEMENT = "movement_"
"""Prefix of metrics of the movement of a vector under an edit."""

BREAK_POINT = "break point"
SPREAD = "sigma_std"
_ALL_EDITS = "all edits severity="
_BREAK = re.compile(rf"{BREAK_POINT}: (?P<metric>\S+) -(?P<drop>[\d.]+)%(?P<rest>.*)")
_PAIR = re.compile(r"(?:^|(?<=\s))([a-z_][a-z0-9_]*)=(\S+)")


class Condition(NamedTuple):
    """A parsed condition.

    Attributes:
        name: name in the findings.
        kind: "noise" with an amount, "edit" with a severity, else "".
        family: what the conditions of one curve share, e.g. "sigma2 image" or "promo_badge share=0.1".
        amount: x value on the curve: the variance, the relative size, or the severity.
        keys: every KEY=VALUE.
        rest: the other words.
    """

    name: str
    kind: str
    family: str
    amount: float | None
    keys: dict[str, str]
    rest: str


def parse_condition(name: str) -> Condition:
    """Parse the name of a condition; any text is accepted."""
    keys = dict(_PAIR.findall(name))
    rest = " ".join(_PAIR.sub("", name).split())
    noise = next((key for key in NOISE_KINDS if _number(keys.get(key)) is not None), None)
    if noise and not name.startswith(BREAK_POINT):
        words = [f"{key}={value}" for key, value in keys.items() if key != noise]
        return Condition(name, "noise", " ".join([noise, *words, rest]).strip(), _number(keys[noise]), keys, rest)
    if "edit" in keys and _number(keys.get("severity")) is not None:
        words = [f"{key}={value}" for key, value in keys.items() if key not in ("edit", "severity")]
        family = " ".join([keys["edit"], *words, rest]).strip()
        return Condition(name, "edit", family, _number(keys["severity"]), keys, rest)
    return Condition(name, "", name, None, keys, rest)


def condition_words(name: str) -> str:
    """Return a condition in plain words: "wrong picture, severity 5, 10 % of items"; unknown ones as they are."""
    condition = parse_condition(name)
    if condition.kind == "edit":
        return ", ".join([edit_words(condition), f"severity {condition.amount:g}", *_more(condition)])
    if condition.kind == "noise":
        trained = condition.rest.startswith("trained")
        rest = condition.rest.removeprefix("trained").strip()
        symbol = "σ²" if "sigma2" in condition.keys else "σ/‖x‖"
        words = [f"{'trained on ' if trained else ''}{symbol} = {condition.amount:g}", *([rest] if rest else [])]
        return ", ".join(
            [*words, *(f"{key}={value}" for key, value in condition.keys.items() if key not in NOISE_KINDS)]
        )
    if condition.name.startswith(BREAK_POINT):
        return _break_words(name)
    if name.startswith(_ALL_EDITS):  # of the encoder audit: the mean over those that the suite names
        return f"mean of the edits, severity {name.removeprefix(_ALL_EDITS)}"
    if _number(condition.keys.get(SPREAD)) is not None:
        size = f"σ = {condition.keys[SPREAD]} standard deviations of the features"
        return f"{size}, {condition.rest}" if condition.rest else size
    return name


def _break_words(name: str) -> str:
    """Return "ndcg@20 falls by 5 %" for "break point: ndcg@20 -5%"."""
    found = _BREAK.fullmatch(name)
    return name if found is None else f"{found['metric']} falls by {found['drop']} %{found['rest']}"


def edit_words(condition: Condition) -> str:
    """Return the edit of a condition in plain words: "promo badge and crop" for promo_badge+crop."""
    name = condition.keys["edit"]
    return "mean of the edits" if name == "all" else name.replace("+", " and ").replace("_", " ")


def family_words(condition: Condition) -> str:
    """Return the common part of the conditions of one curve in plain words."""
    if condition.kind == "edit":
        return ", ".join([edit_words(condition), *_more(condition)])
    if condition.kind == "noise":
        what = "noise of variance σ²" if "sigma2" in condition.keys else "noise relative to the feature norm"
        return f"{what}, {condition.family.partition(' ')[2] or 'all features'}"
    return condition.name


def without_shared_end(labels: list[str]) -> tuple[list[str], str]:
    """Return labels without their common suffix after a comma, and this suffix."""
    shared: list[str] = []
    while len(labels) > 1 and len({label.rpartition(", ")[2] for label in labels}) == 1 and ", " in labels[0]:
        shared.insert(0, labels[0].rpartition(", ")[2])
        labels = [label.rpartition(", ")[0] for label in labels]
    return labels, ", ".join(shared)


def _more(condition: Condition) -> list[str]:
    words = []
    for key, value in condition.keys.items():
        share = _number(value) if key == "share" else None
        if share is not None:
            words.append(f"{100 * share:g} % of items")
        elif key not in ("edit", "severity"):
            words.append(f"{key}={value}")
    return [*words, *([condition.rest] if condition.rest else [])]


def _number(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if math.isfinite(value) else None
