"""Data of a comparison of reports: subjects with their findings, and results."""

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
    rank: float = Field(description="rank, 1 is best; ties have the same rank")
    best: int = Field(description="lower end of the rank interval")
    worst: int = Field(description="upper end of the rank interval")


class Standing(Record):
    """A subject over all conditions."""

    name: str
    subject: Subject
    report: str
    mean_rank: float
    mean_best: float = Field(description="rank intervals, simultaneous for all subjects at the confidence level")
    mean_worst: float
    worst_rank: float
    worst_best: int
    worst_worst: int
    places: tuple[Place, ...]
    content: str = Field(default="", description="share of the clean quality that is left with mean features")
    left: float | None = Field(default=None, description="the same as a number; None if it was not measured")


class Pair(Record):
    """Mean difference of two subjects over the conditions."""

    first: str
    second: str
    difference: float = Field(description="first minus second; a larger value is better")
    low: float
    high: float
    apart: bool = Field(description="whether the interval, simultaneous for all pairs, excludes 0")


class ReportComparison(Record):
    """Subjects of several reports in order, best mean rank first."""

    metric: str
    by: By
    level: float
    n_users: int
    method: Literal["users", "intervals"]
    critical: float = Field(description="critical value of |t|, in standard errors: larger differences are significant")
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
    """A ranked subject with its findings by condition; None if the condition cannot affect it."""

    name: str
    subject: Subject
    loaded: Loaded
    clean: Finding
    rows: dict[str, Finding | None]


class Found(NamedTuple):
    """Result of a comparison method.

    Attributes:
        method: which one.
        critical: value of |t|.
        values: condition -> value of each entry; more is better.
        better: condition -> for each entry, the number of significantly better entries.
        worse: the same for significantly worse entries.
        pairs: over all conditions.
    """

    method: Literal["users", "intervals"]
    critical: float
    values: dict[str, list[float]]
    better: dict[str, list[int]]
    worse: dict[str, list[int]]
    pairs: tuple[Pair, ...]
