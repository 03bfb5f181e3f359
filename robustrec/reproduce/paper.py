"""The printed tables of the paper on SGBD, with a flag and a sentence for each cell that cannot be compared with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

from robustrec.files import shipped
from robustrec.untrusted import read_toml

TABLES = "paper-tables.toml"
FEATURES = ("minilm+cnn", "blip", "blip2")
"""Kinds of features: the paper calls the first Vanilla."""
MODELS = ("dualgnn", "dragon", "slmrec")
STRATEGIES = ("vanilla", "mirror", "sgbd")
OTHERS = len(FEATURES) * len(STRATEGIES) - 1
"""Rows of a model beside its first."""
DATASETS = ("baby", "sports", "clothing", "electronics")
METRICS = ("recall", "ndcg", "precision", "map")
FLAGS = ("scan", "typo", "impossible", "implausible", "copied")
NOISY_TABLE = 2
CLEAN_TABLE = 3
"""The table without noise of the rows of table 2."""
AVERAGE = "average"
SIGMA2 = 1e-6
"""Variance of the noise of table 2."""
DECIMALS = 4
HALF = 0.5 * 10.0**-DECIMALS
"""Half a unit of the last printed decimal."""

LENGTHS: dict[int, tuple[int, ...]] = {table: (5,) if table <= 4 else (10, 20) for table in range(2, 9)}
"""Table -> lengths of its lists."""


class Cell(NamedTuple):
    """A printed cell.

    Attributes:
        value: as printed or repaired; percent in improvement lines; None where the scan cannot be read.
        flags: kind of fault -> a sentence; none for a sound cell.
    """

    value: float | None
    flags: Mapping[str, str]

    @property
    def sound(self) -> bool:
        """Whether a measurement may be compared with it."""
        return self.value is not None and not self.flags

    @property
    def why(self) -> str:
        """Why it is not sound, in words."""
        return "; ".join(f"{flag}: {sentence}" for flag, sentence in self.flags.items())


class RowKey(NamedTuple):
    """What names a row."""

    table: int
    dataset: str
    model: str
    features: str
    strategy: str


@dataclass(frozen=True)
class Paper:
    """All tables.

    Attributes:
        sizes: data set -> users, items, interactions and sparsity, of table 1.
        rows: row -> metric ("ndcg@5") -> cell.
        improvements: (table, data set, model or "average") -> metric -> cell, in percent.
        counts: cells, sound, left_out, and how often each flag occurs.
    """

    sizes: Mapping[str, Mapping[str, Cell]]
    rows: Mapping[RowKey, Mapping[str, Cell]]
    improvements: Mapping[tuple[int, str, str], Mapping[str, Cell]]
    counts: Mapping[str, int]

    def cells(self) -> list[Cell]:
        """Return every cell of all tables."""
        return [
            cell
            for table in (self.sizes, self.rows, self.improvements)
            for cells in table.values()
            for cell in cells.values()
        ]


def metrics_of(table: int) -> tuple[str, ...]:
    """Return the metrics of a table, in its order, such as recall@5 and ndcg@5."""
    return tuple(f"{metric}@{k}" for k in LENGTHS[table] for metric in METRICS)


def table_of(dataset: str, table: int) -> bool:
    """Return whether a table has rows of a data set."""
    return any(key.dataset == dataset and key.table == table for key in paper().rows)


@cache
def paper() -> Paper:
    """Return the printed tables."""
    found = read_toml(shipped("fixtures", TABLES))
    return Paper(
        sizes={row["dataset"]: _cells(row, ("users", "items", "interactions", "sparsity")) for row in found["dataset"]},
        rows={
            RowKey(row["table"], row["dataset"], row["model"], row["features"], row["strategy"]): _cells(
                row, metrics_of(row["table"])
            )
            for row in found["row"]
        },
        improvements={
            (row["table"], row["dataset"], row["model"]): _cells(row, metrics_of(row["table"]))
            for row in found["improvement"]
        },
        counts=found["counts"],
    )


def _cells(row: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Cell]:
    return {name: Cell(row.get(name), row.get("flags", {}).get(name, {})) for name in names}
