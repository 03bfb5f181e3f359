"""Times of interactions: numbers and ISO dates, their unit, and the cut of a split by time."""

from __future__ import annotations

import math
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from robustrec.datasets.naming import number_of
from robustrec.errors import RobustrecError

Times = NDArray[np.float64]

_UNITS = ((1e8, 1e11, 1.0), (1e11, 1e14, 1e3), (1e14, 1e17, 1e6), (1e17, 1e20, 1e9))
"""Range of the times, and units per second: seconds, milliseconds, microseconds or nanoseconds since 1970."""


def seconds_of(text: str) -> float | None:
    """Return an ISO 8601 date or time in seconds since 1970, UTC if it names no zone; None for other texts."""
    try:
        found = datetime.fromisoformat(text.strip())
    except ValueError:
        return None
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


def per_second(times: Times) -> float | None:
    """Return the units per second of times since 1970, from their size; None if they are other numbers.

    Args:
        times: [n], finite.

    Raises:
        RobustrecError: some times are in another unit than others.
    """
    positive = times[times > 0]
    if not len(positive):
        return None
    found = {
        units
        for value in (float(positive.min()), float(np.median(positive)), float(positive.max()))
        for low, high, units in _UNITS
        if low <= value < high
    }
    if len(found) > 1:
        raise RobustrecError(
            f"the times are in different units: from {positive.min():g} to {positive.max():g}",
            where="column timestamp",
            fix="write all times in seconds since 1970, or as ISO dates",
        )
    return found.pop() if found else None


def time_words(value: float, units: float | None) -> str:
    """Return a time as an ISO date or time in UTC, or as a number if it is not a time since 1970."""
    if units is None:
        return f"{value:.17g}"
    try:
        found = datetime.fromtimestamp(value / units, tz=UTC)
    except (ValueError, OverflowError, OSError):
        return f"{value:.17g}"
    if found.time() == datetime.min.time():
        return found.date().isoformat()
    precision = "seconds" if found.microsecond == 0 else "microseconds"
    return found.isoformat(timespec=precision).replace("+00:00", "Z")


def given_time(text: str, units: float | None, option: str, times: Times) -> float:
    """Return the time that an option gives, in the unit of the data.

    Args:
        text: an ISO date or a number.
        units: of the data, see `per_second`.
        option: name of the option, for messages.
        times: the times of the data, for messages.

    Raises:
        RobustrecError: it is neither, or a date where the times are plain numbers.
    """
    reach = f"{time_words(float(times.min()), units)} to {time_words(float(times.max()), units)}"
    number, date = number_of(text), seconds_of(text)
    if date is not None and units is not None:
        return date * units
    if number is not None and math.isfinite(number):
        return number
    what = f"{text[:60]!r} is not a date or a number"
    if date is not None:
        what = f"{text[:60]!r} is a date, but the times are plain numbers"
    raise RobustrecError(what, where=f"option {option}", fix=f"give a time within those of the data, {reach}")


def quantile_cut(times: Times, share: float) -> float:
    """Return the time from which on at least a share of the rows are; rows at one time stay together.

    Args:
        times: [n] times, finite.
        share: above 0 and below 1.
    """
    # The last ceil(share n) rows in the order of time; 0.1 * 30 is a little above 3 in binary.
    held = max(1, math.ceil(round(share * len(times), 9)))
    return float(np.partition(times, len(times) - held)[len(times) - held])
