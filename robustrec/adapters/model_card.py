"""A Hugging Face model card of one audited candidate: evaluation results as metadata, and a section on robustness."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from huggingface_hub import EvalResult, ModelCardData

from robustrec.errors import RobustrecError
from robustrec.reading.conditions import condition_words
from robustrec.reading.glance import Worst, drift_text, largest_loss, quality_of
from robustrec.reading.summary import Candidate, Summary, cautions, summary_of
from robustrec.report.forms.markdown import MOST_ROWS, cell, escaped, table
from robustrec.results.numbers import bracketed, percent, plain
from robustrec.results.report import Report

# The Hub has no task of its own for recommendation.
_TASK, _TASK_NAME = "other", "top-k recommendation"


def candidate_of(summary: Summary, name: str) -> Candidate:
    """Return the candidate of a name, or the only one where the name is empty.

    Raises:
        RobustrecError: there is none of this name, or the name is empty and there are several.
    """
    names = [each.name for each in summary.candidates]
    found = [each for each in summary.candidates if each.name == name or (not name and len(names) == 1)]
    # A report adds a note to the name of a candidate that uses no content: "sgbd (content-free)".
    found = found or [each for each in summary.candidates if each.name.partition(" (")[0] == name]
    if len(found) == 1:
        return found[0]
    what = f"the report has no candidate {name!r}" if name else f"the report has {len(names)} candidates"
    raise RobustrecError(
        f"{what}: {', '.join(names) or 'none'}",
        where="--candidate",
        fix=f"--candidate {names[0]!r}" if names else "run an audit: robustrec audit --model MODEL --dataset DATASET",
    )


def model_card(report: Report, *, model_name: str, candidate: str = "") -> str:
    """Return the card of a candidate of a checked report: YAML metadata in the form `model-index`, then Markdown.

    The results are clean quality, and the largest relative loss under each audit with the condition it is of; each has
    its interval. Texts of the data are escaped.

    Args:
        report: from `checked_report`.
        model_name: name of the model on the Hub.
        candidate: name of the candidate, such as "sgbd"; not needed if there is one.

    Raises:
        RobustrecError: no such candidate, or nothing of it was measured.
    """
    summary = summary_of(report)
    chosen = candidate_of(summary, candidate)
    results = list(_results(summary, chosen))
    if not results:
        raise RobustrecError(
            f"nothing of {chosen.name} was measured",
            where="REPORT",
            fix="run the audit again: robustrec audit --model MODEL --dataset DATASET",
        )
    data = ModelCardData(model_name=model_name, library_name="robustrec", eval_results=results)
    return f"---\n{data.to_yaml()}\n---\n\n{_section(summary, chosen)}\n"


def _results(summary: Summary, candidate: Candidate) -> Iterator[EvalResult]:
    quality = quality_of(summary, candidate)
    if quality is not None:
        interval = {"low": quality.low, "high": quality.high, "users": quality.n_users}
        yield _result(summary.report, summary.metric, f"{summary.metric}, clean", quality.mean, interval)
    for worst in _losses(summary, candidate):
        row = worst.row
        interval = {"low": row.relative_ci_low, "high": row.relative_ci_high, "users": row.n_users}
        about = {**interval, "audit": row.audit, "condition": row.condition.label, "worst of": worst.of}
        name = f"relative change of {row.metric} under {row.audit}, {condition_words(row.condition)}"
        yield _result(summary.report, f"relative change of {row.metric}", name, row.relative_drift, about)


def _result(report: Report, kind: str, name: str, value: float | None, about: Mapping[str, object]) -> EvalResult:
    edition = ", SYNTHETIC sample" if report.dataset.synthetic else ""
    known = {key: each for key, each in about.items() if each is not None}
    return EvalResult(
        task_type=_TASK,
        task_name=_TASK_NAME,
        dataset_type=report.dataset.name,
        dataset_name=f"{report.dataset.name}{edition}",
        dataset_split="test",
        dataset_revision=report.dataset.digest,
        metric_type=kind,
        metric_name=name,
        metric_value=value,
        metric_args={**known, "level": report.suite.level},
    )


def _losses(summary: Summary, candidate: Candidate) -> Iterator[Worst]:
    for audit in summary.audits:
        found = largest_loss(summary, audit, candidate)
        if found is not None and found.row.relative_drift is not None:
            yield found


def _section(summary: Summary, candidate: Candidate) -> str:
    report = summary.report
    lines = [
        "## Robustness",
        f"Verdict of the audit: **{report.verdict.upper()}**. {escaped(report.verdict_reason)}",
        "> **SAMPLE EDITION**: synthetic data. These numbers do not apply to real users."
        if report.dataset.synthetic
        else "",
        f"Candidate {escaped(candidate.name)} of {len(summary.candidates)} in the report, with "
        f"{len(candidate.subjects)} training seed{'s' * (len(candidate.subjects) != 1)}; "
        f"suite {escaped(report.suite.name)} on {escaped(report.dataset.name)}, "
        f"{report.dataset.n_users:,} users and {report.dataset.n_items:,} items "
        f"(digest `{report.dataset.digest[:16]}`); robustrec {escaped(report.robustrec)}, {report.created:%Y-%m-%d}.",
        table(["measure", "result", f"{summary.level} interval"], list(_rows(summary, candidate))),
        f"Content use: {escaped(candidate.use.sentence)}",
        *_gates(summary),
        *([f"Limits: {escaped('; '.join(cautions(report)))}"] if cautions(report) else []),
    ]
    return "\n\n".join(line for line in lines if line)


def _rows(summary: Summary, candidate: Candidate) -> Iterator[list[str]]:
    quality = quality_of(summary, candidate)
    if quality is not None:
        interval = bracketed(quality.low, quality.high, plain)
        yield [cell(f"{summary.metric}, clean"), cell(plain(quality.mean)), cell(interval)]
    for worst in _losses(summary, candidate):
        row, words = worst.row, worst.words
        name = f"{row.metric} under {row.audit}: {condition_words(row.condition)}{f' ({words})' if words else ''}"
        number = percent(row.relative_drift, signed=True)
        interval = drift_text(row).removeprefix(number).strip()
        yield [cell(name), cell(number), cell(interval)]


def _gates(summary: Summary) -> list[str]:
    if not summary.gates:
        return ["No gate was judged."]
    rows = [[cell(gate.word), cell(gate.name), cell(gate.message)] for gate in summary.gates[:MOST_ROWS]]
    more = len(summary.gates) - MOST_ROWS
    return [table(["gate", "name", "deciding finding"], rows), *([f"… and {more} more gates."] if more > 0 else [])]
