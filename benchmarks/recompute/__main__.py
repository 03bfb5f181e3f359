"""Recompute a report from its raw arrays, and compare it with what report, page and console say.

    python -m benchmarks.recompute REPORT.json [--page PAGE.html] [--console STDOUT.txt]

It uses numpy, scipy and the standard library, and nothing of robustrec: it follows docs/recompute.md. Exit code 0 if
every number agrees, 1 if one differs.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.recompute.findings import Recomputed, recompute
from benchmarks.recompute.judging import Gate, judge, verdict, with_means
from benchmarks.recompute.printed import of_console, of_page

RELATIVE, ABSOLUTE = 1e-9, 1e-12
NOT_DONE = "rows not recomputed"
PARTS = ("findings", "over_seeds", "segments", "segments_over_seeds")


def same(reported: float | None, found: float | None) -> bool:
    """Return whether two numbers are equal but for the order of their sums."""
    if reported is None or found is None:
        return reported is found
    return math.isclose(reported, found, rel_tol=RELATIVE, abs_tol=ABSOLUTE)


def differences(path: Path, page: str = "", console: str = "") -> tuple[list[str], Counter[str]]:
    """Return a sentence on each number that differs, and how many numbers were recomputed by what they are of.

    The count `NOT_DONE` is of the rows of the report of which no number was recomputed.
    """
    report = json.loads(path.read_bytes())
    data = (path.parent / report["arrays"]["file"]).read_bytes()
    with np.load(path.parent / report["arrays"]["file"], allow_pickle=False) as file:
        arrays = dict(file)
    found: list[str] = []
    if hashlib.sha256(data).hexdigest() != report["arrays"]["digest"]:
        found.append("the digest of the arrays does not match")
    counts: Counter[str] = Counter()
    numbers = list(recompute(report, arrays))
    for each in numbers:
        counts[each.finding["audit"]] += 1
        if not same(each.reported, each.found):
            found.append(_sentence(each))
    done = {id(each.finding) for each in numbers}
    counts[NOT_DONE] = sum(id(row) not in done for part in PARTS for row in report.get(part, ()))
    replaced = _replaced(report, numbers)
    gates = judge(replaced)
    counts["gates"] = len(gates)
    found += _gates(gates, report)
    word = verdict(gates, report)
    if not report["waivers"] and word != report["verdict"]:
        found.append(f"the verdict is {report['verdict']}, but {word} from the arrays")
    if page:
        shown = with_means(replaced, "findings")
        found += of_page(page, shown, gates, report["verdict"])
        counts["rows on the page"] = len(shown)
    if console:
        limits = {gate["gate"]: (gate["min"], gate["max"]) for gate in report["gates"]}
        found += of_console(console, gates, limits)
    return found, counts


def _sentence(each: Recomputed) -> str:
    row = each.finding
    return (
        f"{each.field} of {row['metric']}, {row['audit']}, {row['condition']['label']}, {row['subject']['model']}/"
        f"{row['subject']['strategy']} against {row['reference']}: {each.reported}, but {each.found} from the arrays"
    )


def _replaced(report: Mapping[str, Any], numbers: list[Recomputed]) -> dict[str, Any]:
    """Return the report with the recomputed numbers in the place of the reported ones."""
    own: dict[int, dict[str, float | None]] = {}
    for each in numbers:
        own.setdefault(id(each.finding), {})[each.field] = each.found
    return {
        **report,
        **{part: [{**row, **own.get(id(row), {})} for row in report[part]] for part in ("findings", "over_seeds")},
    }


def _gates(gates: list[Gate], report: Mapping[str, Any]) -> Iterator[str]:
    for gate, row in zip(gates, report["gates"], strict=True):
        pairs = [("status", gate.status, row["status"]), ("selected", gate.selected, row["selected"])]
        wrong = [f"{name} is {told}, but {own}" for name, own, told in pairs if own != told]
        numbers = {"estimate": gate.estimate, "low": gate.low, "high": gate.high}
        numbers |= {"p_value": gate.p, "p_adjusted": gate.adjusted}
        wrong += [f"{name} is {row[name]}, but {own}" for name, own in numbers.items() if not same(row[name], own)]
        yield from (f"gate {gate.name}: {each} from the arrays" for each in wrong if not row["waived"])


def main() -> int:
    """Print the numbers that differ; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("report", type=Path)
    parser.add_argument("--page", type=Path, help="HTML page of the report")
    parser.add_argument("--console", type=Path, help="what the audit printed")
    given = parser.parse_args()
    texts = [path.read_text(encoding="utf-8") if path else "" for path in (given.page, given.console)]
    found, counts = differences(given.report, *texts)
    left = counts.pop(NOT_DONE)
    print(f"recomputed {sum(counts.values())}: " + ", ".join(f"{name} {n}" for name, n in sorted(counts.items())))
    if left:
        print(f"not recomputed: {left} rows of segments, of edited and untouched items, and of no means over users")
    print("\n".join(found) if found else "every recomputed number agrees")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
