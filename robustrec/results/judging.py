"""Judge findings by gates: pass, fail or inconclusive.

By default, a gate compares the whole confidence interval with the limits. Inside the limits is a pass. Outside a limit
is a fail if it is still significant after the correction for multiple testing (see `error_rates`). Anything else is
inconclusive, and so is a pass on an edit that the crop of the encoder hides. The worst selected finding decides. With
several training seeds, the mean over them is judged in the place of their findings, wherever it has an interval over
seeds (`over_seeds`): one training says nothing of another. Waived breaches are shown and do not count. A gate that
cannot be judged (no finding, a missing number, no users) is an error, which cannot be waived.
"""

from __future__ import annotations

import datetime
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from robustrec.evaluation.error_rates import (
    ROUNDING,
    Correction,
    MetricLoss,
    Spread,
    adjusted,
    detected,
    loss_of,
    p_value,
    quantile,
)
from robustrec.evaluation.kinds import ACCURACY, kind_of
from robustrec.evaluation.shares import share_p_value
from robustrec.evaluation.sparse import FEWEST_CHANGED, FEWEST_DRAWS
from robustrec.results.conditions import Condition
from robustrec.results.findings import CLEAN, Finding
from robustrec.results.gates import Gate, GateResult, GateStatus, Numbers, numbers_of, selects
from robustrec.results.hidden import HIDDEN, hidden_edits, hidden_note
from robustrec.results.inapplicable import TOUCHED
from robustrec.results.selection import matches
from robustrec.results.waivers import Waived, Waiver, WaiverRecord, WaiverState
from robustrec.results.wording import gate_message, not_beyond_doubt, nothing_selected, sample_needed, too_few_differ
from robustrec.subject import Subject

POWER_UNKNOWN = f"power unknown: this needs at least {FEWEST_DRAWS} draws"
NORMAL = "normal approximation: the degrees of freedom of the intervals are unknown"

_SEVEREST_FIRST: tuple[GateStatus, ...] = ("error", "fail", "inconclusive", "pass")
_BREACHES = ("fail", "inconclusive")


class Judgement(NamedTuple):
    """Results of all gates and waivers."""

    gates: tuple[GateResult, ...]
    waivers: tuple[WaiverRecord, ...]


class _Judged(NamedTuple):
    """A finding under a gate. `p` is None where no interval is judged, `adjusted` is corrected for the family."""

    finding: Finding
    status: GateStatus
    margin: float  # distance from the nearest limit, negative outside
    problem: str = ""
    spread: Spread | None = None
    p: float | None = None
    adjusted: float | None = None
    doubtful: bool = False  # beyond the limit, but not at the corrected level
    hidden: float | None = None  # share of the edit that the encoder does not see, if that is nearly all
    seeds: tuple[int, ...] = ()  # of the trainings that the finding is a mean over; () for one training

    @property
    def rank(self) -> tuple[int, float]:
        """The lower, the worse."""
        return _SEVEREST_FIRST.index(self.status), self.margin


class _Terms(NamedTuple):
    """What gates of one severity are judged by; `users` are the mean and mean square of a subject's clean metric."""

    level: float
    correction: Correction
    family: int
    users: dict[tuple[Subject, str], tuple[float, float]]


def judge(
    gates: Iterable[Gate], findings: Sequence[Finding], *, level: float = 0.95, correction: Correction = "none"
) -> tuple[GateResult, ...]:
    """Judge every gate on unrounded values, without waivers; see `judge_all`."""
    return judge_all(gates, findings, level=level, correction=correction).gates


def judge_all(
    gates: Iterable[Gate],
    findings: Sequence[Finding],
    *,
    level: float = 0.95,
    correction: Correction = "none",
    over_seeds: Sequence[Finding] = (),
    waivers: Sequence[Waiver] = (),
    today: datetime.date | None = None,
) -> Judgement:
    """Judge every gate on unrounded values; the worst selected finding decides.

    Args:
        gates: the limits.
        findings: all findings of the run.
        level: confidence level of the findings' intervals; 1 - level is the chance of a false alarm that is allowed.
        correction: for multiple testing, within the gates of each severity.
        over_seeds: means of findings over training seeds, which are judged in their place.
        waivers: accepted breaches.
        today: date for the expiry of waivers; default: today in UTC.
    """
    gates = list(gates)
    today = today or datetime.datetime.now(datetime.UTC).date()
    hidden, rows = hidden_edits(findings), with_means(findings, over_seeds)
    judged = [
        [_if_seen(_judge_finding(gate, row, level, seeds), hidden) for row, seeds in rows if selects(gate, row)]
        for gate in gates
    ]
    sizes: dict[str, int] = {}
    for severity in dict.fromkeys(gate.severity for gate in gates):
        places = [
            (g, f)
            for g, gate in enumerate(gates)
            for f, each in enumerate(judged[g])
            if gate.severity == severity and each.p is not None
        ]
        sizes[severity] = len(places)
        corrected = adjusted([judged[g][f].p or 0.0 for g, f in places], correction)
        for (g, f), value in zip(places, corrected, strict=True):
            judged[g][f] = _with_correction(judged[g][f], value, level)
    valid = [waiver for waiver in waivers if not waiver.expired(today)]
    users = _users(findings, level)
    results = [
        _result(gate, rows, findings, valid, _Terms(level, correction, sizes[gate.severity], users))
        for gate, rows in zip(gates, judged, strict=True)
    ]
    breaches = {gate.name: rows for gate, rows in zip(gates, judged, strict=True)}
    records = [
        WaiverRecord(**waiver.model_dump(), state=_state(waiver, breaches.get(waiver.gate, []), today))
        for waiver in waivers
    ]
    return Judgement(tuple(results), tuple(records))


def with_means(findings: Sequence[Finding], over_seeds: Sequence[Finding]) -> list[tuple[Finding, tuple[int, ...]]]:
    """Return findings with those of several training seeds replaced by their mean, where there is one.

    Returns:
        (a finding, ()) of one training, or (a mean, its training seeds).
    """
    if not over_seeds:
        return [(row, ()) for row in findings]
    means = {_without_seed(row): row for row in over_seeds}
    seeds: dict[tuple[object, ...], list[int]] = {}
    for row in findings:
        seeds.setdefault(_without_seed(row), []).append(row.subject.seed)
    found: list[tuple[Finding, tuple[int, ...]]] = []
    for row in findings:
        mean = means.get(_without_seed(row))
        if mean is None:
            found.append((row, ()))
        elif row.subject == mean.subject:
            found.append((mean, tuple(sorted(seeds[_without_seed(row)]))))
    return found


def _without_seed(row: Finding) -> tuple[object, ...]:
    subject = row.subject
    trained = (subject.model, subject.strategy, subject.features)
    return (*trained, row.audit, row.condition, row.metric, row.quantity, row.reference, row.segment_by, row.segment)


def _judge_finding(gate: Gate, finding: Finding, level: float, seeds: tuple[int, ...]) -> _Judged:
    problem = _problem(gate, finding)
    if problem:
        return _Judged(finding, "error", -math.inf, problem, seeds=seeds)
    estimate, low, high = numbers_of(finding, gate.quantity)
    floor, ceiling = _limits(gate)
    spread = None
    if gate.bound == "estimate" and not finding.censored:
        low = high = estimate
    elif finding.interval == "confidence" and estimate is not None and low is not None and high is not None:
        spread = Spread(estimate, low, high, level, finding.degrees or math.inf)
    # A bound is None here only where the value lies beyond the searched range, and then it is open on that side.
    low, high = (-math.inf if low is None else low), (math.inf if high is None else high)
    if floor <= low and high <= ceiling:
        status: GateStatus = "pass"
    elif high < floor or low > ceiling:
        status = "fail"
    else:
        status = "inconclusive"
    p = p_value(spread, floor, ceiling) if spread else None
    if spread and finding.sampled is not None and finding.counted is not None:
        p, spread = share_p_value(finding.counted, finding.sampled, floor, ceiling), None
    return _Judged(finding, status, min(low - floor, ceiling - high), spread=spread, p=p, seeds=seeds)


def _if_seen(judged: _Judged, hidden: Mapping[tuple[Subject, str, Condition], float]) -> _Judged:
    """Return a judged finding that does not pass if the encoder hardly sees the edit."""
    row = judged.finding
    share = hidden.get((row.subject, row.audit, row.condition))
    if share is None or judged.status not in ("pass", "inconclusive") or row.metric in (HIDDEN, TOUCHED):
        return judged
    return judged._replace(status="inconclusive", hidden=share)


def _limits(gate: Gate) -> tuple[float, float]:
    return (-math.inf if gate.min is None else gate.min), (math.inf if gate.max is None else gate.max)


def _problem(gate: Gate, finding: Finding) -> str:
    """Return why a finding cannot be judged; empty if it can."""
    what, quantity = finding.metric, gate.quantity.replace("_", " ")
    numbers = numbers_of(finding, gate.quantity)
    reason = f" ({finding.note})" if finding.note else ""
    if "@" in finding.metric and finding.n_users == 0:
        return f"{what} was measured on no users"
    if any(number is not None and not math.isfinite(number) for number in numbers):
        return f"{what} is not a finite number{reason}"
    if finding.censored:
        return ""
    if numbers.estimate is None:
        # Nobody has a hit, or the group no position in a list: there is nothing to lose, and no share of it.
        nothing = gate.quantity == "relative_drift" and finding.clean == 0
        advice = 'is 0 on clean inputs, so it has no relative drift; set quantity = "drift", or select others'
        return f"{what} {advice}" if nothing else f"{what} has no {quantity}{reason}"
    if gate.bound == "interval" and (numbers.low is None or numbers.high is None):
        return f'{what} has no interval{reason}; set bound = "estimate"'
    return ""


def _with_correction(judged: _Judged, corrected: float, level: float) -> _Judged:
    """Return a judged finding that fails only if it still does after the correction."""
    doubtful = judged.status == "fail" and corrected > (1 - level) * (1 + ROUNDING)
    status: GateStatus = "inconclusive" if doubtful else judged.status
    return judged._replace(adjusted=corrected, status=status, doubtful=doubtful)


def _result(
    gate: Gate,
    rows: Sequence[_Judged],
    findings: Sequence[Finding],
    waivers: Sequence[Waiver],
    terms: _Terms,
) -> GateResult:
    result = GateResult(
        gate=gate.name,
        severity=gate.severity,
        status="error",
        message="",
        selected=len(rows),
        quantity=gate.quantity,
        min=gate.min,
        max=gate.max,
    )
    if not rows:
        return result.model_copy(update={"message": nothing_selected(gate, findings)})
    by_waiver = [
        next((w for w in waivers if row.status in _BREACHES and _covers(w, gate.name, row)), None) for row in rows
    ]
    counting = [row for row, waiver in zip(rows, by_waiver, strict=True) if waiver is None]
    worst = min(rows, key=lambda row: row.rank)
    otherwise = min((row.status for row in counting), key=_SEVEREST_FIRST.index, default="pass")
    waived = None
    if otherwise == worst.status:
        worst = min(counting, key=lambda row: row.rank)
    else:
        waiver = by_waiver[rows.index(worst)]
        assert waiver is not None
        covered = sum(each is not None for each in by_waiver)
        waived = Waived(reason=waiver.reason, expires=waiver.expires, findings=covered, otherwise=otherwise)
    finding = worst.finding
    finite = Numbers(*(each if _is_number(each) else None for each in numbers_of(finding, gate.quantity)))
    message = worst.problem or gate_message(gate, finding, finite, terms.level, len(worst.seeds))
    if worst.status == "inconclusive" and finding.n_changed is not None and finding.n_changed < FEWEST_CHANGED:
        message += too_few_differ(finding.n_changed, finding.n_users)
    if worst.status == "inconclusive":
        message += sample_needed(gate, finding, terms.level)
    if worst.hidden is not None:
        message += hidden_note(worst.hidden)
    if worst.doubtful:
        message += not_beyond_doubt(terms.level, terms.family, terms.correction)
    if finding.segment is not None:
        message = f"{finding.segment_by} {finding.segment}: {message}"
    if waived:
        message = f"waived until {waived.expires} ({waived.reason}): {message}"
    decided = {
        "status": worst.status,
        "message": message,
        "subject": finding.subject,
        "seeds": worst.seeds,
        "audit": finding.audit,
        "condition": finding.condition,
        "metric": finding.metric,
        "estimate": finite.estimate,
        "low": finite.low,
        "high": finite.high,
        "waived": waived,
    }
    return result.model_copy(update=decided | _error_rates(gate, worst, rows, terms))


def _error_rates(gate: Gate, worst: _Judged, rows: Sequence[_Judged], terms: _Terms) -> dict[str, object]:
    """Return the p-values of the finding that decided, and what a gate detects in the least certain of its findings."""
    tested = [row for row in rows if row.p is not None and row.adjusted is not None]
    if not tested:
        return (
            {"note": "judged by the estimate alone, so the error rate is not controlled"}
            if gate.bound == "estimate"
            else {}
        )
    return {
        "p_value": worst.p,
        "p_adjusted": worst.adjusted,
        "family": terms.family,
        "correction": terms.correction,
        "note": "; ".join(_notes(tested)),
        **_power(gate, tested, terms),
    }


def _notes(tested: Sequence[_Judged]) -> Iterator[str]:
    if any(row.finding.degrees is None and row.spread is not None for row in tested):
        yield NORMAL
    if any(map(_few_draws, tested)):
        yield POWER_UNKNOWN


def _few_draws(row: _Judged) -> bool:
    # A share has its uncertainty from the sampled members, each with one draw.
    return row.finding.sampled is None and 0 < row.finding.n_draws < FEWEST_DRAWS


def _power(gate: Gate, tested: Sequence[_Judged], terms: _Terms) -> dict[str, float]:
    if any(map(_few_draws, tested)):
        return {}  # from so few draws their spread is not known well enough
    family = 1 if terms.correction == "none" else terms.family
    reach = []
    for row in tested:
        loss = _loss(gate, row.finding, terms)
        spread = row.spread
        if spread is None or (loss is None and not spread.low < spread.estimate < spread.high):
            return {}  # what did not move at all does not tell how finely something that moves would be measured
        reach.append(detected(spread, *_limits(gate), family=family, loss=loss))
    below, above = min(each[0] for each in reach), max(each[1] for each in reach)
    return {
        **({} if gate.min is None else {"detects_below": below}),
        **({} if gate.max is None else {"detects_above": above}),
    }


def _loss(gate: Gate, finding: Finding, terms: _Terms) -> MetricLoss | None:
    """Return what a regression that some users bear would add; None where no users' quality is known.

    Only a metric of relevant items is 0 for a user who gets none.
    """
    if kind_of(finding.metric) not in ACCURACY:
        return None
    mean, square = terms.users.get((finding.subject, finding.metric), (0.0, 0.0))
    base = finding.clean if gate.quantity == "relative_drift" else None
    if mean <= 0 or finding.n_users < 2 or (base is not None and base <= 0):
        return None
    if gate.quantity != "value" and finding.reference == CLEAN and finding.perturbed:
        # What is lost is what the perturbation leaves.
        mean, square = finding.perturbed, square * (finding.perturbed / mean) ** 2
    return loss_of(mean, square, finding.n_users, base)


def _users(findings: Sequence[Finding], level: float) -> dict[tuple[Subject, str], tuple[float, float]]:
    """Return mean and mean square over users of each subject's clean quality, from its interval."""
    moments = {}
    for row in findings:
        if row.audit == CLEAN and row.quantity == "value" and row.reference == CLEAN and row.clean is not None:
            if row.ci_low is None or row.ci_high is None or row.n_users < 2:
                continue
            error = (row.ci_high - row.ci_low) / 2 / quantile((1 + level) / 2, row.degrees or math.inf)
            moments[row.subject, row.metric] = (row.clean, row.n_users * error**2 + row.clean**2)
    return moments


def _covers(waiver: Waiver, gate: str, row: _Judged) -> bool:
    subject = row.finding.subject
    trainings = [subject.model_copy(update={"seed": seed}) for seed in row.seeds] or [subject]
    return waiver.gate == gate and all(matches(each.label, waiver.subject) for each in trainings)


def _state(waiver: Waiver, rows: Sequence[_Judged], today: datetime.date) -> WaiverState:
    if waiver.expired(today):
        return "expired"
    covered = [row for row in rows if _covers(waiver, waiver.gate, row)]
    if not covered:
        return "matches_nothing"
    return "used" if any(row.status in _BREACHES for row in covered) else "not_needed"


def _is_number(value: float | None) -> bool:
    return value is not None and math.isfinite(value)
