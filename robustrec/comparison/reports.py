"""Rank the subjects of several reports over their conditions, with simultaneous rank intervals.

Friedman's test with Nemenyi's critical difference (Demšar 2006, "Statistical comparisons of classifiers over multiple
data sets", Journal of Machine Learning Research 7) counts data sets, which must be independent of each other. The
conditions of an audit are not: the same users meet the same trained models in all of them, and twenty strengths of
noise are no twenty pieces of evidence. What is random here are the users, and the draws of noise. So every pair of
subjects is compared under every condition on the same users, with simultaneous intervals: the critical value is the
quantile of the largest |t| over all pairs and conditions, found by a multiplier bootstrap over users (Chernozhukov,
Chetverikov and Kato 2013, "Gaussian approximations and multiplier bootstrap for maxima of sums of high-dimensional
random vectors", Annals of Statistics 41), which keeps their dependence; few draws enter by t quantiles, as in
`evaluation.bootstrap`. Ranks follow from these comparisons (Mogstad, Romano, Shaikh and Wilhelm 2024, "Inference for
ranks", Review of Economic Studies 91): a subject's rank lies between 1 + those surely better and K - those surely
worse, for all subjects and conditions together with the level's confidence. Training is not repeated by this: one
training of each subject stands for itself only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from robustrec.comparison.compared import By, Entry, Found, Loaded, Place, ReportComparison, Standing
from robustrec.comparison.users import compared_by_intervals, compared_by_users
from robustrec.errors import RobustrecError, unknown_name
from robustrec.evaluation.kinds import ACCURACY, kind_of
from robustrec.reading.content_use import candidates_of, use_over_seeds
from robustrec.reading.names import headline, short_names
from robustrec.results.content_use import ContentUse
from robustrec.results.findings import CLEAN, CONTENT_USE, Finding
from robustrec.results.numbers import bracketed, percent
from robustrec.subject import Subject

_FIX = "compare reports of audits on the same data set and edition"


def compare_reports(loaded: Sequence[Loaded], *, metric: str | None = None, by: By = "quality") -> ReportComparison:
    """Rank all subjects of some reports.

    Args:
        loaded: the reports; the same subject may be in several.
        metric: metric of the ranks; default: NDCG@20, else the headline metric of the reports.
        by: "quality" ranks by the metric under each condition, including clean input; "drift" by the smallest
            loss.

    Raises:
        RobustrecError: fewer than two subjects, different data, or no common conditions.
    """
    _refuse_incomparable(loaded)
    chosen = _metric(loaded, metric)
    entries = _entries(loaded, chosen)
    uses = {entry.name: _use_of(entry) for entry in entries}
    trivial = {name: use for name, use in uses.items() if use.trivial}
    entries = [entry for entry in entries if entry.name not in trivial]
    if len(entries) < 2:
        without = "".join(f"; not ranked: {name}: {use.sentence}" for name, use in trivial.items())
        raise RobustrecError(
            f"one subject cannot be compared: {', '.join(entry.name for entry in entries) or 'none'}{without}",
            where=", ".join(each.file for each in loaded),
            fix="pass a second report, or audit several strategies: robustrec audit -s sgbd -s vanilla",
        )
    conditions = [name for name in entries[0].rows if all(name in entry.rows for entry in entries)]
    if by == "drift":
        conditions.remove(CLEAN)
    if not conditions:
        raise RobustrecError(
            f"the {len(entries)} subjects have no condition in common",
            where=", ".join(each.file for each in loaded),
            fix="audit all of them with the same suite",
        )
    level = loaded[0].report.suite.level
    found = compared_by_users(entries, conditions, by, level) or compared_by_intervals(entries, conditions, by, level)
    left_out = sum(len(set(entry.rows) - set(conditions)) for entry in entries) if by == "quality" else 0
    notes = ["one training each: the ranks do not account for other trainings"]
    notes += ["intervals without per-user arrays: conservative, much too wide"] if found.method == "intervals" else []
    notes += [f"not ranked: {name}: {use.sentence}" for name, use in trivial.items()]
    unknown = [name for name, use in uses.items() if use.state == "not measured"]
    notes += [f"content use was not measured, so robustness may be trivial: {', '.join(unknown)}"] if unknown else []
    notes += ["conditions that some subjects lack were skipped"] if left_out else []
    return ReportComparison(
        metric=chosen,
        by=by,
        level=level,
        n_users=entries[0].clean.n_users,
        method=found.method,
        critical=found.critical,
        reports=tuple(each.file for each in loaded),
        conditions=tuple(conditions),
        standings=_standings(entries, conditions, found, uses),
        pairs=found.pairs,
        notes=tuple(notes),
    )


def _left(use: ContentUse) -> str:
    """Return the share of quality that is left without content, with its interval."""
    if use.kept is None:
        return "not measured"
    interval = bracketed(use.kept_low, use.kept_high, percent)
    return f"{percent(use.kept)} {interval}".rstrip() + (", uncertain" if use.uncertain else "")


def _standings(
    entries: Sequence[Entry], conditions: Sequence[str], found: Found, uses: Mapping[str, ContentUse]
) -> tuple[Standing, ...]:
    from scipy import stats

    ranks = {name: stats.rankdata([-value for value in found.values[name]]) for name in conditions}
    standings = []
    for place, entry in enumerate(entries):
        places = tuple(
            Place(
                condition=name,
                value=found.values[name][place],
                rank=float(ranks[name][place]),
                best=1 + found.better[name][place],
                worst=len(entries) - found.worse[name][place],
            )
            for name in conditions
        )
        standings.append(
            Standing(
                name=entry.name,
                subject=entry.subject,
                report=entry.loaded.file,
                mean_rank=sum(each.rank for each in places) / len(places),
                mean_best=sum(each.best for each in places) / len(places),
                mean_worst=sum(each.worst for each in places) / len(places),
                worst_rank=max(each.rank for each in places),
                worst_best=max(each.best for each in places),
                worst_worst=max(each.worst for each in places),
                places=places,
                content=_left(uses[entry.name]),
                left=uses[entry.name].kept,
            )
        )
    return tuple(sorted(standings, key=lambda each: (each.mean_rank, each.worst_rank, each.name)))


def _refuse_incomparable(loaded: Sequence[Loaded]) -> None:
    first = loaded[0]
    for other in loaded[1:]:
        ours, theirs = first.report.dataset, other.report.dataset
        for key in ("edition", "digest"):
            if getattr(ours, key) != getattr(theirs, key):
                raise RobustrecError(
                    f"{other.file} is of different data: {key} {str(getattr(theirs, key))[:16]}, "
                    f"not {str(getattr(ours, key))[:16]} as {first.file}",
                    where=f"{other.file}, key dataset.{key}",
                    fix=_FIX,
                )
        masks = [
            (each.report.suite.content.get("mask_validation", False), each.report.suite.content.get("users"))
            for each in (first, other)
        ]
        if masks[0] != masks[1] or first.report.suite.level != other.report.suite.level:
            raise RobustrecError(
                f"{other.file} has other settings than {first.file}: mask_validation, users or bootstrap.level differ",
                where=f"{other.file}, key suite.content",
                fix="audit both with the same mask_validation, --users and bootstrap.level",
            )


def _metric(loaded: Sequence[Loaded], wanted: str | None) -> str:
    there = [
        {row.metric for row in each.report.findings if row.audit == CLEAN and row.quantity == "value"}
        for each in loaded
    ]
    common = set.intersection(*there)
    if wanted in common and kind_of(wanted) not in ACCURACY:
        raise RobustrecError(
            f"subjects cannot be ranked by {wanted}, which does not measure relevant items",
            where="--metric",
            fix=f"use for example --metric {next((name for name in common if kind_of(name) in ACCURACY), 'ndcg@20')}",
        )
    if wanted and wanted not in common:
        raise unknown_name("metric", wanted, sorted(common), where="--metric")
    common = {name for name in common if kind_of(name) in ACCURACY}
    rows = [row for row in loaded[0].report.findings if row.audit == CLEAN and row.metric in common]
    if not rows:
        raise RobustrecError("the reports have no metric in common", where="compare", fix=_FIX)
    return wanted or headline(rows)[0]


def _entries(loaded: Sequence[Loaded], metric: str) -> list[Entry]:
    names = _names(loaded)
    entries = []
    audits = dict.fromkeys(
        f"{row.audit}: {row.condition.label}"
        for each in loaded
        for row in each.report.findings
        if row.audit != CLEAN and _counts(row, metric)
    )
    for number, each in enumerate(loaded):
        for subject in (record.subject for record in each.report.subjects):
            own = [row for row in each.report.findings if row.subject == subject and _counts(row, metric)]
            clean = next((row for row in own if row.audit == CLEAN), None)
            if clean is None:
                continue
            rows: dict[str, Finding | None] = {CLEAN: clean}
            if subject.features == "none":  # nothing that is done to features can move it
                rows |= dict.fromkeys(audits, None)
            rows |= {f"{row.audit}: {row.condition.label}": row for row in own if row.audit != CLEAN}
            entries.append(Entry(names[number, subject], subject, each, clean, rows))
    return entries


def _use_of(entry: Entry) -> ContentUse:
    """Return the content use of a subject in its report; of the mean over its training seeds if there are several."""
    report = entry.loaded.report
    for subjects in candidates_of(report):
        if entry.subject in subjects:
            return use_over_seeds(report, subjects)
    return use_over_seeds(report, [entry.subject])


def _counts(row: Finding, metric: str) -> bool:
    """Return whether a finding is of clean or perturbed quality; content use is neither."""
    if (
        row.audit == CONTENT_USE
        or row.metric != metric
        or row.reference != CLEAN
        or row.clean is None
        or row.n_users == 0
    ):
        return False
    return row.quantity == "value" if row.audit == CLEAN else row.quantity == "drift" and row.perturbed is not None


def _names(loaded: Sequence[Loaded]) -> dict[tuple[int, Subject], str]:
    """Return unique names of the subjects, with the report if several have the same subject."""
    subjects = [(number, each.subject) for number, item in enumerate(loaded) for each in item.report.subjects]
    short = short_names(list(dict.fromkeys(subject for _, subject in subjects)))
    counts = [subject for _, subject in subjects]
    files = [Path(item.file).stem for item in loaded]
    unique = len(set(files)) == len(files)
    return {
        (number, subject): short[subject]
        if counts.count(subject) == 1
        else f"{short[subject]} ({files[number] if unique else number + 1})"
        for number, subject in subjects
    }
