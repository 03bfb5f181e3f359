"""`robustrec encoder`: train a BLIP encoder on a catalog, and show its model card."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from robustrec.cli import options
from robustrec.cli.terminal import progress_bars, say
from robustrec.errors import RobustrecError
from robustrec.streams import write_json, write_text

if TYPE_CHECKING:
    from robustrec.pretraining.reading import TrainingCatalog

app = typer.Typer(no_args_is_help=True, cls=options.OldNames)

RENAMED = {"training.prelude": "caption_warmup", "training.ripening": "hard_negative_ramp"}
"""Old names of settings, which are still read."""

Datasets = Annotated[
    list[str] | None,
    typer.Option("--dataset", "-d", help="Data set name, or path of a folder; repeatable.", show_default=False),
]


@app.command()
def pretrain(
    *,
    output: Annotated[Path, typer.Option(help="Output folder of the encoder; must not exist.", show_default=False)],
    dataset: Datasets = None,
    edition: options.Edition = None,
    items: Annotated[
        Path | None,
        typer.Option(help="Catalog to use instead of a data set: one JSON object per line, no users needed."),
    ] = None,
    pictures: Annotated[Path | None, typer.Option(help="With --items: folder or zip file of the pictures.")] = None,
    start: Annotated[
        str | None,
        typer.Option(
            "--from", help="Start from this encoder: a folder or a Hugging Face Hub name. Default: train from scratch."
        ),
    ] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Optimizer steps.")] = None,
    minutes: Annotated[
        float | None, typer.Option(min=0.05, help="Approximate training time in minutes, instead of --steps.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of initial weights, split, batches and negatives.")] = 0,
    image_size: Annotated[int | None, typer.Option(min=16, help="Height and width of the pictures in pixels.")] = None,
    n_products: Annotated[
        int,
        typer.Option("--products", min=64, help="Sample edition: number of additional synthetic products to train on."),
    ] = 2000,
    goods: Annotated[int | None, typer.Option("--goods", min=64, hidden=True)] = None,
    device: options.Device = None,
    threads: options.Threads = None,
    home: options.Home = None,
    offline: options.Offline = None,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", help="Override model.KEY=VALUE or training.KEY=VALUE; repeatable.")
    ] = None,
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
) -> None:
    """Train a BLIP encoder on the pictures and texts of catalogs.

    The losses are contrastive, matching, captioning and word prediction.
    Training starts from random weights, or with --from from a BLIP checkpoint.
    A part of the items is held out for the evaluation after training.
    An interrupted training resumes. Pass the output folder to --weights.
    """
    settings = options.settings_from(device=device, threads=threads, home=home, offline=offline).settings
    if goods is not None:
        say("--goods is now --products; the old name will be removed", quiet=quiet)
        n_products = goods
    catalogs = _catalogs(dataset, edition, items, pictures, n_products)
    given = _overrides(overrides, steps=steps, seed=seed)
    from robustrec.hardware import pick_device, set_numerics
    from robustrec.invalid import overridden
    from robustrec.pretraining.run import Request
    from robustrec.pretraining.run import pretrain as run
    from robustrec.pretraining.settings import Shape, TrainingSettings

    set_numerics(settings.threads)
    if start is not None:
        given["training"].setdefault("caption_warmup", 0.0)  # its image and text encoders are aligned already
    request = Request(
        catalogs=catalogs,
        out=output,
        home=settings.home,
        shape=overridden(Shape, given["model"], section="model"),
        training=overridden(TrainingSettings, given["training"], section="training"),
        start=start,
        image_size=image_size,
        minutes=minutes,
        device=pick_device(settings.device),
        offline=settings.offline,
    )
    with progress_bars(quiet=quiet) as progress:
        card = run(request, progress, lambda message: say(message, quiet=quiet))
    _print(card, as_json=as_json)


@app.command()
def card(
    folder: Annotated[Path | None, typer.Argument(help="Folder of an encoder. Default: the shipped tiny-blip.")] = None,
    as_json: options.AsJson = False,
) -> None:
    """Show the model card of an encoder: its training data, and its evaluation on held-out items."""
    from robustrec.encoders.weights import shipped_blip
    from robustrec.pretraining.page import read_card

    _print(read_card(shipped_blip() if folder is None else folder), as_json=as_json)


@app.command("worth", hidden=True)
@app.command()
def evaluate(
    context: typer.Context,
    folder: Annotated[Path | None, typer.Argument(help="Folder of an encoder. Default: the shipped tiny-blip.")] = None,
    dataset: Datasets = None,
    model: options.GivenModels = None,
    edition: options.Edition = None,
    seeds: options.Seeds = None,
    device: options.Device = None,
    threads: options.Threads = None,
    home: options.Home = None,
    write: Annotated[bool, typer.Option("--write", help="Add the result to the model card of the encoder.")] = False,
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
) -> None:
    """Train recommenders on features of this encoder and on basic features, and compare their quality.

    Default: vbpr and slmrec on clothing and baby.
    """
    if context.info_name == "worth":
        say("robustrec encoder worth is now robustrec encoder evaluate; the old name will be removed", quiet=quiet)
    settings = options.settings_from(device=device, threads=threads, home=home, edition=edition, seeds=seeds).settings
    from robustrec.encoders.weights import shipped_blip
    from robustrec.hardware import set_numerics
    from robustrec.pretraining.page import read_card, recommenders_text, write_card
    from robustrec.pretraining.quality import gains, with_gains

    set_numerics(settings.threads)
    place = shipped_blip() if folder is None else folder
    card = read_card(place)
    with progress_bars(quiet=quiet) as progress:
        rows = gains(
            place,
            dataset or ["clothing", "baby"],
            model or ["vbpr", "slmrec"],
            home=settings.home,
            edition=settings.edition,
            seeds=settings.seeds,
            device=settings.device,
            progress=progress,
        )
    card = with_gains(card, rows)
    if write:
        write_card(place, card)
    if as_json:
        write_json(card["recommenders"])
    else:
        write_text(recommenders_text(card) + "\n")


def _print(card: dict[str, Any], *, as_json: bool) -> None:
    from robustrec.pretraining.page import page_text

    if as_json:
        write_json(card)
    else:
        write_text(page_text(card))


def _catalogs(
    dataset: list[str] | None, edition: str | None, items: Path | None, pictures: Path | None, n_products: int
) -> tuple[TrainingCatalog, ...]:
    from robustrec.pretraining.reading import TrainingCatalog

    if items is None and pictures is not None:
        raise RobustrecError("--pictures without --items", where="--pictures", fix="--items FILE.jsonl")
    if items is None and not dataset:
        raise RobustrecError(
            "no training data given",
            where="robustrec encoder pretrain",
            fix="--dataset clothing, or --items FILE.jsonl --pictures FOLDER_OR_ZIP",
        )
    named = [TrainingCatalog(name, edition=edition or "auto", n_products=n_products) for name in dataset or ()]
    listed = [TrainingCatalog(items.resolve().parent.name, items=items, pictures=pictures)] if items is not None else []
    return (*named, *listed)


def _overrides(given: list[str] | None, *, steps: int | None, seed: int) -> dict[str, dict[str, Any]]:
    from robustrec.config import parse_overrides
    from robustrec.errors import unknown_name

    sections: dict[str, dict[str, Any]] = {"model": {}, "training": {"seed": seed}}
    if steps is not None:
        sections["training"]["steps"] = steps
    for section, entries in parse_overrides(given or [], "--set").items():
        if section not in sections:
            raise unknown_name("section", section, sections, where=f"--set {section}")
        for key, value in entries.items():
            name = RENAMED.get(f"{section}.{key}", key)
            if name != key:
                say(f"--set {section}.{key} is now {section}.{name}; the old name will be removed")
            sections[section][name] = value
    return sections
