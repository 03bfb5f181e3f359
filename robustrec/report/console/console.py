"""Full report on the console: banner, verdict, subjects, drifts, comparisons, gates and files.

Every status is a word, not only a colour. All texts from data pass `Page.safe`, without markup.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from rich import box
from rich.console import Console
from rich.panel import Panel
from rich.text import Text

from robustrec.reading.cold_start import cold_table
from robustrec.reading.content_use import names_over_seeds, use_table
from robustrec.reading.names import headline, in_common
from robustrec.reading.recommendation import recommend
from robustrec.reading.summary import cautions, summary_of
from robustrec.report.console.sheet import Page, page_of
from robustrec.report.tables.comparison import print_comparisons
from robustrec.report.tables.drift_tables import print_drifts
from robustrec.report.tables.segments import print_segments
from robustrec.results.findings import CLEAN, Finding
from robustrec.results.gates import GateResult
from robustrec.results.numbers import bracketed, percent, plain
from robustrec.results.report import MirrorFacts, Report, SubjectRecord, TrainingRecord
from robustrec.results.verdict import FailOn, exit_code
from robustrec.results.wording import baseline_sentence, power_sentence, weights_lines

STYLES = {
    "pass": "bold green",
    "fail": "bold red",
    "inconclusive": "bold yellow",
    "error": "bold red reverse",
}
_ALWAYS_COUNTED = ("trainings", "representations", "rankings")
_BANNER = (
    "SAMPLE EDITION: synthetic data, not the real Amazon data.\n"
    "Its numbers show that the audit works. They do not apply to real users."
)


def print_report(report: Report, console: Console, *, location: Path | None = None, fail_on: FailOn = "error") -> None:
    """Print a full report on a console.

    Args:
        report: the report to print.
        console: output console.
        location: JSON file of the report, printed at the end.
        fail_on: threshold of the exit code, which is printed at the end.
    """
    page = page_of(report, console)
    if report.dataset.synthetic:
        utf = console.encoding.startswith("utf")
        console.print(Panel(Text(_BANNER, style="bold"), box=box.HEAVY if utf else box.ASCII, border_style="yellow"))
    for section in SECTIONS:
        section(page)
    _print_end(page, location, fail_on)


def print_judgement(
    report: Report, console: Console, *, location: Path | None = None, fail_on: FailOn = "error"
) -> None:
    """Print the judgement of a report without its findings.

    Args:
        report: the report to print.
        console: output console.
        location: JSON file of the report, printed at the end.
        fail_on: threshold of the exit code, which is printed at the end.
    """
    page = page_of(report, console)
    page.paragraph(Text.assemble(verdict_word(report), f"  {report.verdict_reason}"))
    by = f" by suite {report.judgement.suite}" if report.judgement else ""
    page.line(f"{report.dataset.name} ({report.dataset.edition} edition), judged{by}")
    _print_cautions(page)
    _print_gates(page)
    page.console.print()
    if location is not None:
        page.line(f"all numbers: {location}")
    print_last(page, fail_on)


def _print_verdict(page: Page) -> None:
    report = page.report
    page.paragraph(Text.assemble(verdict_word(report), f"  {report.verdict_reason}"))
    data = report.dataset
    page.line(
        f"robustrec {report.robustrec}, suite {report.suite.name} on {data.name} ({data.edition} edition): "
        f"{data.n_users} users, {data.n_items} items, {data.n_train} / {data.n_validation} / {data.n_test} "
        f"interactions in train / validation / test; {report.environment.device}"
    )
    if data.split is not None:
        page.line(f"split: {data.split.words}")
    for line in weights_lines(report):
        page.line(f"features {line}")


def verdict_word(report: Report) -> tuple[str, str]:
    """Return the verdict in capitals with its style."""
    return f"VERDICT: {report.verdict.upper()}", STYLES[report.verdict]


def _print_subjects(page: Page) -> None:
    records = page.report.subjects
    page.heading(f"subjects: {in_common([record.subject for record in records])}; {page.level} intervals")
    clean = [
        finding
        for finding in page.report.findings
        if finding.audit == CLEAN and finding.quantity == "value" and finding.reference == CLEAN
    ]
    values = {(finding.subject, finding.metric): finding for finding in clean}
    metrics = sorted(headline(clean), reverse=True)
    columns = ["trained", *metrics, "best epoch", "seconds", *(["parameters"] if page.wide else [])]
    rows = []
    for record in records:
        qualities = [_quality(values.get((record.subject, metric))) for metric in metrics]
        rows.append([page.names[record.subject], *qualities, *_training_cells(record.training, wide=page.wide)])
    page.table(columns, rows, numbers_from=1)


def _print_cold_start(page: Page) -> None:
    found = cold_table(summary_of(page.report))
    if found is None:
        return
    page.heading("cold start: users and items without training interactions")
    for line in found.lines:
        page.line(line, indent=1)
    if found.rows:
        page.table(found.columns, found.rows, numbers_from=1)


def _print_content_use(page: Page) -> None:
    found = use_table(page.report)
    if found is None:
        return
    page.heading(f"content use: how much of the quality comes from the content of the items ({page.level} intervals)")
    page.table(found.columns, found.rows, numbers_from=2)
    for line in found.lines:
        page.line(line, indent=1)


def _training_cells(training: TrainingRecord | None, *, wide: bool) -> list[str]:
    if training is None:
        return ["-"] * (3 if wide else 2)
    best = "-" if training.best_epoch is None else f"{training.best_epoch}/{training.epochs}"
    seconds = "stored" if training.reused else f"{training.seconds:.1f}"
    return [best, seconds, *([f"{training.n_parameters:,}"] if wide else [])]


def _quality(finding: Finding | None) -> str:
    if finding is None:
        return "-"
    return f"{plain(finding.clean)} {bracketed(finding.ci_low, finding.ci_high, plain)}".rstrip()


def _print_mirror_facts(page: Page) -> None:
    facts = [(record, record.mirror) for record in page.report.subjects if record.mirror]
    moved = [(record, mirror) for record, mirror in facts if mirror.mirrored_steps]
    if moved:
        page.heading("mirrored steps")
    for record, mirror in moved:
        page.line(f"{page.names[record.subject]}: {mirror_sentence(record, mirror)}", indent=1)


def mirror_sentence(record: SubjectRecord, mirror: MirrorFacts) -> str:
    """Return a sentence on whether mirrored steps were ascent steps, as intended."""
    parts = []
    if mirror.share_raised_loss is not None:
        measured = f"{mirror.mirrored_steps} mirrored steps"
        if mirror.probed_steps != mirror.mirrored_steps:
            measured = f"{mirror.probed_steps} probed among {measured}"
        parts.append(f"{percent(mirror.share_raised_loss)} of {measured} increased the batch loss")
    else:
        parts.append(f"{mirror.mirrored_steps} mirrored steps")
    if mirror.mean_cosine is None:
        return parts[0]
    parts.append(f"mean cosine with the gradient {mirror.mean_cosine:.2f}")
    return f"{'; '.join(parts)}: {_direction(record, mirror.mean_cosine, mirror.share_raised_loss)}"


def _direction(record: SubjectRecord, cosine: float, raised: float | None) -> str:
    strategy = record.config.get("strategy")
    shared = isinstance(strategy, dict) and strategy.get("reading") == "shared"
    because = "under shared Adam moments " if shared else ""
    if cosine < 0 and (raised is None or raised < 0.5):
        return f"{because}mirrored steps were descent steps"
    if cosine > 0 and (raised is None or raised > 0.5):
        return "mirrored steps were ascent steps, as intended"
    return "mirrored steps were neither clearly ascent nor clearly descent steps"


def _print_recommendation(page: Page) -> None:
    found = recommend(summary_of(page.report))
    page.heading("recommendation")
    page.paragraph(Text(found.headline), indent=1, hanging=1)
    for each in found.requirements:
        page.paragraph(Text(f"{'met' if each.met else 'not met'}: {each.name}: {each.text}"), indent=1, hanging=3)
    if found.commands:
        page.line("to meet the conditions:", indent=1)
    for command in found.commands:
        page.command(command, indent=3)


def _print_cautions(page: Page) -> None:
    lines = cautions(page.report)
    if lines:
        page.heading("warnings")
    for line in lines:
        page.line(line, indent=1)


def _print_gates(page: Page) -> None:
    results = page.report.gates
    page.heading("gates" if results else "gates: none")
    for result in results:
        mild = result.severity == "warn" and result.status in ("fail", "inconclusive")
        words = [*(["warn"] if mild else []), *(["waived"] if result.waived else [])]
        remark = f" ({', '.join(words)})" if words else ""
        status = f"{result.status.upper()}{remark}", STYLES["inconclusive" if result.waived else result.status]
        page.paragraph(
            Text.assemble(status, f"  {result.gate}: {_place(page, result)}{result.message}"), indent=1, hanging=3
        )
        if power := power_sentence(result):
            page.line(power, indent=3)
    for waiver in page.report.waivers:
        page.line(f"{'EXPIRED: ' if waiver.state == 'expired' else ''}{waiver.sentence}", indent=1)
    if page.report.baseline:
        page.line(baseline_sentence(page.report.baseline), indent=1)


def _place(page: Page, result: GateResult) -> str:
    if result.subject is None:
        return ""
    worst = f"worst of {result.selected}: " if result.selected > 1 else ""
    where = f" at {result.condition.label}" if result.condition and result.audit != CLEAN else ""
    over = names_over_seeds(page.report) if result.seeds else page.names
    name = over.get(result.subject, result.subject.label)
    return f"{worst}{name}{where}: "


def _print_end(page: Page, location: Path | None, fail_on: FailOn) -> None:
    report = page.report
    page.console.print()
    total = sum(report.durations.values())
    counts = {name: count for name, count in report.costs.model_dump().items() if count or name in _ALWAYS_COUNTED}
    page.line(f"{total:.1f} s: {', '.join(f'{count:,} {name}' for name, count in counts.items())}")
    if location is not None:
        page.line(f"all numbers: {location}")
    print_last(page, fail_on)


def print_last(page: Page, fail_on: FailOn) -> None:
    """Print the last line: verdict and exit code."""
    report = page.report
    code = exit_code(report.verdict, report.gates, fail_on)
    hint = f"exit code {code} (--fail-on {fail_on})"
    if report.verdict == "inconclusive" and report.gates and code == 0:
        hint += "; use more test users, draws or seeds to narrow the intervals"
    edition = " on a SAMPLE EDITION" if report.dataset.synthetic else ""
    page.paragraph(Text.assemble(verdict_word(report), f"{edition}, {hint}"))


SECTIONS: tuple[Callable[[Page], None], ...] = (
    _print_verdict,
    _print_subjects,
    _print_cold_start,
    _print_content_use,
    print_drifts,
    print_segments,
    print_comparisons,
    _print_mirror_facts,
    _print_recommendation,
    _print_cautions,
    _print_gates,
)
"""Sections of the full report, in this order; each prints nothing if it is empty."""
