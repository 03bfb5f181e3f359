"""Tables of models, strategies, encoders, edits, metrics and settings, and of the report's schema."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from site_schemas import keys, section, table, text

from robustrec.config import Settings
from robustrec.datasets.shop import SHOPS
from robustrec.edits import EDITS, edit
from robustrec.edits.contract import Edit
from robustrec.encoders import SUMMARIES as ENCODER_SUMMARIES
from robustrec.evaluation.kinds import KINDS
from robustrec.models import SUMMARIES, config_class, training_defaults
from robustrec.results.report import report_schema
from robustrec.training.config import TrainingConfig
from robustrec.training.strategy_config import StrategyConfig
from robustrec.training.strategy_names import SUMMARIES as STRATEGY_SUMMARIES


def models_table() -> str:
    """Return the models with their descriptions."""
    return _named("model", SUMMARIES.items())


def defaults_table(name: str) -> str:
    """Return the default settings of a model, and the editions with another default."""
    usual = training_defaults(name)
    editions = {"sample editions": training_defaults(name, "sample")}
    editions |= {dataset: training_defaults(name, "full", dataset) for dataset in SHOPS}
    fields = {**TrainingConfig.model_fields, **config_class(name).model_fields}
    rows = []
    for key, value in usual.items():
        others = [f"{where}: {_plain(each[key])}" for where, each in editions.items() if each[key] != value]
        section = "training" if key in TrainingConfig.model_fields else name
        rows.append((f"`{section}.{key}`", _plain(value), "; ".join(others), text(fields[key].description or "")))
    return table(("setting", "default", "other defaults", "description"), rows)


def strategies_table() -> str:
    """Return the parts of strategies, with the cost of each alone."""
    rows = []
    for name, (kind, what) in STRATEGY_SUMMARIES.items():
        cost = StrategyConfig.model_validate({"name": name}).evaluations_per_step
        rows.append((f"`{name}`", kind, what, f"{cost:.2f}"))
    return table(("part", "kind", "what it does", "gradient evaluations per step, alone"), rows)


def encoders_table() -> str:
    """Return the encoders with their descriptions."""
    return _named("encoder", ENCODER_SUMMARIES.items())


def metrics_table() -> str:
    """Return the metrics with their descriptions, units and the direction that is better."""
    better = {1: "more", -1: "less", None: "–"}
    rows = [(f"`{name}@k`", text(kind.description), kind.unit, better[kind.better]) for name, kind in KINDS.items()]
    return table(("metric", "what it is", "unit", "better"), rows)


def edits_table() -> str:
    """Return the merchant edits of texts and of pictures, with what each severity does."""
    every = [edit(name) for name in EDITS]
    parts = []
    sections = (("text", False, "Texts"), ("image", False, "Pictures"), ("image", True, "Upload faults"))
    for modality, fault, title in sections:
        rows = [_edit(each) for each in every if (each.modality, each.fault) == (modality, fault)]
        parts += [f"## {title}", table(("edit", "description", "what severity sets", "severity 1 to 5"), rows)]
    return "\n\n".join(parts)


def _edit(each: Edit) -> tuple[str, ...]:
    declared = each.declaration
    return f"`{each.name}`", text(each.behaviour), text(declared.scale), text(" · ".join(declared.steps))


def settings_table() -> str:
    """Return the settings that several commands share."""
    schema = Settings.model_json_schema()
    # The default depends on the machine.
    schema["properties"]["home"] = {**schema["properties"]["home"], "default": "the platform's user data folder"}
    return keys(schema)


def state_table() -> str:
    """Return the table of folders that docs/architecture.md has."""
    page = (Path(__file__).resolve().parents[1] / "architecture.md").read_text(encoding="utf-8")
    return "\n".join(
        line
        for line in page.partition("## Where state lives")[2].partition("\n## ")[0].splitlines()
        if line.startswith("|")
    )


def report_tables() -> str:
    """Return a section for each table of a report."""
    schema = report_schema()
    inner = schema.pop("$defs")
    return "\n\n".join(section(name, each, level=2) for name, each in {"Report": schema, **inner}.items())


def _named(kind: str, rows: Iterable[tuple[str, str]]) -> str:
    return table((kind, "description"), [(f"`{name}`", text(what)) for name, what in rows])


def _plain(value: object) -> str:
    if isinstance(value, str):
        return value
    return str(value).lower() if isinstance(value, bool) else f"{value:g}"


def _first_line(docstring: str | None) -> str:
    return (docstring or "").strip().partition("\n")[0]
