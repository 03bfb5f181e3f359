"""The verdict of a run and the exit code that follows from it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

from robustrec.errors import EXIT_BREACH, EXIT_ERROR, EXIT_PASS
from robustrec.results.findings import AuditStatus
from robustrec.results.gates import GateResult
from robustrec.results.waivers import WaiverRecord

VerdictWord = Literal["pass", "fail", "inconclusive", "error"]
FailOn = Literal["error", "warn", "inconclusive", "never"]
WORST_FIRST: tuple[VerdictWord, ...] = ("error", "fail", "inconclusive", "pass")
"""Order of gates in lists."""


def verdict(results: Sequence[GateResult], statuses: Sequence[AuditStatus]) -> VerdictWord:
    """Return the verdict of a run; see `verdict_with_reason` for the rules."""
    return verdict_with_reason(results, statuses)[0]


def verdict_with_reason(
    results: Sequence[GateResult], statuses: Sequence[AuditStatus], waivers: Sequence[WaiverRecord] = ()
) -> tuple[VerdictWord, str]:
    """Return the verdict and its reason, in one line.

    error: an audit ended with an error, no audit measured anything, or a gate of any severity could not be judged.
    fail: a blocking gate (severity error) failed, or a waiver expired. inconclusive: a blocking gate is inconclusive,
    or there is no blocking gate. Warning gates and waived breaches are counted and listed, but do not change the
    verdict. The reason also counts underpowered blocking gates.
    """
    broken = [status for status in statuses if status.status == "error"]
    if broken:
        return "error", f"audit {broken[0].audit} of {broken[0].subject.label}: {broken[0].message}"
    if not any(status.status == "ok" for status in statuses):
        return "error", "no audit produced a measurement"
    unjudged = [result for result in results if result.status == "error"]
    if unjudged:
        return "error", _named("could not be judged", unjudged)
    decisive = [result for result in results if result.severity == "error"]
    failed = [result for result in decisive if result.effective == "fail"]
    undecided = [result for result in decisive if result.effective == "inconclusive"]
    waived = [result for result in decisive if result.waived]
    expired = [waiver.sentence for waiver in waivers if waiver.state == "expired"]
    if failed or expired:
        reasons = [_named("failed", failed, of=decisive)] if failed else []
        outcome: tuple[VerdictWord, str] = "fail", "; ".join([*reasons, *expired])
    elif undecided:
        outcome = "inconclusive", _named("inconclusive", undecided, of=decisive)
    elif not decisive:
        outcome = "inconclusive", "the suite has no blocking gate, so it cannot fail"
    else:
        held = [result for result in decisive if not result.waived]
        outcome = "pass", f"{_counted(held, 'blocking')} passed"
    word, reason = outcome
    reason += "".join(f"; waived until {result.waived.expires}: {result.gate}" for result in waived if result.waived)
    return word, "; ".join([reason, *warning_gates(results), *_power(decisive)])


def warning_gates(results: Sequence[GateResult]) -> Iterator[str]:
    """Say how many gates only warn and how they ended, with the names of those that did not pass."""
    mild = [result for result in results if result.severity == "warn"]
    if not mild:
        return
    if all(result.effective == "pass" for result in mild):
        yield f"{_counted(mild, 'warning')} passed"
        return
    ended = []
    for status, word in (("fail", "failed"), ("inconclusive", "inconclusive"), ("pass", "passed")):
        of_status = [result for result in mild if result.effective == status]
        names = "" if status == "pass" else f" ({'; '.join(result.gate for result in of_status)})"
        ended += [f"{len(of_status)} {word}{names}"] if of_status else []
    yield f"{_counted(mild, 'warning')}: {', '.join(ended)}"


def _power(decisive: Sequence[GateResult]) -> Iterator[str]:
    """Say how many blocking gates are underpowered, and of how many it is not known."""
    weak = sum(result.underpowered is True for result in decisive)
    unknown = sum(result.underpowered is None for result in decisive)
    if weak:
        yield f"{weak} of {len(decisive)} blocking gates {'is' if weak == 1 else 'are'} underpowered"
    if unknown:
        yield f"power of {unknown} of {len(decisive)} blocking gates is unknown"


def _counted(results: Sequence[GateResult], kind: str = "") -> str:
    noun = f"{kind} gate".strip()
    return f"1 {noun}" if len(results) == 1 else f"{len(results)} {noun}s"


def _named(what: str, results: Sequence[GateResult], *, of: Sequence[GateResult] = ()) -> str:
    names = "; ".join(result.gate for result in results)
    if of:
        return f"{len(results)} of {len(of)} blocking gates {what}: {names}"
    return f"{_counted(results)} {what}: {names}"


def exit_code(word: VerdictWord, results: Sequence[GateResult], fail_on: FailOn) -> int:
    """Return the exit code: 0 pass, 1 a gate was breached, 2 an error, which no `fail_on` hides.

    `fail_on` is a threshold: "error" returns 1 for the verdict fail; "warn" also for a failed warning gate;
    "inconclusive" also for an inconclusive verdict or gate; "never" does not return 1. Waived breaches do not count.
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
