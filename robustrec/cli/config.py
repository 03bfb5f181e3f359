"""`robustrec config show`: the active settings and their sources."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from robustrec.cli import options
from robustrec.cli.terminal import data_console
from robustrec.config import shown_value
from robustrec.sheet import Sheet
from robustrec.streams import write_json, write_text

app = typer.Typer(no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Show the active settings."""


@app.command()
def show(
    context: typer.Context,
    model: options.GivenModels = None,
    dataset: options.DatasetName = None,
    suite: Annotated[
        str | None,
        typer.Option("--suite", help="Suite to show: name (robustrec list suites), or path of a TOML file."),
    ] = None,
    edition: options.Edition = None,
    overrides: options.Overrides = None,
    as_json: options.AsJson = False,
) -> None:
    """Print every setting with its value and source; with --model or --suite, also their resolved configuration."""
    resolved = options.settings_of(context)
    settings = resolved.settings
    content: dict[str, Any] = {
        "settings": {
            name: {"value": shown_value(name, value), "source": resolved.sources[name]}
            for name, value in settings.model_dump(mode="json").items()
        }
    }
    if model:
        from robustrec.runs.plan import subject_specs
        from robustrec.runs.specs import spec_json

        wanted = "sample" if settings.edition == "sample" else "full"
        content["subjects"] = [spec_json(spec) for spec in subject_specs(settings, wanted)]
    if suite:
        from robustrec.audits.suites import suite_of, suite_text

        content["suite"] = suite_of(settings).model_dump(mode="json")
    if as_json:
        write_json(content)
        return
    sheet = Sheet(data_console())
    rows = [(name, str(entry["value"]), entry["source"]) for name, entry in content["settings"].items()]
    sheet.table(["setting", "value", "from"], rows, numbers_from=3, ruled=False)
    if "subjects" in content:
        sheet.heading("subjects")
        write_json(content["subjects"])
    if suite:
        sheet.heading("suite")
        write_text(suite_text(settings.suite))
