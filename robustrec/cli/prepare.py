"""`robustrec data prepare`: public data sets from the files that their projects publish."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from robustrec.cli import options
from robustrec.cli.terminal import data_console, progress_bars, say
from robustrec.sheet import Sheet
from robustrec.streams import write_json

if TYPE_CHECKING:
    from robustrec.datasets.describe import Description
    from robustrec.datasets.prepare.build import Prepared
    from robustrec.datasets.split_record import Keep, SplitKind


def _list(wanted: bool) -> None:
    """Print the layouts, the files of each and where they are published."""
    if not wanted:
        return
    from robustrec.datasets.prepare.layouts import LAYOUTS, expected_files

    sheet = Sheet(data_console())
    for layout in LAYOUTS.values():
        sheet.line(f"{layout.name}: {layout.what}", "bold")
        place = layout.category.upper()
        sheet.line(f"  from {layout.page}")
        for line in expected_files(layout, place or "-"):
            sheet.line(f"  {line}")
        category = f" --category {layout.example}" if layout.category else ""
        sheet.line(f"  robustrec data prepare {layout.name}{category} --raw FOLDER")
        sheet.line("")
    raise typer.Exit


def prepare(
    layout: Annotated[
        str,
        typer.Argument(help="amazon2014, amazon2018, amazon2023, microlens or hm.", show_default=False),
    ],
    *,
    raw: Annotated[Path, typer.Option(help="Folder with the downloaded files.", show_default=False)],
    category: Annotated[
        str | None,
        typer.Option(help="Category as in the file names, e.g. Baby; MicroLens: 50k or 100k. Default: the only one."),
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of the data set. Default: from the category.")] = None,
    home: options.Home = None,
    pictures: Annotated[
        Path | None, typer.Option(help="Folder or zip of pictures, named by item id or as in the metadata.")
    ] = None,
    picture_urls: Annotated[
        bool, typer.Option("--picture-urls", help="Amazon: download the pictures from their addresses in the metadata.")
    ] = False,
    picture_rate: Annotated[float, typer.Option(help="Requests per second at most, with --picture-urls.")] = 5.0,
    offline: options.Offline = None,
    cnn_features: Annotated[
        Path | None, typer.Option(help="amazon2014: image features, image_features_CATEGORY.b.")
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(help="Published split, instead of a random one: a .inter file with userID, itemID, x_label."),
    ] = None,
    k: Annotated[int, typer.Option("--k", min=1, help="Keep users and items with at least k interactions.")] = 5,
    split: Annotated[
        str,
        typer.Option(help="random, about 8:1:1 per user; leave-one-out, leave-last-two, or time (one cut for all)."),
    ] = "random",
    keep: Annotated[
        str, typer.Option(help="Of a repeated pair, keep the first or last row, or the max or sum of its ratings.")
    ] = "first",
    seed: Annotated[int, typer.Option(min=0, help="Seed of the split.")] = 0,
    skip_unreadable: Annotated[
        bool, typer.Option("--skip-unreadable", help="Skip pictures that cannot be read, and report their number.")
    ] = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace an existing data set with the same name.")
    ] = False,
    list_: Annotated[
        bool,
        typer.Option("--list", callback=_list, is_eager=True, help="List layouts, their files and pages, and exit."),
    ] = False,
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
) -> None:
    """Prepare a public data set from the files that you downloaded, as a full edition.

    The k-core of the interactions is split per user, or as --labels says. The counts are compared with published ones.
    """
    from robustrec.cli.descriptions import home_of, show_description
    from robustrec.datasets.describe import describe
    from robustrec.datasets.prepare.build import prepare as prepare_data
    from robustrec.datasets.prepare.options import PrepareOptions
    from robustrec.datasets.registry import load_folder

    place = home_of(home)
    chosen = PrepareOptions(
        category=category,
        name=name,
        pictures=pictures,
        picture_urls=picture_urls,
        picture_rate=picture_rate,
        offline=picture_urls and options.settings_from(offline=offline).settings.offline,
        cnn_features=cnn_features,
        labels=labels,
        k=k,
        split=cast("SplitKind", split),
        keep=cast("Keep", keep),
        seed=seed,
        skip_unreadable=skip_unreadable,
        replace=replace,
    )
    with progress_bars(quiet=quiet) as progress:
        done = prepare_data(layout, raw, place, chosen, progress=progress)
    description = describe(load_folder(done.folder, home=place))
    state = "prepared" if done.counts else "already prepared, unchanged,"
    say(f"{state} as {done.name!r} in {done.folder}", quiet=quiet)
    for warning in done.warnings:
        say(f"warning: {warning}", quiet=quiet)
    if as_json:
        write_json(_json(description, done))
        return
    show_description(description, as_json=False)
    if done.counts:
        sheet = Sheet(data_console())
        sheet.line("Raw files and catalog", "bold")
        sheet.table([], [(name, f"{count:,}") for name, count in done.counts.items()], numbers_from=1, ruled=False)


def _json(description: Description, done: Prepared) -> dict[str, object]:
    return {
        **description.model_dump(mode="json"),
        "prepared": {"counts": dict(done.counts), "warnings": list(done.warnings)},
    }
