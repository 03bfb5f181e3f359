"""The files of a folder that an import reads."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from robustrec.datasets.manifest import Manifest


class Sources(NamedTuple):
    """The files to import, and the manifest of the folder, if any.

    `interactions` has several files if the folder holds a published split; `split` has the label of each file. `users`
    has the files of the table of users.
    """

    folder: Path
    interactions: tuple[Path, ...]
    split: Mapping[int, tuple[Path, ...]]
    items: tuple[Path, ...]
    pictures: Path | None
    features: dict[str, Path]
    not_read: tuple[tuple[Path, str], ...]
    unread: tuple[Path, ...]
    user_graph: Path | None
    manifest: Manifest | None
    archive: Path | None = None
    users: tuple[Path, ...] = ()
