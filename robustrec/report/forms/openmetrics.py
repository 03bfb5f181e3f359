"""A report in the OpenMetrics text format, for GitLab's metrics reports and for a Prometheus textfile collector.

The format is that of OpenMetrics 1.0: for each metric family TYPE, UNIT and HELP, then its samples, and "# EOF" last.
Nothing is in it that differs between two runs with the same numbers, because GitLab shows every difference.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Literal, NamedTuple

from robustrec.reading.texts import one_line
from robustrec.results.findings import CLEAN, Finding
from robustrec.results.report import Report
from robustrec.results.verdict import WORST_FIRST
from robustrec.subject import Subject


class Family(NamedTuple):
    """A metric family: its name, type, unit and help, and samples of (end of the name, labels, value)."""

    name: str
    kind: Literal["gauge", "stateset", "info"]
    unit: str
    help: str
    samples: Iterable[tuple[str, Mapping[str, str], float]]


def openmetrics_bytes(report: Report) -> bytes:
    """Return verdict, gates with their numbers, and clean quality."""
    lines = []
    for family in _families(report):
        samples = [line for end, labels, value in family.samples for line in _sample(family.name + end, labels, value)]
        if not samples:
            continue
        lines.append(f"# TYPE {family.name} {family.kind}")
        if family.unit:
            lines.append(f"# UNIT {family.name} {family.unit}")
        lines += [f"# HELP {family.name} {escaped(family.help)}", *samples]
    return ("\n".join([*lines, "# EOF"]) + "\n").encode()


def escaped(text: str) -> str:
    """Return a text on one line as a label's value or a help text has it."""
    return one_line(text).replace("\\", "\\\\").replace('"', '\\"')


def _sample(name: str, labels: Mapping[str, str], value: float) -> Iterator[str]:
    if math.isfinite(value):
        pairs = ",".join(f'{key}="{escaped(text)}"' for key, text in labels.items())
        yield f"{name}{{{pairs}}} {value!r}" if pairs else f"{name} {value!r}"


def _families(report: Report) -> Iterator[Family]:
    about = {
        "version": report.robustrec,
        "suite": report.suite.name,
        "dataset": report.dataset.name,
        "edition": report.dataset.edition,
    }
    yield Family("robustrec_report", "info", "", "The report of the numbers below.", [("_info", about, 1)])
    states = [("", {"robustrec_verdict": word}, int(word == report.verdict)) for word in WORST_FIRST]
    yield Family("robustrec_verdict", "stateset", "", "Verdict of the report.", states)
    gates = [(gate, {"gate": gate.gate, "severity": gate.severity}) for gate in report.gates]
    passed = [("", labels, int(gate.effective == "pass")) for gate, labels in gates]
    yield Family("robustrec_gate_passed", "gauge", "", "1 if the gate passed or its breach is waived, else 0.", passed)
    for relative, unit in ((True, "ratio"), (False, "")):
        of = "the change as a share of the number before" if relative else "a value or change in the metric's unit"
        chosen = [(gate, labels) for gate, labels in gates if (gate.quantity == "relative_drift") is relative]
        for part, words in (("estimate", "estimate"), ("low", "lower bound"), ("high", "upper bound")):
            samples = [("", labels, number) for gate, labels in chosen if (number := getattr(gate, part)) is not None]
            name = f"robustrec_gate_{part}{'_ratio' if relative else ''}"
            yield Family(name, "gauge", unit, f"Number that decided the gate, {words}: {of}.", samples)
    quality = [("", _labels(row), row.clean) for row in report.findings if _is_quality(row) and row.clean is not None]
    yield Family("robustrec_quality", "gauge", "", "Quality on clean input, all test users.", quality)


def _is_quality(row: Finding) -> bool:
    return row.audit == CLEAN and row.quantity == "value" and row.reference == CLEAN and row.segment is None


def _labels(row: Finding) -> dict[str, str]:
    return {"metric": row.metric, **{name: str(getattr(row.subject, name)) for name in Subject.model_fields}}
