"""Range of the number that a gate checks, to refuse limits that no number can breach."""

from __future__ import annotations

import math
import re
from collections.abc import Collection
from typing import NamedTuple

from robustrec.evaluation.kinds import KINDS, STABILITY, kind_of
from robustrec.results.findings import CLEAN, CONTENT_USE, USE

LARGEST = 1e15
"""Largest absolute limit."""

_SHARES = re.compile(
    r"(?:value_)?exposure@.*|losing@.*|loss_bound@.*|places_(kept|certified)@.*|without_place@.*|touched|seen|hidden_share|"
    r"flip_rate.*|edit_size.*|items_losing_.*"
)
_LENGTHS = re.compile(
    r"certified_radius@.*|displacement|(?:movement|factor|contraction|distance_to_clean)_.*|sigma2|audit_loss.*"
)
_RANKS = re.compile(r"rank_.*")
_HARM = re.compile(
    r"(?:losing|loss_bound|without_place)@.*|items_losing_.*|displacement|movement_.*|exposure_moved_.*|break_share|"
    r"flip_rate.*|hidden_share|rank_(?:edited|head|tail|untouched)|median_rank_shift_.*|lambda_[1-9]|input_sharpness|"
    r"sam_sharpness|asam_sharpness|average_case"
)
_STEADY = re.compile(r"places_(?:kept|certified)@.*|certified_radius@.*|seen|content_use")
_USE = re.compile(r"content_use")


class Range(NamedTuple):
    """Smallest and largest possible number of a quantity."""

    low: float = -math.inf
    high: float = math.inf

    @property
    def words(self) -> str:
        """The range in words, without infinity."""
        if math.isinf(self.low) or math.isinf(self.high):
            return f"at most {self.high:g}" if math.isinf(self.low) else f"at least {self.low:g}"
        return f"between {self.low:g} and {self.high:g}"


def possible_range(quantity: str, metric: str, *, reference: str = CLEAN, audit: str = "*") -> Range:
    """Return the range of the number that a gate checks.

    Args:
        quantity: value, drift or relative_drift.
        metric: name or pattern; only the part before a wildcard is used.
        reference: reference of the finding.
        audit: its audit, or a pattern.
    """
    if quantity == "relative_drift":
        return Range(-1.0)  # nothing that is never negative loses more than all of itself
    own = _range_of(re.split(r"[*?]", metric, maxsplit=1)[0] if re.search(r"[*?]", metric) else metric)
    if quantity == "value":
        return own
    whole = own.high - own.low
    if reference == CLEAN:
        if "@" in metric and (stability := STABILITY.get(kind_of(metric))):
            return Range(own.low - stability.equal, own.high - stability.equal)
        return Range(-whole, whole)
    return Range(-whole, whole) if audit == CLEAN else Range(-2 * whole, 2 * whole)  # of two drifts


def better_value(metric: str) -> int | None:
    """Return 1 if more of a metric of an audit is better, -1 if less is, and None if neither or not known."""
    return -1 if _HARM.fullmatch(metric) else 1 if _STEADY.fullmatch(metric) else None


def passed_without_content(audit: str, metric: str, reference: str | None, sides: Collection[str]) -> str:
    """Return why a gate on content use passes a model that ignores content; empty if it does not.

    The audit replaces the features of all items, and a model that needs none loses nothing: a limit on that loss
    is passed best by robustness that is trivial.

    Args:
        audit: audit that the gate selects.
        metric: metric that it selects.
        reference: what the numbers are compared with.
        sides: its limits, of min and max.
    """
    if audit != CONTENT_USE or metric == USE or reference not in (None, CLEAN) or "min" not in sides:
        return ""
    return f"a limit on the loss of {metric} without content is passed best by a model that ignores content"


def wrong_limits(low: float | None, high: float | None, possible: Range, *, what: str) -> str:
    """Return why limits are not valid for a range; empty if they are.

    Args:
        low: smallest allowed number.
        high: largest allowed number.
        possible: range of the number.
        what: the number in words.
    """
    for name, limit in (("min", low), ("max", high)):
        if limit is not None and not abs(limit) <= LARGEST:
            return f"{name} {limit:g} is outside the range of this quantity"
    range_ = f"{what} is {possible.words}"
    if (low is None or low <= possible.low) and (high is None or high >= possible.high):
        return f"the gate can never fail: {range_}"
    if (low is not None and low > possible.high) or (high is not None and high < possible.low):
        return f"the gate can never pass: {range_}"
    return ""


def _range_of(metric: str) -> Range:
    if "@" in metric and (kind := KINDS.get(kind_of(metric))):
        return Range(kind.low, kind.high)
    for pattern, found in (
        (_SHARES, Range(0.0, 1.0)),
        (_LENGTHS, Range(0.0)),
        (_RANKS, Range(1.0)),
        (_USE, Range(high=1.0)),
    ):
        if pattern.fullmatch(metric):
            return found
    return Range()
