"""`robustrec list`: the available models, strategies, encoders, audits, suites, metrics and edits."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from robustrec.cli import options
from robustrec.cli.terminal import data_console, progress_bars, say
from robustrec.errors import RobustrecError
from robustrec.sheet import NO_BREAK, Sheet
from robustrec.streams import write_json

if TYPE_CHECKING:
    from robustrec.config import Settings
    from robustrec.datasets.catalog import Catalog
    from robustrec.edits.contract import Edit
    from robustrec.edits.view import CatalogueView
    from robustrec.progress import Progress

app = typer.Typer(no_args_is_help=True)


def _show(kind: str, rows: list[tuple[str, str]], *, as_json: bool) -> None:
    if as_json:
        write_json([{"name": name, "what": what} for name, what in rows])
    else:
        Sheet(data_console()).table([kind, "what it is"], rows, ruled=False)


@app.command()
def models(as_json: options.AsJson = False) -> None:
    """List the recommenders."""
    from robustrec.models import SUMMARIES

    _show("model", list(SUMMARIES.items()), as_json=as_json)


@app.command()
def strategies(as_json: options.AsJson = False) -> None:
    """List the parts of training strategies, with the gradient evaluations per step of each alone.

    A strategy is a step rule, treatments of the content and an average, joined by +, for example sgbd+ema.
    """
    from robustrec.training.strategy_config import StrategyConfig
    from robustrec.training.strategy_names import SUMMARIES

    rows = []
    for name, (kind, what) in SUMMARIES.items():
        cost = StrategyConfig.model_validate({"name": name}).evaluations_per_step
        rows.append((name, f"{kind}: {what}; {cost:.2f} gradient evaluations per step"))
    _show("strategy", rows, as_json=as_json)
    if not as_json:
        say("Parts are joined by +, for example sgbd+ema; the gradient evaluations are those of a part alone.")


@app.command()
def encoders(as_json: options.AsJson = False) -> None:
    """List the encoders of item features."""
    from robustrec.encoders import SUMMARIES
    from robustrec.encoders.own import PLUGINS

    installed = [(name, f"user-defined ({point.value})") for name, point in sorted(PLUGINS.points().items())]
    _show("encoder", [*SUMMARIES.items(), *installed], as_json=as_json)


@app.command()
def audits(as_json: options.AsJson = False) -> None:
    """List the audits."""
    from robustrec.audits.registry import kinds

    found = kinds()
    if as_json:
        write_json(
            [
                {"name": each.name, "what": each.summary, "place": place, "suggested_gates": list(each.gates)}
                for each, place in found
            ]
        )
        return
    own = [(each, place) for each, place in found if place]
    _show("audit", [(each.name, each.summary) for each, place in found if not place], as_json=False)
    if own:
        _show("user-defined", [(each.name, f"{each.summary} ({place})") for each, place in own], as_json=False)


@app.command()
def suites(as_json: options.AsJson = False) -> None:
    """List the built-in suites."""
    from robustrec.audits.suites import load_suite, suite_names

    _show("suite", [(name, load_suite(name).description) for name in suite_names()], as_json=as_json)


@app.command()
def metrics(as_json: options.AsJson = False) -> None:
    """List the metrics; each takes a list length k, as in ndcg@20."""
    from robustrec.evaluation.kinds import KINDS

    _show("metric", [(f"{name}@k", kind.description) for name, kind in KINDS.items()], as_json=as_json)


def _edit_names(incomplete: str) -> list[str]:
    from robustrec.edits import EDITS

    return [name for name in EDITS if name.startswith(incomplete)]


Names = Annotated[
    list[str] | None,
    typer.Option(
        "--edit",
        help="Only this edit, or a user-defined one as module:function; repeatable.",
        autocompletion=_edit_names,
    ),
]
SheetPath = Annotated[
    Path | None, typer.Option(help="Write a PNG with examples of each edit at every severity.", show_default=False)
]
Pictures = Annotated[
    Path | None,
    typer.Option(
        help="With --sheet: folder or zip file of your own pictures, instead of --dataset; shows picture edits only.",
        show_default=False,
    ),
]


@app.command()
def edits(
    edit: Names = None,
    sheet: SheetPath = None,
    dataset: options.DatasetName = None,
    pictures: Pictures = None,
    edition: options.Edition = None,
    vocabulary: options.Vocabulary = None,
    language: options.Language = None,
    seed: Annotated[int, typer.Option(min=0, help="With --sheet: seed of the shown items and edits.")] = 0,
    home: options.Home = None,
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
) -> None:
    """List the merchant edits of titles and pictures; with --sheet, write examples as a PNG."""
    from robustrec.edits import edit as edit_named
    from robustrec.edits import edit_names

    chosen = [edit_named(name) for name in dict.fromkeys(edit or edit_names())]
    if pictures is not None and not edit:  # file names are no titles to edit
        chosen = [each for each in chosen if each.modality == "image"]
    if sheet is None:
        given: dict[str, object] = {"--dataset": dataset, "--pictures": pictures, "--edition": edition}
        given |= {"--vocabulary": vocabulary or None, "--language": language}
        for option in (name for name, value in given.items() if value is not None):
            raise RobustrecError(
                f"{option} requires --sheet", where=option, fix="give the output file: --sheet sheet.png"
            )
        _show_edits(chosen, as_json=as_json)
        return
    if dataset is not None and pictures is not None:
        raise RobustrecError(
            "--dataset and --pictures cannot be combined",
            where="options --dataset, --pictures",
            fix="give only one of them",
        )
    with progress_bars(quiet=quiet) as progress:
        settings = options.settings_from(
            dataset=dataset, edition=edition, home=home, vocabulary=vocabulary, language=language
        ).settings
        _draw_edits(chosen, sheet, settings, pictures, seed, progress)
    say(f"written: {sheet}", quiet=quiet)


def _show_edits(chosen: Sequence[Edit], *, as_json: bool) -> None:
    if as_json:
        rows = [
            {
                "name": edit.name,
                "modality": edit.modality,
                "kind": edit.declaration.kind,
                "meaning": edit.declaration.meaning,
                "what": edit.behaviour,
                "severity": {"scale": edit.declaration.scale, "steps": list(edit.declaration.steps)},
                "place": edit.place,
            }
            for edit in chosen
        ]
        write_json(rows)
        return
    cells = []
    for edit in chosen:
        steps = " · ".join(step.replace(" ", NO_BREAK) if len(step) < 12 else step for step in edit.declaration.steps)
        what = f"{edit.behaviour} Upload fault: no part of means over edits." if edit.fault else edit.behaviour
        if not edit.keeps_meaning and not edit.fault:
            what = f"{what} Not the same product: no part of the search for the worst edits."
        cells.append((edit.name, edit.modality, what, f"{edit.declaration.scale}: {steps}"))
    columns = ["edit", "changes", "what it does", "severity 1 to 5"]
    Sheet(data_console()).table(columns, cells, ruled=False, spaced=True)


def _draw_edits(
    chosen: Sequence[Edit],
    sheet: Path,
    settings: Settings,
    pictures: Path | None,
    seed: int,
    progress: Progress,
) -> None:
    from robustrec.edits.sheet import contact_sheet, png_bytes
    from robustrec.files import check_outputs, write_atomically

    if sheet.suffix.lower() != ".png":
        raise RobustrecError(
            f"--sheet must be a .png file, but got {sheet.name!r}", where="option --sheet", fix="--sheet sheet.png"
        )
    check_outputs([("--sheet", sheet)], [("--pictures", pictures), ("--dataset", Path(settings.dataset))])
    name, catalog, view = _goods(settings, pictures, progress)
    drawn = contact_sheet(catalog, view, chosen, seed=seed, heading=f"{name}, seed {seed}", progress=progress)
    write_atomically(sheet, png_bytes(drawn))


def _goods(settings: Settings, pictures: Path | None, progress: Progress) -> tuple[str, Catalog, CatalogueView]:
    """Return the source of the example items, and its name."""
    from robustrec.edits.languages import languages_of
    from robustrec.edits.view import view_of, view_of_catalog

    languages = languages_of(settings.language, settings.vocabulary)

    if pictures is not None:
        from robustrec.edits.sheet import catalog_of_pictures

        catalog = catalog_of_pictures(pictures)
        return f"pictures of {pictures.name}", catalog, view_of_catalog(catalog, languages=languages)
    from robustrec.datasets.registry import load_dataset

    data = load_dataset(settings.dataset, home=settings.home, edition=settings.edition, progress=progress)
    if data.catalog is None:
        raise RobustrecError(
            f"{data.name!r} has neither texts nor pictures",
            where="option --dataset",
            fix="import it with a catalog: robustrec data import FOLDER --name NAME --items FILE.jsonl",
        )
    return f"{data.name}, {data.edition} edition", data.catalog, view_of(data, languages)


def _first_line(docstring: str | None) -> str:
    return (docstring or "").strip().partition("\n")[0]
