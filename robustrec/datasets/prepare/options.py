"""Options of `robustrec data prepare`."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, fields
from pathlib import Path

from robustrec.config import home_words
from robustrec.datasets.split_record import Keep, SplitKind


@dataclass(frozen=True)
class PrepareOptions:
    """Options of a preparation.

    Attributes:
        category: category of the layout; None: the only one in the folder.
        name: name of the data set; None: from the category.
        pictures: folder or zip of pictures, named by item id or as in the catalog; None: as in the layout.
        cnn_features: file of image features (Amazon 2014); None: none.
        picture_urls: download pictures from their addresses.
        picture_rate: requests per second at most.
        offline: use only pictures that are downloaded already.
        labels: published split, `.inter`; None: a random split per user.
        k: smallest number of interactions of a user or item (k-core).
        split: the split, where no labels are given.
        keep: which row of a repeated pair counts.
        seed: seed of the split.
        skip_unreadable: skip pictures that cannot be read instead of failing.
        replace: replace an existing data set with the same name.
    """

    category: str | None = None
    name: str | None = None
    pictures: Path | None = None
    cnn_features: Path | None = None
    picture_urls: bool = False
    picture_rate: float = 5.0
    offline: bool = False
    labels: Path | None = None
    k: int = 5
    split: SplitKind = "random"
    keep: Keep = "first"
    seed: int = 0
    skip_unreadable: bool = False
    replace: bool = False

    def pasteable(self, fix: str, layout: str, raw: Path, home: Path) -> str:
        """Return a fix with the complete command: this preparation, with the suggested option."""
        advice, colon, option = fix.rpartition(": --")
        if not colon:
            return fix
        words = ["robustrec", "data", "prepare", layout, "--raw", str(raw), *home_words(home)]
        replaced = option.split()[0]
        for each in fields(PrepareOptions):
            value, flag = getattr(self, each.name), each.name.replace("_", "-")
            if value != each.default and flag != replaced:
                words += [f"--{flag}"] if value is True else [f"--{flag}", str(value)]
        return f"{advice}: {shlex.join(words)} --{option}"
