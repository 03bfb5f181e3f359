"""Titles of MicroLens: a line "item,title" for each video, the title without quotes and with commas.

The files are documented at github.com/westlake-repl/MicroLens; MicroLens-50k has a header, MicroLens-100k none.
"""

from __future__ import annotations

from collections.abc import Container, Iterator
from pathlib import Path

from robustrec.datasets.formats.amazon import MetadataCounts, RawItem
from robustrec.datasets.formats.lines import read_lines
from robustrec.datasets.item_fields import MAX_TEXT, text_of
from robustrec.errors import RobustrecError


def read_titles(path: Path, wanted: Container[str], counts: MetadataCounts) -> Iterator[RawItem]:
    """Yield the first title of each wanted item; other lines are counted.

    Raises:
        RobustrecError: the file cannot be read or is not UTF-8, or a line has no comma.
    """
    seen: set[str] = set()
    for number, line in read_lines(path, "titles"):
        where = f"{path}: line {number}"
        try:
            item, comma, title = line.decode("utf-8").strip("\r\n").partition(",")
        except UnicodeDecodeError as error:
            raise RobustrecError(
                f"not UTF-8 text: byte 0x{line[error.start]:02x}", where=where, fix="download the file again"
            ) from error
        item = item.strip()
        if not comma:
            raise RobustrecError(
                f"expected item,title but got {line[:60]!r}", where=where, fix="download the file again"
            )
        if number == 1 and (item.lower(), title.strip().lower()) == ("item", "title"):
            continue
        counts.lines += 1
        if item not in wanted:
            counts.others += 1
        elif item in seen:
            counts.repeated += 1
        else:
            seen.add(item)
            if len(title) > 1 and title[0] == title[-1] == '"':
                title = title[1:-1].replace('""', '"')
            if len(title) > MAX_TEXT:
                counts.fields += 1
                title = ""
            yield RawItem(item, text_of(title, where), "", (), "", "")
