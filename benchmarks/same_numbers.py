"""Compare every number of two reports to the bit: audits of any schema version, or comparisons of strategies.

Findings are matched by subject, audit, condition, metric, quantity and reference, after the upgrade of both reports to
the current schema. Exit code 0: all numbers are equal; 1: a number differs, or a finding is only in one report.

    python -m benchmarks.same_numbers BEFORE.json AFTER.json
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from robustrec.results.exhibits import EditedItem
from robustrec.results.report import MAX_BYTES, Report, read_report
from robustrec.untrusted import read_json_object

NUMBERS = (
    *("clean", "perturbed", "drift", "relative_drift", "ci_low", "ci_high", "relative_ci_low", "relative_ci_high"),
    *("degrees", "n_users", "n_changed", "n_draws"),
)
"""Fields of a finding that are compared."""
_GATE_NUMBERS = ("status", "selected", "estimate", "low", "high", "p_value", "p_adjusted", "family", "detects_below")
_RELATION_NUMBERS = ("tau", "p", "x", "y")

Table = dict[str, dict[str, Any]]
"""Name of a row -> field -> value."""


def table_of(path: Path) -> Table:
    """Return every number in a report of an audit, or in a comparison of strategies.

    Raises:
        RobustrecError: neither of both.
    """
    content = read_json_object(path, most=MAX_BYTES)
    if content.get("kind") == "strategies":
        return dict(_rows_of_comparison(content))
    return dict(_rows_of_report(read_report(path)))


def _rows_of_report(report: Report) -> Iterator[tuple[str, dict[str, Any]]]:
    for kind, rows in (("finding", report.findings), ("mean over seeds", report.over_seeds)):
        for row in rows:
            place = (row.subject.label, row.audit, row.condition.label, row.metric, row.quantity, row.reference)
            yield " | ".join((kind, *place)), {name: getattr(row, name) for name in NUMBERS}
    for gate in report.gates:
        yield f"gate | {gate.gate}", {name: getattr(gate, name) for name in _GATE_NUMBERS}
    for each in report.relations:
        yield (
            f"relation | {each.measure} | {each.outcome}",
            {name: getattr(each, name) for name in _RELATION_NUMBERS},
        )
    for number, exhibit in enumerate(report.exhibits):
        given = exhibit.model_dump(mode="json", exclude={"condition"})
        of = exhibit.edit if isinstance(exhibit, EditedItem) else exhibit.subject.label
        yield f"exhibit {number} | {exhibit.kind} | {of}", given


def _rows_of_comparison(content: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for row in content["rows"]:
        place = (row["model"], row["budget"], row["strategy"], row["measure"])
        yield (
            " | ".join(place),
            {name: row[name] for name in ("value", "shares", "difference", "ratio", "p", "conclusion")},
        )


def differences(before: Table, after: Table) -> list[str]:
    """Return a line for each number that differs, and for each row that only one of two tables has."""
    lines = [f"missing: {name}" for name in before if name not in after]
    lines += [f"added: {name}" for name in after if name not in before]
    for name in before:
        if name in after:
            lines += [
                f"{name}: {field} is {after[name].get(field)!r}, was {value!r}"
                for field, value in before[name].items()
                if repr(after[name].get(field)) != repr(value)
            ]
    return lines


def main() -> int:
    """Compare two reports, print the differences, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    asked = parser.parse_args()
    before, after = table_of(asked.before), table_of(asked.after)
    lines = differences(before, after)
    numbers = sum(len(fields) for fields in before.values())
    print(json.dumps({"rows": len(before), "numbers": numbers, "differences": len(lines)}))
    print("\n".join(lines))
    return 1 if lines else 0


if __name__ == "__main__":
    raise SystemExit(main())
