"""Which measures of flatness change when a model only multiplies its scores or rescales its factors."""

from __future__ import annotations

from robustrec.results.findings import Finding

SHARPNESS = "sharpness"
SCALE_FREE = "standardised"
"""Ends the condition of what was measured on margins standardised to variance 1 (spec section 1).

Multiplying all scores by a constant changes none of it, so that gates, sentences and correlations stand on these rows.
"""

SCALE_DEPENDENT = " (scale-dependent)"
"""Follows the name of a measure that wider margins or rescaled factors alone can change."""

_UNSCALED = ("flip_rate",)
_OF_PARAMETERS = ("lambda", "trace", "sam_sharpness")


def depends_on_scale(row: Finding) -> bool:
    """Tell whether a value of the sharpness audit changes with the scale of the scores, or of the parameters.

    Metrics of lists and flip rates do not: they depend on the order of the scores alone. λ, the trace and the worst
    case of SAM do also with standardised margins, since users ×4 and items ÷4 change them and no score.
    """
    if row.audit != SHARPNESS or row.quantity != "value" or row.metric in _UNSCALED:
        return False
    return not row.condition.endswith(SCALE_FREE) or row.metric.startswith(_OF_PARAMETERS)
