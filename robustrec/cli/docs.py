"""`robustrec docs`: the pages of the documentation, which the package carries."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from robustrec.cli.terminal import data_console
from robustrec.errors import unknown_name
from robustrec.files import shipped
from robustrec.sheet import Sheet
from robustrec.streams import write_text

_GENERATED = re.compile(r"^<!-- generated: ([\w-]+) -->$", re.M)


def docs(
    page: Annotated[
        str | None, typer.Argument(help="Name of a page, for example gates or docs/gates.md.", show_default=False)
    ] = None,
) -> None:
    """List the pages of the documentation, or print one as Markdown."""
    pages = {path.stem: path for path in sorted(shipped("docs", "index.md").parent.glob("*.md"))}
    if page is None:
        sheet = Sheet(data_console())
        sheet.table([], [(name, _title(path)) for name, path in pages.items()], numbers_from=2, ruled=False, indent=0)
        sheet.line(f"folder: {shipped('docs', 'index.md').parent}")
        return
    name = page.removeprefix("docs/").removesuffix(".md")
    if name not in pages:
        raise unknown_name("page", page, pages, where="argument PAGE")
    note = r"(Table \1: it is made from the code for the documentation site; see robustrec --help and robustrec list.)"
    write_text(_GENERATED.sub(note, pages[name].read_text(encoding="utf-8")))


def _title(path: Path) -> str:
    with path.open(encoding="utf-8") as file:
        return next((line[2:].strip() for line in file if line.startswith("# ")), "")
