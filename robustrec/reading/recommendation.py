"""The recommendation of a report: model and strategy with conditions, or the reasons for none.

A recommendation claims that the alternatives are worse. It requires all conditions: gates passed, trainings converged
at equal budget, several training seeds, and a significant difference that is large enough to matter. Each
unmet condition is listed, with the command that can meet it.
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from robustrec.evaluation.error_rates import Spread, widened
from robustrec.reading.content_requirement import content_requirement, no_content
from robustrec.reading.content_use import uses_of
from robustrec.reading.glance import Quality, quality_of
from robustrec.reading.rerun import audit_again
from robustrec.reading.summary import Candidate, Summary, cautions, summary_of
from robustrec.reading.trainings import evaluations_words, short_patience
from robustrec.results.findings import CLEAN, ENCODER, Finding
from robustrec.results.numbers import bracketed, percent
from robustrec.results.report import Recommendation, Report, Requirement, TrainingRecord
from robustrec.training.config import DEFAULT_PATIENCE, FEWEST_PATIENCE

SMALLEST_DIFFERENCE = 0.01
"""Smallest difference in clean quality that matters, as a share of the other candidate's quality."""
FEWEST_SEEDS = 3
"""Smallest number of training seeds for a recommendation."""
MOST_UNEQUAL = 1.1
"""Ratio of gradient evaluations up to which two budgets count as equal."""
_EQUAL_BUDGETS = (
    f"the gradient evaluations of the strategies of each model differ by at most {100 * (MOST_UNEQUAL - 1):.0f} %"
)
_OWN_BUDGETS = "no model has two strategies, so budgets are not compared"
_MOST_NAMED = 4
_MOST_GATES, _MOST_PAIRS = 2, 2
_KEPT_OPTIONS = {
    **{name: name for name in ("--home", "--features", "--edition", "--weights", "--denoise", "--device", "--threads")},
    "-f": "--features",
    "--set": "--set",
    "--users": "--users",
}
_DATASET = ("--dataset", "-d")
SAMPLE = "The sample edition is synthetic: these results do not apply to real users."


def recommend(summary: Summary) -> Recommendation:
    """Return the recommendation of a report, or no recommendation with the unmet conditions."""
    rated = [each for each in summary.candidates if quality_of(summary, each) is not None]
    ranked = [each for each in rated if not each.use.trivial]
    left_out = [each for each in rated if each.use.trivial]
    passing = [each for each in ranked if each.standing == "pass"]
    best = max(passing or ranked, key=lambda each: _quality(summary, each).mean, default=None)
    rivals = [each for each in ranked if each is not best and each.standing in ("pass", "inconclusive", "none")]
    if not rated or summary.report.verdict == "error" or summary.audits == [ENCODER]:
        conditions = [_measured(summary)]
    elif best is None:
        conditions = [no_content(left_out)]
    elif len(ranked) == 1:
        conditions = [
            _gates(summary, best, rivals),
            _content_use(summary, best, left_out),
            _alternatives(best, left_out),
            _trainings(summary, [best]),
        ]
    else:
        among = [best, *rivals]
        conditions = [
            _gates(summary, best, rivals),
            _content_use(summary, best, left_out),
            _trainings(summary, among),
            _budgets(summary, among),
            _seeds(summary, among),
        ]
        conditions += _differences(summary, best, rivals)
    unmet = [each for each in conditions if not each.met]
    if unmet or best is None:
        headline = f"No recommendation: {'; '.join(each.text for each in unmet)}"
        return _recommendation(summary, "", headline, conditions)
    headline = f"Recommendation: {best.name} ({'; '.join(each.text for each in conditions)})"
    return _recommendation(summary, best.name, headline, conditions)


def with_recommendation(report: Report) -> Report:
    """Return a report with its recommendation, its warnings and the content use of its subjects."""
    summary = summary_of(report)
    derived = {
        "recommendation": recommend(summary),
        "cautions": tuple(cautions(report)),
        "content_use": uses_of(report),
    }
    return report.model_copy(update=derived)


def _recommendation(summary: Summary, chosen: str, headline: str, conditions: Sequence[Requirement]) -> Recommendation:
    commands = list(dict.fromkeys(each.command for each in conditions if each.command and not each.met))
    note = SAMPLE if summary.report.dataset.synthetic else ""
    return Recommendation(
        chosen=chosen, headline=headline, note=note, requirements=tuple(conditions), commands=tuple(commands)
    )


def _measured(summary: Summary) -> Requirement:
    report = summary.report
    if report.verdict == "error":
        text = f"the run ended in an error ({report.verdict_reason}); fix this first"
        return Requirement(name="measured", met=False, text=text)
    text = "no model was audited"
    if summary.audits == [ENCODER]:
        text = "only the encoder was audited, and all models with these features share it"
    return Requirement(name="measured", met=False, text=text, command=_audit(summary, "--suite", "quick"))


def _alternatives(only: Candidate, left_out: Sequence[Candidate]) -> Requirement:
    which = "was audited" if not left_out else "uses content"
    text = f"only {only.name} {which}, so there is no alternative to compare with"
    return Requirement(name="alternatives", met=False, text=text)


def _content_use(summary: Summary, best: Candidate, left_out: Sequence[Candidate]) -> Requirement:
    better = [each for each in left_out if _quality(summary, each).mean >= _quality(summary, best).mean]
    return content_requirement(best, better, left_out, command=_audit(summary))


def _gates(summary: Summary, best: Candidate, rivals: Sequence[Candidate]) -> Requirement:
    expired = [each.gate for each in summary.report.waivers if each.state == "expired"]
    undecided = [each for each in (best, *rivals) if each.standing == "inconclusive"]
    if best.standing != "pass":
        judged = [each for each in (best, *rivals) if each.standing != "none"]
        words = "; ".join(_trouble(each) for each in judged[:_MOST_NAMED])
        if best.standing == "none":
            return Requirement(name="gates", met=False, text="no blocking gate was judged")
        return Requirement(name="gates", met=False, text=f"no candidate passed all blocking gates ({words})")
    if undecided:
        words = "; ".join(_trouble(each) for each in undecided[:_MOST_NAMED])
        return Requirement(
            name="gates", met=False, text=f"gates are inconclusive ({words}); use more test users or draws"
        )
    if best.waived:
        words = _gate_names(best.waived)
        return Requirement(name="gates", met=False, text=f"{best.name} breaches {words}, which is waived")
    if expired:
        return Requirement(name="gates", met=False, text=f"the waiver of {_gate_names(expired)} has expired")
    return Requirement(name="gates", met=True, text="all blocking gates passed")


def _trouble(candidate: Candidate) -> str:
    words = {"fail": "fails", "inconclusive": "is inconclusive for", "error": "could not be judged by"}
    return (
        f"{candidate.name} {words.get(candidate.standing, candidate.standing)} {_gate_names(candidate.failed)}".strip()
    )


def _gate_names(names: Sequence[str]) -> str:
    words = ", ".join(f"“{name}”" for name in names[:_MOST_GATES])
    return words + (f" and {len(names) - _MOST_GATES} more" if len(names) > _MOST_GATES else "")


def _trained(summary: Summary, candidate: Candidate) -> list[TrainingRecord]:
    records = [each for each in summary.report.subjects if each.subject in candidate.subjects]
    return [each.training for each in records if each.training is not None]


def _trainings(summary: Summary, among: Sequence[Candidate]) -> Requirement:
    trained = [(each, record) for each in among for record in _trained(summary, each)]
    cut = [(each, record) for each, record in trained if record.cut_off]
    if cut:
        record = max((record for _, record in cut), key=lambda record: record.epochs)
        names = _and(list(dict.fromkeys(each.name for each, _ in cut)))
        return Requirement(
            name="training",
            met=False,
            text=f"training reached max_epochs before early stopping: {names} at {record.epochs} epochs",
            command=_audit(summary, "--set", f"training.max_epochs={max(10 * record.epochs, 1000)}"),
        )
    if any(record.cut_off is None for _, record in trained):
        text = "the report does not record early stopping"
        return Requirement(name="training", met=False, text=text, command=_audit(summary))
    short = {
        each.name: patience
        for each in among
        for record in summary.report.subjects
        if record.subject in each.subjects and (patience := short_patience(record)) is not None
    }
    if short:
        told = ", ".join(f"{name} after {evaluations_words(patience)}" for name, patience in short.items())
        text = f"early stopping with a patience below {FEWEST_PATIENCE}: {told} without improvement"
        command = _audit(summary, "--set", f"training.patience={DEFAULT_PATIENCE}")
        return Requirement(name="training", met=False, text=text, command=command)
    if not trained:
        return Requirement(name="training", met=True, text="trained outside robustrec, so convergence was not checked")
    return Requirement(name="training", met=True, text=f"all {len(trained)} trainings ended by early stopping")


def _budgets(summary: Summary, among: Sequence[Candidate]) -> Requirement:
    """Compare the gradient evaluations of the strategies of each model."""
    spent: dict[str, list[tuple[float | None, str]]] = {}
    elsewhere: list[str] = []
    for each in among:
        counts = [record.gradient_evaluations for record in _trained(summary, each)]
        known = [count for count in counts if count]
        mean = sum(known) / len(known) if counts and len(known) == len(counts) else None
        spent.setdefault(each.subjects[0].model, []).append((mean, each.name))
        elsewhere += [] if counts else [each.name]
    if len(elsewhere) == len(among):
        return Requirement(name="budget", met=True, text="trained elsewhere, budgets are not known")
    if not any(len(budgets) > 1 for budgets in spent.values()):
        return Requirement(name="budget", met=True, text=_OWN_BUDGETS)
    command = _compare(summary, among)
    for budgets in spent.values():
        if len(budgets) > 1 and any(mean is None for mean, _ in budgets):
            strange = [name for mean, name in budgets if name in elsewhere]
            text = "the report does not record the gradient evaluations"
            if strange:
                text = f"budgets are not known: {_and(strange)} trained elsewhere"
            return Requirement(name="budget", met=False, text=text, command=command)
        (least, fewer), (most, more) = (pick((mean or 0.0, name) for mean, name in budgets) for pick in (min, max))
        if least and most / least > MOST_UNEQUAL:
            text = f"budgets differ: {more} used {most / least:.2f} times the gradient evaluations of {fewer}"
            return Requirement(name="budget", met=False, text=text, command=command)
    return Requirement(name="budget", met=True, text=_EQUAL_BUDGETS)


def _seeds(summary: Summary, among: Sequence[Candidate]) -> Requirement:
    counts = {each.name: len(each.subjects) for each in among if _trained(summary, each)}
    others = [each.name for each in among if each.name not in counts]
    if not counts:
        return Requirement(name="seeds", met=True, text="valid for these parameters, not for other trainings")
    fewest = min(counts.values())
    text = f"{fewest} training seed{'' if fewest == 1 else 's'} each"
    text += f", {_and(others)} trained once elsewhere" if others else ""
    if fewest < FEWEST_SEEDS:
        text = f"{text}, but another training can change the order"
        return Requirement(name="seeds", met=False, text=text, command=_audit(summary, "--seeds", "5"))
    return Requirement(name="seeds", met=True, text=text)


class QualityDifference(NamedTuple):
    """Difference in clean quality of two candidates, with its interval or None."""

    estimate: float
    low: float | None
    high: float | None


def _differences(summary: Summary, best: Candidate, rivals: Sequence[Candidate]) -> Iterator[Requirement]:
    """Yield the condition on the difference from each rival; intervals are corrected for their number."""
    short = []
    for rival in rivals:
        found = relative_difference(summary, best, rival, comparisons=len(rivals))
        words = f"{summary.metric} {percent(found.estimate, signed=True)}"
        words = f"{words} {bracketed(found.low, found.high, percent, signed=True)}".rstrip()
        if found.high is not None and found.high < 0:
            short.append(f"{best.name} is worse than {rival.name} ({words})")
        elif found.low is None or found.low <= 0:
            short.append(f"no significant difference between {best.name} and {rival.name} ({words})")
        elif found.estimate < SMALLEST_DIFFERENCE:
            limit = percent(SMALLEST_DIFFERENCE)
            short.append(
                f"{best.name} differs from {rival.name} by less than {limit} ({words}), which is too small to matter"
            )
        else:
            yield Requirement(name="difference", met=True, text=f"against {rival.name} {words}")
    if short:
        more = f" and {len(short) - _MOST_PAIRS} similar pairs" if len(short) > _MOST_PAIRS else ""
        text = f"{'; '.join(short[:_MOST_PAIRS])}{more}"
        yield Requirement(name="difference", met=False, text=text, command=_compare(summary, [best, *rivals]))


def relative_difference(summary: Summary, one: Candidate, two: Candidate, *, comparisons: int = 1) -> QualityDifference:
    """Return the relative difference in clean quality of two candidates.

    Uses the paired difference if the audit measured it for all seeds. Otherwise it uses the two intervals as for
    independent samples, which is conservative.

    Args:
        summary: of the report.
        one: the candidate.
        two: the candidate to compare with.
        comparisons: number of comparisons in the Bonferroni correction.
    """
    first, second = _quality(summary, one), _quality(summary, two)
    if second.mean <= 0:
        return QualityDifference(math.inf if first.mean > second.mean else 0.0, None, None)
    row, sign = _paired(summary, one, two)
    low: float | None = None
    high: float | None = None
    if row is not None and row.drift is not None:
        estimate, low, high = row.drift, row.ci_low, row.ci_high
        if sign < 0:
            estimate, low, high = (
                -estimate,
                None if high is None else -high,
                None if row.ci_low is None else -row.ci_low,
            )
    else:
        estimate = first.mean - second.mean
        if None not in (first.low, first.high, second.low, second.high):
            low = estimate - math.hypot(first.mean - (first.low or 0.0), (second.high or 0.0) - second.mean)
            high = estimate + math.hypot((first.high or 0.0) - first.mean, second.mean - (second.low or 0.0))
    if low is None or high is None:
        return QualityDifference(estimate / second.mean, None, None)
    level = summary.report.suite.level
    degrees = (row.degrees if row is not None else None) or math.inf
    spread = widened(Spread(estimate, low, high, level, degrees), 1 - (1 - level) / max(1, comparisons))
    return QualityDifference(*(end / second.mean for end in (estimate, spread.low, spread.high)))


def _paired(summary: Summary, one: Candidate, two: Candidate) -> tuple[Finding | None, int]:
    """Return the row of the paired difference of two candidates, and 1 or -1 for its direction."""
    for own, other, sign in ((one, two, 1), (two, one, -1)):
        first, reference = own.subjects[0], other.subjects[0]
        if (first.model, first.features) != (reference.model, reference.features) or len(own.subjects) != len(
            other.subjects
        ):
            continue
        rows = (
            summary.over_seeds(own, CLEAN, "drift", reference.strategy)
            if len(own.subjects) > 1
            else [row for row in summary.report.findings if row.subject == first and row.audit == CLEAN]
        )
        for row in rows:
            if row.metric == summary.metric and row.reference == reference.strategy and row.quantity == "drift":
                return row, sign
    return None, 1


def _quality(summary: Summary, candidate: Candidate) -> Quality:
    return quality_of(summary, candidate) or Quality(-math.inf, None, None, 0)


def _audit(summary: Summary, *more: str) -> str:
    names = [each.subjects[0].model for each in summary.candidates]
    return audit_again(summary.report, *more, models=names)


def _compare(summary: Summary, among: Sequence[Candidate]) -> str:
    """Return the command that compares strategies at equal budget over several seeds."""
    given = list(_given_options(summary.report.command))
    dataset = next((value for name, value in given if name in _DATASET), summary.report.dataset.name)
    words = ["robustrec", "compare", *_models(among), "--dataset", dataset, "--seeds", "5"]
    for name, value in given:
        # The comparison sets the epochs itself.
        if name in _KEPT_OPTIONS and not value.startswith("training.max_epochs="):
            words += [_KEPT_OPTIONS[name], value]
    return shlex.join(words)


def _given_options(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield (option, value) of a command line, also of options written as --option=value."""
    for word, following in zip(words, [*words[1:], ""], strict=True):
        name, equals, value = word.partition("=")
        if word.startswith("-"):
            yield name, value if equals else following


def _models(candidates: Sequence[Candidate]) -> list[str]:
    names = dict.fromkeys(each.subjects[0].model for each in candidates)
    return [word for name in names for word in ("--model", name)]


def _and(names: list[str]) -> str:
    if len(names) > _MOST_NAMED:
        names = [*names[: _MOST_NAMED - 1], f"{len(names) - _MOST_NAMED + 1} more"]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
