"""Console table of merchant edits: one row per edit, with drift at each severity and for parts of the users."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from robustrec.evaluation.kinds import kind_of
from robustrec.reading.conditions import MEANS, edit_words
from robustrec.reading.names import headline
from robustrec.report.console.sheet import Page
from robustrec.results.conditions import Condition
from robustrec.results.exhibits import FragileItem
from robustrec.results.findings import Finding
from robustrec.results.hidden import HIDDEN, HIDDEN_WORDS, crops, shown_shares
from robustrec.results.numbers import NOTHING
from robustrec.sheet import NO_BREAK, WIDE
from robustrec.subject import Subject

MERCHANT = "merchant"
_ROWS = 36  # of all subjects together; the worst edits are shown
_FRAGILE = 3
_ROOMY = 80  # width from which three severities and a whole interval fit
_TITLE = 44


def print_merchant(page: Page, findings: Sequence[Finding]) -> None:
    """Print drifts of the merchant audit, one table per subject, share and graph setting."""
    conditions = list(dict.fromkeys(row.condition for row in findings))
    cells = {(row.subject, row.condition, row.metric): row for row in findings}
    worlds = list(dict.fromkeys((condition.share, condition.graphs) for condition in conditions))
    subjects = [each for each in dict.fromkeys(row.subject for row in findings) if not _in_mean(each, findings)]
    metric = _headline(findings)
    room = max(6, _ROWS // max(1, len(worlds) * len(subjects)))
    for world in worlds:
        chosen = [condition for condition in conditions if (condition.share, condition.graphs) == world]
        for subject in subjects:
            own = {(condition, row.metric): row for (who, condition, _), row in cells.items() if who == subject}
            _print_subject(page, subject, chosen, own, metric, room)
    _print_explanation(page, findings, metric)
    _print_fragile(page)


def _in_mean(subject: Subject, findings: Sequence[Finding]) -> bool:
    """Return whether a subject is one training of a model whose drifts are shown as the mean over several."""
    own = (subject.model, subject.strategy, subject.features)
    drifts = {each.subject for each in findings if each.quantity == "drift"}
    return subject not in drifts and any((each.model, each.strategy, each.features) == own for each in drifts)


def _headline(findings: Sequence[Finding]) -> str:
    """Return the metric that was measured for parts of the users too."""
    of_parts = [row.measure for row in findings if "@" in row.metric and row.group == "untouched"]
    return of_parts[0] if of_parts else headline(findings)[0]


def _print_subject(
    page: Page,
    subject: Subject,
    conditions: Sequence[Condition],
    rows: Mapping[tuple[Condition, str], Finding],
    metric: str,
    room: int,
) -> None:
    severities = sorted({condition.amount for condition in conditions})
    places = {(str(condition.edit), condition.amount): condition for condition in conditions}
    edited = [row for row in rows.values() if row.group == "edited"]
    exposure = next((row.metric for row in edited if kind_of(row.metric) == "exposure"), "")
    edits = list(dict.fromkeys(edit for edit, _ in places))
    cropped = crops(rows.values())
    table: list[tuple[float, list[str]]] = []
    nothing = []
    for edit in edits:
        drifts = [
            rows.get((places[edit, severity], metric)) if (edit, severity) in places else None
            for severity in severities
        ]
        measured = [drift for drift in drifts if drift is not None]
        if not measured:
            nothing.append(edit)
            continue
        worst = measured[-1]
        about = rows.get((worst.condition, "touched"))
        table.append(
            (
                worst.drift or 0.0,
                [
                    MEANS.get(edit) or edit_words(worst.condition),
                    _kind(about),
                    *([_hidden([places.get((edit, severity)) for severity in severities], rows)] if cropped else []),
                    *(_change(drift) for drift in drifts),
                    _interval(worst, whole=page.console.width >= (WIDE if cropped else _ROOMY)),
                    _change(rows.get((worst.condition, f"{metric}_edited"))),
                    _change(rows.get((worst.condition, exposure))),
                    _change(rows.get((worst.condition, f"{metric}_untouched"))),
                ],
            )
        )
    if table:
        frozen = ", frozen graphs" if conditions[0].graphs == "frozen" else ""
        page.heading(
            f"merchant edits of {100 * (conditions[0].share or 0.0):g} % of items, {page.names[subject]}{frozen}: "
            f"relative drift of {metric} in %"
        )
        hidden = ["hidden %"] if cropped else []
        columns = ["edit", "of", *hidden, *(f"sev {severity:g}" for severity in severities), page.level]
        shown = [cells for _, cells in sorted(table, key=lambda each: each[0])]
        page.table([*columns, "edited", "in top k", "others"], shown[:room], numbers_from=2)
        if len(shown) > room:
            page.line(f"and {len(shown) - room} milder edits in the JSON report", indent=1)
    if nothing:
        page.line(f"no item changed: {', '.join(nothing)}", indent=1)


def _kind(touched: Finding | None) -> str:
    """Return what an edit changes, as its row of the share of touched items says."""
    if touched is None:
        return ""
    return "picture" if touched.modality == "image" else touched.modality or ""


def _hidden(conditions: Sequence[Condition | None], rows: Mapping[tuple[Condition, str], Finding]) -> str:
    """Return the hidden share at each severity; nothing for an edit of texts."""
    found = [rows.get((condition, HIDDEN)) if condition else None for condition in conditions]
    return shown_shares(row.clean if row else None for row in found) if any(found) else ""


def _change(row: Finding | None) -> str:
    """Return a relative drift in % without the sign %, which is in the heading."""
    if row is None or row.relative_drift is None:
        return NOTHING
    return _percent(row.relative_drift)


def _percent(share: float) -> str:
    value = 100 * share
    return "0.0" if abs(value) < 0.05 else f"{value:+.1f}" if abs(value) < 9.95 else f"{value:+.0f}"


def _interval(row: Finding, *, whole: bool) -> str:
    """Return an interval in %; `whole` keeps it on one line, for which the console must have room."""
    if row.relative_ci_low is None or row.relative_ci_high is None:
        return NOTHING
    gap = NO_BREAK if whole else " "
    return f"[{_percent(row.relative_ci_low)},{gap}{_percent(row.relative_ci_high)}]"


def _print_explanation(page: Page, findings: Sequence[Finding], metric: str) -> None:
    users = {row.metric: row.n_users for row in findings if row.n_users}
    draws = {row.n_draws for row in findings if row.n_draws}
    page.line(
        f"The last four columns are at the highest severity. {page.level}: confidence interval. "
        f"Edited: {metric} of users "
        f"with an edited test item ({users.get(f'{metric}_edited', 0)} of {users.get(metric, 0)} "
        "users). In top k: share "
        f"of these users with this test item in their top k. Others: {metric} of the other users. "
        f"{', '.join(f'{count:g}' for count in sorted(draws))} draws of items.",
        indent=1,
    )
    if crops(findings):
        page.line(HIDDEN_WORDS, indent=1)


def _print_fragile(page: Page) -> None:
    """Print the items that an edit cost most, the worst of each subject."""
    items = [each for each in page.report.exhibits if isinstance(each, FragileItem) and each.audit == MERCHANT]
    for subject in dict.fromkeys(item.subject for item in items):
        own = [item for item in items if item.subject == subject][:_FRAGILE]
        page.line(f"most fragile items of {page.names[subject]}:", indent=1)
        for item in own:
            title, condition = item.before.text[:_TITLE].strip(), item.condition
            named = f"item {item.own_id or item.item} {title!r}, {edit_words(condition)} severity {condition.severity}"
            page.line(
                f"{named}: in the top {item.k} of {item.exposure_before} -> {item.exposure_after} users; mean rank"
                f" {item.rank_before:.0f} -> {item.rank_after:.0f} for {item.n_users} users with this test item",
                indent=3,
            )
