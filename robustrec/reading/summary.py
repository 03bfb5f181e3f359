"""Summary of a report for all output formats: gates, candidates and their findings.

Only this module reads the fields of gate results, so that a new version changes one place.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from pydantic import ValidationError

from robustrec.evaluation.kinds import KINDS, Accuracy, kind_of, of_all_lists
from robustrec.reading.content_use import candidates_of, lines_of, marked, names_of, names_over_seeds, use_over_seeds
from robustrec.reading.names import headline, short_names
from robustrec.reading.over_seeds import shown_findings, shown_names
from robustrec.results.conditions import Condition
from robustrec.results.content_use import ContentUse
from robustrec.results.findings import CLEAN, CONTENT_USE, ENCODER, AuditStatus, Finding
from robustrec.results.gates import Gate, GateResult, selects
from robustrec.results.judging import judge_all
from robustrec.results.numbers import percent, plain
from robustrec.results.report import Report
from robustrec.results.selection import Select, matches
from robustrec.results.waivers import Waiver
from robustrec.results.wording import power_sentence
from robustrec.runs.user_sample import ranked_users, sample_words
from robustrec.subject import Subject

_QUALITY = re.compile(r"[a-z_]+@\d+")
SAMPLE = "SAMPLE EDITION: synthetic data; these numbers do not apply to real users."


class GateLine(NamedTuple):
    """A gate result for display.

    Attributes:
        status: status of the gate; `word` is the same in capitals, with "(warn)" for a breached warning gate and
            "(waived)" for a waived breach.
        condition: of the finding that decided; None for clean quality.
        margin: distance of the worst bound inside its limit, negative outside; None without numbers.
        margin_text: the same in words.
        power: what the gate detects, in a sentence; empty if unknown.
        waiver: reason of the waiver; empty if not waived.
        remark: limitations of the result.
    """

    name: str
    severity: str
    status: str
    counts_as: str
    word: str
    message: str
    subject: str
    condition: Condition | None
    selected: int
    margin: float | None
    margin_text: str
    power: str
    waiver: str
    remark: str


def gate_lines(report: Report) -> list[GateLine]:
    """Return every gate of a report, in its order."""
    names, pooled = names_of(report), names_over_seeds(report)
    return [_gate_line(result, pooled if result.seeds else names) for result in report.gates]


def _gate_line(result: GateResult, names: dict[Subject, str]) -> GateLine:
    mild = result.severity == "warn" and result.status in ("fail", "inconclusive")
    remarks = [word for word, holds in (("warn", mild), ("waived", result.waived is not None)) if holds]
    waived = result.waived
    margin = _margin(result)
    return GateLine(
        name=result.gate,
        severity=result.severity,
        status=result.status,
        counts_as=result.effective,
        word=result.status.upper() + (f" ({', '.join(remarks)})" if remarks else ""),
        message=result.message,
        subject="" if result.subject is None else names.get(result.subject, result.subject.label),
        condition=None if result.audit == CLEAN else result.condition,
        selected=result.selected,
        margin=margin,
        margin_text=_margin_text(margin, relative=result.quantity == "relative_drift"),
        power=power_sentence(result),
        waiver=f"{waived.reason} (until {waived.expires})" if waived else "",
        remark=result.note,
    )


def _margin(result: GateResult) -> float | None:
    low = result.estimate if result.low is None else result.low
    high = result.estimate if result.high is None else result.high
    rooms = [low - result.min] if low is not None and result.min is not None else []
    rooms += [result.max - high] if high is not None and result.max is not None else []
    return min(rooms) if rooms else None


def _margin_text(margin: float | None, *, relative: bool) -> str:
    if margin is None:
        return "no margin"
    size = f"{percent(abs(margin)).removesuffix(' %')} percentage points" if relative else plain(abs(margin))
    return f"{size} {'inside' if margin >= 0 else 'outside'} the limit"


@dataclass(frozen=True)
class Candidate:
    """A model trained with a strategy on features, over its training seeds.

    Attributes:
        name: unique within the report.
        subjects: one for each training seed.
        standing: worst status of the blocking gates on its findings; "error" if an audit ended with an error,
            "none" if no blocking gate matches it.
        use: its content use.
        failed: names of the blocking gates that do not pass.
        waived: names of the blocking gates with a waived breach.
    """

    name: str
    subjects: tuple[Subject, ...]
    standing: str
    use: ContentUse
    failed: tuple[str, ...] = ()
    waived: tuple[str, ...] = ()


@dataclass(frozen=True)
class Summary:
    """A report with the lookups that every output format needs.

    Attributes:
        report: the report.
        names: subject -> its short name.
        level: the intervals' confidence level in words.
        metric: the headline metric, for example ndcg@20; empty if no quality was measured.
        candidates: models with strategies and features, in the report's order.
        gates: all gate results for display.
        shown: findings for tables, with the mean over training seeds in the place of each seed's.
    """

    report: Report
    names: dict[Subject, str]
    level: str
    metric: str
    candidates: tuple[Candidate, ...]
    gates: tuple[GateLine, ...]
    shown: tuple[Finding, ...]
    quality: dict[tuple[Subject, str], Finding] = field(default_factory=dict)

    @property
    def audits(self) -> list[str]:
        """Audits with findings other than clean quality and content use, in order."""
        return list(dict.fromkeys(row.audit for row in self.report.findings if row.audit not in (CLEAN, CONTENT_USE)))

    def drifts(self, audit: str, metric: str | None = None) -> list[Finding]:
        """Return the drifts from clean of an audit, in order, for one metric or all."""
        return [
            row
            for row in self.report.findings
            if row.audit == audit
            and row.quantity == "drift"
            and row.reference == CLEAN
            and (metric is None or row.metric == metric)
        ]

    def over_seeds(self, candidate: Candidate, audit: str, quantity: str, reference: str = CLEAN) -> list[Finding]:
        """Return the means over the training seeds of a candidate for an audit; empty with one seed."""
        first = candidate.subjects[0]
        return [
            row
            for row in self.report.over_seeds
            if (row.audit, row.quantity, row.reference) == (audit, quantity, reference)
            and (row.subject.model, row.subject.strategy, row.subject.features)
            == (first.model, first.strategy, first.features)
        ]

    def values(self, audit: str) -> list[Finding]:
        """Return the value findings of an audit."""
        return [row for row in self.report.findings if row.audit == audit and row.quantity == "value"]


def summary_of(report: Report) -> Summary:
    """Return the summary of a report."""
    quality = {
        (row.subject, row.metric): row
        for row in report.findings
        if row.audit == CLEAN and row.quantity == "value" and row.reference == CLEAN
    }
    metrics = headline(quality.values()) or headline(row for row in report.findings if is_quality(row.metric))
    return Summary(
        report=report,
        names=shown_names(report),
        level=f"{100 * report.suite.level:g} %",
        metric=metrics[0] if metrics else "",
        candidates=_candidates(report),
        gates=tuple(gate_lines(report)),
        shown=tuple(shown_findings(report)),
        quality=quality,
    )


def cautions(report: Report) -> list[str]:
    """Return the warnings of a report, the same for every output format.

    They are: audits that did not end well, waivers, a sample of users, subjects that do not use content, warnings of
    the run, and notes on features.
    """
    names = names_of(report)
    lines = [
        f"{each.status.upper().replace('_', ' ')}: {each.audit} of {names.get(each.subject, each.subject.label)}:"
        f" {each.message}"
        for each in troubles(report)
    ]
    lines += [each.sentence for each in report.waivers]
    lines += _of_sample(report)
    lines += lines_of(report)
    lines += [f"warning: {warning}" for warning in report.warnings]
    noted: dict[str, list[str]] = {}
    for record in report.subjects:
        for note in record.notes:
            noted.setdefault(note, []).append(names[record.subject])
    lines += [f"{', '.join(subjects)}: {note}" for note, subjects in noted.items()]
    lines += [f"skipped: {each.rows} rows, {each.reason}" for each in report.dataset.filters if each.rows]
    if report.dataset.synthetic:
        lines.append(SAMPLE)
    return list(dict.fromkeys(lines))


def _of_sample(report: Report) -> list[str]:
    """Return what to know of the numbers of a report whose users are a sample."""
    everyone = report.dataset.n_test_users
    n = ranked_users(report.suite.content, everyone)
    if n is None or everyone is None:
        return []
    lines = [f"users: {sample_words(n, everyone)} was ranked; the intervals are conservative"]
    metrics = report.suite.content.get("metrics", ())
    if of_lists := [name for name in metrics if of_all_lists(name)]:
        lines.append(f"users: {', '.join(of_lists)}: of the lists of the sample, not comparable with all users' lists")
    return lines


def troubles(report: Report) -> list[AuditStatus]:
    """Return how audits ended that did not end well, without what another subject of the same features stands for."""
    fine = {each.subject.features for each in report.statuses if each.audit == ENCODER and each.status == "ok"}
    return [
        each
        for each in report.statuses
        if each.status == "error"
        or (each.status == "not_applicable" and (each.audit != ENCODER or each.subject.features not in fine))
    ]


def is_quality(metric: str) -> bool:
    """Return whether a metric is a quality metric."""
    return _QUALITY.fullmatch(metric) is not None and isinstance(KINDS.get(kind_of(metric)), Accuracy)


def _candidates(report: Report) -> tuple[Candidate, ...]:
    groups = {(each[0].model, each[0].strategy, each[0].features): each for each in candidates_of(report)}
    names = short_names([each[0].model_copy(update={"seed": 0}) for each in groups.values()])
    standings = _standings(report, list(groups))
    found = []
    for key, group in groups.items():
        standing, failed, waived = standings[key]
        if any(status.status == "error" and status.subject in group for status in report.statuses):
            standing, failed, waived = "error", (), ()
        use = use_over_seeds(report, group)
        name = marked(names[group[0].model_copy(update={"seed": 0})], use.mark)
        found.append(Candidate(name, tuple(group), standing, use, failed, waived))
    return tuple(found)


def _standings(
    report: Report, keys: Sequence[tuple[str, str, str]]
) -> dict[tuple[str, str, str], tuple[str, tuple[str, ...], tuple[str, ...]]]:
    """Judge each candidate by the blocking gates, with one correction for all: standing, failed, waived.

    Each gate is split into one for each matching candidate. Together they select the same findings as the gates of the
    suite, so that the correction for multiple testing is the same as in the report.
    """
    gates = [gate for gate in judged_gates(report) if gate.severity == "error"]
    if not gates:
        return {key: (*_worst(_as_decided(report, key)), ()) for key in keys}
    split = [(key, own) for gate in gates for key in keys if (own := _narrowed(gate, key))]
    rows = (*report.findings, *report.segments)
    looked_at = [row for row in rows if any(selects(gate, row) for gate in gates)]
    correction = report.judgement.correction if report.judgement else "none"
    waivers = [Waiver(**each.model_dump(exclude={"state"})) for each in report.waivers]
    judged = judge_all(
        [gate for _, gate in split],
        looked_at,
        level=report.judgement.level if report.judgement else report.suite.level,
        correction=correction,
        over_seeds=(*report.over_seeds, *report.segments_over_seeds),
        waivers=waivers,
        today=(report.judgement.judged if report.judgement else report.created).date(),
    )
    statuses: dict[tuple[str, str, str], dict[str, str]] = {key: {} for key in keys}
    waived: dict[tuple[str, str, str], list[str]] = {key: [] for key in keys}
    for (key, _), result in zip(split, judged.gates, strict=True):
        if result.selected:
            statuses[key][result.gate] = result.effective
            waived[key] += [result.gate] if result.waived else []
    return {key: (*_worst(found), tuple(waived[key])) for key, found in statuses.items()}


def _as_decided(report: Report, key: tuple[str, str, str]) -> dict[str, str]:
    """Return what the judged blocking gates say of a candidate where the suite's own cannot be read."""
    found: dict[str, str] = {}
    for result in report.gates:
        subject = result.subject
        own = subject is not None and (subject.model, subject.strategy, subject.features) == key
        if result.severity == "error" and (own or result.effective == "pass"):
            found[result.gate] = result.effective
    return found


def _worst(found: dict[str, str]) -> tuple[str, tuple[str, ...]]:
    for status in ("error", "fail", "inconclusive"):
        named = tuple(gate for gate, each in found.items() if each == status)
        if named:
            return status, named
    return "pass" if found else "none", ()


def judged_gates(report: Report) -> list[Gate]:
    """Return the gates that were judged, with their limits; none where another version wrote the suite."""
    judged = {result.gate for result in report.gates}
    try:
        gates = [Gate.model_validate(each) for each in _judging(report).get("gates", ())]
    except (ValidationError, TypeError):
        return []
    return [gate for gate in gates if gate.name in judged]


def _judging(report: Report) -> dict[str, Any]:
    """Return the content of the suite that judged a report, which can differ from the measured suite."""
    record = report.judgement
    return report.suite.content if record is None or record.content is None else record.content


def _narrowed(gate: Gate, key: tuple[str, str, str]) -> Gate | None:
    """Return a gate that speaks of one candidate only, or None where it does not speak of it."""
    select = gate.select
    wanted = (select.model, select.strategy, select.features)
    if not all(matches(name, pattern) for name, pattern in zip(key, wanted, strict=True)):
        return None
    only = dict(zip(("model", "strategy", "features"), key, strict=True))
    return gate.model_copy(update={"select": select.model_copy(update=only)})


def gated(report: Report, rows: Sequence[Finding]) -> list[Finding]:
    """Return the rows with a condition that a gate of the suite checks; all rows if there are none."""
    selections = [found for gate in _judging(report).get("gates", ()) if (found := _of_clean(gate))]
    chosen = [row for row in rows if any(matches(row.audit, s.audit) and s.wants(row.condition) for s in selections)]
    return chosen or list(rows)


def _of_clean(gate: Any) -> Select | None:
    """Return what a gate selects; None if it compares with a strategy or a baseline, or another version wrote it."""
    if not isinstance(gate, dict) or gate.get("against"):
        return None
    try:
        select = Select.model_validate(gate.get("select"))
    except ValidationError:
        return None
    return select if select.reference == CLEAN else None
