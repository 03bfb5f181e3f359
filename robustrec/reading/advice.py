"""The main results of a report, at most six lines."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

from robustrec.evaluation.kinds import kind_of
from robustrec.reading.break_points import break_points, two_digits
from robustrec.reading.cause import cause_sentences
from robustrec.reading.conditions import condition_words
from robustrec.reading.flatness import flatness_sentence
from robustrec.reading.glance import Worst, drift_text, largest_loss, sure_loss
from robustrec.reading.migration import OTHER_SEED, migration_sentences
from robustrec.reading.summary import Summary, gated
from robustrec.reading.texts import shortened
from robustrec.reading.worst import worst_sentences
from robustrec.results.exhibits import FragileItem
from robustrec.results.findings import CLEAN, ENCODER, Finding
from robustrec.results.numbers import as_given, percent, plain

MOST_LINES = 6


def lines_that_matter(summary: Summary) -> list[str]:
    """Return the main results, at most six lines.

    The order is: audits that ended with an error; the largest loss of quality under each audit; what a loss under edits
    comes from; the loss under the worst edits found; the churn of a migration; the candidate that uses content least;
    the rank correlation of sharpness and drift; the noise tolerance; changes of the lists; the most fragile item; the
    largest movement of the
    encoder. One line of each kind comes before a second one. Gates and the recommendation are shown elsewhere.
    """
    kinds: tuple[Callable[[Summary], Iterator[str]], ...] = (
        _errors,
        _losses,
        cause_sentences,
        worst_sentences,
        migration_sentences,
        _content,
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
        yield f"{first.audit} of {summary.names[first.subject]} ended with an error{more}: {first.message}"


def _losses(summary: Summary) -> Iterator[str]:
    for audit, worst in _worst_first(summary):
        row, who = worst.row, _who(summary, worst.row)
        picked = f" ({worst.words})" if worst.words else ""
        if sure_loss(row):
            where = condition_words(row.condition)
            loss = f"{row.metric} of {who} {drift_text(row)}{_hurt(summary, row)}"
            yield f"largest loss under {audit}{worst.where}{picked}: {where}, {loss}"
        else:
            lowest = f"lowest{picked} for {who}, {drift_text(row)}"
            yield f"{audit}: no significant loss of {row.metric}{worst.where}; {lowest}"


def _who(summary: Summary, row: Finding) -> str:
    """Name a subject, or a candidate where the row is the mean over its training seeds."""
    candidate = next(each for each in summary.candidates if row.subject in each.subjects)
    pooled = len(candidate.subjects) > 1 and summary.over_seeds(candidate, row.audit, row.quantity)
    return candidate.name if pooled else summary.names[row.subject]


def _worst_first(summary: Summary) -> list[tuple[str, Worst]]:
    """Return the largest loss under each audit: significant ones that a gate looks at come first."""
    found = [(audit, largest_loss(summary, audit, sure_first=True)) for audit in summary.audits]
    rows = [(audit, worst) for audit, worst in found if worst is not None]

    def rank(pair: tuple[str, Worst]) -> tuple[bool, float]:
        return not sure_loss(pair[1].row), pair[1].row.relative_drift or 0.0

    return sorted(rows, key=rank)


def _hurt(summary: Summary, row: Finding) -> str:
    """Say what users with an edited test item lose, where that was measured."""
    candidate = next(each for each in summary.candidates if row.subject in each.subjects)
    for each in summary.over_seeds(candidate, row.audit, "drift") or summary.drifts(row.audit):
        same = (each.subject, each.condition, each.measure) == (row.subject, row.condition, row.metric)
        if same and each.group == "edited" and each.relative_drift is not None:
            return f"; for users with an edited test item {percent(each.relative_drift, signed=True)}"
    return ""


def _content(summary: Summary) -> Iterator[str]:
    """Say how much quality is left without content: losses under edits say nothing of a model that ignores them."""
    found = [each for each in summary.candidates if each.use.kept is not None]
    if found:
        least = max(found, key=lambda each: each.use.kept or 0.0)
        picked = f" (lowest of {len(found)})" if len(found) > 1 else ""
        yield f"content use{picked}: {least.name}, {least.use.detail}"


def _relations(summary: Summary) -> Iterator[str]:
    if any(each.tau is not None for each in summary.report.relations[:1]):
        yield flatness_sentence(summary.report.relations)


def _break_points(summary: Summary) -> Iterator[str]:
    points = break_points(summary)
    found = [point for point in points if point.value is not None]
    if found:
        weakest = min(found, key=lambda point: point.value or 0.0)
        picked = f" (lowest of {len(points)})" if len(points) > 1 else ""
        yield (
            f"noise tolerance{picked}: {weakest.condition} for {weakest.name} at σ² = "
            f"{as_given(two_digits(weakest.value))}"
        )
    elif points:
        yield f"noise tolerance: {points[0].condition} for {points[0].name} at σ² {points[0].text}"


def _lists(summary: Summary) -> Iterator[str]:
    rows = [row for row in _shifts(summary) if kind_of(row.metric) == "changed" and row.perturbed is not None]
    if rows:
        most = max(rows, key=lambda row: row.perturbed or 0.0)
        k = most.metric.partition("@")[2]
        where = f"{summary.names[most.subject]} at {condition_words(most.condition)}"
        picked = f" (worst of {len(rows)})" if len(rows) > 1 else ""
        yield f"{percent(most.perturbed)} of users have different items in their top {k}: {where}{picked}"


def _shifts(summary: Summary) -> list[Finding]:
    found = [row for row in summary.shown if row.quantity == "drift" and row.reference == CLEAN]
    found = [row for row in found if row.condition.training != OTHER_SEED]  # a reference, not an effect
    return [
        row
        for audit in summary.audits
        for row in gated(summary.report, [each for each in found if each.audit == audit])
    ]


def _fragile(summary: Summary) -> Iterator[str]:
    items = [each for each in summary.report.exhibits if isinstance(each, FragileItem)]
    if items:
        worst = max(items, key=harm)
        ranks = "" if None in (worst.rank_before, worst.rank_after) else _ranks(worst)
        where = f"{summary.names.get(worst.subject, worst.subject.label)} at {condition_words(worst.condition)}"
        picked = f" (worst of {len(items)} in the report)" if len(items) > 1 else ""
        yield f"most fragile item{picked}: {shortened(worst.own_id or worst.item, 40)} moves{ranks}: {where}"


def _ranks(item: FragileItem) -> str:
    return f" from mean rank {item.rank_before:.1f} to {item.rank_after:.1f}"


def harm(item: FragileItem) -> float:
    """Return the loss of an item for users with this test item, by which its example user was chosen too.

    A report of an earlier version has the mean ranks alone: n · (1/log2(1 + before) - 1/log2(1 + after)).
    """
    if item.loss is not None:
        return item.loss
    before, after = item.rank_before, item.rank_after
    if before is None or after is None or min(before, after) < 1:
        return 0.0
    return item.n_users * (1 / math.log2(1 + before) - 1 / math.log2(1 + after))


def _encoder(summary: Summary) -> Iterator[str]:
    rows = [
        row
        for row in summary.values(ENCODER)
        if row.measure == "movement" and row.condition.modality is None and row.clean is not None  # no mean over edits
    ]
    if rows:
        most = max(rows, key=lambda row: row.clean or 0.0)
        vector = f"vector {most.modality} of {most.subject.features}"
        edit = condition_words(most.condition)
        yield f"{vector}: {edit} has the largest movement, {plain(most.clean)} of the median distance between two items"
