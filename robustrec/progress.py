"""What long work reports while it runs; the command line draws it, tests ignore it."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Called with the stage's name, how much is done, how much there is, and a short note."""

    def __call__(self, stage: str, done: int, total: int, note: str = "", /) -> None:
        """Report that `done` of `total` parts of `stage` are finished."""


def silent(stage: str, done: int, total: int, note: str = "", /) -> None:
    """Report nothing."""
