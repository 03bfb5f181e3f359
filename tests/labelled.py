"""Findings and conditions for tests, written with the label of the condition."""

from __future__ import annotations

from typing import Any

from robustrec.results.findings import Finding
from robustrec.results.labels import condition_of as condition_of
from robustrec.results.upgrade import with_conditions


def finding(**columns: Any) -> Finding:
    """A finding whose condition is given by its label; group and modality follow from metric and audit."""
    (row,) = with_conditions({"findings": [columns]})["findings"]
    return Finding(**row)
