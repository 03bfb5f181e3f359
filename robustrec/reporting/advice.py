"""What a report comes down to: what to ship, and the five lines that matter most."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

from robustrec.reporting.break_points import break_points, two_digits
from robustrec.reporting.conditions import condition_words
from robustrec.reporting.encoder_table import ENCODER, MOVEMENT
from robustrec.reporting.exhibits import FragileItem
from robustrec.reporting.findings import Finding
from robustrec.reporting.glance import (
    drift_text,
    indistinguishable,
    quality_of,
    sure_loss,
    surest_loss,
    worst_drift,
)
from robustrec.reporting.numbers import as_given, bracketed, percent, plain
from robustrec.reporting.sharpness_table import flatness_sentence
from robustrec.reporting.summary import Candidate, Summary, gated
from robustrec.reporting.texts import shortened

MOST_LINES = 5
_CHOOSE = "To choose one: robustrec audit --suite quick."
_MOST_NAMED = 4
_ONE_SEED = "Each was trained once: another training may order them otherwise (--seeds 3 shows it)."
_SAMPLE = "This is a SAMPLE EDITION: the advice shows how the audit reasons, and says nothing about real shoppers."


class Advice(NamedTuple):
    """What to ship.

    Attributes:
        chosen: name of the candidate, empty where none can be recommended.
        headline: the answer in a few words.
        text: the same with its reasons, a short paragraph.
    """

    chosen: str
    headline: str
    text: str


def advice(summary: Summary) -> Advice:
    """Say what to ship: of the candidates that pass every gate of severity error, the best in clean quality.

    Where others cannot be told apart from it in quality, that is said, and which of them loses least. A run that
    ended in an error recommends nothing.
    """
    found = _advice(summary)
    if summary.report.verdict == "error":
        text = f"The run ended in an error ({summary.report.verdict_reason}): mend that first, then decide."
        found = Advice("", "Nothing can be decided yet", f"{text} What was measured so far: {found.text}")
    if summary.report.dataset.synthetic:
        found = found._replace(text=f"{found.text} {_SAMPLE}")
    return found


def _advice(summary: Summary) -> Advice:
    if summary.audits == [ENCODER]:
        text = "Only the encoder was audited, which every model that reads its features shares; no model was tried."
        return Advice("", "This says nothing about which model to ship", f"{text} {_CHOOSE}")
    rated = [each for each in summary.candidates if quality_of(summary, each) is not None]
    if not rated:
        return Advice("", "Nothing can be advised", "No clean quality was measured, so nothing can be advised.")
    passing = [each for each in rated if each.standing == "pass"]
    if not passing:
        return _none_passes(summary, rated)
    best = max(passing, key=lambda each: _mean(summary, each))
    if len(passing) == len(rated) == 1:
        first = f"{best.name} passes every gate, with {_quality_text(summary, best)}; nothing else was audited."
    elif len(passing) == 1:
        first = f"{best.name} is the only one of {len(rated)} that passes every gate ({_quality_text(summary, best)})."
    else:
        first = f"{best.name} has the best clean quality ({_quality_text(summary, best)}) of the {len(passing)}"
        first += f" that pass every gate{f', of {len(rated)} audited' if len(rated) > len(passing) else ''}."
    reasons = [first]
    alike = indistinguishable(summary, best, passing)
    if alike:
        reasons.append(f"On these users {_listed(alike)} cannot be told apart from it in clean quality.")
        reasons += _steadiest(summary, [best, *alike])
    reasons += _weakness(summary, best)
    reasons += _left_behind(summary, rated, best)
    reasons += _verdict_of_others(summary, best)
    if len(best.subjects) == 1 and len(rated) > 1 and any(each.training for each in summary.report.subjects):
        reasons.append(_ONE_SEED)
    return Advice(best.name, f"Ship {best.name}", " ".join(reasons))


def _none_passes(summary: Summary, rated: list[Candidate]) -> Advice:
    judged = [each for each in rated if each.standing != "none"]
    if not judged:
        best = max(rated, key=lambda each: _mean(summary, each))
        text = f"No gate of severity error was judged, so nothing was decided. {best.name} has the best clean quality"
        return Advice("", "Nothing was decided", f"{text} ({_quality_text(summary, best)}).")
    undecided = [each for each in judged if each.standing == "inconclusive"]
    told = "; ".join(f"{each.name} {_trouble(each)}" for each in judged[:_MOST_NAMED])
    told += f"; and {len(judged) - _MOST_NAMED} more" if len(judged) > _MOST_NAMED else ""
    if undecided:
        best = max(undecided, key=lambda each: _mean(summary, each))
        more = f"The best undecided one is {best.name} ({_quality_text(summary, best)}); more test users, draws or"
        text = f"Nothing passes every gate ({told}). {more} seeds narrow the intervals."
        return Advice("", "Cannot be told yet", text)
    return Advice("", "Ship none of these", f"Nothing passes every gate. {told}.")


def _trouble(candidate: Candidate) -> str:
    words = {"fail": "fails", "inconclusive": "is undecided on", "error": "could not be judged"}
    gates = ", ".join(f"“{name}”" for name in candidate.failed)
    return f"{words.get(candidate.standing, candidate.standing)} {gates}".strip()


def _left_behind(summary: Summary, rated: list[Candidate], best: Candidate) -> Iterator[str]:
    """Name what ranks higher on clean data and yet is not advised, with what holds it back."""
    own = _mean(summary, best)
    better = [each for each in rated if each.standing not in ("pass", "none") and _mean(summary, each) > own]
    if len(better) == 1:
        one = better[0]
        yield f"{one.name} ranks higher on clean data ({_quality_text(summary, one)}) but {_trouble(one)}."
    elif better:
        yield f"{_listed(better)} rank higher on clean data but do not pass: {better[0].name} {_trouble(better[0])}."


def _steadiest(summary: Summary, alike: list[Candidate]) -> Iterator[str]:
    """Say for each audit which of the candidates loses least, and whether that can be told."""
    untold = []
    for audit in summary.audits:
        rows = [(each, worst_drift(summary, audit, each)) for each in alike]
        known = [(each, row) for each, row in rows if row is not None and row.relative_drift is not None]
        if len(known) < 2:
            continue
        known.sort(key=lambda pair: -(pair[1].relative_drift or 0.0))
        (first, least), (_, most) = known[0], known[-1]
        low, high = least.relative_ci_low, most.relative_ci_high
        if low is not None and high is not None and low > high:
            yield f"Under {audit}, {first.name} loses least ({drift_text(least)} against {drift_text(most)})."
        else:
            untold.append(audit)
    if untold:
        yield f"Their losses under {_and(untold)} cannot be told apart either."


def _weakness(summary: Summary, best: Candidate) -> Iterator[str]:
    """Name what hurts most of what was tried on a candidate."""
    for audit, row in _worst_first(summary, best)[:1]:
        if sure_loss(row):
            where = condition_words(row.condition)
            yield f"What hurts it most is {audit}: {where}, {row.metric} {drift_text(row)}{_hurt(summary, row)}."


def _verdict_of_others(summary: Summary, best: Candidate) -> Iterator[str]:
    """Say whose the verdict is where what is advised passes and the run as a whole does not."""
    word = summary.report.verdict
    others = [each for each in summary.candidates if each is not best and each.standing == word]
    if word != "pass" and others:
        yield f"The verdict is {word.upper()} because it covers all that was audited: {_listed(others)} did not pass."


def _mean(summary: Summary, candidate: Candidate) -> float:
    found = quality_of(summary, candidate)
    return found.mean if found else float("-inf")


def _quality_text(summary: Summary, candidate: Candidate) -> str:
    found = quality_of(summary, candidate)
    if found is None:
        return "not measured"
    return f"{summary.metric} {plain(found.mean)} {bracketed(found.low, found.high, plain)}".rstrip()


def _listed(candidates: list[Candidate]) -> str:
    names = [each.name for each in candidates]
    if len(names) > _MOST_NAMED:
        names = [*names[: _MOST_NAMED - 1], f"{len(names) - _MOST_NAMED + 1} more"]
    return _and(names)


def _and(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def lines_that_matter(summary: Summary) -> list[str]:
    """Return the five lines that matter most.

    Lines are taken in this order, one of each kind before a second of any, and only where there is something to
    say: audits that ended in an error; what to ship; the largest loss of quality under each audit; what flatness
    says about drift; the noise at which quality breaks; how much the lists change; the most fragile item; what moves
    the encoder's vectors farthest. Gates have their own place and are not repeated.
    """
    kinds: tuple[Callable[[Summary], Iterator[str]], ...] = (
        _errors,
        _shipping,
        _losses,
        _relations,
        _break_points,
        _lists,
        _fragile,
        _encoder,
    )
    queues = [list(kind(summary)) for kind in kinds]
    chosen: list[tuple[int, int, str]] = []
    for depth in range(max(len(queue) for queue in queues) if queues else 0):
        for kind, queue in enumerate(queues):
            if depth < len(queue) and len(chosen) < MOST_LINES:
                chosen.append((kind, depth, queue[depth]))
    return [line for _, _, line in sorted(chosen)]


def _errors(summary: Summary) -> Iterator[str]:
    broken = [each for each in summary.report.statuses if each.status == "error"]
    if broken:
        more = f" (and {len(broken) - 1} more)" if len(broken) > 1 else ""
        first = broken[0]
        yield f"{first.audit} of {summary.names[first.subject]} ended in an error{more}: {first.message}"


def _shipping(summary: Summary) -> Iterator[str]:
    found = advice(summary)
    if not found.chosen:
        yield found.headline
        return
    best = next(each for each in summary.candidates if each.name == found.chosen)
    alike = indistinguishable(summary, best, [each for each in summary.candidates if each.standing == "pass"])
    beside = f"; {_listed(alike)} cannot be told apart from it" if alike else ""
    yield f"{found.headline}: {_quality_text(summary, best)}{beside}"


def _losses(summary: Summary) -> Iterator[str]:
    for audit, row in _worst_first(summary):
        who = summary.names[row.subject]
        if sure_loss(row):
            where = condition_words(row.condition)
            yield f"largest loss under {audit}: {where}, {row.metric} of {who} {drift_text(row)}{_hurt(summary, row)}"
        else:
            yield f"{audit}: no loss of {row.metric} that can be told; lowest for {who}, {drift_text(row)}"


def _worst_first(summary: Summary, candidate: Candidate | None = None) -> list[tuple[str, Finding]]:
    """Return the largest loss under each audit: those that can be told and that a gate looks at come first."""
    found = [(audit, surest_loss(summary, audit, candidate)) for audit in summary.audits]
    rows = [(audit, row) for audit, row in found if row is not None]

    def rank(pair: tuple[str, Finding]) -> tuple[bool, float]:
        audit, row = pair
        looked_at = row in gated(summary.report, summary.drifts(audit))
        return not (looked_at and sure_loss(row)), row.relative_drift or 0.0

    return sorted(rows, key=rank)


def _hurt(summary: Summary, row: Finding) -> str:
    """Say what users lose who want an edited item, where that was measured."""
    of_those = f"{row.metric}_edited"
    for each in summary.drifts(row.audit, of_those):
        if (each.subject, each.condition) == (row.subject, row.condition) and each.relative_drift is not None:
            return f"; of users who want an edited item {percent(each.relative_drift, signed=True)}"
    return ""


def _relations(summary: Summary) -> Iterator[str]:
    if any(each.tau is not None for each in summary.report.relations[:1]):
        yield flatness_sentence(summary.report.relations)


def _break_points(summary: Summary) -> Iterator[str]:
    points = break_points(summary)
    found = [point for point in points if point.value is not None]
    if found:
        weakest = min(found, key=lambda point: point.value or 0.0)
        first = f"{weakest.name} breaks first" if len(points) > 1 else f"{weakest.name} breaks"
        yield f"noise until {weakest.condition}: {first}, at σ² = {as_given(two_digits(weakest.value))}"
    elif points:
        yield f"noise until {points[0].condition}: {points[0].name}, {points[0].text}"


def _lists(summary: Summary) -> Iterator[str]:
    rows = [row for row in _shifts(summary) if row.metric.startswith("changed@") and row.perturbed is not None]
    if rows:
        most = max(rows, key=lambda row: row.perturbed or 0.0)
        k = most.metric.partition("@")[2]
        where = f"{summary.names[most.subject]} at {condition_words(most.condition)}"
        yield f"{percent(most.perturbed)} of users see another top {k} with {where}"


def _shifts(summary: Summary) -> list[Finding]:
    return [row for audit in summary.audits for row in gated(summary.report, summary.drifts(audit))]


def _fragile(summary: Summary) -> Iterator[str]:
    items = [each for each in summary.report.exhibits if isinstance(each, FragileItem)]
    if items:
        worst = max(items, key=harm)
        ranks = "" if None in (worst.rank_before, worst.rank_after) else _ranks(worst)
        where = f"{summary.names.get(worst.subject, worst.subject.label)} at {condition_words(worst.condition)}"
        yield f"most fragile item: {shortened(worst.item, 40)} moves{ranks} with {where}"


def _ranks(item: FragileItem) -> str:
    return f" from mean rank {item.rank_before:.1f} to {item.rank_after:.1f}"


def harm(item: FragileItem) -> float:
    """Return what an item lost with the users who should get it: n · (1/log2(1 + before) - 1/log2(1 + after))."""
    before, after = item.rank_before, item.rank_after
    if before is None or after is None or min(before, after) < 1:
        return 0.0
    return item.n_users * (1 / math.log2(1 + before) - 1 / math.log2(1 + after))


def _encoder(summary: Summary) -> Iterator[str]:
    rows = [
        row
        for row in summary.values(ENCODER)
        if row.metric.startswith(MOVEMENT) and row.condition.startswith("edit=") and row.clean is not None
    ]
    if rows:
        most = max(rows, key=lambda row: row.clean or 0.0)
        vector = f"vector {most.metric.removeprefix(MOVEMENT)} of {most.subject.features}"
        edit = condition_words(most.condition)
        yield f"{vector}: {edit} moves an item farthest, by {plain(most.clean)} of the median distance of two items"
