"""Articles of H&M Personalized Fashion Recommendations (articles.csv).

The file is documented on the data page of the competition. Title: prod_name. Categories: product group, product type
and colour. Description: detail_desc.
"""

from __future__ import annotations

from collections.abc import Container, Iterator
from pathlib import Path

from robustrec.datasets.formats.amazon import MetadataCounts, RawItem
from robustrec.datasets.item_fields import text_of
from robustrec.datasets.tables import read_rows
from robustrec.errors import RobustrecError

ID = "article_id"
LABELS = ("product_group_name", "product_type_name", "colour_group_name")
TEXTS = ("prod_name", "detail_desc")


def read_articles(path: Path, wanted: Container[str], counts: MetadataCounts) -> Iterator[RawItem]:
    """Yield the first row about each wanted article; other rows are counted.

    Raises:
        RobustrecError: the file cannot be read, has no such columns, or a row has another number of fields.
    """
    rows = read_rows(path, "articles")
    line, header = next(rows, (1, []))
    lacking = [name for name in (ID, *TEXTS, *LABELS) if name not in header]
    if lacking:
        raise RobustrecError(
            f"column not found: {', '.join(lacking)}", where=f"{path}: line {line}", fix="download articles.csv again"
        )
    seen: set[str] = set()
    for line, row in rows:
        if len(row) != len(header):
            raise RobustrecError(
                f"{len(row)} fields, but the header has {len(header)}",
                where=f"{path}: line {line}",
                fix="download articles.csv again; it may be truncated",
            )
        counts.lines += 1
        values = dict(zip(header, row, strict=True))
        item = values[ID].strip()
        if item not in wanted:
            counts.others += 1
        elif item in seen:
            counts.repeated += 1
        else:
            seen.add(item)
            title, description = (text_of(values[name], f"{path}: line {line}, column {name}") for name in TEXTS)
            labels = (text_of(values[name], f"{path}: line {line}, column {name}") for name in LABELS)
            yield RawItem(item, title, "", tuple(label for label in labels if label), description, "")
