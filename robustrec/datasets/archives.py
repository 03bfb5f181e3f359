"""Import of a zip or tar: unpacked with limits into a temporary folder, which is imported like any other."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from robustrec.datasets.import_options import ImportOptions
from robustrec.datasets.importing import import_folder
from robustrec.errors import RobustrecError
from robustrec.progress import Progress, silent
from robustrec.untrusted import UnreadableError
from robustrec.untrusted.archives import unpack


def import_archive(
    path: Path, name: str, home: Path, options: ImportOptions | None = None, *, progress: Progress = silent
) -> Path:
    """Import a zip or tar as `import_folder` does a folder, and return the location of the data set.

    A folder at the top that holds everything else is the folder of the data.

    Args:
        path: the archive.
        name: name of the data set.
        home: the robustrec home folder.
        options: paths in them are in the archive or outside.
        progress: reports the number of pictures.

    Raises:
        RobustrecError: the archive is damaged or not safe, or as `import_folder`.
    """
    with TemporaryDirectory(prefix="robustrec-archive-") as temporary:
        stage = Path(temporary).resolve() / (path.name.partition(".")[0] or "archive")
        stage.mkdir()
        try:
            unpack(path, stage)
        except UnreadableError as error:
            raise RobustrecError(
                f"cannot import the archive: {error}",
                where=str(path),
                fix="unpack it yourself, look at the files, and import the folder: robustrec data import FOLDER "
                f"--name {name}",
            ) from error
        folder = _top(stage)
        try:
            return import_folder(folder, name, home, options, progress=progress, archive=path)
        except RobustrecError as error:  # name what was given, not the folder that is gone
            what, where, fix = (text.replace(str(folder), str(path)) for text in (error.what, error.where, error.fix))
            fix = fix.replace(f"{path}/", "")  # a file is named by its path in the archive
            raise RobustrecError(what, where=where, fix=fix) from error


def _top(folder: Path) -> Path:
    """Return the folder that holds the files: while there is one folder and nothing else, the one inside."""
    while len(inside := list(folder.iterdir())) == 1 and inside[0].is_dir():
        folder = inside[0]
    return folder
