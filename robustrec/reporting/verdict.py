"""The verdict of a run and the exit code that follows from it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from robustrec.errors import EXIT_BREACH, EXIT_ERROR, EXIT_PASS
from robustrec.reporting.findings import AuditStatus
from robustrec.reporting.gates import GateResult
from robustrec.reporting.waivers import WaiverRecord

VerdictWord = Literal["pass", "fail", "inconclusive", "error"]
FailOn = Literal["error", "warn", "inconclusive", "never"]


def verdict(results: Sequence[GateResult], statuses: Sequence[AuditStatus]) -> VerdictWord:
    """Return the verdict of a run; see `verdict_with_reason` for the rules."""
    return verdict_with_reason(results, statuses)[0]


def verdict_with_reason(
    results: Sequence[GateResult], statuses: Sequence[AuditStatus], waivers: Sequence[WaiverRecord] = ()
) -> tuple[VerdictWord, str]:
    """Return the verdict and why, in one line.

    error: an audit ended in an error, none measured anything, or a gate of any severity could not be
    judged. fail: a gate of severity error failed, or a waiver has expired. inconclusive: one of severity error
    was inconclusive, or there is none, since a suite that cannot fail cannot pass either. Breached gates of
    severity warn are listed and change nothing; so are waived breaches.
    """
    broken = [status for status in statuses if status.status == "error"]
    if broken:
        return "error", f"audit {broken[0].audit} of {broken[0].subject.label}: {broken[0].message}"
    if not any(status.status == "ok" for status in statuses):
        return "error", "no audit measured anything"
    unjudged = [result for result in results if result.status == "error"]
    if unjudged:
        return "error", _named("could not be judged", unjudged)
    decisive = [result for result in results if result.severity == "error"]
    failed = [result for result in decisive if result.effective == "fail"]
    undecided = [result for result in decisive if result.effective == "inconclusive"]
    waived = [result for result in decisive if result.waived]
    expired = [waiver.sentence for waiver in waivers if waiver.state == "expired"]
    if failed or expired:
        reasons = [_named("failed", failed)] if failed else []
        outcome: tuple[VerdictWord, str] = "fail", "; ".join([*reasons, *expired])
    elif undecided:
        outcome = "inconclusive", _named("undecided, the interval straddles the limit", undecided)
    elif not decisive:
        outcome = "inconclusive", "the suite has no gate of severity error, so nothing could have failed"
    else:
        held = [result for result in decisive if not result.waived]
        outcome = "pass", f"{_counted(held)} of severity error hold{'s' if len(held) == 1 else ''}"
    word, reason = outcome
    reason += "".join(f"; waived until {result.waived.expires}: {result.gate}" for result in waived if result.waived)
    mild = [result for result in results if result.severity == "warn" and result.effective != "pass"]
    return word, f"{reason}; only warned of: {'; '.join(result.gate for result in mild)}" if mild else reason


def _counted(results: Sequence[GateResult]) -> str:
    return "1 gate" if len(results) == 1 else f"{len(results)} gates"


def _named(what: str, results: Sequence[GateResult]) -> str:
    return f"{_counted(results)} {what}: {'; '.join(result.gate for result in results)}"


def exit_code(word: VerdictWord, results: Sequence[GateResult], fail_on: FailOn) -> int:
    """Return the exit code: 0 pass, 1 a gate was breached, 2 an error, which no `fail_on` hides.

    `fail_on` is a threshold, each including the ones before: "error" the verdict fail; "warn" also a failed
    gate of severity warn; "inconclusive" also an inconclusive verdict or gate. "never" returns 1 for none
    of them. A waived breach counts for none of them.
    """
    if word == "error":
        return EXIT_ERROR
    if fail_on == "never":
        return EXIT_PASS
    breached = word == "fail"
    if fail_on in ("warn", "inconclusive"):
        breached = breached or any(result.effective == "fail" for result in results)
    if fail_on == "inconclusive":
        breached = breached or word == "inconclusive" or any(each.effective == "inconclusive" for each in results)
    return EXIT_BREACH if breached else EXIT_PASS
