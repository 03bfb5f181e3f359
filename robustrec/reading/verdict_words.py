"""The verdict of a report in sentences: why, what else to know, and the command that resolves it."""

from __future__ import annotations

from typing import NamedTuple

from robustrec.reading.conditions import condition_words
from robustrec.reading.gate_axis import GateMark, gate_marks
from robustrec.reading.more_draws import few_users_changed, more_draws
from robustrec.reading.more_items import deciding_row, more_items
from robustrec.reading.rerun import audit_again
from robustrec.reading.summary import GateLine, Summary
from robustrec.results.gates import GateResult
from robustrec.results.report import Report
from robustrec.results.verdict import exit_code, warning_gates
from robustrec.runs.user_sample import ranked_users

_AGAINST_EDITS, _AGAINST_NOISE = "edit-aug", "noise-aug"
_EDITED = ("merchant", "cause", "worst", "guarantee")


class VerdictWords(NamedTuple):
    """The verdict for a reader who decides.

    Attributes:
        state: pass, fail, inconclusive or error.
        why: one or two sentences.
        more: further facts, a sentence each.
        step: what to do next; empty if there is nothing to do.
        command: that does it; empty without one.
    """

    state: str
    why: str
    more: tuple[str, ...]
    step: str
    command: str


def verdict_words(summary: Summary) -> VerdictWords:
    """Return the verdict of a report with its reason and the command that resolves it."""
    report = summary.report
    step, command = _next(summary)
    return VerdictWords(report.verdict, _why(summary), tuple(_more(report)), step, command)


def _why(summary: Summary) -> str:
    report = summary.report
    blocking = [each for each in report.gates if each.severity == "error"]
    deciding = _deciding(summary)
    if report.verdict == "error" or not blocking or deciding is None:
        return _sentence(report.verdict_reason)
    n, of = sum(each.effective == report.verdict for each in blocking), len(blocking)
    if report.verdict == "pass":
        held = "The blocking gate passed" if of == 1 else f"All {of} blocking gates passed"
        if any(each.waived for each in blocking):
            held = (
                f"{sum(each.waived is None for each in blocking)} of {of} blocking gates passed, the others are waived"
            )
        return f"{held}. Nearest to its limit: {_told(deciding)}"
    if report.verdict == "fail":
        expired = [_sentence(each.sentence) for each in report.waivers if each.state == "expired"]
        failed = [f"{n} of {of} blocking gates failed: {_told(deciding)}"] if n else []
        return " ".join([*failed, *expired])
    return f"No blocking gate failed, and {n} of {of} {'is' if n == 1 else 'are'} inconclusive: {_told(deciding)}"


def deciding_mark(summary: Summary) -> GateMark | None:
    """Return the blocking gate that the verdict depends on most: the farthest outside its limit, or nearest to it."""
    report = summary.report
    marks = [each for each in gate_marks(report) if each.severity == "error"]
    own = [each for each in marks if report.gates[each.number].effective == report.verdict]
    return max(own or marks, key=lambda mark: mark.nearest, default=None)


def _deciding(summary: Summary) -> GateLine | None:
    mark = deciding_mark(summary)
    return None if mark is None else summary.gates[mark.number]


def _told(gate: GateLine) -> str:
    condition = condition_words(gate.condition) if gate.condition else ""
    where = ", ".join(part for part in (gate.subject, condition) if part)
    worst = f" (worst of {gate.selected})" if gate.selected > 1 else ""
    return f"{gate.name}{worst}{f' for {where}' if where else ''}: {gate.message}."


def _more(report: Report) -> list[str]:
    lines = [_sentence(each) for each in warning_gates(report.gates)]
    lines += [_sentence(each.sentence) for each in report.waivers if each.state != "expired"]
    if report.verdict == "error" and report.gates:
        lines.append("No gate counts until this is fixed, whatever its result.")
    usual = exit_code(report.verdict, report.gates, "error")
    strict = exit_code(report.verdict, report.gates, "inconclusive")
    also = f"; with --fail-on inconclusive it is {strict}" if strict != usual else ""
    return [*lines, f"Exit code {usual}{also}."]


def _next(summary: Summary) -> tuple[str, str]:
    report = summary.report
    if report.verdict == "error":
        return "When the cause is removed, run it again:", audit_again(report)
    if report.verdict == "pass":
        return "", ""
    if not any(each.severity == "error" for each in report.gates):
        return "To judge it, use a suite with a blocking gate:", audit_again(report, "--suite", "quick")
    deciding = _deciding(summary)
    if report.verdict == "fail":
        failed = any(each.effective == "fail" and each.severity == "error" for each in report.gates)
        return _against(report, _audit_of(report, deciding)) if failed else ("Renew the waiver, or fix its cause.", "")
    return _narrower(report, deciding)


def _audit_of(report: Report, gate: GateLine | None) -> str:
    return next((each.audit or "" for each in report.gates if gate and each.gate == gate.name), "")


def _against(report: Report, audit: str) -> tuple[str, str]:
    """Return a training that may reduce a loss under edits or noise; it is to be measured, not promised."""
    trained = any(each.training is not None for each in report.subjects)
    strategy = _AGAINST_EDITS if audit in _EDITED else _AGAINST_NOISE if audit == "noise" else ""
    tried = any(strategy in each.subject.strategy.split("+") for each in report.subjects)
    if not strategy or not trained or tried:
        return "See the gate below. To accept it until a date, add a waiver with a reason: docs/gates.md.", ""
    what = "edited content" if strategy == _AGAINST_EDITS else "noise"
    command = audit_again(report, "--strategy", "vanilla", "--strategy", strategy)
    return f"To measure whether training on {what} reduces the loss:", command


def _narrower(report: Report, gate: GateLine | None) -> tuple[str, str]:
    """Return what narrows the interval of an inconclusive gate."""
    result = next((each for each in report.gates if gate and each.gate == gate.name), None)
    if result is not None and (items := more_items(report, result)) is not None:
        return items
    everyone = report.dataset.n_test_users
    users = ranked_users(report.suite.content, everyone)
    if users is not None and everyone is not None:
        step = f"To narrow the interval, rank more of the {everyone:,} test users:"
        return step, audit_again(report, "--users", str(min(4 * users, everyone)))
    if result is not None and result.seeds:
        more = str(2 * len(result.seeds))
        return "To narrow the interval, train with more seeds:", audit_again(report, "--seeds", more)
    decided = [each for each in more_draws(report) if each.needed is not None]
    if decided:
        known = [each.seconds for each in decided]
        minutes = "" if None in known else f" (about {max(1, round(sum(filter(None, known)) / 60))} min)"
        what = " and ".join(f"{each.needed} {each.audit} draws instead of {each.now}" for each in decided)
        sets = [word for each in decided for word in ("--set", f"{each.audit}.draws={each.needed}")]
        gates = [name for each in decided for name in each.gates]
        if gate is None or gate.name in gates:
            return f"If the estimate stays, {what} decide it{minutes}:", audit_again(report, *sets)
        named = gates[0] if len(gates) == 1 else f"{len(gates)} other gates"
        return f"More test users can decide it. If the estimates stay, {what} decide {named}{minutes}:", audit_again(
            report, *sets
        )
    users = None if result is None else _users_needed(report, result)
    about = f": with the same estimate about {users:,} test users are needed" if users else ""
    return f"More draws do not decide it, more test users can{about}.", ""


def _users_needed(report: Report, result: GateResult) -> int | None:
    """Return the test users with which an interval would not cross its limit, by 1/√n; None if that does not hold."""
    row = deciding_row(report, result)
    low, high, estimate = result.low, result.high, result.estimate
    if row is None or few_users_changed(row) or low is None or high is None or estimate is None:
        return None
    crossed = [limit for limit in (result.min, result.max) if limit is not None and low < limit < high]
    if not crossed or estimate in crossed:
        return None
    widest = max((estimate - low if limit < estimate else high - estimate) / abs(estimate - limit) for limit in crossed)
    digits = len(str(round(row.n_users * widest**2))) - 2
    return int(round(row.n_users * widest**2, -max(0, digits)))


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith(('.', '!', '?')) else '.'}"
