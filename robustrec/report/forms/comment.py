"""A comment on a pull request or merge request: what changed against the baseline, and what breaks first."""

from __future__ import annotations

from robustrec.reading.advice import harm
from robustrec.reading.conditions import condition_words
from robustrec.reading.recommendation import recommend
from robustrec.reading.summary import Summary, summary_of
from robustrec.reading.texts import one_line
from robustrec.report.forms.markdown import MOST_BYTES, MOST_ROWS, SYMBOLS, cell, escaped, table, within
from robustrec.results.exhibits import FragileItem
from robustrec.results.findings import BASELINE, CLEAN, Finding
from robustrec.results.gates import GateResult
from robustrec.results.numbers import percent, plain
from robustrec.results.report import Report
from robustrec.results.verdict import WORST_FIRST

MARK = "<!-- robustrec comment -->"
"""First line of a comment, by which the next run finds it and replaces it."""


def comment_bytes(report: Report) -> bytes:
    """Return verdict, gates that changed against the baseline, open gates and the most fragile item, below 60 KB."""
    return comment(report).encode()


def comment(report: Report) -> str:
    """Return the comment as Markdown of fewer than 60,000 bytes; every text of the data is escaped."""
    summary = summary_of(report)
    parts = [
        MARK,
        f"## {SYMBOLS[report.verdict]} robustrec: {report.verdict.upper()}",
        escaped(report.verdict_reason),
    ]
    if report.dataset.synthetic:
        parts.append("> **SAMPLE EDITION**: synthetic data. These numbers do not apply to real users.")
    parts += _changes(summary)
    parts += _open(summary)
    parts += _fragile(summary)
    parts += ["### Recommendation", escaped(recommend(summary).headline)]
    parts.append(
        f"<sub>robustrec {escaped(report.robustrec)}, suite {escaped(report.suite.name)} on "
        f"{escaped(report.dataset.name)}, {report.dataset.edition} edition. The HTML report has all numbers.</sub>"
    )
    return within("\n\n".join(part for part in parts if part), MOST_BYTES)


def _changes(summary: Summary) -> list[str]:
    """Return the gates with another result than on the baseline, or that there are none."""
    report = summary.report
    if report.baseline is None:
        return ["No baseline was given, so changes are not known (`--baseline FILE`)."]
    title = f"### Changed against the baseline of {report.baseline.created:%Y-%m-%d}"
    before, against = report.baseline.gates, _against_baseline(report)
    changed = [
        each
        for each in report.gates
        if (each.gate in before and before[each.gate] != each.status)
        or (each.gate in against and each.status != "pass")
    ]
    rows = [
        [_change(before.get(each.gate), each.status), cell(each.gate), *_numbers(summary, each, each.gate in against)]
        for each in sorted(changed, key=lambda each: WORST_FIRST.index(each.status))[:MOST_ROWS]
    ]
    if rows:
        return [title, table(["result", "gate", "baseline", "now"], rows)]
    n = sum(each.gate in before or each.gate in against for each in report.gates)
    none = f"None of {n} gates has another result." if n else "No gate can be judged on the baseline."
    if report.over_seeds:
        none = (
            "Gates judge means over training seeds, which a baseline does not have; only gates against it are compared."
        )
    return [title, none]


def _change(before: str | None, now: str) -> str:
    return f"{SYMBOLS[before]} → {SYMBOLS[now]}" if before else SYMBOLS[now]


def _against_baseline(report: Report) -> set[str]:
    """Return the names of the gates that compare with the baseline themselves."""
    record = report.judgement
    content = report.suite.content if record is None or record.content is None else record.content
    gates = [each for each in content.get("gates", ()) if isinstance(each, dict)]
    return {str(each.get("name")) for each in gates if each.get("against") == BASELINE}


def _numbers(summary: Summary, gate: GateResult, against: bool) -> list[str]:
    """Return the number of the deciding finding in the baseline and now."""
    rows = [row for row in summary.report.findings if _decided(row, gate)]
    then = next((row for row in rows if row.reference == BASELINE), None)
    if then is not None and (against or gate.quantity != "relative_drift"):
        return [_number(then.clean), _number(then.perturbed)]
    relative = gate.quantity == "relative_drift"
    earlier = None
    if then is not None and then.clean is not None and gate.subject is not None:
        # The drift as a share of the clean number that the baseline had; the two are rows of their own.
        clean = _clean_in_baseline(summary.report, gate)
        earlier = then.clean / clean if clean else None
    return [_number(earlier, relative=relative), _number(gate.estimate, relative=relative)]


def _decided(row: Finding, gate: GateResult) -> bool:
    own = (row.subject, row.audit, row.metric, row.segment)
    return own == (gate.subject, gate.audit, gate.metric, None) and row.condition == gate.condition


def _clean_in_baseline(report: Report, gate: GateResult) -> float | None:
    same = (row for row in report.findings if (row.reference, row.audit) == (BASELINE, CLEAN))
    return next((row.clean for row in same if (row.subject, row.metric) == (gate.subject, gate.metric)), None)


def _number(number: float | None, *, relative: bool = False) -> str:
    return "" if number is None else escaped(percent(number) if relative else plain(number))


def _open(summary: Summary) -> list[str]:
    """Return the gates that did not pass, the worst first."""
    lines = [line for line in summary.gates if line.status != "pass"]
    lines.sort(key=lambda line: (WORST_FIRST.index(line.counts_as), line.severity != "error"))
    title = f"### Gates: {len(summary.gates) - len(lines)} of {len(summary.gates)} passed"
    rows = [
        [
            f"{SYMBOLS[line.status]} {line.word}",
            cell(line.name),
            cell(f"{line.subject + ': ' if line.subject else ''}{line.message}"),
        ]
        for line in lines[:MOST_ROWS]
    ]
    more = [f"… and {len(lines) - MOST_ROWS} more gates."] if len(lines) > MOST_ROWS else []
    return [title, *([table(["result", "gate", "deciding finding"], rows)] if rows else []), *more]


def _fragile(summary: Summary) -> list[str]:
    """Return the edited item with the largest loss for the users who have it as a test item; empty without one."""
    items = [each for each in summary.report.exhibits if isinstance(each, FragileItem) and harm(each) > 0]
    if not items:
        return []
    item = max(items, key=harm)
    title = one_line(item.before.text.partition("\n")[0])
    users = f"{item.n_users} user{'s' * (item.n_users != 1)}"
    ranks = f"mean rank {item.rank_before:.1f} → {item.rank_after:.1f} for {users}"
    text = f"**{cell(title)}** (item {cell(item.own_id or item.item)}), after {cell(condition_words(item.condition))}: "
    text += f"{escaped(ranks)} with this test item; in the top {item.k} of {item.exposure_before:,} → "
    text += f"{item.exposure_after:,} users. Model: {cell(summary.names.get(item.subject, item.subject.label))}."
    return ["### Most fragile item", text]
