"""How many sampled items decide an inconclusive gate on a share of items; draws and users do not narrow its bounds."""

from __future__ import annotations

import math

from robustrec.evaluation.shares import members_needed
from robustrec.reading.rerun import audit_again
from robustrec.results.findings import CLEAN, Finding
from robustrec.results.gates import GateResult
from robustrec.results.report import Report


def deciding_row(report: Report, result: GateResult) -> Finding | None:
    """Return the finding that decided a gate; None if it decided without one."""
    wanted = (result.subject, result.audit, result.condition, result.metric, CLEAN)
    return next(
        (
            row
            for row in report.findings
            if (row.subject, row.audit, row.condition, row.metric, row.reference) == wanted
        ),
        None,
    )


def more_items(report: Report, result: GateResult) -> tuple[str, str] | None:
    """Return what decides a gate on a share of sampled items, and the command; None for other gates.

    The share is taken as it is: other items move it. A limit that it is below is kept by the upper bound of a larger
    sample, one that it is above is breached by the lower bound.
    """
    row = deciding_row(report, result)
    if row is None or not row.sampled or row.counted is None or result.low is None or result.high is None:
        return None
    level = report.judgement.level if report.judgement else report.suite.level
    share = row.counted / row.sampled
    crossed = [each for each in (result.min, result.max) if each is not None and result.low <= each <= result.high]
    if not crossed or share in crossed:
        return (
            "The share of the sampled items is at the limit: neither draws, users nor items decide it, if it stays.",
            "",
        )
    needed = [
        members_needed(share, limit, level) if share < limit else members_needed(1 - share, 1 - limit, level)
        for limit in crossed
    ]
    most = max((each for each in needed if each is not None), default=None)
    if None in needed or most is None or most > report.dataset.n_items:
        return "More draws or users do not decide it, and neither do all items, if the share stays.", ""
    step = f"If the share stays, about {max(most, row.sampled + 1):,} sampled items instead of {row.sampled} decide it:"
    return step, audit_again(report, *_settings(report, str(result.audit), most, row.sampled))


def _settings(report: Report, audit: str, needed: int, sampled: int) -> list[str]:
    """Return the options for a larger sample; with `encodings` of an audit in proportion."""
    own = next(
        (
            each
            for each in report.suite.content.get("audits", ())
            if isinstance(each, dict) and each.get("kind") == audit and isinstance(each.get("items"), int)
        ),
        {},
    )
    items = math.ceil(max(needed, sampled + 1) * own.get("items", sampled) / sampled)
    words = ["--set", f"{audit}.items={items}"]
    if isinstance(own.get("encodings"), int):
        words += ["--set", f"{audit}.encodings={math.ceil(own['encodings'] * items / own['items'])}"]
    return words
