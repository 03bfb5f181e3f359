"""`robustrec runs`: list, show and remove stored trainings."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from robustrec.cli import options
from robustrec.cli.descriptions import home_of
from robustrec.cli.terminal import data_console, say
from robustrec.errors import RobustrecError
from robustrec.sheet import NO_BREAK, Sheet
from robustrec.streams import write_json
from robustrec.units import parse_age, size_text

if TYPE_CHECKING:
    from pathlib import Path

    from robustrec.home_folders import Entry
    from robustrec.runs.stored import StoredRun

app = typer.Typer(no_args_is_help=True)

_KEYS = "Run keys, or the beginning of each that no other key has."


@app.command("list")
def list_(
    model: options.OnlyModels = None,
    dataset: options.OnlyDataset = None,
    home: options.Home = None,
    as_json: options.AsJson = False,
) -> None:
    """List the stored trainings, the newest first, with the reports of the reports folder that use each."""
    place = home_of(home)
    found = [
        run
        for run in _runs(place)
        if (not model or run.record.get("model") in model)
        and (dataset is None or (run.record.get("dataset") or {}).get("name") == dataset)
    ]
    if as_json:
        write_json([_facts(run) for run in found])
        return
    sheet = Sheet(data_console())
    if found:
        _print_runs(sheet, found)
    total = size_text(sum(run.entry.size for run in found))
    sheet.line(f"{len(found)} stored {'training' if len(found) == 1 else 'trainings'}, {total}, in {place / 'runs'}")
    for run in found:
        if run.problem:
            sheet.line(f"{run.short}: {run.problem}")
    _say_the_rest(place)


@app.command()
def show(
    key: Annotated[str, typer.Argument(metavar="KEY", help="Run key, or its beginning.", show_default=False)],
    home: options.Home = None,
    as_json: options.AsJson = False,
) -> None:
    """Show the record of a stored training."""
    from robustrec.runs.stored import found_run

    place = home_of(home)
    (run,) = _runs(place, [found_run(key, place, where=f"KEY {key}")])
    if run.problem:
        raise RobustrecError(
            f"the record of the run cannot be read: {run.problem}",
            where=str(run.entry.path),
            fix=f"remove it: robustrec runs rm {run.key} --home {place}",
        )
    if as_json:
        write_json({**_facts(run), "record": dict(run.record)})
        return
    sheet = Sheet(data_console())
    sheet.table([], [[name, value] for name, value in _lines(run)], ruled=False, numbers_from=2)
    sheet.line("audit it:", indent=1)
    data = run.record.get("dataset") or {}
    edition = " --edition sample" if data.get("edition") == "sample" else ""
    sheet.command(f"robustrec audit --checkpoint {run.short} --dataset {data.get('name')}{edition}", indent=3)


@app.command()
def rm(
    keys: Annotated[list[str] | None, typer.Argument(metavar="KEY", help=_KEYS, show_default=False)] = None,
    older_than: options.OlderThan = None,
    home: options.Home = None,
    dry_run: options.OnlyShow = False,
    yes: options.Yes = False,
) -> None:
    """Remove stored trainings, by key or by the time of their last use; a run in use stays.

    What would be removed is printed with its size before the question. Reports that use a run stay as they are.
    """
    from robustrec.home_folders import PARTIAL, chosen, entries_in
    from robustrec.runs.stored import found_run

    if bool(keys) == (older_than is not None):
        raise RobustrecError(
            "give either run keys or --older-than",
            where="robustrec runs rm",
            fix="for example: robustrec runs rm --older-than 30d --dry-run",
        )
    place = home_of(home)
    entries = entries_in(place, "runs")
    if keys:
        wanted = {found_run(key, place, where=f"KEY {key}") for key in keys}
        taken = [each for each in entries if _key_of(each, PARTIAL) in wanted]
    else:
        taken = chosen(entries, now=time.time(), older_than=parse_age(str(older_than), where="--older-than"))
    runs = _runs(place, [each.name for each in taken])
    sheet = Sheet(data_console())
    if not taken:
        sheet.line("nothing to remove: no stored training was unused for that long")
        return
    _print_runs(sheet, runs)
    partial = [each for each in taken if PARTIAL.fullmatch(each.name)]
    if partial:
        sheet.line(f"{len(partial)} interrupted trainings, {size_text(sum(each.size for each in partial))}")
    using = sorted({name for run in runs for name in run.reports})
    if using:
        who = "report, which stays" if len(using) == 1 else "reports, which stay"
        sheet.line(f"used by {len(using)} {who}: {', '.join(using[:4])}{' …' if len(using) > 4 else ''}")
    sheet.line(f"would remove {size_text(sum(each.size for each in taken))} from {place / 'runs'}")
    if dry_run:
        return
    from robustrec.cli.removal import remove_after_question

    remove_after_question(taken, command="robustrec runs rm", yes=yes, named=bool(keys))


def _key_of(entry: Entry, partial: Any) -> str:
    found = partial.fullmatch(entry.name)
    return str(found[1]) if found else entry.name


def _runs(home: Path, keys: Sequence[str] | None = None) -> list[StoredRun]:
    from robustrec.results.reports_folder import runs_of_reports
    from robustrec.runs.stored import stored_runs

    return stored_runs(home, runs_of_reports(home), keys=keys)


def _say_the_rest(home: Path) -> None:
    """Say what else is in the folder of the runs: interrupted trainings, links."""
    from robustrec.home_folders import PARTIAL, entries_in

    partial = [each for each in entries_in(home, "runs") if PARTIAL.fullmatch(each.name)]
    if partial:
        size = size_text(sum(each.size for each in partial))
        say(f"{len(partial)} interrupted trainings, {size}: the same command resumes them")
    folder = home / "runs"
    if folder.is_symlink():
        say(f"{folder} is a link and is not followed: pass the home folder that it leads to with --home")


def _print_runs(sheet: Sheet, runs: Sequence[StoredRun]) -> None:
    metrics = {str(run.record.get("validation_metric")) for run in runs if run.record}
    common = metrics.pop() if len(metrics) == 1 else ""
    columns = ["key", "training", "data", "best/all epochs", common or "validation", "size", "stored", "reports"]
    sheet.table(columns, [_row(run, common) for run in runs], numbers_from=7, ruled=False)


def _row(run: StoredRun, metric: str) -> list[str]:
    record = run.record
    size, day = size_text(run.entry.size).replace(" ", NO_BREAK), f"{run.stored:%Y-%m-%d}"
    end = [size, day, str(len(run.reports))]
    if not record:
        return [run.short, "unreadable", "-", "-", "-", *end]
    noise = f", noise {record['training_noise']}" if record.get("training_noise") else ""
    features = f"{run.features}, " if run.features not in ("", "none") else ""
    training = f"{record.get('model')}/{run.strategy} {features}seed{NO_BREAK}{record.get('seed')}{noise}"
    best, own = record.get("best_validation"), str(record.get("validation_metric"))
    validation = f"{best:.4f}" if isinstance(best, float) else "-"
    if own != metric:
        validation = f"{validation} {own}"
    return [
        run.short,
        training,
        run.dataset,
        f"{record.get('best_epoch')}/{record.get('epochs')} {run.stopped}",
        validation,
        *end,
    ]


def _lines(run: StoredRun) -> list[tuple[str, str]]:
    record = run.record
    data = record.get("dataset") or {}
    rows = [
        ("key", run.key),
        ("model", str(record.get("model"))),
        ("strategy", run.strategy),
        ("seed", str(record.get("seed"))),
        ("data", f"{run.dataset}, digest {str(data.get('digest'))[:16]}"),
        ("features", f"{run.features or 'name not recorded'}, digest {str(record.get('features_digest'))[:16]}"),
        ("epochs", f"{record.get('epochs')}, best {record.get('best_epoch')}; ended by {run.stopped}"),
        ("validation", f"{record.get('validation_metric')} {record.get('best_validation')}"),
        (
            "training time",
            f"{record.get('seconds', 0):.1f} s, {record.get('gradient_evaluations')} gradient evaluations",
        ),
        ("parameters", f"{record.get('n_parameters'):,}, digest {str(record.get('parameters_digest'))[:16]}"),
        ("made with", f"torch {record.get('torch')}, {record.get('device')}"),
        ("size", size_text(run.entry.size)),
        ("stored", f"{run.stored:%Y-%m-%d %H:%M} UTC"),
        ("reports", ", ".join(run.reports) or "none in the reports folder"),
    ]
    for part in ("model_config", "training", "strategy", "shrink"):
        settings = record.get(part)
        if isinstance(settings, dict):
            rows.append((part.replace("_", " "), ", ".join(f"{name} {value}" for name, value in settings.items())))
    if record.get("training_noise"):
        rows.append(("training noise", str(record["training_noise"])))
    return rows


def _facts(run: StoredRun) -> dict[str, Any]:
    record = run.record
    return {
        "key": run.key,
        "model": record.get("model"),
        "strategy": run.strategy or None,
        "seed": record.get("seed"),
        "dataset": record.get("dataset"),
        "features": run.features or None,
        "epochs": record.get("epochs"),
        "best_epoch": record.get("best_epoch"),
        "stopped": run.stopped or None,
        "validation_metric": record.get("validation_metric"),
        "best_validation": record.get("best_validation"),
        "bytes": run.entry.size,
        "stored": run.stored.isoformat(),
        "reports": list(run.reports),
        "problem": run.problem or None,
    }
