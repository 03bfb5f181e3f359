"""Sharpness measures that depend on the scale of scores or factors."""

from __future__ import annotations

from robustrec.results.findings import Finding

SHARPNESS = "sharpness"
SCALE_FREE = "standardised"
"""Suffix of conditions with margins standardised to variance 1.

These measures do not change if all scores are multiplied by a constant. Gates, sentences and correlations use them.
"""

SCALE_DEPENDENT = " (scale-dependent)"
"""Suffix of measures that depend on the scale of margins or factors."""

_UNSCALED = ("flip_rate",)
_OF_PARAMETERS = ("lambda", "trace", "sam_sharpness")


def depends_on_scale(row: Finding) -> bool:
    """Return whether a value of the sharpness audit depends on the scale of scores or parameters.

    Metrics of lists and flip rates do not, because they depend only on the order of scores. λ, the trace and the worst
    case of SAM do even with standardised margins: scaling users by 4 and items by 1/4 changes them but no score.
    """
    if row.audit != SHARPNESS or row.quantity != "value" or row.metric in _UNSCALED:
        return False
    return not row.condition.endswith(SCALE_FREE) or row.metric.startswith(_OF_PARAMETERS)
