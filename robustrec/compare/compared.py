"""What a comparison of reports is made of: subjects with their findings, and what was found of them."""

from __future__ import annotations

from typing import Literal, NamedTuple

from pydantic import Field

from robustrec.results.arrays import Arrays
from robustrec.results.findings import Finding
from robustrec.results.report import Report
from robustrec.subject import Record, Subject

By = Literal["quality", "drift"]


class Place(Record):
    """A subject under one condition."""

    condition: str
    value: float
    rank: float = Field(description="1 is best; ties share")
    best: int = Field(description="smallest rank that the users leave possible")
    worst: int = Field(description="largest rank that they leave possible")


class Standing(Record):
    """A subject over all conditions."""

    name: str
    subject: Subject
    report: str
    mean_rank: float
    mean_best: float = Field(description="bounds that hold for all subjects together, at the level")
    mean_worst: float
    worst_rank: float
    worst_best: int
    worst_worst: int
    places: tuple[Place, ...]


class Pair(Record):
    """How two subjects differ, on average over the conditions."""

    first: str
    second: str
    difference: float = Field(description="first - second; more is better")
    low: float
    high: float
    apart: bool = Field(description="whether the interval, simultaneous for all pairs, excludes 0")


class Comparison(Record):
    """Subjects of several reports in order, best mean rank first."""

    metric: str
    by: By
    level: float
    n_users: int
    method: Literal["users", "intervals"]
    critical: float = Field(description="critical value of |t|: what a difference must exceed, in standard errors")
    reports: tuple[str, ...]
    conditions: tuple[str, ...]
    standings: tuple[Standing, ...]
    pairs: tuple[Pair, ...]
    notes: tuple[str, ...] = ()


class Loaded(NamedTuple):
    """A report to compare, with the arrays beside it."""

    report: Report
    arrays: Arrays | None
    file: str


class Entry(NamedTuple):
    """A subject that is ranked, with its findings by condition; None where nothing could move it."""

    name: str
    subject: Subject
    loaded: Loaded
    clean: Finding
    rows: dict[str, Finding | None]


class Found(NamedTuple):
    """What a method of comparing says.

    Attributes:
        method: which one.
        critical: value of |t|.
        values: condition -> value of each entry; more is better.
        better: condition -> for each entry, the entries surely better.
        worse: likewise, surely worse.
        pairs: over all conditions.
    """

    method: Literal["users", "intervals"]
    critical: float
    values: dict[str, list[float]]
    better: dict[str, list[int]]
    worse: dict[str, list[int]]
    pairs: tuple[Pair, ...]
