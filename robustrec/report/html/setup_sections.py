"""Sections of gates, findings, setup and glossary."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from markupsafe import Markup

from robustrec.reading.gate_axis import gate_marks
from robustrec.reading.glossary import glossary
from robustrec.reading.summary import Summary, cautions
from robustrec.reading.texts import shortened
from robustrec.report.html.environment import section
from robustrec.results.findings import CLEAN, Finding
from robustrec.results.numbers import bracketed, percent, plain
from robustrec.results.wording import weights_lines

MOST_FINDINGS = 3000
"""Largest number of rows in the table of the page; JSON, CSV and Parquet have all rows."""
MOST_GATES = 200
_LONGEST_CELL = 160


def gates(summary: Summary) -> Markup:
    """Return the gates and the warnings of the run."""
    marks = gate_marks(summary.report)
    judgement = summary.report.judgement
    return section(
        "gates",
        gates=[(summary.gates[mark.number], mark) for mark in marks[:MOST_GATES]],
        left_out=max(0, len(marks) - MOST_GATES),
        correction=judgement.correction if judgement else "none",
        cautions=cautions(summary.report),
    )


def findings(summary: Summary) -> Markup:
    """Return the table of all findings."""
    rows = _finding_rows(summary)
    more = max(0, len(summary.shown) - MOST_FINDINGS)
    return section("findings", summary=summary, report=summary.report, findings=rows, more_findings=more)


def run(summary: Summary) -> Markup:
    """Return what was run, on which data, with which versions, and the trainings."""
    return section("run", report=summary.report, run=_run_tables(summary))


def words(summary: Summary) -> Markup:
    """Return the glossary."""
    return section("words", glossary=glossary(summary.report))


class FindingRow(NamedTuple):
    """A finding in the table of the page.

    `sure`: the interval of its drift excludes 0; `numbers` are those to sort by.
    """

    subject: str
    audit: str
    condition: str
    metric: str
    clean: str
    perturbed: str
    drift: str
    interval: str
    relative: str
    relative_interval: str
    counts: str
    note: str
    sure: bool
    numbers: tuple[float | None, ...]

    @property
    def cells(self) -> list[tuple[str, float | None]]:
        """Texts with the numbers to sort by, None for a text."""
        sorted_by = dict(zip(_SORTED, self.numbers, strict=True))
        return [(getattr(self, name), sorted_by.get(name)) for name in self._fields[:-2]]


_SORTED = ("clean", "perturbed", "drift", "relative", "counts")


def _finding_rows(summary: Summary) -> list[FindingRow]:
    return [_finding_row(summary, row) for row in summary.shown[:MOST_FINDINGS]]


def _finding_row(summary: Summary, row: Finding) -> FindingRow:
    signed = row.quantity == "drift"
    against = "" if row.reference == CLEAN else f"against {row.reference}"
    beyond = ""
    if row.censored:
        beyond = f"above {plain(row.ci_low)}" if row.ci_high is None else f"below {plain(row.ci_high)}"
    unit = "" if row.unit.startswith("share") else f" {row.unit}"
    return FindingRow(
        subject=summary.names.get(row.subject, row.subject.label),
        audit=row.audit,
        condition=shortened(row.condition.label, _LONGEST_CELL),
        metric=shortened(row.metric, _LONGEST_CELL),
        clean=beyond or f"{plain(row.clean)}{unit if row.clean is not None else ''}",
        perturbed=plain(row.perturbed),
        drift=plain(row.drift, signed=True),
        interval=bracketed(row.ci_low, row.ci_high, plain, signed=signed),
        relative=percent(row.relative_drift, signed=True),
        relative_interval=bracketed(row.relative_ci_low, row.relative_ci_high, percent, signed=True),
        counts=f"{row.n_users} / {row.n_draws}",
        note=shortened("; ".join(text for text in (against, row.note) if text), _LONGEST_CELL),
        sure=signed and row.ci_low is not None and row.ci_high is not None and not row.ci_low <= 0 <= row.ci_high,
        numbers=(row.clean, row.perturbed, row.drift, row.relative_drift, row.n_users),
    )


class Fact(NamedTuple):
    """A line of data and setup."""

    name: str
    text: str
    code: bool = False


def _run_tables(summary: Summary) -> list[tuple[str, Sequence[Fact]]]:
    report = summary.report
    data, environment, costs = report.dataset, report.environment, report.costs
    baseline = report.baseline
    edition = f"{data.edition}{', synthetic' if data.synthetic else ''}"
    facts = [
        Fact("finished", f"{report.created:%Y-%m-%d %H:%M:%S %Z}"),
        Fact("suite", f"{report.suite.name}, {summary.level} confidence intervals"),
        Fact("suite digest", report.suite.digest, code=True),
        *([Fact("baseline", f"{baseline.file}, {baseline.created:%Y-%m-%d}")] if baseline else []),
    ]
    dataset = [
        Fact("name", data.name),
        Fact("edition", edition),
        Fact("users, items", f"{data.n_users:,}, {data.n_items:,}"),
        Fact("interactions", f"{data.n_train:,} train, {data.n_validation:,} validation, {data.n_test:,} test"),
        Fact("split", data.split.words if data.split else "not recorded"),
        *(Fact("skipped", f"{each.rows:,} rows: {each.reason}") for each in data.filters if each.rows),
        Fact("digest", data.digest, code=True),
        *(Fact("features", line) for line in weights_lines(report)),
    ]
    where = [
        Fact("robustrec", report.robustrec),
        Fact("python, torch, numpy", f"{environment.python}, {environment.torch}, {environment.numpy}"),
        Fact("platform", environment.platform),
        Fact("device", f"{environment.device}, {environment.threads} thread{'' if environment.threads == 1 else 's'}"),
    ]
    spent = [Fact(stage, f"{seconds:.1f} s") for stage, seconds in report.durations.items()]
    spent += [Fact(name, f"{count:,}") for name, count in costs.model_dump().items() if isinstance(count, int)]
    seeds = [Fact(name, str(seed)) for name, seed in report.seeds.items()]
    return [("Run", facts), ("Data", dataset), ("Versions", where), ("Time and costs", spent), ("Seeds", seeds)]
