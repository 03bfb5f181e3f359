"""`robustrec init`: look at a folder of data, and write settings, a suite and a CI workflow for it."""

from __future__ import annotations

import shlex
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from robustrec.cli import options
from robustrec.cli.init_files import SUITE, Project, texts
from robustrec.cli.terminal import data_console, say
from robustrec.errors import RobustrecError
from robustrec.sheet import Sheet

if TYPE_CHECKING:
    from robustrec.datasets.survey import Survey


class Ci(StrEnum):
    """CI systems with a workflow."""

    github = "github"
    gitlab = "gitlab"
    none = "none"


def init(
    folder: Annotated[Path, typer.Argument(help="Folder with the data, as for robustrec data import.")] = Path(),
    *,
    name: Annotated[
        str | None, typer.Option(help="Name of the data set. Default: the name of the folder.", show_default=False)
    ] = None,
    output: Annotated[
        Path, typer.Option(help="Folder of the project, where commands are run and the files are written.")
    ] = Path(),
    ci: Annotated[Ci, typer.Option(help="CI system of the workflow.")] = Ci.github,
    interactions: Annotated[
        Path | None, typer.Option(help="File of the interactions. Default: found in FOLDER.")
    ] = None,
    items: Annotated[Path | None, typer.Option(help="The catalog. Default: found in FOLDER.")] = None,
    pictures: Annotated[Path | None, typer.Option(help="Folder or zip of pictures. Default: found in FOLDER.")] = None,
    columns: Annotated[
        str | None, typer.Option(help="Column names, as for robustrec data import.", show_default=False)
    ] = None,
    k: Annotated[
        int, typer.Option("--k", min=1, help="Keep users and items with at least k interactions (k-core).")
    ] = 5,
    force: Annotated[bool, typer.Option("--force", help="Overwrite existing files.")] = False,
    quiet: options.Quiet = False,
) -> None:
    """Recognise the data in a folder and write robustrec.toml, a suite and a CI workflow for them."""
    from robustrec.audits.suites import parse_suite
    from robustrec.datasets.import_options import ImportOptions
    from robustrec.datasets.layout import plain_name
    from robustrec.datasets.survey import survey
    from robustrec.files import write_atomically

    chosen = name or plain_name(folder.resolve().name)
    if not folder.is_dir():
        raise RobustrecError(
            f"{folder} is not a directory",
            where="argument FOLDER",
            fix="give the folder with the data; unpack an archive before",
        )
    _check_settings(output)
    given = ImportOptions(
        interactions=interactions,
        items=items,
        pictures=pictures,
        columns=tuple(columns.split(",")) if columns else None,
        k=k,
    )
    words = _words(folder, name, output, ci)
    try:
        found = survey(folder, chosen, given)
    except RobustrecError as error:
        advice, colon, option = error.fix.rpartition(": --")
        fix = f"{advice}: {shlex.join([*words, *given.words(option.split()[0])])} --{option}" if colon else error.fix
        raise RobustrecError(error.what, where=error.where, fix=fix) from error
    _check_content(found, folder)
    project = Project(chosen, _relative(folder, output), found)
    files = texts(project, ci.value)
    parse_suite(files[SUITE], source=SUITE)
    there = [path for path in files if (output / path).exists()]
    if there and not force:
        raise RobustrecError(
            f"{', '.join(there)} already exist{'s' if len(there) == 1 else ''}",
            where=str(output.resolve()),
            fix=f"remove them, or overwrite them: {shlex.join([*words, *given.words()])} --force",
        )
    for path, text in files.items():
        (output / path).parent.mkdir(parents=True, exist_ok=True)
        write_atomically(output / path, text)
    _show(project, list(files), output, quiet=quiet)


def _check_settings(output: Path) -> None:
    """Refuse a project in which another file than robustrec.toml has the settings.

    Raises:
        RobustrecError: a pyproject.toml has them.
    """
    from robustrec.config import resolve

    place = next(
        (
            source
            for source in resolve({}, environment={}, folder=output.resolve()).sources.values()
            if "[tool.robustrec]" in source
        ),
        None,
    )
    if place is not None:
        raise RobustrecError(
            "the settings of this folder are in a pyproject.toml, so robustrec.toml would not be read",
            where=place.partition(",")[0],
            fix="remove its table [tool.robustrec], or write the files into another folder: --output DIR",
        )


def _check_content(found: Survey, folder: Path) -> None:
    """Refuse data without anything that can be perturbed.

    Raises:
        RobustrecError: no item has a text, a picture or features.
    """
    if not (found.features or found.n_texts or found.n_pictures):
        raise RobustrecError(
            "no item has a text, a picture or features, so there is nothing to perturb",
            where=f"{folder}: {found.recognised}",
            fix="add a catalog (items.csv with item_id,title), pictures named by item id, or feature files "
            "(text_feat.npy, image_feat.npy)",
        )


def _relative(folder: Path, output: Path) -> Path:
    place, base = folder.resolve(), output.resolve()
    return place.relative_to(base) if place.is_relative_to(base) else place


def _words(folder: Path, name: str | None, output: Path, ci: Ci) -> list[str]:
    words = ["robustrec", "init", str(folder), *(["--name", name] if name else [])]
    words += [] if output == Path() else ["--output", str(output)]
    return [*words, *(["--ci", ci.value] if ci is not Ci.github else [])]


def _show(project: Project, files: list[str], output: Path, *, quiet: bool) -> None:
    found, data = project.found, project.found.interactions
    sheet = Sheet(data_console())
    content = [
        f"{count:,} {what}"
        for count, what in ((found.n_texts, "with a text"), (found.n_pictures, "with a picture"))
        if count
    ]
    rows = [
        ("recognised", found.recognised),
        ("users, items", f"{data.n_users:,}, {data.n_items:,} ({', '.join(content) or 'no texts or pictures'})"),
        ("split", f"{found.split.words}; {found.n_test_users:,} test users"),
        *([("features", ", ".join(found.features))] if found.features else []),
        ("audits", "noise and merchant edits" if project.content else _noise_only(found)),
        *(("wrote", str(output / path)) for path in files),
    ]
    sheet.table([], rows, numbers_from=2, ruled=False, indent=0)
    say("next, in this order:", quiet=quiet)
    say(f"  {shlex.join(project.import_words)}", quiet=quiet)
    say("  robustrec audit --dry-run", quiet=quiet)
    say("  robustrec audit", quiet=quiet)


def _noise_only(found: Survey) -> str:
    reason = "the feature files are used as they are" if found.features else "no item has a text or picture"
    return f"noise only: {reason}, so edited texts and pictures cannot be encoded"
