"""From settings to the list of subjects: every default, file and override resolved before work starts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import Field

from robustrec.config import Settings
from robustrec.errors import RobustrecError, unknown_name
from robustrec.feature_names import Shrink, named_features
from robustrec.invalid import overridden
from robustrec.models import MODELS, config_class, known, modalities_of, model_class, section_of, training_defaults
from robustrec.models.own import is_own, is_scorer
from robustrec.runs.content import check_content
from robustrec.runs.distinct import check_strategies
from robustrec.runs.precision import check_precision
from robustrec.runs.specs import SubjectSpec, reads_features
from robustrec.subject import Record
from robustrec.training.config import TrainingConfig
from robustrec.training.strategy_config import StrategyConfig, canonical_strategy, owners_of, parse_strategy

SECTIONS = ("training", "strategy", "encoder", "evaluation")


class EvaluationOptions(Record):
    """Overrides of how lists are evaluated, by `--set evaluation.KEY=VALUE`."""

    mask_validation: bool | None = Field(
        default=None, description="also mask validation items in the test ranking; None: as the suite says"
    )


def evaluation_options(settings: Settings) -> EvaluationOptions:
    """Return the overrides of the evaluation.

    Raises:
        RobustrecError: an unknown key or an invalid value.
    """
    return overridden(EvaluationOptions, settings.set.get("evaluation", {}), section="evaluation")


def sections_of(settings: Settings) -> tuple[str, ...]:
    """Return the sections of `--set` that trainings have: the general ones and those of models."""
    return (*SECTIONS, *MODELS, *(section_of(name) for name in settings.model if is_own(name)))


def subject_specs(settings: Settings, edition: str, dataset: str | None = None) -> tuple[SubjectSpec, ...]:
    """Return the subjects of a command: models × filters of the features × strategies × seeds, in the given order.

    A checkpoint and a user-defined scorer are one subject with each filter, without training; a model that reads no
    features has no filter.

    Args:
        settings: models, strategies, seeds, overrides, checkpoint.
        edition: "full" or "sample"; sample editions have other defaults.
        dataset: name of the data set, for its defaults; None for the name in the settings.

    Raises:
        RobustrecError: a model, strategy, section, key or filter is unknown, a value is out of range, two strategies
            are equal with these settings, or a checkpoint is not found or does not match the models.
    """
    if dataset is not None:
        settings = settings.model_copy(update={"dataset": dataset})
    for name in settings.model:
        known(name)
    strategies = tuple(dict.fromkeys(parse_strategy(name).name for name in settings.strategy))
    for section in settings.set:
        if section not in (sections := sections_of(settings)):
            raise unknown_name("section", section, sections, where=f"--set {section}.…")
    evaluation_options(settings)
    filters = named_features(settings.features).filters
    if settings.checkpoint is not None:
        return _filtered(_loaded_spec(settings, edition, settings.checkpoint), filters)
    specs: list[SubjectSpec] = []
    for model in dict.fromkeys(settings.model):
        if _only_scores(model):
            scorer = replace(_spec(settings, edition, model, "vanilla", settings.seed), origin="scorer")
            specs += _filtered(scorer, filters)
            continue
        specs += [
            replace(_spec(settings, edition, model, strategy, settings.seed + offset), shrink=shrink)
            for shrink in (filters if modalities_of(model) else (None,))
            for strategy in strategies
            for offset in range(settings.seeds)
        ]
    _check_read(settings, strategies)
    for spec in specs:
        spec.strategy.check_epochs(spec.training.max_epochs)
    check_strategies(specs)
    check_content(specs)
    check_precision(specs, settings.device)
    return tuple(specs)


def _filtered(spec: SubjectSpec, filters: tuple[Shrink | None, ...]) -> tuple[SubjectSpec, ...]:
    """Return a subject with each filter of the features; the subject itself if it reads none."""
    return tuple(replace(spec, shrink=shrink) for shrink in filters) if reads_features(spec) else (spec,)


def _loaded_spec(settings: Settings, edition: str, checkpoint: str) -> SubjectSpec:
    """Return the spec of a stored run, given by key or folder, or of a parameter file."""
    from robustrec.runs.store import stored_run
    from robustrec.runs.stored import find_run, list_command

    where = f"--checkpoint {checkpoint}"
    key = checkpoint if Path(checkpoint).exists() else find_run(checkpoint, settings.home, where=where)
    place = stored_run(settings.home, key or checkpoint) or Path(checkpoint)
    if (place / "run.json").is_file():
        return _stored_spec(settings, place, where)
    if not place.is_file():
        raise RobustrecError(
            f"run or file {checkpoint!r} not found",
            where=where,
            fix=f"give a run key ({list_command(settings.home)}), or the path of a .safetensors or .pth file",
        )
    models = tuple(dict.fromkeys(settings.model))
    if len(models) != 1:
        raise RobustrecError(
            f"a parameter file requires exactly one model, but got {', '.join(models)}",
            where=where,
            fix=f"use one model: --model {models[0]} --checkpoint {checkpoint}",
        )
    if _only_scores(models[0]):
        raise RobustrecError(
            f"{models[0]} is a scorer without parameters to load", where=where, fix="omit --checkpoint"
        )
    spec = _spec(settings, edition, models[0], "vanilla", settings.seed)
    return replace(spec, origin="checkpoint", checkpoint=place)


def _stored_spec(settings: Settings, folder: Path, where: str) -> SubjectSpec:
    """Return the spec of a stored run, checked against the settings."""
    from robustrec.runs.records import read_record
    from robustrec.runs.stored import list_command

    record = read_record(folder)
    if is_own(str(record.get("model"))) and record["model"] not in settings.model:
        raise RobustrecError(
            f"the run has the user-defined model {record['model']}, which is imported only if --model names it",
            where=where,
            fix=f"add it if you trust it: --model {record['model']}",
        )
    try:
        model, strategy = str(record["model"]), StrategyConfig(**record["strategy"])
        training, options, noise = (
            TrainingConfig(**record["training"]),
            record["model_config"],
            record["training_noise"],
        )
        config_class(model)(**options)
        seed = int(record["seed"])
    except (KeyError, TypeError, ValueError) as error:  # including pydantic.ValidationError
        raise RobustrecError(
            f"the run is of another version of robustrec or of its model: {str(error).splitlines()[0]}",
            where=where,
            fix="train it again: robustrec train",
        ) from error
    # Only given settings are compared, not defaults.
    given = settings.model_fields_set
    asked = {
        "--model": (settings.model, model),
        "--strategy": (tuple(map(canonical_strategy, settings.strategy)), strategy.name),
    }
    for option, (names, trained) in asked.items():
        if option.removeprefix("--") in given and trained not in names:
            raise RobustrecError(
                f"the run was trained with {option} {trained}, but got {option} {' '.join(names)}",
                where=where,
                fix=f"omit {option}, or use: {option} {trained}",
            )
    for key, value in settings.set.get(section_of(model), {}).items():
        if options.get(key) != value:
            raise RobustrecError(
                f"the run was trained with {key} = {options.get(key)!r}, not {value!r}",
                where=f"{where} and --set {section_of(model)}.{key}=…",
                fix="omit --set; a stored run has its settings",
            )
    if noise:
        raise RobustrecError(
            f"the run was trained on features with noise ({noise}) and is not a clean model",
            where=where,
            fix=f"use the key of another run: {list_command(settings.home)}",
        )
    return SubjectSpec(model, options, training, strategy, seed, checkpoint=folder)


def _only_scores(model: str) -> bool:
    return is_own(model) and is_scorer(model_class(model))


def _spec(settings: Settings, edition: str, model: str, strategy: str, seed: int) -> SubjectSpec:
    defaults = training_defaults(model, "sample" if edition == "sample" else "full", settings.dataset)
    of_loop = {key: value for key, value in defaults.items() if key in TrainingConfig.model_fields}
    of_model = {key: value for key, value in defaults.items() if key not in of_loop}
    overrides, section = settings.set, section_of(model)
    model_options = {**of_model, **overrides.get(section, {})}
    fix = f"see the keys and their defaults: robustrec config show --model {model}"
    if not _only_scores(model):
        overridden(config_class(model), model_options, section=section, fix=fix)
    elif model_options:
        raise RobustrecError(
            f"{model} is a scorer without settings",
            where=f"--set {section}.{next(iter(model_options))}=…",
            fix="omit it, and set the options in the code of the model",
        )
    return SubjectSpec(
        model=model,
        model_options=model_options,
        training=overridden(TrainingConfig, {**of_loop, **overrides.get("training", {})}, section="training", fix=fix),
        strategy=_strategy(strategy, overrides.get("strategy", {}), fix),
        seed=seed,
    )


def _strategy(name: str, values: dict[str, Any], fix: str) -> StrategyConfig:
    """Return the settings of a strategy; those that only other parts read are checked and left out."""
    whole = overridden(StrategyConfig, {"name": name, **values}, section="strategy", fix=fix)
    return StrategyConfig(**whole.own({"name": name, **values}))


def _check_read(settings: Settings, strategies: Sequence[str]) -> None:
    """Check that a strategy reads each setting that only some parts read.

    Raises:
        RobustrecError: none does, so that the setting has no effect.
    """
    names = {part for strategy in strategies for part in parse_strategy(strategy).names}
    for key in settings.set.get("strategy", {}):
        if owners_of(key) and not owners_of(key) & names:
            parts = " or ".join(sorted(owners_of(key)))
            raise RobustrecError(
                f"only strategies with {parts} read {key}, and none of {', '.join(strategies)} has it",
                where=f"--set strategy.{key}=…",
                fix=f"omit it, or add a strategy: --strategy {min(owners_of(key))}",
            )
