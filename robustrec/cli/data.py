"""`robustrec data`: import, list and describe data sets."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from robustrec.cli import options, prepare
from robustrec.cli.descriptions import home_of, show_description
from robustrec.cli.terminal import data_console, progress_bars, say
from robustrec.sheet import Sheet
from robustrec.streams import write_json

if TYPE_CHECKING:
    from robustrec.datasets.split_record import Keep, SplitKind

app = typer.Typer(no_args_is_help=True)
app.command("prepare")(prepare.prepare)


@app.command("import")
def import_(
    path: Annotated[
        Path,
        typer.Argument(
            help="Folder, file, or zip or tar of a folder with interactions: the MMRec layout, RecBole, MovieLens, CSV,"
            " JSON Lines, Parquet, Arrow, a saved Hugging Face dataset, LightGCN lists; or a PyTorch Geometric graph"
            " saved with torch.save(data.to_dict(), PATH).",
            show_default=False,
        ),
    ],
    *,
    name: Annotated[str, typer.Option(help="Name of the data set.", show_default=False)],
    home: options.Home = None,
    interactions: Annotated[
        Path | None,
        typer.Option(help="File of interactions, or folder of the files of one table. Default: found in PATH."),
    ] = None,
    items: Annotated[
        Path | None, typer.Option(help="The catalog: a file, or folder of one table. Default: found in PATH.")
    ] = None,
    pictures: Annotated[
        Path | None, typer.Option(help="Folder or zip file of pictures. Default: found in PATH.")
    ] = None,
    user_table: Annotated[
        Path | None,
        typer.Option(
            help="Table of users: a file, or folder of one table. It needs --user-columns.", show_default=False
        ),
    ] = None,
    user_columns: Annotated[
        str | None,
        typer.Option(
            help="Columns of the table of users to keep, for segments: country,plan=tier keeps the column tier as plan;"
            " user=COLUMN names that of the user ids. Other columns are not kept.",
            show_default=False,
        ),
    ] = None,
    data_format: Annotated[
        str | None,
        typer.Option(
            "--format",
            help="Format of the interactions: mmrec, recbole, movielens, csv, jsonl, parquet, arrow, huggingface or"
            " lightgcn. Default: recognised.",
        ),
    ] = None,
    columns: Annotated[
        str | None,
        typer.Option(
            help="Columns by name: user=customer,item=sku,rating=stars,timestamp=at,label=part, also title, brand,"
            " category, description, image, price of the catalog, and further columns of it under a name of your own"
            " (margin=profit); or, of a file without a header, their order:"
            " user,item,rating,timestamp."
        ),
    ] = None,
    k: Annotated[
        int,
        typer.Option("--k", min=1, help="Ratings file: keep users and items with at least k interactions (k-core)."),
    ] = 5,
    min_rating: Annotated[float | None, typer.Option(help="Ratings file: drop rows with a lower rating.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the split.")] = 0,
    split: Annotated[
        str | None,
        typer.Option(
            help="Split: random (8:1:1 per user), leave-one-out, leave-last-two or time (one cut for all users), all by"
            " time, or published (as the files give it). Default: published if the files give a split, else random."
        ),
    ] = None,
    keep: Annotated[
        str,
        typer.Option(
            help="Ratings file: of a repeated pair, keep the first or last row, or the max or sum of its ratings."
        ),
    ] = "first",
    valid_from: Annotated[
        str | None, typer.Option(help="Split by time: validation begins at this date, or number as in the file.")
    ] = None,
    test_from: Annotated[
        str | None, typer.Option(help="Split by time: test begins at this date, or number as in the file.")
    ] = None,
    valid_share: Annotated[
        float, typer.Option(help="Split by time without dates: share of the interactions for validation.")
    ] = 0.1,
    test_share: Annotated[
        float, typer.Option(help="Split by time without dates: share of the interactions for test.")
    ] = 0.1,
    skip_unreadable: Annotated[
        bool,
        typer.Option("--skip-unreadable", help="Skip pictures that cannot be read, and report their number."),
    ] = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace an existing data set with the same name.")
    ] = False,
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
) -> None:
    """Import a folder or a graph as the full edition of a data set and describe it."""
    from robustrec.datasets.describe import describe
    from robustrec.datasets.importing import ImportOptions, import_folder
    from robustrec.datasets.manifest import read_manifest
    from robustrec.datasets.registry import load_folder
    from robustrec.untrusted.archives import is_archive

    place = home_of(home)
    chosen = ImportOptions(
        interactions=interactions,
        items=items,
        pictures=pictures,
        user_table=user_table,
        user_columns=tuple(user_columns.split(",")) if user_columns else None,
        format=data_format,
        columns=tuple(columns.split(",")) if columns else None,
        k=k,
        min_rating=min_rating,
        seed=seed,
        split=cast("SplitKind | None", split),
        keep=cast("Keep", keep),
        valid_from=valid_from,
        test_from=test_from,
        valid_share=valid_share,
        test_share=test_share,
        skip_unreadable=skip_unreadable,
        replace=replace,
    )
    with progress_bars(quiet=quiet) as progress:
        if path.suffix in (".pt", ".pth") and not path.is_dir():
            from robustrec.adapters.pyg.importing import import_graph_file

            target = import_graph_file(path, name, place, chosen, progress=progress)
        elif is_archive(path) and path.is_file():
            from robustrec.datasets.archives import import_archive

            target = import_archive(path, name, place, chosen, progress=progress)
        else:
            target = import_folder(path, name, place, chosen, progress=progress)
    if recognised := read_manifest(target).recognised:
        say(recognised, quiet=quiet)
    description = describe(load_folder(target, home=place))
    say(f"imported as {name!r} into {target}", quiet=quiet)
    show_description(description, as_json=as_json)


@app.command("list")
def list_(home: options.Home = None, as_json: options.AsJson = False) -> None:
    """List the available data sets by edition."""
    from robustrec.datasets.listing import listed

    rows = listed(home_of(home))
    if as_json:
        write_json([row._asdict() for row in rows])
        return
    cells = [(row.name, row.edition, row.what, row.folder or "created at first use") for row in rows]
    Sheet(data_console()).table(["name", "edition", "what", "where"], cells, numbers_from=4, ruled=False, indent=0)


@app.command("describe")
def describe_(
    name: Annotated[str, typer.Argument(help="Name of a data set, or path of a folder.", show_default=False)],
    edition: options.Edition = None,
    home: options.Home = None,
    as_json: options.AsJson = False,
) -> None:
    """Describe a data set: counts, sparsity, popularity, texts, pictures, features, edition."""
    from robustrec.datasets.describe import describe
    from robustrec.datasets.registry import load_dataset

    show_description(describe(load_dataset(name, home=home_of(home), edition=edition or "auto")), as_json=as_json)
