"""What stands beside the verdict: who is hurt most, power, convergence, content use, baseline, recommendation.

Each fact has a headline that can be read alone, its numbers, and the command that changes it.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import NamedTuple

from robustrec.reading.advice import harm
from robustrec.reading.conditions import condition_words
from robustrec.reading.recommendation import recommend
from robustrec.reading.rerun import audit_again
from robustrec.reading.summary import GateLine, Summary
from robustrec.reading.texts import title_of
from robustrec.reading.trainings import evaluations_words, short_patience
from robustrec.results.content_use import ENOUGH
from robustrec.results.exhibits import FragileItem
from robustrec.results.findings import BASELINE, CLEAN, Finding
from robustrec.results.gates import GateResult
from robustrec.results.numbers import bracketed, percent, plain, tenths
from robustrec.results.report import SubjectRecord
from robustrec.training.config import DEFAULT_PATIENCE, FEWEST_PATIENCE

_MOST_LINES = 3


class Fact(NamedTuple):
    """A fact of the first screen.

    Attributes:
        key: power, convergence, content, baseline or recommendation.
        title: what it is about.
        state: pass, warn, fail or none; none where there is nothing to judge.
        headline: the fact in one sentence.
        lines: its numbers.
        command: what changes it; empty if nothing is to be changed.
    """

    key: str
    title: str
    state: str
    headline: str
    lines: tuple[str, ...]
    command: str = ""


class Hurt(NamedTuple):
    """The edited item with the largest loss for users with this test item; see `reading.advice.harm`."""

    exhibit: FragileItem
    title: str
    own_id: str
    places: str
    ranks: str
    where: str


def facts(summary: Summary) -> list[Fact]:
    """Return the facts of the first screen, in order."""
    return [power(summary), convergence(summary), content(summary), baseline(summary), recommendation(summary)]


def hurt_most(summary: Summary) -> Hurt | None:
    """Return the item with the largest loss under an edit; None if no edit made an item lose."""
    items = [each for each in summary.report.exhibits if isinstance(each, FragileItem) and harm(each) > 0]
    worst = max(items, key=harm, default=None)
    if worst is None:
        return None
    users = f"{worst.n_users} user{'' if worst.n_users == 1 else 's'} with this test item"
    name = summary.names.get(worst.subject, worst.subject.label)
    return Hurt(
        exhibit=worst,
        title=title_of(worst.before.text),
        own_id=worst.own_id or "",
        places=f"in the top {worst.k} of {worst.exposure_before:,} users before, {worst.exposure_after:,} after",
        ranks=f"mean rank {worst.rank_before:,.1f} before, {worst.rank_after:,.1f} after, for {users}",
        where=f"{name}: {condition_words(worst.condition)}",
    )


def power(summary: Summary) -> Fact:
    """Return what the blocking gates detect with these users and draws."""
    gates = [result for result in summary.report.gates if result.severity == "error"]
    lines = {line.name: line for line in summary.gates}
    weak = [each for each in gates if each.underpowered is True]
    known = [each for each in gates if lines[each.gate].power]
    title, told = "Power", tuple(_detects(each, lines[each.gate]) for each in (weak or known)[:_MOST_LINES])
    if not gates:
        return Fact("power", title, "none", "No blocking gate", ("A run without a blocking gate detects nothing.",))
    if not known:
        return Fact("power", title, "warn", "It is not known what the gates detect", ())
    more = len(weak or known) - len(told)
    told += (f"{more} more {'is' if more == 1 else 'are'} in the table of gates.",) if more else ()
    if weak:
        be = "is" if len(weak) == 1 else "are"
        headline = f"{len(weak)} of {len(gates)} blocking gates {be} underpowered"
        return Fact("power", title, "warn", headline, told)
    unknown = len(gates) - len(known)
    if unknown:
        return Fact("power", title, "warn", f"The power of {unknown} of {len(gates)} blocking gates is unknown", told)
    detecting = sum(each.underpowered is False for each in gates)
    if detecting < len(gates):  # twice a limit of 0 is no change at all
        zero = len(gates) - detecting
        headline = f"{detecting} of {len(gates)} blocking gates detect twice the limit"
        return Fact("power", title, "none", f"{headline}; the limit of {zero} is 0", told)
    which = "The blocking gate detects" if len(gates) == 1 else f"All {len(gates)} blocking gates detect"
    return Fact("power", title, "pass", f"{which} twice the limit", told)


def _detects(result: GateResult, line: GateLine) -> str:
    return f"{result.gate}: {line.power}."


def convergence(summary: Summary) -> Fact:
    """Return whether the trainings ended by early stopping."""
    report, title = summary.report, "Convergence"
    trained = [(each, each.training) for each in report.subjects if each.training is not None]
    if not trained:
        headline = "Trained outside robustrec" if report.subjects else "No model was trained"
        return Fact(
            "convergence", title, "none", headline, ("Convergence was not checked.",) if report.subjects else ()
        )
    cut = [(each, record) for each, record in trained if record.cut_off]
    of = len(trained)
    epochs = ", ".join(str(record.best_epoch) for _, record in trained[:6] if record.best_epoch is not None)
    best = (f"Best epochs: {epochs}{' …' if of > 6 else ''}.",) if epochs else ()
    if cut:
        told = tuple(f"{_name(summary, each)} stopped at {record.epochs} epochs." for each, record in cut[:_MOST_LINES])
        told += (f"{len(cut) - len(told)} more stopped there.",) if len(cut) > len(told) else ()
        most = max(record.epochs for _, record in cut)
        command = audit_again(report, "--set", f"training.max_epochs={max(10 * most, 1000)}")
        headline = f"{len(cut)} of {of} trainings reached the epoch limit"
        why = "Before early stopping: more epochs can change every number of these models."
        return Fact("convergence", title, "warn", headline, (*told, why), command)
    unknown = sum(record.cut_off is None for _, record in trained)
    if unknown:
        headline = f"Early stopping of {unknown} of {of} trainings is not recorded"
        return Fact("convergence", title, "warn", headline, best, audit_again(report))
    short = [(each, patience) for each, _ in trained if (patience := short_patience(each)) is not None]
    if short:
        told = tuple(
            f"{_name(summary, each)} stopped after {evaluations_words(patience)} without improvement."
            for each, patience in short[:_MOST_LINES]
        )
        headline = f"{len(short)} of {of} trainings stopped with a patience below {FEWEST_PATIENCE}"
        why = "That is no sign of convergence: more epochs can change every number of these models."
        command = audit_again(report, "--set", f"training.patience={DEFAULT_PATIENCE}")
        return Fact("convergence", title, "warn", headline, (*told, why), command)
    headline = "The training ended by early stopping" if of == 1 else f"All {of} trainings ended by early stopping"
    return Fact("convergence", title, "pass", headline, best)


def _name(summary: Summary, record: SubjectRecord) -> str:
    return summary.names.get(record.subject, record.subject.label)


def content(summary: Summary) -> Fact:
    """Return whether the models use content: the robustness of one that does not is trivial."""
    title, of = "Content use", len(summary.candidates)
    measured = [each for each in summary.candidates if each.use.state != "not measured"]
    if not measured:
        reasons = list(dict.fromkeys(each.use.detail for each in summary.candidates))
        return Fact("content", title, "warn" if of else "none", "Content use is unknown", tuple(reasons[:1]))
    trivial = [each for each in measured if each.use.trivial]
    unsure = [each for each in measured if each.use.uncertain and not each.use.trivial]
    kept = [each.use.kept for each in measured if each.use.kept is not None and not each.use.trivial]
    metric = next((each.use.metric for each in measured if each.use.metric), "quality")
    lines = []
    if kept:
        ends = list(dict.fromkeys(tenths(each, apart_from=(ENOUGH, 1)) for each in (min(kept), max(kept))))
        left = " to ".join([*(end.removesuffix(" %") for end in ends[:-1]), ends[-1]])
        lines.append(f"With all features replaced by their mean, {left} of {metric} is left.")
    lines += [f"{each.name}: {each.use.detail}." for each in trivial[:_MOST_LINES]]
    if trivial:
        free = sum(each.use.state == "content-free" for each in trivial)
        which = "content-free" if free == len(trivial) else "read no content" if not free else "do not use content"
        if of == 1:
            headline = f"The model {'is content-free' if free else 'reads no content'}"
        else:
            headline = f"{len(trivial)} of {of} models {'are ' if which == 'content-free' else ''}{which}"
        lines.append("Edits of content cannot hurt what ignores it: no rank and no recommendation.")
        return Fact("content", title, "fail", headline, tuple(lines))
    if unsure:
        headline = f"Content use of {len(unsure)} of {of} model{'' if of == 1 else 's'} is uncertain"
        lines.append(f"The interval contains {percent(ENOUGH)}, from which on a model is content-free.")
        return Fact("content", title, "warn", headline, tuple(lines))
    if len(measured) < of:
        return Fact("content", title, "warn", f"Measured for {len(measured)} of {of} models", tuple(lines))
    headline = "The model uses content" if of == 1 else f"All {of} models use content"
    return Fact("content", title, "pass", headline, tuple(lines))


def baseline(summary: Summary) -> Fact:
    """Return the paired change of each gate's deciding number against the accepted baseline."""
    report, record = summary.report, summary.report.baseline
    if record is None:
        path = next((word.removeprefix("json:") for word in report.command if word.startswith("json:")), "")
        command = "" if not path else f"robustrec baseline accept {shlex.quote(path)} --output baseline.json"
        told = ("Accept this report, and later runs show what changed, user by user.",)
        return Fact("baseline", "Change against the baseline", "none", "No baseline", told, command)
    title = f"Change against the baseline of {record.created:%Y-%m-%d}"
    changes = list(_changes(summary))
    moved = [
        f"{each.gate}: {record.gates[each.gate]} on the baseline, {each.status} now."
        for each in report.gates
        if record.gates.get(each.gate, each.status) != each.status
    ]
    if not changes and not moved:
        notes = tuple(record.notes[:_MOST_LINES])
        return Fact("baseline", title, "none", "No gate has a number in the baseline", notes)
    worse = [text for outside, text in changes if outside > 0]
    better = [text for outside, text in changes if outside < 0]
    of = len(changes)
    counted = [f"{len(worse)} worse"] if worse else []
    counted += [f"{len(better)} better"] if better else []
    said = [f"{len(moved)} gate{' has' if len(moved) == 1 else 's have'} another result"] if moved else []
    if of:
        said.append(f"{' and '.join(counted)} of {of} gates" if counted else f"no significant change of {of} gates")
    headline = "; ".join(said)
    shown = (worse + better)[:_MOST_LINES] or [text for _, text in changes[:1]]
    lines = (*moved[:_MOST_LINES], *shown, *record.notes[:1])
    state = "warn" if worse or moved else "pass"
    return Fact("baseline", title, state, f"{headline[:1].upper()}{headline[1:]}", lines)


def _changes(summary: Summary) -> Iterator[tuple[int, str]]:
    """Yield 1 for a significant change towards the limit, -1 away from it, else 0, and the change in words."""
    rows = {
        (row.subject, row.audit, row.condition, row.metric): row
        for row in summary.report.findings
        if row.reference == BASELINE and row.drift is not None
    }
    for result in summary.report.gates:
        key = (result.subject, result.audit, result.condition, result.metric)
        row = rows.get(key)  # type: ignore[arg-type]
        if row is not None and row.drift is not None:
            yield _direction(result, row), f"{result.gate}: {_difference(row)}"


def _direction(result: GateResult, row: Finding) -> int:
    """Return 1 if a change brings the number nearer to the limit, or farther outside, beyond doubt."""
    if row.ci_low is None or row.ci_high is None or row.ci_low <= 0 <= row.ci_high:
        return 0
    fell = row.ci_high < 0
    if result.min is not None and result.max is not None:
        below = result.estimate is not None and result.estimate < (result.min + result.max) / 2
        return 1 if fell == below else -1
    return 1 if fell == (result.min is not None) else -1


def _difference(row: Finding) -> str:
    """Return the paired difference from the baseline with its interval, in the unit of the metric."""
    what = row.metric if row.audit == CLEAN or row.quantity == "value" else f"drift of {row.metric}"
    interval = bracketed(row.ci_low, row.ci_high, plain, signed=True)
    return f"{what} {plain(row.drift, signed=True)} {interval}".rstrip()


def recommendation(summary: Summary) -> Fact:
    """Return the recommendation, or the conditions that keep a report from one."""
    advice = recommend(summary)
    unmet = [each.text for each in advice.requirements if not each.met]
    told = unmet or [each.text for each in advice.requirements]
    lines = tuple(f"{text[:1].upper()}{text[1:]}." for text in told)
    command = advice.commands[0] if advice.commands else ""
    if advice.chosen:
        return Fact("recommendation", "Recommendation", "pass", advice.chosen, lines)
    return Fact("recommendation", "Recommendation", "none", "No recommendation", lines, command)
