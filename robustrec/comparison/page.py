"""Console output of a comparison of reports: ranks, values by condition, and significant differences."""

from __future__ import annotations

from rich.console import Console

from robustrec.comparison.compared import ReportComparison
from robustrec.results.numbers import bracketed, plain
from robustrec.sheet import Sheet

_MOST_PAIRS = 28
_COLUMN = 16  # a value with its rank, and the gap before it


def print_comparison(found: ReportComparison, console: Console) -> None:
    """Print the ranks over all conditions, the values under each, and the differences of all pairs."""
    sheet = Sheet(console)
    what = f"remaining {found.metric}" if found.by == "quality" else f"smallest loss of {found.metric}"
    many = len(found.conditions)
    sheet.line(
        f"ranked by {what} under {many} condition{'' if many == 1 else 's'} on {found.n_users} users; 1 is best", "bold"
    )
    level = f"{100 * found.level:g} %"
    sheet.table(
        ["subject", "mean rank", f"rank interval ({level})", "worst rank", "rank interval", "left with mean features"],
        [
            [
                each.name,
                f"{each.mean_rank:.2f}",
                f"{each.mean_best:.2f} to {each.mean_worst:.2f}",
                f"{each.worst_rank:g}",
                f"{each.worst_best} to {each.worst_worst}",
                each.content,
            ]
            for each in found.standings
        ],
        numbers_from=1,
    )
    _print_conditions(found, sheet)
    _print_pairs(found, sheet, level)
    for note in found.notes:
        sheet.line(note, indent=1)


def _print_conditions(found: ReportComparison, sheet: Sheet) -> None:
    """Print one row per condition and one column per subject."""
    sheet.heading("value and rank under each condition")
    widest = max(len(name) for name in found.conditions)
    room = max(1, (sheet.console.width - widest) // _COLUMN)
    for start in range(0, len(found.standings), room):
        group = found.standings[start : start + room]
        rows = [
            [name, *(f"{plain(each.places[number].value)} ({each.places[number].rank:g})" for each in group)]
            for number, name in enumerate(found.conditions)
        ]
        sheet.table(["", *(each.name for each in group)], rows, numbers_from=1)


def _print_pairs(found: ReportComparison, sheet: Sheet, level: str) -> None:
    sheet.heading(f"mean differences over the conditions (simultaneous {level} intervals)")
    rows = [
        [
            each.first,
            each.second,
            plain(each.difference, signed=True),
            bracketed(each.low, each.high, plain, signed=True),
            ("better" if each.difference > 0 else "worse") if each.apart else "no significant difference",
        ]
        for each in sorted(found.pairs, key=lambda pair: not pair.apart)[:_MOST_PAIRS]
    ]
    sheet.table(["subject", "reference", "difference", level, "conclusion"], rows, numbers_from=2)
    if len(found.pairs) > _MOST_PAIRS:
        sheet.line(f"and {len(found.pairs) - _MOST_PAIRS} more pairs in the JSON", indent=1)
