"""How the interactions of a data set were split, and who is left without training interactions."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from robustrec.subject import Record

SplitKind = Literal["random", "leave-one-out", "leave-last-two", "time", "published"]
SPLIT_KINDS: tuple[SplitKind, ...] = ("random", "leave-one-out", "leave-last-two", "time", "published")
Keep = Literal["first", "last", "max", "sum"]
KEEPS: tuple[Keep, ...] = ("first", "last", "max", "sum")
BY_TIME = ("leave-one-out", "leave-last-two", "time")
"""Splits that need the time of every interaction."""

_SUMMARIES = {
    "random": "random, about 8:1:1 per user",
    "leave-one-out": "leave-one-out: the last interaction of a user is for test, one of the others, drawn at random, "
    "for validation",
    "leave-last-two": "leave-last-two: the last interaction of a user is for test, the one before for validation",
    "time": "by time, one cut for all users",
    "published": "published, taken as it is",
}


class SplitRecord(Record):
    """The split of a data set: its kind and parameters. Parameters that do not apply are None."""

    kind: SplitKind
    seed: int | None = Field(default=None, description="seed of what is drawn at random")
    keep: Keep | None = Field(default=None, description="which row of a repeated pair was kept")
    source: str = Field(default="", description="published splits: where the split of each row is from")
    valid_from: str | None = Field(
        default=None, description="splits by time: validation begins here; a date in UTC, or a number as in the data"
    )
    test_from: str | None = Field(default=None, description="splits by time: test begins here")
    valid_share: float | None = Field(default=None, description="splits by time: share that gave valid_from")
    test_share: float | None = Field(default=None, description="splits by time: share that gave test_from")
    first: str | None = Field(default=None, description="time of the earliest interaction, if the times are known")
    last: str | None = Field(default=None, description="time of the latest interaction, if the times are known")
    early_test: int | None = Field(
        default=None,
        ge=0,
        description="test interactions that are earlier than a training interaction of the same user; None if the "
        "times are not known",
    )

    @property
    def words(self) -> str:
        """The split in one line: its kind, parameters and the dates of its cuts."""
        parts = [_SUMMARIES[self.kind]]
        if self.source:
            parts.append(f"from {self.source}")
        if self.valid_from is not None:
            parts.append(f"validation from {self.valid_from}{_share(self.valid_share)}")
        if self.test_from is not None:
            parts.append(f"test from {self.test_from}{_share(self.test_share)}")
        if self.seed is not None:
            parts.append(f"seed {self.seed}")
        if self.keep not in (None, "first"):
            parts.append(f"repeated pairs: {self.keep}")
        if self.first is not None:
            parts.append(f"interactions of {self.first} to {self.last}")
        return "; ".join(parts)


def _share(share: float | None) -> str:
    return "" if share is None else f" (a share of {share:.0%})"


class ColdUsers(Record):
    """Users without training interactions, and their held-out interactions, which are not evaluated."""

    users: int = Field(default=0, ge=0)
    validation: int = Field(default=0, ge=0, description="validation interactions of these users")
    test: int = Field(default=0, ge=0, description="test interactions of these users")


NO_COLD_USERS = ColdUsers()


class ColdStart(Record):
    """Users and items without training interactions."""

    users: ColdUsers = Field(description="users without training interactions, who are not evaluated")
    items: int = Field(ge=0, description="items without training interactions; they are ranked like all items")
    test_of_items: int = Field(ge=0, description="test interactions with these items, of evaluated users")
    users_of_items: int = Field(ge=0, description="evaluated users with such a test interaction")


def split_note(split: SplitRecord | None, n_test: int) -> str:
    """Return a note on a split that lets a model train on the future; empty for other splits and unknown times.

    Args:
        split: the split; None if it is not known.
        n_test: number of test interactions.
    """
    if split is None or split.kind not in ("random", "published") or not split.early_test:
        return ""
    return (
        f"a {split.kind} split of data with timestamps lets the model train on interactions later than the test ones: "
        f"{split.early_test:,} of {n_test:,} test interactions are earlier than a training interaction of the same "
        "user, so quality may be higher than in use; to split by time, import with --split time"
    )
