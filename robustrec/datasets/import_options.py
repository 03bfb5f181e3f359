"""Options of an import."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, fields, replace
from pathlib import Path

from robustrec.config import home_words
from robustrec.datasets.conversion import SplitOptions
from robustrec.datasets.formats.kinds import LABELS
from robustrec.datasets.split_record import Keep, SplitKind
from robustrec.errors import RobustrecError, unknown_name


@dataclass(frozen=True)
class ImportOptions:
    """Options of an import, apart from folder and name.

    Attributes:
        interactions: file of interactions, or folder of the files of one table; None: search the folder.
        items: catalog, likewise; None: search the folder.
        pictures: folder or zip; None: search the folder.
        user_table: table of users; None: none.
        user_columns: columns of it to keep, as `name` or `name=column`.
        format: name of the format of the interactions, see `formats.kinds.LABELS`; None: recognised.
        columns: column names in the order of the file, or `kind=name` for columns that are named otherwise.
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
    user_table: Path | None = None
    user_columns: tuple[str, ...] | None = None
    format: str | None = None
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

    def resolved(self, source: Path) -> ImportOptions:
        """Return the options with existing paths; a relative path may be relative to the folder.

        Raises:
            RobustrecError: a path is not found, or is neither a regular file nor a folder, or the format is unknown.
        """
        if self.format is not None and self.format not in LABELS:
            raise unknown_name("format", self.format, LABELS, where="option --format")
        if self.user_columns is not None and self.user_table is None:
            raise RobustrecError(
                "columns of users are named, but there is no table of users",
                where="option --user-columns",
                fix="give the table with --user-table FILE, or remove --user-columns",
            )
        found: dict[str, Path] = {}
        for option in ("interactions", "items", "pictures", "user_table"):
            given = getattr(self, option)
            if given is None:
                continue
            path = next((place for place in (given, source / given) if place.exists()), None)
            if path is None:
                raise RobustrecError(
                    f"{given} not found",
                    where=f"option --{option.replace('_', '-')}",
                    fix="give the path of an existing file",
                )
            if not (path.is_file() or path.is_dir()):
                raise RobustrecError(
                    f"{given} is not a regular file",
                    where=f"option --{option.replace('_', '-')}",
                    fix="give the path of an existing file",
                )
            found[option] = path
        return replace(self, **found)  # type: ignore[arg-type]

    def pasteable(self, fix: str, source: Path, name: str, home: Path) -> str:
        """Return a fix with the complete command: this import, with the suggested option."""
        advice, colon, option = fix.rpartition(": --")
        if not colon:
            return fix
        words = ["robustrec", "data", "import", str(source), "--name", name, *home_words(home)]
        return f"{advice}: {shlex.join([*words, *self.words(option.split()[0])])} --{option}"

    def words(self, without: str = "") -> list[str]:
        """Return the options of the command line that differ from the default, but one."""
        words = []
        for field in fields(ImportOptions):
            value, flag = getattr(self, field.name), field.name.replace("_", "-")
            if value != field.default and flag != without:
                text = ",".join(value) if isinstance(value, tuple) else str(value)
                words += [f"--{flag}"] if value is True else [f"--{flag}", text]
        return words
