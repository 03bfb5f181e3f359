"""What an import is recognised by: a repeated import of unchanged files with the same options does nothing."""

from __future__ import annotations

from dataclasses import astuple
from pathlib import Path
from typing import TYPE_CHECKING

from robustrec import __version__
from robustrec.datasets.item_numbers import MAPPINGS
from robustrec.datasets.manifest import MANIFEST, read_manifest
from robustrec.digests import file_stamp
from robustrec.errors import RobustrecError
from robustrec.files import digest_json

if TYPE_CHECKING:
    from robustrec.datasets.import_options import ImportOptions
    from robustrec.datasets.import_sources import Sources


def import_key(sources: Sources, options: ImportOptions) -> str:
    """Return a digest of the import: options, and path, size and times of each file."""
    if sources.archive is not None:
        outside = [path for path in sources.users if not path.resolve().is_relative_to(sources.folder.resolve())]
        stamps = [file_stamp(path.resolve()) for path in outside]
        archive = file_stamp(sources.archive.resolve())
        return digest_json([__version__, *_how(options), archive, *([stamps] if stamps else [])])
    files = [*sources.interactions, *sources.items, *sources.features.values(), *(path for path, _ in sources.not_read)]
    files += [*([sources.user_graph] if sources.user_graph is not None else []), *sources.users]
    files += [path for name in (MANIFEST, *MAPPINGS) if (path := sources.folder / name).is_file()]
    if sources.pictures is not None:
        inside = sorted(sources.pictures.rglob("*")) if sources.pictures.is_dir() else [sources.pictures]
        files += [path for path in inside if path.is_file()]
    return digest_json([__version__, *_how(options), [file_stamp(path.resolve()) for path in files]])


def _how(options: ImportOptions) -> list[object]:
    how = [options.format, options.columns, options.k, options.min_rating, options.skip_unreadable]
    # Without a table of users, a finished import of an earlier version is known again.
    return [how, astuple(options.how), *([options.user_columns] if options.user_columns is not None else [])]


def import_key_of(target: Path) -> str | None:
    """Return the digest that an import recorded in its data set, if there is one."""
    try:
        return read_manifest(target).imported
    except RobustrecError:
        return None
