"""The options that commands share, with completion; a default of None means that settings decide."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from robustrec.config import Resolved, default_home, resolve


def _models(incomplete: str) -> list[str]:
    from robustrec.models import MODELS

    return [name for name in MODELS if name.startswith(incomplete)]


def _strategies(incomplete: str) -> list[str]:
    from robustrec.training.strategy_config import STRATEGY_NAMES

    return [name for name in STRATEGY_NAMES if name.startswith(incomplete)]


def _datasets(incomplete: str) -> list[str]:
    from robustrec.datasets.registry import dataset_names

    return [name for name in dataset_names(default_home()) if name.startswith(incomplete)]


def _suites(incomplete: str) -> list[str]:
    from robustrec.audits.suites import suite_names

    return [name for name in suite_names() if name.startswith(incomplete)]


def _encoders(incomplete: str) -> list[str]:
    from robustrec.encoders import ENCODERS

    return [name for name in ("auto", *ENCODERS) if name.startswith(incomplete)]


Models = Annotated[
    list[str] | None,
    typer.Option("--model", "-m", help="Recommender; repeat to compare several.", autocompletion=_models),
]
Strategies = Annotated[
    list[str] | None,
    typer.Option("--strategy", "-s", help="Training strategy; repeat to compare several.", autocompletion=_strategies),
]
DatasetName = Annotated[
    str | None,
    typer.Option("--dataset", "-d", help="Data set by name, or the path of a folder.", autocompletion=_datasets),
]
Edition = Annotated[str | None, typer.Option(help="auto, full or sample. auto: full where imported, else the sample.")]
FeatureName = Annotated[
    str | None,
    typer.Option("--features", "-f", help="Encoder of the item features.", autocompletion=_encoders),
]
Weights = Annotated[
    list[str] | None,
    typer.Option("--weights", help="Weights of the encoder: a folder or hub name, or NETWORK=FOLDER; repeatable."),
]
Denoise = Annotated[
    str | None, typer.Option(help="none, or capfilt: captions join texts, what does not fit its picture is dropped.")
]
SuiteName = Annotated[
    str | None,
    typer.Option("--suite", help="Suite by name, or the path of a TOML file.", autocompletion=_suites),
]
Checkpoint = Annotated[
    str | None,
    typer.Option(
        "--checkpoint",
        help="Audit these parameters instead of training: a run's key, or a .safetensors or .pth file of --model.",
    ),
]
Seed = Annotated[int | None, typer.Option(help="First training seed.")]
Seeds = Annotated[int | None, typer.Option(help="How many training seeds.")]
Device = Annotated[str | None, typer.Option(help="auto, cpu, cuda or cuda:N.")]
Threads = Annotated[int | None, typer.Option(help="CPU threads.")]
Home = Annotated[
    Path | None,
    typer.Option(help="Folder of data sets, features and runs; else ROBUSTREC_HOME decides.", show_default=False),
]
Offline = Annotated[bool | None, typer.Option("--offline", help="Never look on a network.", show_default=False)]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set", help="Override SECTION.KEY=VALUE: training, strategy, encoder or a model's name; repeatable."
    ),
]
BaselineFile = Annotated[
    Path | None, typer.Option("--baseline", help="Compare with this accepted baseline, or with another report.")
]
WaiversFile = Annotated[
    Path | None, typer.Option("--waivers", help="TOML file of waivers, besides those of the suite.")
]
FailOnName = Annotated[
    str | None, typer.Option("--fail-on", help="What ends with exit code 1: error, warn, inconclusive or never.")
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no messages.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON to stdout instead of a table.")]


def settings_from(**given: Any) -> Resolved:
    """Merge a command's options over environment, file and defaults."""
    return resolve(given)
