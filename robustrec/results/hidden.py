"""Edits of pictures that an encoder does not see, because its crop removes the changed pixels."""

from __future__ import annotations

import math
from collections.abc import Iterable

from robustrec.results.conditions import Condition
from robustrec.results.findings import Finding
from robustrec.results.numbers import NOTHING
from robustrec.subject import Subject

HIDDEN = "hidden_share"
"""Metric of a value row: mean share of the changed pixels that the encoder does not see."""
MOST_HIDDEN = 0.9
"""No gate passes on an edit of pictures alone with a larger hidden share, and means over edits leave it out."""
REMEDY = "--set encoder.fit=pad"

HIDDEN_WORDS = (
    "Hidden %: share of the changed pixels that are outside the crop of the encoder, at each severity. "
    f"No gate passes on an edit of which more than {100 * MOST_HIDDEN:g} % is hidden. {REMEDY} shows the encoder the "
    "whole picture."
)


def crops(findings: Iterable[Finding]) -> bool:
    """Return whether the encoder does not see a part of any edit."""
    return any(row.metric == HIDDEN and row.clean for row in findings)


def hidden_edits(findings: Iterable[Finding]) -> dict[tuple[Subject, str, Condition], float]:
    """Return (subject, audit, condition) -> hidden share, of the edits that an encoder hardly sees."""
    return {
        (row.subject, row.audit, row.condition): row.clean
        for row in findings
        if row.metric == HIDDEN and row.modality == "image" and row.clean is not None and row.clean > MOST_HIDDEN
    }


def shown_share(share: float) -> str:
    """Return a share as a percentage, rounded down, so that 100 % is only shown for 1."""
    return f"{math.floor(1000 * share + 1e-9) / 10:g} %"


def shown_shares(shares: Iterable[float | None]) -> str:
    """Return hidden shares of several severities in whole percent, rounded down, such as 100/68/36."""
    return "/".join(NOTHING if share is None else f"{math.floor(100 * share + 1e-9)}" for share in shares)


def hidden_note(share: float) -> str:
    """Return the note of a gate that does not pass because the encoder does not see the edit."""
    return (
        f"; {shown_share(share)} of the pixels that this edit changes are outside the crop of the encoder, so this"
        f" says little about the model; audit the whole picture: {REMEDY}"
    )


def hidden_warning(encoder: str, findings: Iterable[Finding]) -> str:
    """Return a warning that lists the edits that an encoder hardly sees; empty if there are none."""
    shares: dict[str, float] = {}
    for (_, _, condition), share in hidden_edits(findings).items():
        name = f"{condition.edit} severity {condition.severity}"
        shares[name] = max(share, shares.get(name, 0.0))
    if not shares:
        return ""
    listed = ", ".join(f"{name} ({shown_share(share)})" for name, share in shares.items())
    return (
        f"the crop of encoder {encoder} hides more than {100 * MOST_HIDDEN:g} % of the changed pixels of"
        f" {listed}: no gate passes on these edits, and the means over edits leave them out; to audit the whole"
        f" picture, use {REMEDY}"
    )
