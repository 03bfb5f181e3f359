"""Tables of `compare` by the names of their measures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from labelled import condition_of

from robustrec.comparison import rows
from robustrec.comparison.measure import Measure
from robustrec.comparison.result import Comparison
from robustrec.results.scale import SCALE_DEPENDENT


def measure_of(name: str) -> Measure:
    """A measure by its name in reports."""
    metric, drift, label = name.partition(" drift ")
    if drift:
        return Measure("drift", metric, condition_of(label))
    metric, under, label = name.partition(" under ")
    if under:
        return Measure("stability", metric, condition_of(label))
    dependent = name.endswith(SCALE_DEPENDENT)
    metric = name.removesuffix(SCALE_DEPENDENT)
    return Measure("quality" if "@" in metric else "flatness", metric, scale_dependent=dependent)


def _measures_of(tables: Mapping[str, Any]) -> dict[Measure, Any]:
    return {measure_of(name): table for name, table in tables.items()}


def compared(*names: Any, **options: Any) -> list[Comparison]:
    """As `rows.compared`, with tables by name."""
    *given, tables, reference = names
    theirs = None if reference is None else (reference[0], _measures_of(reference[1]))
    return rows.compared(*given, _measures_of(tables), theirs, **options)
