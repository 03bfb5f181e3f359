"""The documents of an evidence pack, made from its report."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from robustrec import __version__
from robustrec.files import shipped
from robustrec.results.planned import criteria_digest, criteria_of
from robustrec.results.report import Report

PLAN, PROVENANCE, WAIVERS = "plan.json", "provenance.json", "waivers.json"
README, HEADINGS, LIMITS, METHOD = TEXTS = ("README.md", "headings.md", "limits.md", "method.md")
_LINK = re.compile(r"\[([^\]]+)\]\([^)]+\)")


def documents_of(report: Report, operator: str) -> dict[str, bytes]:
    """Return the documents of the pack of a report, by name.

    Args:
        report: as read.
        operator: who makes the pack.
    """
    facts = {PLAN: plan_of(report), PROVENANCE: provenance_of(report, operator), WAIVERS: waivers_of(report)}
    texts = {
        README: _readme(report, operator),
        HEADINGS: _page(HEADINGS),
        LIMITS: _limits(report),
        METHOD: _method(report),
    }
    return {
        **{name: json_bytes(value) for name, value in facts.items()},
        **{name: text.encode() for name, text in texts.items()},
    }


def json_bytes(value: object) -> bytes:
    """Return a JSON document as the bytes that a pack has."""
    return f"{json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)}\n".encode()


def plan_of(report: Report) -> dict[str, Any]:
    """Return suite and criteria of a report with their digests, before the run and in the judgement."""
    judged = report.judgement
    content = report.suite.content
    by = content if judged is None or judged.content is None else judged.content
    return {
        "planned": None if report.planned is None else report.planned.model_dump(mode="json"),
        "suite": {"name": report.suite.name, "digest": report.suite.digest, "content": content},
        "criteria": {"digest": criteria_digest(content), **criteria_of(content)},
        "judged": {
            "by_suite": report.suite.name if judged is None else judged.suite,
            "at": None if judged is None else judged.judged.isoformat(),
            "criteria_digest": criteria_digest(by),
            "criteria": criteria_of(by),
        },
    }


def provenance_of(report: Report, operator: str) -> dict[str, Any]:
    """Return operator, versions, machine, and the digests of data, features, parameters and weights."""
    content = report.model_dump(mode="json", include={"command", "dataset", "environment", "seeds", "arrays"})
    return {
        **content,
        "operator": operator,
        "created": report.created.isoformat(),
        "robustrec": report.robustrec,
        "baseline": None if report.baseline is None else report.baseline.model_dump(mode="json"),
        "subjects": [
            {
                "subject": each.subject.label,
                "source": each.source,
                "run": each.run,
                "parameters_digest": each.parameters_digest,
                "features_digest": each.features_digest,
                "weights": [weights.model_dump(mode="json") for weights in each.weights],
            }
            for each in report.subjects
        ],
    }


def waivers_of(report: Report) -> list[dict[str, Any]]:
    """Return the waivers of a judgement, with reason, expiry and state."""
    return [each.model_dump(mode="json") for each in report.waivers]


def _page(name: str) -> str:
    return (Path(__file__).parent / "pages" / name).read_text(encoding="utf-8")


def _readme(report: Report, operator: str) -> str:
    return _page(README).format(
        verdict=report.verdict.upper(),
        reason=_plain(report.verdict_reason),
        dataset=_plain(report.dataset.name),
        suite=_plain(report.suite.name),
        created=report.created.isoformat(),
        version=report.robustrec,
        packed=__version__,
        operator=_plain(operator) or "not given",
    )


def _limits(report: Report) -> str:
    lines = [*report.cautions, *report.warnings]
    listed = "\n".join(f"- {_plain(line)}" for line in lines) or "The report has no cautions and no warnings."
    return _page(LIMITS).format(listed=listed)


def _method(report: Report) -> str:
    bootstrap = report.suite.content.get("bootstrap", {})
    page = shipped("docs", "numbers.md").read_text(encoding="utf-8")
    section = page.partition("\n## Intervals\n")[2].partition("\n## ")[0]
    return _page(METHOD).format(
        level=f"{100 * report.suite.level:g}",
        replicates=bootstrap.get("replicates"),
        seed=report.seeds.get("audit"),
        correction=report.suite.content.get("correction"),
        section=_LINK.sub(r"\1", section).strip(),
    )


def _plain(text: str) -> str:
    """Return a text of a report on one line, without marks of Markdown."""
    return " ".join(re.sub(r"([\\`*_{}\[\]<>#|])", r"\\\1", text).split())
