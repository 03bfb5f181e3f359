"""Places that an item keeps in the top k of the users when it alone is edited."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from robustrec.audits.guarantee.sample import EditedItem
from robustrec.evaluation.ranking import Pairs, Ranking, rank, rank_pairs
from robustrec.models.contract import Representation, Scored
from robustrec.runs.prepared import Split
from robustrec.runs.trained import TrainedSubject

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class CleanPlaces:
    """Who has which item in the top k on clean features.

    Attributes:
        trained: the subject.
        split: the audited users.
        k: list length.
        frozen: whether the item graphs stay those of the clean features.
        representation: of the clean features.
        ranking: the first k + 1 items of each user: the last is what comes up when one of the others goes.
    """

    trained: TrainedSubject
    split: Split
    k: int
    frozen: bool
    representation: Representation | Scored
    ranking: Ranking

    @property
    def holders(self) -> Ints:
        """Number of users with each item in their top k, [I]."""
        return self.ranking.counts(self.k, self.split.masked.shape[1])

    def rows_with(self, item: int) -> Ints:
        """Return the positions of the users with an item in their top k."""
        return np.flatnonzero((self.ranking.items[:, : self.k] == item).any(axis=1))


def clean_places(trained: TrainedSubject, split: Split, k: int, *, frozen: bool) -> CleanPlaces:
    """Rank the users on the clean features, with item graphs that are made as those of edited features are."""
    representation = trained.represent(trained.tables, frozen=frozen)
    ranking = rank(representation, split.users, split.mask, k=k + 1)
    return CleanPlaces(trained, split, k, frozen, representation, ranking)


class Kept(NamedTuple):
    """Places of an item.

    Attributes:
        rows: int64 [c] positions of the users who have it in their top k on clean features.
        kept: bool [c] whether they still have it after the edit.
    """

    rows: Ints
    kept: Bools

    @property
    def loss(self) -> float:
        """Share of the places that it lost; places gained with other users do not count against it.

        It is rounded once, so that 3 of 10 places are not more than 0.3. An item that holds no place with these users,
        because rounding took its only one, lost none.
        """
        return float((~self.kept).mean()) if len(self.kept) else 0.0


def places_kept(clean: CleanPlaces, edited: EditedItem, tables: dict[str, Tensor]) -> Kept:
    """Return the places that an item keeps.

    Users are ranked in the same batch before and after, so that rounding cannot cost a place.

    Args:
        clean: the clean lists.
        edited: the item.
        tables: a copy of the clean features, modality -> [I, D_m]; changed and restored.
    """
    rows, item = clean.rows_with(edited.item), edited.item
    before = _within(clean, clean.representation, rows, item)
    if not edited.vectors:
        return Kept(rows[before], np.ones(int(before.sum()), dtype=bool))
    kept_rows = {name: tables[name][item].clone() for name in edited.vectors}
    try:
        for name, vector in edited.vectors.items():
            tables[name][item] = vector
        after = _within(clean, clean.trained.represent(tables, frozen=clean.frozen), rows, item)
    finally:
        for name, row in kept_rows.items():
            tables[name][item] = row
    return Kept(rows[before], after[before])


def _within(
    clean: CleanPlaces, representation: Representation | Scored, rows: Sequence[int] | Ints, item: int
) -> Bools:
    """Return whether an item is in the top k of some users, [c]."""
    users = clean.split.users[rows]
    pairs = Pairs(np.arange(len(users)), np.full(len(users), item, dtype=np.int64))
    _, places = rank_pairs(representation, users, clean.split.mask, pairs, k=1)
    return places <= clean.k
