"""`robustrec cache`: the sizes of the home folder, and the removal of what can be made again."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from robustrec.cli import options
from robustrec.cli.descriptions import home_of
from robustrec.cli.terminal import data_console
from robustrec.errors import RobustrecError, unknown_name
from robustrec.sheet import NO_BREAK, Sheet
from robustrec.streams import write_json
from robustrec.units import age_text, parse_age, parse_size, size_text

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from robustrec.home_folders import Entry

app = typer.Typer(no_args_is_help=True)


@app.command()
def size(home: options.Home = None, as_json: options.AsJson = False) -> None:
    """Show every folder of the home folder with its size and the time of its last use."""
    from robustrec.home_folders import PRUNABLE, home_sizes

    place = home_of(home)
    found = home_sizes(place)
    if as_json:
        write_json({"home": str(place), "folders": [each._asdict() for each in found]})
        return
    sheet, now = Sheet(data_console()), time.time()
    rows = [
        [
            each.name,
            each.note or each.what,
            "-" if each.entries is None else f"{each.entries:,}",
            size_text(each.size).replace(" ", NO_BREAK),
            "-" if each.used is None else f"{age_text(now - each.used)} ago".replace(" ", NO_BREAK),
            "yes" if each.name in PRUNABLE and not each.note else "no",
        ]
        for each in found
    ]
    if rows:
        sheet.table(["folder", "what it holds", "entries", "size", "last used", "prune"], rows, ruled=False)
    sheet.line(f"{size_text(sum(each.size for each in found))} in {place}")


@app.command()
def prune(
    older_than: options.OlderThan = None,
    max_size: Annotated[
        str | None,
        typer.Option(
            help="Remove the least recently used entries until the home folder has at most this size, e.g. 5GB.",
            show_default=False,
        ),
    ] = None,
    unused: Annotated[
        bool,
        typer.Option(
            "--unused",
            help="Remove trainings that no report of the reports folder uses, and sample data of other versions.",
        ),
    ] = False,
    folder: Annotated[
        list[str] | None,
        typer.Option(help="Only this folder, e.g. encodings; repeatable. Default: all that can be made again."),
    ] = None,
    home: options.Home = None,
    dry_run: options.OnlyShow = False,
    yes: options.Yes = False,
) -> None:
    """Remove what can be made again; data sets, reports and whatever a process uses stay.

    What would be removed is printed with its size before the question. An entry is removed whole or not at all.
    """
    from robustrec.home_folders import PRUNABLE, chosen, entries_in, home_sizes

    if older_than is None and max_size is None and not unused:
        raise RobustrecError(
            "nothing says what to remove",
            where="robustrec cache prune",
            fix="give --older-than, --max-size or --unused; for example: robustrec cache prune --older-than 30d",
        )
    for name in folder or ():
        if name not in PRUNABLE:
            raise unknown_name("folder", name, PRUNABLE, where="--folder")
    age = None if older_than is None else parse_age(older_than, where="--older-than")
    limit = None if max_size is None else parse_size(max_size, where="--max-size")
    place = home_of(home)
    total = sum(each.size for each in home_sizes(place))
    entries = [entry for name in PRUNABLE if not folder or name in folder for entry in entries_in(place, name)]
    taken = chosen(
        entries,
        now=time.time(),
        older_than=age,
        max_size=limit,
        total=total,
        unused=_unused(place) if unused else None,
    )
    sheet = Sheet(data_console())
    rows = []
    for name in PRUNABLE:
        own = [entry for entry in taken if entry.folder == name]
        if own:
            there = sum(entry.folder == name for entry in entries)
            amount = size_text(sum(entry.size for entry in own)).replace(" ", NO_BREAK)
            rows.append([name, f"{len(own):,}{NO_BREAK}of{NO_BREAK}{there:,}", amount])
    left = total - sum(entry.size for entry in taken)
    if rows:
        sheet.table(["folder", "would be removed", "size"], rows, ruled=False)
    sheet.line(f"{size_text(total)} in {place}; {size_text(left)} would be left")
    if limit is not None and left > limit:
        sheet.line(f"more than {size_text(limit)} is left: data sets and reports are never removed")
    if dry_run or not taken:
        return
    from robustrec.cli.removal import remove_after_question

    remove_after_question(taken, command="robustrec cache prune", yes=yes)


def _unused(home: Path) -> Callable[[Entry], bool]:
    """Return a function that tells which entries nothing refers to."""
    from robustrec.datasets.shop import shop_digest
    from robustrec.home_folders import PARTIAL
    from robustrec.results.reports_folder import runs_of_reports

    used, version = set(runs_of_reports(home)), shop_digest()[:12]

    def unused(entry: Entry) -> bool:
        if entry.folder == "runs":
            return not PARTIAL.fullmatch(entry.name) and entry.name not in used
        return entry.folder == "samples" and not entry.name.endswith(version)

    return unused
