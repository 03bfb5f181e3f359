"""What the HTML page and the console print, against recomputed numbers: equal to the digits that are printed."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from html.parser import HTMLParser
from typing import Any, NamedTuple

from benchmarks.recompute.judging import Gate

Row = Mapping[str, Any]
_NUMBER = re.compile(r"[-+]?\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?")
_WORDS = {"error": "ERROR", "fail": "FAIL", "inconclusive": "INCONCLUSIVE", "pass": "PASS"}


class Cell(NamedTuple):
    """A cell of a table: its text, the number behind it, and the addresses of its links."""

    text: str
    value: str | None
    links: tuple[str, ...]


class Tables(HTMLParser):
    """The rows of every table of a page, by the id or the class of the table, with the text of marked elements."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: dict[str, list[list[Cell]]] = {}
        self.verdict = ""
        self._table: list[list[Cell]] | None = None
        self._cell: dict[str, Any] | None = None
        self._of_verdict = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Open a table, a row, a cell or the verdict."""
        given = dict(attrs)
        if tag == "table":
            self._table = self.rows.setdefault(given.get("id") or given.get("class") or "", [])
        elif tag == "tr" and self._table is not None:
            self._table.append([])
        elif tag in ("td", "th") and self._table:
            self._cell = {"text": "", "value": given.get("data-v"), "links": []}
        elif tag == "a" and self._cell is not None:
            self._cell["links"].append(given.get("href") or "")
        self._of_verdict = self._of_verdict or given.get("id") == "h-verdict"

    def handle_endtag(self, tag: str) -> None:
        """Close what was opened."""
        if tag in ("td", "th") and self._table and self._cell is not None:
            self._table[-1].append(Cell(self._cell["text"].strip(), self._cell["value"], tuple(self._cell["links"])))
            self._cell = None
        elif tag == "table":
            self._table = None
        self._of_verdict = self._of_verdict and tag != "h2"

    def handle_data(self, data: str) -> None:
        """Add a text to its cell."""
        if self._cell is not None:
            self._cell["text"] += data
        if self._of_verdict:
            self.verdict += data


def numbers_in(text: str) -> list[tuple[float, float]]:
    """Return each number in a text with half a unit of its last digit."""
    plain = text.replace("\N{MINUS SIGN}", "-").replace("\N{NO-BREAK SPACE}", " ")
    found = []
    for match in _NUMBER.findall(plain):
        digits, _, power = match.replace(",", "").partition("e")
        unit = 10.0 ** (int(power or 0) - len(digits.partition(".")[2]))
        found.append((float(match.replace(",", "")), unit / 2))
    return found


def says(text: str, values: Sequence[float | None], *, percent: bool = False) -> bool:
    """Return whether a text has these numbers first, in this order, to the digits that it has."""
    held = numbers_in(text)
    if len(held) < len(values) or "<" in text:
        return "<" in text
    scale = 100 if percent else 1
    return all(
        value is not None and math.isclose(number, scale * value, rel_tol=1e-9, abs_tol=half * 1.000001)
        for (number, half), value in zip(held, values, strict=False)
    )


def of_page(page: str, shown: Sequence[Row], gates: Sequence[Gate], verdict: str) -> Iterator[str]:
    """Yield a sentence on each number of a page that is not the recomputed one.

    Args:
        page: the HTML.
        shown: findings, with means over training seeds in the place of those of each, with the recomputed numbers.
        gates: recomputed.
        verdict: recomputed.
    """
    tables = Tables()
    tables.feed(page)
    if verdict not in tables.verdict.lower():
        yield f"page: verdict {tables.verdict!r}, but {verdict} from the arrays"
    yield from _rows(tables.rows.get("table-findings", [])[1:], shown)
    yield from _axis(tables.rows.get("gate-axis", []), gates)
    yield from _models(tables.rows.get("stack models", []), shown)


def _rows(rows: Sequence[Sequence[Cell]], shown: Sequence[Row]) -> Iterator[str]:
    """Compare the table of findings, each row with those of its subject, audit, condition and metric."""
    apart = [name for name in ("model", "strategy", "features") if len({row["subject"][name] for row in shown}) > 1]
    held: dict[tuple[str, str, str], list[Row]] = {}
    for row in shown:
        held.setdefault((row["audit"], row["condition"]["label"], row["metric"]), []).append(row)
    for cells in rows:
        audit, label, metric = (cell.text for cell in cells[1:4])
        own = [
            row
            for row in held.get((audit, label, metric), [])
            if all(row["subject"][name] in cells[0].text for name in apart)
        ]
        if not any(_row_says(cells, row) for row in own):
            said = ", ".join(cell.value or cell.text or "-" for cell in cells[4:10])
            yield f"page, {cells[0].text}, {audit}, {label}, {metric}: {said} is no number from the arrays"


def _row_says(cells: Sequence[Cell], row: Row) -> bool:
    values = row["clean"], row["perturbed"], row["drift"], row["relative_drift"]
    if not all(_near(cell.value, value) for cell, value in zip((*cells[4:7], cells[8]), values, strict=True)):
        return False
    ends = (cells[7], "ci_low", "ci_high", False), (cells[9], "relative_ci_low", "relative_ci_high", True)
    return all(
        not cell.text or says(cell.text, [row[each] for each in (low, high) if row[each] is not None], percent=percent)
        for cell, low, high, percent in ends
    )


def _near(text: str | None, value: float | None) -> bool:
    """Return whether two numbers of 6 digits differ in their last digit at most, as rounding does at a half."""
    if not text or value is None:
        return not text and value is None
    return math.isclose(float(text), value, rel_tol=5.1e-6, abs_tol=1e-12)


def _axis(rows: Sequence[Sequence[Cell]], gates: Sequence[Gate]) -> Iterator[str]:
    for cells in rows:
        places = [link.removeprefix("#gate-") for cell in cells for link in cell.links]
        if len(cells) < 4 or not places or not places[0].isdigit():
            continue
        gate, text = gates[int(places[0])], cells[3].text
        if not cells[0].text.startswith(_WORDS[gate.status]):
            yield f"page, gate {gate.name}: {cells[0].text}, but {gate.status} from the arrays"
        if gate.estimate is not None and not says(text, (gate.estimate, gate.low, gate.high), percent="%" in text):
            yield f"page, gate {gate.name}: {text}, but {gate.estimate} [{gate.low}, {gate.high}] from the arrays"


def _models(rows: Sequence[Sequence[Cell]], shown: Sequence[Row]) -> Iterator[str]:
    """Compare the clean quality of each model, the first column."""
    if not rows:
        return
    metric = next(iter(re.findall(r"\w+@\d+", rows[0][1].text.lower())), "")
    clean = [row for row in shown if (row["audit"], row["quantity"]) == ("clean", "value")]
    values = [row for row in clean if row["metric"] == metric and row["reference"] == "clean"]
    for cells in rows[1:]:
        if not any(says(cells[1].text, (row["clean"], row["ci_low"], row["ci_high"])) for row in values):
            yield f"page, {metric} of {cells[0].text}: {cells[1].text} is the value of no model"


def of_console(
    text: str, gates: Sequence[Gate], limits: Mapping[str, tuple[float | None, float | None]]
) -> Iterator[str]:
    """Yield a sentence on each gate of the console's first screen that is not the recomputed one.

    Args:
        text: stdout of the audit.
        gates: recomputed.
        limits: by gate, its lower and upper limit.
    """
    pattern = re.compile(r"^(PASS|FAIL|INCONCLUSIVE|ERROR)(?: \(warn\))?\s{2,}(.+?)\s{2,}(-?[\d.]+ \[.*?\])", re.M)
    for word, name, numbers in pattern.findall(text):
        start = name.removesuffix("…").strip()
        own = [gate for gate in gates if gate.name.startswith(start) and (name.endswith("…") or gate.name == start)]
        if not any(_WORDS[gate.status] == word and says(numbers, _in_limits(gate, limits[gate.name])) for gate in own):
            yield f"console, gate {name}: {word} {numbers} is the result of no gate of this name"


def _in_limits(gate: Gate, limits: tuple[float | None, float | None]) -> tuple[float, ...]:
    """Return a gate's estimate and interval in units of the limit that it comes nearest to: 1 is at the limit."""
    values = [gate.estimate or 0.0, gate.low or 0.0, gate.high or 0.0]
    placed = []
    for limit, sign in ((limits[0], -1), (limits[1], 1)):
        if limit:
            at = [1 + sign * (value - limit) / abs(limit) for value in values]
            placed.append((at[0], *sorted(at[1:])))
    return max(placed, key=max, default=(0.0,))
