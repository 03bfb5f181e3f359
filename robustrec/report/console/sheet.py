"""Console helpers: safe text, tables that fit, and short names of subjects."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from robustrec.reading.names import short_names
from robustrec.results.report import Report
from robustrec.streams import PLAIN
from robustrec.subject import Subject

WIDE = 112
"""Console width from which tables show more columns."""

_NO_BREAK = "\xa0"  # never in data: it is not printable
_NARROWEST = 20
_PLAIN = str.maketrans(PLAIN)
_ASCII_HEAD = box.Box("    \n    \n -- \n    \n    \n    \n    \n    \n", ascii=True)


@dataclass(frozen=True)
class Sheet:
    """A console to print on; its width and encoding set the layout."""

    console: Console

    @property
    def wide(self) -> bool:
        """Whether the console is wide enough for all columns."""
        return self.console.width >= WIDE

    def safe(self, text: str) -> str:
        """Return a text without characters that the console cannot print."""
        shown = "".join(letter if letter.isprintable() else "?" for letter in text)
        encoding = self.console.encoding
        if not encoding.startswith("utf"):
            shown = shown.translate(_PLAIN)
        return shown.encode(encoding, "replace").decode(encoding)

    def line(self, text: str, style: str = "", *, indent: int = 0) -> None:
        """Print a paragraph without markup, with numbers and their unit on one line."""
        self.paragraph(Text(text, style=style), indent=indent)

    def paragraph(self, text: Text, *, indent: int = 0, hanging: int = 0) -> None:
        """Print a styled paragraph; `hanging` indents its further lines, `indent` all of them."""
        shown = self.safe(text.plain).replace(" %", f"{_NO_BREAK}%")
        room = max(_NARROWEST, self.console.width - indent)
        lines = textwrap.wrap(shown, room, subsequent_indent=" " * hanging, break_on_hyphens=False) or [""]
        for number, line in enumerate(lines):
            piece = Text(" " * indent + line.replace(_NO_BREAK, " "), style=text.style, overflow="fold")
            for span in text.spans if number == 0 else []:
                piece.stylize(span.style, span.start + indent, span.end + indent)
            self.console.print(piece)

    def command(self, text: str, *, indent: int = 0) -> None:
        """Print a command that works when pasted; long commands continue with a backslash."""
        room = max(_NARROWEST, self.console.width - indent - 4)
        lines = textwrap.wrap(self.safe(text), room, break_on_hyphens=False) or [""]
        for number, line in enumerate(lines):
            start = " " * (indent if number == 0 else indent + 2)
            end = " \\" if number < len(lines) - 1 else ""
            self.console.print(Text(f"{start}{line}{end}", overflow="fold"))

    def heading(self, text: str) -> None:
        """Print the heading of a section."""
        self.console.print()
        self.line(text, "bold")

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[str]], *, numbers_from: int) -> None:
        """Print a table; columns from `numbers_from` on are numbers and right-aligned."""
        utf = self.console.encoding.startswith("utf")
        table = Table(
            box=box.SIMPLE_HEAD if utf else _ASCII_HEAD,
            show_edge=False,
            pad_edge=False,
            padding=(0, 1, 0, 0),
            header_style="",
        )
        for place, column in enumerate(columns):
            right = place >= numbers_from
            table.add_column(Text(self.safe(column)), justify="right" if right else "left", overflow="fold")
        for row in rows:
            table.add_row(*(Text(self.safe(cell), overflow="fold") for cell in row))
        self.console.print(Padding(table, (0, 0, 0, 1), expand=False))


@dataclass(frozen=True)
class Page(Sheet):
    """A sheet with the report to print.

    Attributes:
        report: the report to print.
        names: subject -> its short name, unique within the report.
        level: confidence level of the intervals, in words ("95 %").
    """

    report: Report
    names: dict[Subject, str]
    level: str


def page_of(report: Report, console: Console) -> Page:
    """Return the page of a report."""
    subjects = [record.subject for record in report.subjects]
    return Page(console, report, short_names(subjects), f"{100 * report.suite.level:g} %")
