"""Values of items for the metrics of values: a price, or another numeric column of the catalog."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from robustrec.audits.values import length_of_main
from robustrec.errors import RobustrecError
from robustrec.evaluation.kinds import VALUE, kind_of
from robustrec.evaluation.value import known_or_mean
from robustrec.files import digest_json

if TYPE_CHECKING:
    from robustrec.audits.quality import Clean
    from robustrec.audits.suites import Suite
    from robustrec.datasets.registry import Dataset

PRICE = "price"


class ItemValues(NamedTuple):
    """What each item is worth.

    Attributes:
        column: where the values are from.
        values: [I] value of each item, at least 0; the mean of the known ones where it is unknown.
        unknown: bool [I], True for items without a value.
    """

    column: str
    values: NDArray[np.float64]
    unknown: NDArray[np.bool_]

    @property
    def largest(self) -> float:
        """Largest value of an item."""
        return float(self.values.max())

    @property
    def digest(self) -> str:
        """The sha256 of the values, to tell two reports apart."""
        return digest_json([self.column, self.values.tolist()])


def own_column(dataset: Dataset, name: str) -> list[float | str | None]:
    """Return the value of each item in a column that the user named at import, or its price; None where unknown."""
    items = dataset.catalog.items if dataset.catalog else [None] * dataset.interactions.n_items
    if name == PRICE:
        return [item.price if item else None for item in items]
    return [dict(item.own).get(name) if item else None for item in items]


def columns_of(dataset: Dataset) -> list[str]:
    """Return the columns of the catalog that the user named at import, and price where items have one."""
    items = [item for item in (dataset.catalog.items if dataset.catalog else ()) if item is not None]
    names = sorted({name for item in items for name, _ in item.own})
    return [*([PRICE] if any(item.price is not None for item in items) else []), *names]


def item_values(dataset: Dataset, column: str | None) -> ItemValues | None:
    """Return the values of the items, or None without a column.

    Raises:
        RobustrecError: no item has a value, one is a text or negative.
    """
    if column is None:
        return None
    found = own_column(dataset, column)
    where = f"--dataset {dataset.name}, value = {column!r}"
    again = f"--columns {column}=COLUMN"
    if all(each is None for each in found):
        known = ", ".join(columns_of(dataset)) or "none"
        raise RobustrecError(
            f"no item has a value in the column {column!r}; columns with values: {known}",
            where=where,
            fix=f"name the column at import, for example: {dataset.import_command(again)}",
        )
    text = next((each for each in found if isinstance(each, str)), None)
    if text is not None:
        raise RobustrecError(
            f"the column {column!r} is not numeric: it has {text[:60]!r}",
            where=where,
            fix="choose a column of numbers, or write digits with a decimal point and import again: "
            + dataset.import_command(again),
        )
    numbers = [each if isinstance(each, float) else None for each in found]
    if (low := min(each for each in numbers if each is not None)) < 0:
        n = sum(each is not None and each < 0 for each in numbers)
        raise RobustrecError(
            f"{n:,} items have a negative value in the column {column!r}, the lowest {low:g}",
            where=where,
            fix="metrics of values weigh items by what they are worth, at least 0: choose another column",
        )
    unknown = np.array([each is None for each in numbers])
    return ItemValues(column, known_or_mean(numbers), unknown)


def with_value(suite: Suite, column: str | None) -> Suite:
    """Return a suite with the metrics of a value at the length of its main metric, if it has none."""
    if column is None:
        return suite
    added = () if any(kind_of(name) in VALUE for name in suite.metrics) else VALUE
    k = length_of_main(suite.metrics)
    return suite.model_copy(update={"value": column, "metrics": (*suite.metrics, *(f"{kind}@{k}" for kind in added))})


def value_notes(
    values: ItemValues | None, subjects: Sequence[tuple[str, Clean]], k: int, *, parts: bool = False
) -> Iterator[str]:
    """Yield that items have no value, and what share of the positions in the clean lists of each subject they have.

    `parts` says that exposures weighted by value were measured too.
    """
    if values is None or not values.unknown.any():
        return
    shares = []
    for label, clean in subjects:
        shown = clean.ranking.items[:, :k]
        there = shown >= 0
        share = float((values.unknown[shown] & there).sum() / max(1, there.sum()))
        shares.append(f"{100 * share:.1f} % ({label})")
    n, n_items = int(values.unknown.sum()), len(values.unknown)
    listed = ", ".join(shares[:6]) + (f" and {len(shares) - 6} more" if len(shares) > 6 else "")
    metrics = "value@k, value_ndcg@k and value_exposure@k" if parts else "value@k and value_ndcg@k"
    yield (
        f"{n:,} of {n_items:,} items have no {values.column}: {metrics} count each with the mean of"
        f" those with one, {values.values[values.unknown][0]:.6g}; their share of the positions in the clean top {k}"
        f" is {listed}"
    )
