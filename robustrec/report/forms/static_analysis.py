"""Gates that did not pass as results of static analysis: SARIF 2.1.0, and GitLab's code quality.

Both need a file for each result. It is the suite, if the command named a file in the project, else the settings.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import quote

from robustrec.errors import EXIT_BREACH, EXIT_ERROR, EXIT_PASS
from robustrec.reading.summary import cautions
from robustrec.reading.texts import one_line, shortened
from robustrec.report.forms.troubles import Trouble, troubles
from robustrec.results.report import Report

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
SETTINGS = "robustrec.toml"
_LONGEST = 1000
_EXIT = {"fail": EXIT_BREACH, "error": EXIT_ERROR}


def sarif_bytes(report: Report) -> bytes:
    """Return a report as SARIF: a rule for each gate, and a result for each that did not pass.

    A breach has the level error, or warning if the gate only warns; an inconclusive gate has the kind open. A waived
    breach is suppressed with the reason of the waiver.
    """
    found = list(troubles(report))
    names = list(dict.fromkeys([*(gate.gate for gate in report.gates), *(each.name for each in found)]))
    rules = [{"id": _identity(name), "shortDescription": _message(name)} for name in names]
    driver = {"name": "robustrec", "version": one_line(report.robustrec), "rules": rules}
    ended = report.created.isoformat(timespec="seconds").replace("+00:00", "Z")
    invocation = {
        "executionSuccessful": report.verdict != "error",
        "exitCode": _EXIT.get(report.verdict, EXIT_PASS),
        "endTimeUtc": ended,
        "toolExecutionNotifications": [{"level": "warning", "message": _message(line)} for line in cautions(report)],
    }
    run = {
        "tool": {"driver": driver},
        "invocations": [invocation],
        "columnKind": "unicodeCodePoints",
        "results": [_result(each, names.index(each.name), _file(report)) for each in found],
        "properties": {"verdict": report.verdict, "edition": report.dataset.edition, "suite": report.suite.name},
    }
    return _json({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]})


def codequality_bytes(report: Report) -> bytes:
    """Return what did not pass as GitLab's code quality report.

    Its severity is critical if it decides the verdict, info if it is inconclusive or waived, else minor.
    """
    return _json([*_issues(report)])


def _issues(report: Report) -> Iterator[dict[str, Any]]:
    for each in troubles(report):
        waived = f"; waived: {each.waiver}" if each.waiver else ""
        yield {
            "description": shortened(one_line(f"{each.title}: {each.text}{waived}"), _LONGEST),
            "check_name": _identity(each.name),
            "fingerprint": _fingerprint(each),
            "severity": "critical" if each.decisive else "info" if each.undecided or each.waiver else "minor",
            "location": {"path": _file(report), "lines": {"begin": 1}},
        }


def _result(trouble: Trouble, rule: int, file: str) -> dict[str, Any]:
    result: dict[str, Any] = {
        "ruleId": _identity(trouble.name),
        "ruleIndex": rule,
        "kind": "open" if trouble.undecided else "fail",
        "level": "none" if trouble.undecided else "error" if trouble.decisive else "warning",
        "message": _message(f"{trouble.title}: {trouble.text}"),
        "locations": [{"physicalLocation": {"artifactLocation": {"uri": quote(file)}, "region": {"startLine": 1}}}],
        "partialFingerprints": {"robustrec/v1": _fingerprint(trouble)},
    }
    if trouble.waiver:
        reason = {"kind": "external", "status": "accepted", "justification": one_line(trouble.waiver)}
        result["suppressions"] = [reason]
    return result


def _message(text: str) -> dict[str, str]:
    """Return a plain text in which nothing is a placeholder or a link (SARIF 2.1.0, 3.11.5 and 3.11.6)."""
    shown = shortened(one_line(text), _LONGEST).replace("{", "{{").replace("}", "}}")
    return {"text": re.sub(r"[\\\[\]](?=\()|\\", r"\\\g<0>", shown) or "-"}


def _identity(name: str) -> str:
    return shortened(one_line(name), 200) or "-"


def _fingerprint(trouble: Trouble) -> str:
    return hashlib.sha256(f"{trouble.kind} {trouble.name}".encode("utf-8", "surrogatepass")).hexdigest()


def _file(report: Report) -> str:
    """Return a path in the project: the suite's if the command named one that is relative, else the settings'."""
    words = report.command
    named = [after for word, after in itertools.pairwise(words) if word == "--suite"]
    named += [word.removeprefix("--suite=") for word in words if word.startswith("--suite=")]
    path = PurePosixPath(one_line(named[-1]).replace("\\", "/")) if named else PurePosixPath(SETTINGS)
    usable = path.suffix == ".toml" and not path.is_absolute() and ".." not in path.parts
    return str(path) if usable else SETTINGS


def _json(content: Any) -> bytes:
    return (json.dumps(content, ensure_ascii=False, indent=1) + "\n").encode("utf-8", "replace")
