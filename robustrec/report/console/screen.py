"""Report on one screen: about 25 lines at 80 columns, with the facts of the first screen of the page.

`console` prints the full report.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console
from rich.text import Text

from robustrec.reading.first_screen import Fact, facts, hurt_most
from robustrec.reading.gate_axis import LEFT, RIGHT, GateMark, gate_marks
from robustrec.reading.glance import at_a_glance
from robustrec.reading.recommendation import recommend
from robustrec.reading.summary import SAMPLE, Summary, cautions, summary_of
from robustrec.reading.texts import shortened, title_of
from robustrec.reading.verdict_words import deciding_mark, verdict_words
from robustrec.report.console.console import verdict_word
from robustrec.report.console.sheet import Page, page_of
from robustrec.results.exhibits import FragileItem
from robustrec.results.report import Report
from robustrec.results.verdict import FailOn, exit_code
from robustrec.sheet import NO_BREAK

MOST_GATES = 4
_MOST_CANDIDATES, _MOST_COLUMNS = 4, 4
_MOST_CAUTIONS = 6
_LONGEST, _SHORT, _UNMET, _TITLE = 230, 130, 70, 40  # letters: three lines at 80 columns, two, parts of lines
_HURT = 180
_LABEL = 10  # width of the labels of facts
_AXIS, _NAME, _ROOMY = 16, 26, 76  # width of the axis, longest name beside it, and the console for both
_WORST_FIRST = ("error", "fail", "inconclusive", "warn")


def print_screen(
    report: Report,
    console: Console,
    *,
    location: Path | None = None,
    pages: Sequence[Path] = (),
    fail_on: FailOn = "error",
) -> None:
    """Print a report on one screen.

    Args:
        report: the report to print.
        console: output console; its width and encoding set the layout.
        location: JSON file of the report.
        pages: other files of the report, such as the HTML page.
        fail_on: threshold of the exit code, which is printed at the end.
    """
    page, summary = page_of(report, console), summary_of(report)
    if report.dataset.synthetic:
        page.line(SAMPLE, "bold yellow")
    _print_verdict(page, summary)
    data = report.dataset
    page.line(
        f"suite {report.suite.name} on {shortened(data.name, 80)} ({data.edition} edition), "
        f"{data.n_users:,} users, {data.n_items:,} items; {sum(report.durations.values()):.0f} s"
    )
    if weights := _weights(report):
        page.line(f"weights {weights}")
    _print_models(page, summary)
    _print_gates(page, gate_marks(report))
    console.print()
    for label, text in _facts(summary):
        _print_fact(page, label, text)
    _print_next(page, summary)
    _print_cautions(page)
    _print_end(page, location, pages, fail_on)


def _weights(report: Report) -> str:
    """Return the networks of the item features with the digests of their weights."""
    used = dict.fromkeys(
        f"{shortened(each.network, 40)} {each.digest[:16]}" for record in report.subjects for each in record.weights
    )
    return ", ".join(used)


def _print_verdict(page: Page, summary: Summary) -> None:
    """Print the verdict, the gate that decides it, and the command that resolves it."""
    words, mark = verdict_words(summary), deciding_mark(summary)
    head, colon, _ = words.why.partition(": ")
    expired = any(each.state == "expired" for each in page.report.waivers)
    told = mark is not None and mark.name in words.why and bool(colon) and words.state != "error" and not expired
    why = f"{head}:" if told else shortened(words.why, 2 * _LONGEST)
    page.paragraph(Text.assemble(verdict_word(page.report), f"  {why}"), hanging=2)
    if told and mark is not None:
        numbers = f"{mark.text} {mark.interval}".rstrip()
        page.line(shortened(f"{mark.name}: {numbers}, limit {mark.limit}", _LONGEST), indent=2)
        if mark.where:
            page.line(shortened(mark.where, _LONGEST), indent=2)
    if words.step:
        page.line(words.step, indent=2)
    if words.command:
        page.command(words.command, indent=4)


def _print_models(page: Page, summary: Summary) -> None:
    """Print the models with their quality, content use and largest losses; numbers only, the page has intervals."""
    glance = at_a_glance(summary)
    if not glance.rows:
        return
    page.console.print()
    titles = [_title(column.title) for column in glance.columns[:_MOST_COLUMNS]]
    rows = [
        [row.name, row.standing, *(cell.number.replace(" ", NO_BREAK) for cell in row.cells[:_MOST_COLUMNS])]
        for row in glance.rows[:_MOST_CANDIDATES]
    ]
    page.table(["model", "gates", *titles], rows, numbers_from=2, ruled=False, indent=0)
    if len(glance.rows) > _MOST_CANDIDATES:
        page.line(f"and {len(glance.rows) - _MOST_CANDIDATES} more")


def _title(title: str) -> str:
    worst = title.removesuffix(": largest loss")
    return f"{worst} loss" if worst != title else title.replace("left with mean features", "no content")


def _print_gates(page: Page, marks: Sequence[GateMark]) -> None:
    """Print the worst gates on one axis in units of their limits: the limit is 1, and what is above is outside."""
    if not marks:
        page.line("no gates", "bold")
        return
    utf, wide = page.console.encoding.startswith("utf"), page.console.width >= _ROOMY
    worst = sorted(marks, key=_rank)
    rows = [
        [
            mark.word,
            shortened(mark.name, _NAME) if wide else mark.name,
            _units(mark).replace(" ", NO_BREAK),
            *([_drawn(mark, utf=utf)] if wide else []),
        ]
        for mark in worst[:MOST_GATES]
    ]
    columns = ["gate", "", f"×{NO_BREAK}limit"]
    page.table([*columns, *([_ruler()] if wide else [])], rows, numbers_from=4, ruled=False, indent=0)
    rest = worst[MOST_GATES:]
    if rest:
        counts = {word: sum(mark.word == word for mark in rest) for word in dict.fromkeys(mark.word for mark in rest)}
        page.line(f"and {len(rest)} more: {', '.join(f'{count} {word}' for word, count in counts.items())}")


def _rank(mark: GateMark) -> tuple[int, bool, float]:
    """Order gates: what decides the verdict, what warns, and then what is nearest to its limit."""
    blocking = mark.severity == "error"
    open_ = _WORST_FIRST.index(mark.state) if mark.state != "pass" else len(_WORST_FIRST)
    return (open_ if blocking or mark.state == "pass" else len(_WORST_FIRST) - 1), not blocking, -mark.nearest


def _units(mark: GateMark) -> str:
    """Return estimate and interval in units of the limit."""
    if mark.places.estimate is None:
        return mark.text
    if mark.places.low is None or mark.places.high is None:
        return f"{mark.places.estimate:.2f}"
    return f"{mark.places.estimate:.2f} [{mark.places.low:.2f}, {mark.places.high:.2f}]"


def _cell(place: float) -> int:
    share = (min(max(place, LEFT), RIGHT) - LEFT) / (RIGHT - LEFT)
    return round(share * (_AXIS - 1))


def _drawn(mark: GateMark, *, utf: bool) -> str:
    """Return the interval of a gate on the axis, with the limit; ends beyond the axis stand at its ends."""
    cells = [NO_BREAK] * _AXIS
    cells[_cell(1.0)] = "│" if utf else "|"
    if mark.places.low is not None and mark.places.high is not None:
        for place in range(_cell(mark.places.low), _cell(mark.places.high) + 1):
            crossed = place == _cell(1.0)
            cells[place] = ("┼" if utf else "+") if crossed else ("─" if utf else "-")
    if mark.places.estimate is not None:
        cells[_cell(mark.places.estimate)] = "●" if utf else "o"
    return "".join(cells)


def _ruler() -> str:
    cells = [NO_BREAK] * _AXIS
    cells[_cell(0.0)], cells[_cell(1.0)] = "0", "1"
    return "".join(cells)


def _facts(summary: Summary) -> Iterator[tuple[str, str]]:
    """Yield who is hurt, what the gates detect, and in one paragraph the headlines of the other facts."""
    hurt = hurt_most(summary)
    if hurt is not None:
        item = hurt.exhibit
        title = title_of(item.before.text, _TITLE)
        name = f"{title} ({hurt.own_id})" if title and hurt.own_id else title or hurt.own_id
        ranks = "" if None in (item.rank_before, item.rank_after) else _ranks(item)
        yield "Hurt", shortened(f"{name}{': ' if name else ''}{ranks}{hurt.where}", _HURT)
    found = {fact.key: fact for fact in facts(summary)}
    power = found["power"]
    yield "Power", shortened(". ".join([power.headline, *power.lines[:1]]), _SHORT)
    rest = [_headline(found[key]) for key in ("convergence", "content", "baseline")]
    yield "Checks", f"{'. '.join(part for part in rest if part)}."


def _ranks(item: FragileItem) -> str:
    users = f"{item.n_users} user{'' if item.n_users == 1 else 's'}"
    return f"mean rank {item.rank_before:,.1f} before, {item.rank_after:,.1f} after for {users}; "


def _headline(fact: Fact) -> str:
    if fact.state in ("warn", "fail") and fact.lines:
        return f"{fact.headline}: {shortened(fact.lines[0], _SHORT).rstrip('.')}"
    return fact.headline


def _print_next(page: Page, summary: Summary) -> None:
    """Print the recommendation, or what is missing for one with the command that provides it."""
    advice = recommend(summary)
    unmet = [each for each in advice.requirements if not each.met]
    text = advice.headline
    if not advice.chosen and unmet:
        first = shortened(unmet[0].text.partition(" (")[0], _UNMET)
        left = len(unmet) - 1
        more = f"; {left} more {'condition is' if left == 1 else 'conditions are'} not met" if left else ""
        text = f"No recommendation: {first}{more}"
    _print_fact(page, "Next", text)
    for command in advice.commands[:1]:
        page.command(command, indent=_LABEL)


def _print_fact(page: Page, label: str, text: str) -> None:
    page.paragraph(Text.assemble((f"{label:<{_LABEL}}", "bold"), text), hanging=_LABEL)


def _print_cautions(page: Page) -> None:
    """Print what every output form says; only what is very long, or very much, is left to --full."""
    lines = [line for line in cautions(page.report) if line != SAMPLE]  # that stands at the top
    for place, line in enumerate(lines[:_MOST_CAUTIONS]):
        _print_fact(page, "" if place else "Warnings", shortened(line, _LONGEST))
    if len(lines) > _MOST_CAUTIONS:
        _print_fact(page, "", f"and {len(lines) - _MOST_CAUTIONS} more (show them with --full)")


def _print_end(page: Page, location: Path | None, pages: Sequence[Path], fail_on: FailOn) -> None:
    """Print the files of the report and the exit code."""
    paths = [path for path in (location, *pages) if path is not None]
    beside = [path for path in paths[1:] if path.with_suffix("") == paths[0].with_suffix("")]
    files = [f"{path}{''.join(f' and {each.suffix}' for each in beside)}" for path in paths[:1]]
    files += [str(path) for path in paths[1:] if path not in beside]
    code = exit_code(page.report.verdict, page.report.gates, fail_on)
    _print_fact(page, "Report", "; ".join([*files, f"exit code {code} (--fail-on {fail_on})"]))
