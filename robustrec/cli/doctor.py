"""`robustrec doctor`: check this machine, or check that a model meets the requirements of the audits."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import typer

from robustrec.cli import options
from robustrec.cli.terminal import Finished, data_console
from robustrec.config import Settings
from robustrec.errors import EXIT_ERROR, EXIT_PASS, RobustrecError, one_line
from robustrec.feature_names import encoder_of
from robustrec.files import unwritable
from robustrec.sheet import Sheet
from robustrec.streams import write_json

LEAST_FREE_GIB = 1.0


def doctor(
    context: typer.Context,
    model: options.GivenModels = None,
    features: options.FeatureName = None,
    home: options.Home = None,
    device: options.Device = None,
    overrides: options.Overrides = None,
    as_json: options.AsJson = False,
) -> None:
    """Check this machine, or a model with --model, or your own encoder with --features; exit code 2 on failure."""
    settings = options.settings_of(context).settings
    rows = [*(_of_models(settings) if model else ()), *(_of_encoder(settings) if features else ())]
    rows = rows or _of_machine(settings)
    if as_json:
        write_json(rows)
    else:
        names = list(dict.fromkeys(name for row in rows for name in row))
        Sheet(data_console()).table(names, [[row.get(name, "") for name in names] for row in rows], ruled=False)
    raise Finished(EXIT_ERROR if any(row["status"] == "PROBLEM" for row in rows) else EXIT_PASS)


def _of_machine(settings: Settings) -> list[dict[str, str]]:
    checks: dict[str, Callable[[Settings], str]] = {
        "python and torch": _versions,
        "device": _device,
        "home folder": _home,
        "disk space": _disk,
        "suites": _suites,
        "data sets": _datasets,
    }
    rows = []
    for name, check in checks.items():
        try:
            rows.append({"check": name, "status": "ok", "detail": check(settings)})
        except RobustrecError as error:
            rows.append({"check": name, "status": "PROBLEM", "detail": one_line(error)})
    return rows


def _of_models(settings: Settings) -> list[dict[str, str]]:
    from robustrec.checking import check_model
    from robustrec.hardware import set_numerics
    from robustrec.models import section_of
    from robustrec.runs.plan import subject_specs

    set_numerics(settings.threads)
    # Names, sections, keys and values, as an audit would refuse them.
    subject_specs(settings.model_copy(update={"checkpoint": None}), "full")
    several = len(settings.model) > 1
    return [
        {**({"model": name} if several else {}), "check": check.name, "status": check.status, "detail": check.detail}
        for name in settings.model
        for check in check_model(name, settings.set.get(section_of(name)))
    ]


def _of_encoder(settings: Settings) -> list[dict[str, str]]:
    from robustrec.checking.encoders import check_encoder
    from robustrec.encoders.own import is_own
    from robustrec.hardware import set_numerics

    name = encoder_of(settings.features)
    parts = name.split("+")
    own = [part for part in parts if is_own(part)]
    if not own:
        raise RobustrecError(
            f"{name!r} is not a user-defined encoder",
            where=f"robustrec doctor --features {name}",
            fix="robustrec doctor --features package.module:MyEncoder",
        )
    set_numerics(settings.threads)
    return [
        {**({"encoder": part} if len(parts) > 1 else {}), "check": check.name, "status": check.status}
        | {"detail": check.detail}
        for part in own
        for check in check_encoder(part)
    ]


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
        raise RobustrecError(
            f"a matrix product of ones must sum to 512, but got {total}", where=str(device), fix="use --device cpu"
        )
    return f"{describe_environment(device)['device']}, {torch.get_num_threads()} threads"


def _home(settings: Settings) -> str:
    try:
        settings.home.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=settings.home):
            pass
    except OSError as error:
        raise unwritable(settings.home, error) from error
    return f"{settings.home} is writable"


def _disk(settings: Settings) -> str:
    place: Path = settings.home
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free / 2**30
    if free < LEAST_FREE_GIB:
        raise RobustrecError(
            f"only {free:.2f} GiB free", where=str(place), fix="free disk space, or choose another folder with --home"
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
