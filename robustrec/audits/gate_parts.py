"""The parts of a gate in one line: its bounds, and what they are of, written again with other limits."""

from __future__ import annotations

import shlex
from decimal import Decimal
from typing import Literal, NamedTuple

from robustrec.evaluation.kinds import STABILITY, kind_of
from robustrec.results.findings import CLEAN

OPTION = "--gate"
EXAMPLE = f"{OPTION} 'ndcg@20>-2%'"


def pasted(text: str) -> str:
    """Return the option with a gate, to be pasted into a shell."""
    return f"{OPTION} {shlex.quote(text)}"


class Bound(NamedTuple):
    """One bound of a gate: its sign and limit as written, and where the limit is."""

    sign: str
    limit: str
    signed: bool
    percent: bool
    number: Decimal
    at: int

    @property
    def side(self) -> Literal["min", "max"]:
        """Which limit of a gate it is."""
        return "min" if self.sign[0] == ">" else "max"

    @property
    def written(self) -> str:
        """Sign and limit."""
        return self.sign + self.limit

    @property
    def turned(self) -> str:
        """The same size of change, allowed instead of asked for."""
        return f"{self.sign}{'-' if self.side == 'min' else '+'}{self.limit.lstrip('+-')}"

    def turned_over(self) -> str:
        """The limit of the same size on the other side of no change."""
        return f"{'<' if self.side == 'min' else '>'}{'+' if self.side == 'min' else '-'}{self.limit.lstrip('+-')}"

    @property
    def opposite(self) -> str:
        """The same limit of the other side."""
        return self.sign.translate(str.maketrans("<>", "><")) + self.limit


class Form(NamedTuple):
    """What the limits of a gate are of: the audit as written, its name, metric and reference."""

    head: str
    audit: str
    metric: str
    reference: str | None

    @property
    def kind(self) -> str:
        """Kind of the metric, without its list length."""
        return kind_of(self.metric)

    @property
    def of_clean(self) -> bool:
        """Whether the limits are of values of clean quality."""
        return self.audit == CLEAN and self.reference is None

    @property
    def stable(self) -> bool:
        """Whether the limits are of a comparison of lists before and after, a value."""
        return self.kind in STABILITY and self.reference is None

    def with_limit(self, written: str, reference: str | None = None) -> str:
        """Return the option with other limits, to be pasted."""
        against = reference or self.reference
        return pasted(f"{self.head}{self.metric}{written}{f' vs {against}' if against else ''}")
