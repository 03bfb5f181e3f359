"""How many random draws decide an inconclusive gate, and how long they take.

The variance of a mean over users and D draws is V = V_u + V_d, of which V_d falls as 1/D and V_u stays. A finding has
the width of its interval, t_ν √V, and its effective degrees of freedom ν, which follow Satterthwaite's rule
(Satterthwaite 1946, "An approximate distribution of estimates of variance components", Biometrics Bulletin 2),

    1/ν = (1 - s)²/ν_u + s²/(D - 1),    s = V_d / V,    ν_u at most n - 1 for n users.

So s follows from ν, and the half-width with D' draws is t_ν' √(V (1 - s + s D/D')). Where the draws dominate (s = 1),
this is the rule that intervals shrink by √(D/D'), and t falls as well. Without ν nothing is promised. The estimate is
taken as it is: new draws move it.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from robustrec.evaluation.error_rates import quantile
from robustrec.evaluation.sparse import FEWEST_CHANGED
from robustrec.reading.summary import judged_gates
from robustrec.results.findings import Finding
from robustrec.results.gates import GateResult, selects
from robustrec.results.report import Report

MOST_DRAWS = 100
"""Largest number of draws that is advised; beyond, users limit what can be decided."""
_TRAINING_STAGES = ("training", "features", "edited content")


class MoreDraws(NamedTuple):
    """What decides the inconclusive gates of an audit.

    Attributes:
        audit: kind of the audit.
        now: its draws now.
        needed: draws that decide all of these gates; None if no number of draws does, or if it is not known.
        seconds: time of a new run of the audits with them, without trainings; None if it is not known.
        gates: names of the gates.
    """

    audit: str
    now: int
    needed: int | None
    seconds: float | None
    gates: tuple[str, ...]


def share_of_draws(degrees: float, n_draws: int, n_users: int) -> float:
    """Return the share s of the variance that comes from the draws, by effective degrees of freedom; see the module."""
    if n_draws < 2 or n_users < 2:
        return 0.0
    # (1/a + 1/b) s² - 2 s/a + 1/a - 1/ν = 0 with a = n - 1, b = D - 1; the larger root, as ν < a where draws count.
    a, b = n_users - 1.0, n_draws - 1.0
    inside = (1 / a) ** 2 - (1 / a + 1 / b) * (1 / a - 1 / degrees)
    if inside <= 0:
        return 0.0
    return min(1.0, max(0.0, (1 / a + math.sqrt(inside)) / (1 / a + 1 / b)))


def half_width(now: float, degrees: float, n_draws: int, n_users: int, draws: int, level: float) -> float:
    """Return the half-width of an interval with another number of draws.

    Args:
        now: half-width with `n_draws`.
        degrees: effective degrees of freedom with `n_draws`.
        n_draws: number of draws now.
        n_users: number of users.
        draws: other number of draws, at least 2.
        level: confidence level.
    """
    share = share_of_draws(degrees, n_draws, n_users)
    variance = (now / quantile((1 + level) / 2, degrees)) ** 2
    of_draws, of_users = variance * share * n_draws / draws, variance * (1 - share)
    total = of_draws + of_users
    if total == 0:
        return 0.0
    parts = (of_users / total) ** 2 / max(1.0, n_users - 1) + (of_draws / total) ** 2 / (draws - 1)
    # The users' own degrees may be fewer than n - 1: never more in all than what the draws alone explain.
    later = max(1.0, 1 / parts) if share > 0 else degrees
    return quantile((1 + level) / 2, later) * math.sqrt(total)


def few_users_changed(row: Finding) -> bool:
    """Return whether the interval is a bound for rare changes, whose width is not that of an error of the mean.

    Its degrees of freedom are a fixed number and say nothing of the draws.
    """
    return row.n_changed is not None and row.n_changed < FEWEST_CHANGED


def draws_that_decide(row: Finding, result: GateResult, level: float) -> int | None:
    """Return the fewest draws with which the interval of a finding would not cross a limit of its gate.

    Args:
        row: a finding that the gate selects.
        result: the inconclusive gate.
        level: confidence level of the judgement.

    Returns:
        The draws, those of the finding if it crosses no limit, or None if no number up to MOST_DRAWS is enough, or it
        is not known.
    """
    if result.quantity == "relative_drift":
        estimate, low, high = row.relative_drift, row.relative_ci_low, row.relative_ci_high
    else:
        estimate = row.clean if result.quantity == "value" else row.drift
        low, high = row.ci_low, row.ci_high
    if estimate is None or low is None or high is None:
        return None
    limits = [limit for limit in (result.min, result.max) if limit is not None and low < limit < high]
    if not limits:
        return row.n_draws
    if few_users_changed(row):
        return None
    if row.degrees is None or row.n_draws < 2 or row.n_users < 2 or estimate in limits:
        return None
    beyond = any((limit == result.min) == (estimate < limit) for limit in limits)
    corrected = level
    if beyond and result.p_value and result.p_adjusted and result.p_adjusted < 1:
        # A failure is judged with the correction for multiple tests, which widens the interval.
        corrected = 1 - (1 - level) * result.p_value / result.p_adjusted
    wider = quantile((1 + corrected) / 2, row.degrees) / quantile((1 + level) / 2, row.degrees)
    now = max(high - estimate, estimate - low) * wider
    room = min(abs(estimate - limit) for limit in limits)
    for draws in range(row.n_draws + 1, MOST_DRAWS + 1):
        if half_width(now, row.degrees, row.n_draws, row.n_users, draws, corrected) < room:
            return draws
    return None


def more_draws(report: Report) -> list[MoreDraws]:
    """Return for each audit with inconclusive gates the draws that decide all of them, blocking gates first.

    Gates on means over training seeds are left out, and if a blocking gate is inconclusive, warning gates are.
    """
    level = report.judgement.level if report.judgement else report.suite.level
    undecided = [each for each in report.gates if each.effective == "inconclusive" and each.audit and not each.seeds]
    blocking = [each for each in undecided if each.severity == "error"]
    gates = {gate.name: gate for gate in judged_gates(report)}
    found: dict[str, dict[str, list[int | None]]] = {}
    for result in blocking or undecided:
        gate, audit = gates.get(result.gate), str(result.audit)
        if gate is None or draws_of(report, audit) is None:
            continue
        rows = [row for row in (*report.findings, *report.segments) if selects(gate, row)]
        found.setdefault(audit, {})[result.gate] = [draws_that_decide(row, result, level) for row in rows]
    answers = []
    for audit, by_gate in found.items():
        now = draws_of(report, audit) or 0
        every = [draws for counts in by_gate.values() for draws in counts]
        needed = None if not every or None in every else max(each for each in every if each is not None)
        if needed is not None and needed <= now:  # the interval crosses no limit: something else is undecided
            needed = None
        answers.append(MoreDraws(audit, now, needed, seconds_of(report, audit, now, needed), tuple(by_gate)))
    return answers


def seconds_of(report: Report, audit: str, now: int, draws: int | None) -> float | None:
    """Return the time of a new run without trainings, in which an audit has other draws; None if it is not known."""
    own = report.durations.get(audit)
    if own is None or draws is None or not now:
        return None
    others = sum(seconds for stage, seconds in report.durations.items() if stage not in (*_TRAINING_STAGES, audit))
    return others + own * draws / now


def draws_of(report: Report, audit: str) -> int | None:
    """Return the random draws of an audit of the suite; None if it has no such setting."""
    for each in report.suite.content.get("audits", ()):
        if isinstance(each, dict) and each.get("kind") == audit and isinstance(each.get("draws"), int):
            return int(each["draws"])
    return None
