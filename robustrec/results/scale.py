"""Sharpness measures that depend on the scale of scores or factors."""

from __future__ import annotations

from robustrec.results.findings import Finding

SHARPNESS = "sharpness"
SCALE_DEPENDENT = " (scale-dependent)"
"""Shown after measures that depend on the scale of margins or factors."""

# Measures of the parameters in steps relative to their size.
_ADAPTIVE = ("asam_sharpness", "average_case", "row_adaptive_curvature")


def depends_on_scale(row: Finding) -> bool:
    """Return whether a value of the sharpness audit depends on the scale of scores or parameters.

    Metrics of lists and flip rates do not, because they depend only on the order of scores. λ, the trace and the worst
    case of SAM do even with standardised margins: scaling users by 4 and items by 1/4 changes them but no score.
    """
    if row.audit != SHARPNESS or row.quantity != "value" or row.metric == "flip_rate":
        return False
    return not row.condition.standardised or (row.condition.kind == "parameters" and row.metric not in _ADAPTIVE)
