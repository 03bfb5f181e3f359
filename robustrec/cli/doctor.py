"""`robustrec doctor`: whether this machine has what robustrec needs."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import typer
from rich.table import Table

from robustrec.cli import options
from robustrec.cli.terminal import data_console
from robustrec.config import Settings
from robustrec.errors import EXIT_ERROR, EXIT_PASS, RobustrecError, one_line
from robustrec.files import unwritable

LEAST_FREE_GIB = 1.0


def doctor(home: options.Home = None, device: options.Device = None, as_json: options.AsJson = False) -> None:
    """Check Python, torch, the device, the home folder and what is shipped; exit 2 if something is missing."""
    settings = options.settings_from(home=home, device=device).settings
    checks: dict[str, Callable[[Settings], str]] = {
        "python and torch": _versions,
        "device": _device,
        "home folder": _home,
        "disk space": _disk,
        "suites": _suites,
        "data sets": _datasets,
    }
    rows: list[tuple[str, str, str]] = []
    for name, check in checks.items():
        try:
            rows.append((name, "ok", check(settings)))
        except RobustrecError as error:
            rows.append((name, "PROBLEM", one_line(error)))
    console = data_console()
    if as_json:
        console.print_json(data=[dict(zip(("check", "status", "detail"), row, strict=True)) for row in rows])
    else:
        table = Table("check", "status", "detail", box=None)
        for row in rows:
            table.add_row(*row)
        console.print(table)
    raise typer.Exit(EXIT_PASS if all(status == "ok" for _, status, _ in rows) else EXIT_ERROR)


def _versions(_settings: Settings) -> str:
    import torch

    from robustrec.hardware import describe_environment

    environment = describe_environment(torch.device("cpu"))
    return f"Python {environment['python']}, torch {environment['torch']}, numpy {environment['numpy']}"


def _device(settings: Settings) -> str:
    import torch

    from robustrec.hardware import describe_environment, pick_device

    device = pick_device(settings.device)
    total = float((torch.ones(8, 8, device=device) @ torch.ones(8, 8, device=device)).sum())
    if total != 512.0:
        raise RobustrecError(f"a product of ones sums to {total}, not 512", where=str(device), fix="use --device cpu")
    return f"{describe_environment(device)['device']}, {torch.get_num_threads()} threads"


def _home(settings: Settings) -> str:
    try:
        settings.home.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=settings.home):
            pass
    except OSError as error:
        raise unwritable(settings.home, error) from error
    return f"{settings.home} can be written"


def _disk(settings: Settings) -> str:
    place: Path = settings.home
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free / 2**30
    if free < LEAST_FREE_GIB:
        raise RobustrecError(
            f"only {free:.2f} GiB free", where=str(place), fix="free some room, or move it with --home"
        )
    return f"{free:.0f} GiB free"


def _suites(_settings: Settings) -> str:
    from robustrec.audits.suites import load_suite, suite_names

    names = suite_names()
    for name in names:
        load_suite(name)
    return ", ".join(names)


def _datasets(settings: Settings) -> str:
    from robustrec.datasets.registry import dataset_names

    return ", ".join(dataset_names(settings.home))
