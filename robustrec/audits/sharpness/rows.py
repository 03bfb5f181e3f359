"""Findings of the sharpness audit: values with standard errors, residuals and invariances."""

from __future__ import annotations

import math
from typing import NamedTuple

from robustrec.audits.rows import Intervals
from robustrec.curvature.lanczos import Eigenvalue
from robustrec.curvature.traces import Estimate
from robustrec.evaluation.error_rates import quantile
from robustrec.results.conditions import ALL, Condition, Graphs
from robustrec.results.findings import Finding
from robustrec.subject import Subject

AUDIT = "sharpness"
PARAMETERS = "sharpness of parameters"
"""Audit name for the status of the parameter part, which is separate from the feature part."""

EDITS = "sharpness along edits"
"""Audit name for the status of the loss along merchant edits."""

NATS = "nats"
RESCALED = "not scale-invariant: scaling users by 4 and items by 1/4 changes it but no score"
RAW = "depends on the scale of the scores"
"""Note of all findings with raw margins."""

ROWS = "invariant to rescaling of whole tables, but not to a change of the latent basis"
ENTRIES = "invariant to rescaling of entries"


class RowLabels(NamedTuple):
    """Subject and interval settings of the findings."""

    subject: Subject
    intervals: Intervals

    @property
    def level(self) -> float:
        """Confidence level of the intervals."""
        return self.intervals.bootstrap.level


def sigma_condition(
    sigma: float, modality: str = ALL, *, rebuilt: bool = False, standardised: bool = False
) -> Condition:
    """Return the condition of noise of σ standard deviations."""
    graphs: Graphs = "rebuilt" if rebuilt else "frozen"
    return Condition(kind="std_noise", sigma_std=sigma, modality=modality, graphs=graphs, standardised=standardised)


def value_row(
    labels: RowLabels, condition: Condition, metric: str, value: float | Estimate, note: str = "", *, unit: str = NATS
) -> Finding:
    """Return a value, with a Student's t interval from the standard error if it is an estimate."""
    found = value if isinstance(value, Estimate) else Estimate(value, math.nan, 0)
    low = high = degrees = None
    if found.draws > 1:
        degrees = float(found.draws - 1)
        half = quantile((1 + labels.level) / 2, degrees) * found.error
        low, high = found.value - half, found.value + half
        error = f"standard error {found.error:.2g} over {found.draws} draws, Student's t interval"
        note = f"{error}; {note}" if note else error
    return Finding(
        subject=labels.subject,
        audit=AUDIT,
        condition=condition,
        metric=metric,
        quantity="value",
        clean=found.value,
        ci_low=low,
        ci_high=high,
        degrees=degrees,
        n_users=0,
        n_draws=found.draws,
        unit=unit,
        note=note,
    )


def eigenvalue_row(
    labels: RowLabels, condition: Condition, metric: str, found: Eigenvalue, note: str = "", *, unit: str = NATS
) -> Finding:
    """Return an eigenvalue with its residual, which bounds its distance to a true eigenvalue."""
    residual = f"residual {found.residual:.2g}"
    return value_row(labels, condition, metric, found.value, f"{residual}; {note}" if note else residual, unit=unit)


def ratio(over: Estimate, under: Estimate) -> Estimate:
    """Return the ratio of two independent estimates, its error to first order (delta method)."""
    value = over.value / under.value
    error = abs(value) * math.hypot(over.error / over.value if over.value else 0.0, under.error / under.value)
    return Estimate(value, error, min(over.draws, under.draws))
