"""What is printed on a console, without markup or control characters: paragraphs, commands, and tables that fit."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from robustrec.streams import PLAIN

WIDE = 112
"""Console width from which tables show more columns."""

NO_BREAK = "\xa0"
"""Space at which no line ends; it is printed as a space."""

_NARROWEST = 20
_LONGEST_WORD = 32  # longer ones are paths and digests, which may be broken
_PLAIN = str.maketrans({letter: text for letter, text in PLAIN.items() if letter != "\xa0"})
_ASCII_HEAD = box.Box("    \n    \n -- \n    \n    \n    \n    \n    \n", ascii=True)
_NUMBER = re.compile(r"([-+]?[<>]?\d[\d.,]*(e[-+]?\d+)?\*?( %)?( \[.*\])?|-|)")


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
        shown = "".join(letter if letter.isprintable() or letter == NO_BREAK else "?" for letter in text)
        encoding = self.console.encoding
        if not encoding.startswith("utf"):
            shown = shown.translate(_PLAIN)  # NO_BREAK stays for the wrapping of lines
        parts = shown.split(NO_BREAK)
        return NO_BREAK.join(part.encode(encoding, "replace").decode(encoding) for part in parts)

    def line(self, text: str, style: str = "", *, indent: int = 0) -> None:
        """Print a paragraph without markup, with numbers and their unit on one line."""
        self.paragraph(Text(text, style=style), indent=indent)

    def paragraph(self, text: Text, *, indent: int = 0, hanging: int = 0) -> None:
        """Print a styled paragraph; `hanging` indents its further lines, `indent` all of them."""
        room = max(_NARROWEST, self.console.width - indent)
        for number, line in enumerate(_wrapped(self.safe(text.plain), room, hanging)):
            piece = Text(" " * indent + line, style=text.style, overflow="fold")
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

    def table(
        self,
        columns: Sequence[str],
        rows: Iterable[Sequence[str]],
        *,
        numbers_from: int | None = None,
        ruled: bool = True,
        spaced: bool = False,
        indent: int = 1,
    ) -> None:
        """Print a table that fits the console, and in which words are broken only where they do not fit.

        Args:
            columns: titles; none prints no header, and the first column in bold.
            rows: cells of each row.
            numbers_from: columns from this one on are right-aligned; None: those with numbers only.
            ruled: whether a line separates header and rows.
            spaced: whether an empty line follows each row.
            indent: of the whole table.
        """
        header = [self.safe(column) for column in columns]
        cells = [[self.safe(cell) for cell in row] for row in rows]
        by_column = list(zip(*([header] if header else []), *cells, strict=True))
        first = 1 if header else 0
        words = [max(map(_longest_word, column), default=0) for column in by_column]
        room, gaps = self.console.width - indent, len(by_column) - 1
        gap = 2 if sum(words) + 2 * gaps <= room else 1
        widths = _widths(by_column, words, room - gap * gaps)
        rule = box.SIMPLE_HEAD if self.console.encoding.startswith("utf") else _ASCII_HEAD
        table = Table(
            box=rule if ruled else None,
            show_header=bool(header),
            show_edge=False,
            pad_edge=False,
            # A rule has a space between two columns of its own.
            padding=(0, gap - ruled, int(spaced), 0),
            header_style="" if ruled else "bold",
        )
        for place, (column, width) in enumerate(zip(by_column, widths, strict=True)):
            right = all(map(_NUMBER.fullmatch, column[first:])) if numbers_from is None else place >= numbers_from
            table.add_column(
                Text("\n".join(_wrapped(header[place], width)), overflow="fold") if header else "",
                justify="right" if right else "left",
                style="" if header or place else "bold",
                width=width,
                overflow="fold",
            )
        for row in cells:
            lines = (_wrapped(cell, width) for cell, width in zip(row, widths, strict=True))
            table.add_row(*(Text("\n".join(each), overflow="fold") for each in lines))
        self.console.print(Padding(table, (0, 0, 0, indent), expand=False))


def _wrapped(text: str, width: int, hanging: int = 0) -> list[str]:
    """Return the lines of a text, with numbers and their unit on one line."""
    together = text.replace(" %", f"{NO_BREAK}%")
    lines = textwrap.wrap(together, max(1, width), subsequent_indent=" " * hanging, break_on_hyphens=False)
    return [line.replace(NO_BREAK, " ") for line in lines] or [""]


def _widths(columns: Sequence[Sequence[str]], words: Sequence[int], room: int) -> list[int]:
    """Return widths of columns that fit; the widest become narrower first, down to their longest word if possible."""
    wanted = [max(map(cell_len, column), default=0) for column in columns]
    return _narrowed(wanted, words if sum(words) <= room else _narrowed(words, [1] * len(words), room), room)


def _longest_word(cell: str) -> int:
    words = cell.replace(" %", f"{NO_BREAK}%").split(" ")
    return min(_LONGEST_WORD, max(map(cell_len, words)))


def _narrowed(widths: Sequence[int], least: Sequence[int], room: int) -> list[int]:
    """Return widths whose sum is at most `room`, or `least`, after the widest have become narrower."""
    found = list(widths)
    while sum(found) > room:
        place = max(range(len(found)), key=lambda each: (found[each] > least[each], found[each]))
        if found[place] <= least[place]:
            break
        found[place] -= 1
    return found
