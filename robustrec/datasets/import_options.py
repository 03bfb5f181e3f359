"""Options of an import."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from robustrec.datasets.conversion import SplitOptions
from robustrec.datasets.split_record import Keep, SplitKind


@dataclass(frozen=True)
class ImportOptions:
    """Options of an import, apart from folder and name.

    Attributes:
        interactions: `.inter` or ratings file; None: search the folder.
        items: catalog, JSON Lines; None: search the folder.
        pictures: folder or zip; None: search the folder.
        columns: column names of a ratings file without a header.
        k: ratings only: minimum interactions of a user or item (k-core).
        min_rating: ratings only: rows rated lower are dropped.
        seed: seed of the split.
        split: the split; None: the published one, else random.
        keep: ratings only: which row of a repeated pair counts.
        valid_from: split by time: time from which rows are for validation.
        test_from: split by time: time from which rows are for test.
        valid_share: split by time: share of the rows for validation, where no time is given.
        test_share: split by time: share of the rows for test, likewise.
        skip_unreadable: skip pictures that cannot be read instead of failing.
        replace: replace an existing data set with the same name.
    """

    interactions: Path | None = None
    items: Path | None = None
    pictures: Path | None = None
    columns: tuple[str, ...] | None = None
    k: int = 5
    min_rating: float | None = None
    seed: int = 0
    split: SplitKind | None = None
    keep: Keep = "first"
    valid_from: str | None = None
    test_from: str | None = None
    valid_share: float = SplitOptions.valid_share
    test_share: float = SplitOptions.test_share
    skip_unreadable: bool = False
    replace: bool = False

    @property
    def how(self) -> SplitOptions:
        """The options of the split."""
        return SplitOptions(
            kind=self.split,
            keep=self.keep,
            seed=self.seed,
            valid_from=self.valid_from,
            test_from=self.test_from,
            valid_share=self.valid_share,
            test_share=self.test_share,
        )
