"""What `--features` names: an encoder, and filters of its features: "basic+shrink=.7"; importable without torch."""

from __future__ import annotations

import math
from typing import NamedTuple

from pydantic import Field

from robustrec.errors import RobustrecError
from robustrec.subject import Record

SHRINK = "shrink"
KEPT = 0.7
"""Share of variance that `shrink` keeps by default."""
LEAST, MOST = 0.01, 0.99
_EDITS = "edits"
_FORMS = "for example --features basic+shrink=.7, or --features basic+shrink=.7,edits"


class Shrink(Record):
    """A linear filter of item features that keeps a share of the variance of the catalog in each modality."""

    kept: float = Field(KEPT, ge=LEAST, le=MOST, description="share of the variance of the clean catalog that is kept")
    edits: bool = Field(False, description="shrink the directions in which edits move vectors, not all alike")

    @property
    def label(self) -> str:
        """Its name in `--features` and in reports: "shrink=.7" or "shrink=.7,edits"."""
        return f"{SHRINK}={str(self.kept).removeprefix('0')}{f',{_EDITS}' if self.edits else ''}"


class NamedFeatures(NamedTuple):
    """The features of a command.

    Attributes:
        encoder: name of the encoder, with "+" between several.
        filters: the filters of its vectors, None for none; each is another subject of the command.
    """

    encoder: str
    filters: tuple[Shrink | None, ...]


def named_features(text: str) -> NamedFeatures:
    """Return what a value of `--features` names; several names are separated by spaces.

    Raises:
        RobustrecError: the names have different encoders, or a filter is not one.
    """
    found = [_parsed(name) for name in text.split()] or [("auto", None)]
    encoders = list(dict.fromkeys(encoder for encoder, _ in found))
    if len(encoders) > 1:
        raise RobustrecError(
            f"the features of a command have one encoder, but got {' and '.join(encoders)}",
            where=f"--features {text}",
            fix="name one encoder with and without filters: --features basic --features basic+shrink=.7; compare"
            " encoders by their reports: robustrec compare A.json B.json",
        )
    return NamedFeatures(encoders[0], tuple(dict.fromkeys(shrink for _, shrink in found)))


def encoder_of(text: str) -> str:
    """Return the encoder in a value of `--features`."""
    return named_features(text).encoder


def with_filter(features: str, shrink: Shrink | None) -> str:
    """Return the name of filtered features in reports: "basic+shrink=.7"."""
    return features if shrink is None else f"{features}+{shrink.label}"


def _parsed(name: str) -> tuple[str, Shrink | None]:
    encoder, plus, last = name.rpartition("+")
    word, equals, value = last.partition("=")
    if word != SHRINK:
        if "=" in name:
            raise RobustrecError(
                f"{name!r} has a setting that is not of a filter at its end", where=f"--features {name}", fix=_FORMS
            )
        return name, None
    if not plus or not encoder or "=" in encoder:
        what = "needs one encoder before it" if not encoder else "is at most one filter, at the end of the name"
        raise RobustrecError(f"{SHRINK} {what}", where=f"--features {name}", fix=_FORMS)
    kept, edits = KEPT, False
    values = value.split(",") if equals else []
    for place, each in enumerate(values):
        if each == _EDITS and place == len(values) - 1:
            edits = True
        elif place == 0:
            kept = _share(each, name)
        else:
            raise RobustrecError(
                f"{each!r} is not a setting of {SHRINK}", where=f"--features {name}", fix=f"write SHARE,edits: {_FORMS}"
            )
    return encoder, Shrink(kept=kept, edits=edits)


def _share(text: str, name: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = math.nan
    if not LEAST <= share <= MOST:
        raise RobustrecError(
            f"the share of variance kept must be a number from {LEAST} to {MOST}, but got {text!r}",
            where=f"--features {name}",
            fix=f"{_FORMS}; omit +{SHRINK} to keep everything",
        )
    return share
