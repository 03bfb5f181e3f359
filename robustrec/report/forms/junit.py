"""Gates as JUnit XML, one test case per gate."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from robustrec.reading.recommendation import recommend
from robustrec.reading.summary import GateLine, cautions, gate_lines, summary_of
from robustrec.reading.texts import one_line, visible
from robustrec.results.gates import GateResult
from robustrec.results.report import Report

if TYPE_CHECKING:
    from junitparser import TestCase


def junit_bytes(report: Report) -> bytes:
    """Return a report as JUnit XML that fails if and only if the verdict fails.

    A failed gate is a failure, a gate that could not be judged is an error, and an inconclusive gate is skipped with
    its message. Breached warning gates and waived breaches are also skipped. Audits that ended with an error and
    expired waivers have their own test cases.
    """
    from junitparser import JUnitXml, TestSuite

    suite = TestSuite(one_line(f"robustrec {report.suite.name} on {report.dataset.name}"))
    suite.timestamp = report.created.isoformat(timespec="seconds")
    suite.add_property("verdict", report.verdict)
    suite.add_property("edition", report.dataset.edition)
    suite.add_property("dataset_digest", visible(report.dataset.digest))
    suite.add_property("recommendation", visible(recommend(summary_of(report)).headline))
    for line in cautions(report):
        suite.add_property("warning", visible(line))
    for case in (*_audit_cases(report), *_gate_cases(report), *_waiver_cases(report), *_verdict_case(report)):
        suite.add_testcase(case)
    suite.time = round(sum(report.durations.values()), 3)
    xml = JUnitXml("robustrec")
    xml.add_testsuite(suite)
    xml.update_statistics()
    content: bytes | str = xml.tostring()
    return content if isinstance(content, bytes) else content.encode()


def _case(name: str, kind: str) -> TestCase:
    from junitparser import TestCase

    return TestCase(one_line(name), classname=one_line(kind), time=0.0)


def _audit_cases(report: Report) -> Iterator[TestCase]:
    from junitparser import Error

    for status in report.statuses:
        if status.status == "error":
            case = _case(f"{status.audit} of {status.subject.label}", f"robustrec.{report.suite.name}.audits")
            case.result = [Error(visible(status.message), type_="audit")]
            yield case


def _gate_cases(report: Report) -> Iterator[TestCase]:
    from junitparser import Error, Failure, Skipped

    for line, result in zip(gate_lines(report), report.gates, strict=True):
        case = _case(line.name, f"robustrec.{report.suite.name}.gates")
        _add_properties(case, line, result)
        message = visible(_message(line))
        if line.status == "error":
            case.result = [Error(message, type_="gate")]
        elif line.status == "fail" and line.counts_as == "fail" and line.severity == "error":
            case.result = [Failure(message, type_="gate")]
        elif line.status != "pass":
            case.result = [Skipped(message, type_="inconclusive" if line.status == "inconclusive" else "tolerated")]
        yield case


def _add_properties(case: TestCase, line: GateLine, result: GateResult) -> None:
    """Add what the gate checked and the number that decided, unrounded."""
    from junitparser import Properties, Property

    texts = {
        "severity": result.severity,
        "status": result.status,
        "quantity": result.quantity,
        "subject": line.subject,
        "condition": line.condition.label if line.condition else "",
        "metric": result.metric or "",
        "waiver": line.waiver,
    }
    numbers = {name: getattr(result, name) for name in ("estimate", "low", "high", "min", "max", "p_adjusted")}
    properties = Properties()
    for name, text in texts.items():
        if text:
            properties.add_property(Property(name, one_line(text)))
    for name, number in numbers.items():
        if number is not None:
            properties.add_property(Property(name, repr(number)))
    case.append(properties)


def _message(line: GateLine) -> str:
    where = ", ".join(part for part in (line.subject, line.condition and line.condition.label) if part)
    mild = "warning gate: " if line.severity == "warn" and line.status in ("fail", "inconclusive") else ""
    waiver = f"; waived: {line.waiver}" if line.waiver else ""
    return f"{line.word}: {mild}{where + ': ' if where else ''}{line.message}{waiver}"


def _waiver_cases(report: Report) -> Iterator[TestCase]:
    from junitparser import Failure

    for waiver in report.waivers:
        if waiver.state == "expired":
            case = _case(f"waiver of {waiver.gate}", f"robustrec.{report.suite.name}.waivers")
            case.result = [Failure(visible(waiver.sentence), type_="waiver")]
            yield case


def _verdict_case(report: Report) -> Iterator[TestCase]:
    """Yield a case for a verdict that no gate, audit or waiver shows, so that no error looks like a pass."""
    from junitparser import Error

    shown = any(status.status == "error" for status in report.statuses) or any(
        gate.status == "error" for gate in report.gates
    )
    if report.verdict == "error" and not shown:
        case = _case("verdict", f"robustrec.{report.suite.name}")
        case.result = [Error(visible(report.verdict_reason), type_="verdict")]
        yield case
