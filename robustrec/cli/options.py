"""Options shared by commands, with shell completion; None means that the settings decide."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from robustrec.config import Resolved, Settings, default_home, resolve

_RENAMED = {"--out": "--output"}


class OldNames(TyperGroup):
    """A group of commands that still accepts earlier names of their options."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse arguments, with the options by their names of today."""
        renamed, positional = [], False
        for word in args:
            positional = positional or word == "--"
            name, equals, value = word.partition("=")
            renamed.append(word if positional else _RENAMED.get(name, name) + equals + value)
        return super().parse_args(ctx, renamed)


def _models(incomplete: str) -> list[str]:
    from robustrec.models import MODELS

    return [name for name in MODELS if name.startswith(incomplete)]


def _strategies(incomplete: str) -> list[str]:
    from robustrec.training.strategy_names import AVERAGING, STRATEGIES, TREATMENTS

    before, plus, last = incomplete.rpartition("+")
    parts = (*STRATEGIES, *TREATMENTS, *AVERAGING)
    return [f"{before}{plus}{name}" for name in parts if name.startswith(last) and name not in before.split("+")]


def _datasets(incomplete: str) -> list[str]:
    from robustrec.datasets.registry import dataset_names

    return [name for name in dataset_names(default_home()) if name.startswith(incomplete)]


def _suites(incomplete: str) -> list[str]:
    from robustrec.audits.suites import suite_names

    return [name for name in suite_names() if name.startswith(incomplete)]


def _encoders(incomplete: str) -> list[str]:
    from robustrec.encoders import ENCODERS

    return [name for name in ("auto", *ENCODERS) if name.startswith(incomplete)]


MODELS = "Models and training"
DATA = "Data and features"
JUDGING = "Suite and gates"
WORK = "Where it runs"
OUTPUT = "Output"


def _default(name: str) -> str:
    """Return the default of a setting as text, for the help."""
    value = Settings.model_fields[name].default
    return " ".join(value) if isinstance(value, tuple) else str(value)


Models = Annotated[
    list[str] | None,
    typer.Option(
        "--model",
        "-m",
        help="Recommender (robustrec list models); repeatable.",
        autocompletion=_models,
        show_default=_default("model"),
        rich_help_panel=MODELS,
    ),
]
Strategies = Annotated[
    list[str] | None,
    typer.Option(
        "--strategy",
        "-s",
        help="Training strategy, parts joined by + (robustrec list strategies); repeatable.",
        autocompletion=_strategies,
        show_default=_default("strategy"),
        rich_help_panel=MODELS,
    ),
]
DatasetName = Annotated[
    str | None,
    typer.Option(
        "--dataset",
        "-d",
        help="Data set name (robustrec data list), or path of a folder.",
        autocompletion=_datasets,
        show_default=_default("dataset"),
        rich_help_panel=DATA,
    ),
]
Edition = Annotated[
    str | None,
    typer.Option(
        help="auto, full or sample. auto: full if imported, else sample.",
        show_default=_default("edition"),
        rich_help_panel=DATA,
    ),
]
FeatureName = Annotated[
    list[str] | None,
    typer.Option(
        "--features",
        "-f",
        help="Encoder of the item features (robustrec list encoders); NAME+shrink=.7 filters them. Repeatable for one"
        " encoder with and without.",
        autocompletion=_encoders,
        show_default=_default("features"),
        rich_help_panel=DATA,
    ),
]
EncoderName = Annotated[
    str | None,
    typer.Option(
        "--encoder",
        help="Imported features: the encoder that made the files, to encode edited items.",
        autocompletion=_encoders,
        rich_help_panel=DATA,
    ),
]
Weights = Annotated[
    list[str] | None,
    typer.Option(
        "--weights",
        help="Weights of the encoder: a folder or a Hugging Face Hub name, or NETWORK=FOLDER; repeatable.",
        rich_help_panel=DATA,
    ),
]
Vocabulary = Annotated[
    list[str] | None,
    typer.Option(
        "--vocabulary",
        help="TOML file with the words that edits put into texts of one language, see docs/edits.md; repeatable.",
        rich_help_panel=DATA,
    ),
]
Language = Annotated[
    str | None,
    typer.Option(
        "--language",
        help="Language pack for edits of texts of unknown language.",
        show_default=_default("language"),
        rich_help_panel=DATA,
    ),
]
Denoise = Annotated[
    str | None,
    typer.Option(
        help="none, or capfilt: add captions to texts and drop text that does not match the picture.",
        show_default=_default("denoise"),
        rich_help_panel=DATA,
    ),
]
SuiteName = Annotated[
    str | None,
    typer.Option(
        "--suite",
        help="Suite name (robustrec list suites), or path of a TOML file.",
        autocompletion=_suites,
        show_default=_default("suite"),
        rich_help_panel=JUDGING,
    ),
]
Checkpoint = Annotated[
    str | None,
    typer.Option(
        "--checkpoint",
        help="Trained parameters to use instead of training: a run key, or a .safetensors or .pth file of --model.",
        rich_help_panel=MODELS,
    ),
]
Seed = Annotated[
    int | None, typer.Option(help="First training seed.", show_default=_default("seed"), rich_help_panel=MODELS)
]
Seeds = Annotated[
    int | None, typer.Option(help="Number of training seeds.", show_default=_default("seeds"), rich_help_panel=MODELS)
]
Users = Annotated[
    int | None,
    typer.Option(
        help="Rank a stratified sample of this many test users. Default: all.",
        show_default=False,
        rich_help_panel=JUDGING,
    ),
]
Segments = Annotated[
    str | None,
    typer.Option(
        help="Segments of the users with findings of their own: activity, popularity, category, brand, price,"
        " item:COLUMN and user:COLUMN for a column that was named at import, separated by commas. Default: those of the"
        " suite.",
        show_default=False,
        rich_help_panel=JUDGING,
    ),
]
ValueColumn = Annotated[
    str | None,
    typer.Option(
        "--value",
        help="Numeric column of the catalog, such as price or margin: also measure the value of the lists (value@k,"
        " value_ndcg@k). Default: that of the suite.",
        show_default=False,
        rich_help_panel=JUDGING,
    ),
]
Device = Annotated[
    str | None,
    typer.Option(help="Device: auto, cpu, cuda or cuda:N.", show_default=_default("device"), rich_help_panel=WORK),
]
Threads = Annotated[int | None, typer.Option(help="Number of CPU threads.", rich_help_panel=WORK)]
Workers = Annotated[
    int | None,
    typer.Option(
        help="Number of processes; each uses --threads CPU threads.",
        show_default=_default("workers"),
        rich_help_panel=WORK,
    ),
]
EngineName = Annotated[
    str | None,
    typer.Option(
        "--engine",
        help="Where work runs: local, or ray or ray://HOST:PORT for the machines of a Ray cluster.",
        show_default=_default("engine"),
        rich_help_panel=WORK,
    ),
]
StoreUrl = Annotated[
    str | None,
    typer.Option(
        "--store",
        help="URL of object storage where finished trainings and encodings are shared: s3://, gs://, file://.",
        rich_help_panel=WORK,
    ),
]
Home = Annotated[
    Path | None,
    typer.Option(
        help="Folder of data sets, features and runs. Default: ROBUSTREC_HOME, else a user data folder.",
        show_default=False,
        rich_help_panel=WORK,
    ),
]
Offline = Annotated[
    bool | None, typer.Option("--offline", help="Never use the network.", show_default=False, rich_help_panel=WORK)
]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        help="Override SECTION.KEY=VALUE: training, strategy, encoder, a model's name, or a kind of audit"
        " (merchant.draws=12); repeatable.",
        rich_help_panel=MODELS,
    ),
]
Gates = Annotated[
    list[str] | None,
    typer.Option(
        "--gate",
        help="Judge this gate too, such as 'ndcg@20>-2%', in quotes; robustrec docs gates has the form. Repeatable.",
        rich_help_panel=JUDGING,
    ),
]
OutputFormats = Annotated[
    list[str] | None,
    typer.Option(
        "--output-format",
        help="Also write the report as FORMAT:PATH, or FORMAT:- for stdout, with the screen on stderr. FORMAT is json,"
        " html, junit, markdown, comment, github, openmetrics, sarif, codequality, csv or parquet. Repeatable.",
        rich_help_panel=OUTPUT,
    ),
]
BaselineFile = Annotated[
    Path | None,
    typer.Option(
        "--baseline",
        help="Baseline file, or report (also the beginning of its name), to compare with.",
        rich_help_panel=JUDGING,
    ),
]
WaiversFile = Annotated[
    Path | None,
    typer.Option("--waivers", help="TOML file of waivers, in addition to those of the suite.", rich_help_panel=JUDGING),
]
FailOnName = Annotated[
    str | None,
    typer.Option(
        "--fail-on",
        help="Outcome that sets exit code 1: error, warn, inconclusive or never.",
        show_default=_default("fail_on"),
        rich_help_panel=JUDGING,
    ),
]
ReportName = Annotated[
    str,
    typer.Argument(
        metavar="REPORT",
        help="Report: its JSON file, or the beginning of its name in the reports folder.",
        show_default=False,
    ),
]
OnlyModels = Annotated[
    list[str] | None,
    typer.Option("--model", "-m", help="Only these recommenders; repeatable.", autocompletion=_models),
]
OnlyStrategies = Annotated[
    list[str] | None,
    typer.Option("--strategy", "-s", help="Only these training strategies; repeatable.", autocompletion=_strategies),
]
OnlyDataset = Annotated[
    str | None, typer.Option("--dataset", "-d", help="Only this data set.", autocompletion=_datasets)
]
GivenModels = Annotated[
    list[str] | None,
    typer.Option(
        "--model",
        "-m",
        help="Recommender (robustrec list models); repeatable.",
        autocompletion=_models,
        rich_help_panel=MODELS,
    ),
]
GivenSuite = Annotated[
    str | None,
    typer.Option(
        "--suite",
        help="Suite name (robustrec list suites), or path of a TOML file. Default: that of the report.",
        autocompletion=_suites,
        show_default=False,
        rich_help_panel=JUDGING,
    ),
]
ThreeSeeds = Annotated[
    int | None, typer.Option("--seeds", help="Number of training seeds.", show_default="3", rich_help_panel=MODELS)
]
OlderThan = Annotated[
    str | None, typer.Option(help="Remove what was last used longer ago than this, e.g. 30d.", show_default=False)
]
OnlyShow = Annotated[bool, typer.Option("--dry-run", help="Show what would be removed, and remove nothing.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Hide progress and messages.", rich_help_panel=OUTPUT)]
AsJson = Annotated[
    bool, typer.Option("--json", help="Print JSON to stdout instead of a table.", rich_help_panel=OUTPUT)
]


def report_file(given: str | Path, home: Path | None) -> Path:
    """Return the path of a report given by path, or by the beginning of its name in the reports folder.

    Raises:
        RobustrecError: several reports begin so, or none.
    """
    from robustrec.results.reports_folder import find_report

    return find_report(given, settings_from(home=home).settings.home)


def settings_of(context: typer.Context, **changed: Any) -> Resolved:
    """Merge the options of a command, some of them changed, with environment, configuration file and defaults."""
    given = {name: context.params.get("overrides" if name == "set" else name) for name in Settings.model_fields}
    return resolve({**given, **changed})


def settings_from(**given: Any) -> Resolved:
    """Merge some options with environment, configuration file and defaults; for options of another meaning."""
    return resolve(given)
