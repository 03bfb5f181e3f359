"""From settings to the list of subjects: every default, file and override resolved before work starts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from robustrec.config import Settings
from robustrec.errors import RobustrecError, unknown_name
from robustrec.models import MODELS, known, model_class, section_of, training_defaults
from robustrec.models.own import is_own, is_scorer
from robustrec.runs.specs import SubjectSpec
from robustrec.runs.store import read_record, stored_run
from robustrec.training.config import TrainingConfig
from robustrec.training.strategy_config import STRATEGY_NAMES, StrategyConfig

SECTIONS = ("training", "strategy")
M = TypeVar("M", bound=BaseModel)


def subject_specs(settings: Settings, edition: str) -> tuple[SubjectSpec, ...]:
    """Return the subjects of a command: models × strategies × seeds, in the order they were named.

    A checkpoint, and one's own function that scores, are one subject each: there is nothing to train.

    Args:
        settings: models, strategies, seeds, overrides, checkpoint.
        edition: "full" or "sample"; the sample editions have defaults of their own.

    Raises:
        RobustrecError: an unknown model, strategy, section or key, a value out of range, or a checkpoint that is not
            there or does not go with the models named.
    """
    for name in settings.model:
        known(name)
    for name in settings.strategy:
        if name not in STRATEGY_NAMES:
            raise unknown_name("strategy", name, STRATEGY_NAMES, where="--strategy")
    for section in settings.set:
        sections = (*SECTIONS, *MODELS, *(section_of(name) for name in settings.model if is_own(name)))
        if section not in sections:
            raise unknown_name("section", section, sections, where=f"--set {section}.…")
    if settings.checkpoint is not None:
        return (_loaded_spec(settings, edition, settings.checkpoint),)
    specs = []
    for model in dict.fromkeys(settings.model):
        if is_own(model) and is_scorer(model_class(model)):
            specs.append(replace(_spec(settings, edition, model, "vanilla", settings.seed), origin="scorer"))
            continue
        specs += [
            _spec(settings, edition, model, strategy, settings.seed + offset)
            for strategy in dict.fromkeys(settings.strategy)
            for offset in range(settings.seeds)
        ]
    return tuple(specs)


def _loaded_spec(settings: Settings, edition: str, checkpoint: str) -> SubjectSpec:
    """Return the spec of a stored run, named by its key or folder, or of a file of parameters."""
    place = stored_run(settings.home, checkpoint) or Path(checkpoint)
    where = f"--checkpoint {checkpoint}"
    if place.is_dir():
        record = read_record(place)
        return SubjectSpec(
            model=record["model"],
            model_options=record["model_config"],
            training=TrainingConfig(**record["training"]),
            strategy=StrategyConfig(**record["strategy"]),
            seed=record["seed"],
            checkpoint=place,
        )
    if not place.is_file():
        raise RobustrecError(
            f"there is no run and no file {checkpoint!r}",
            where=where,
            fix="name the run that `robustrec train` printed, or the path of a .safetensors or .pth file",
        )
    models = tuple(dict.fromkeys(settings.model))
    if len(models) != 1:
        raise RobustrecError(
            f"a file of parameters goes with one model, and {len(models)} were named: {', '.join(models)}",
            where=where,
            fix=f"name one: --model {models[0]} --checkpoint {checkpoint}",
        )
    spec = _spec(settings, edition, models[0], "vanilla", settings.seed)
    return replace(spec, origin="checkpoint", checkpoint=place)


def _spec(settings: Settings, edition: str, model: str, strategy: str, seed: int) -> SubjectSpec:
    defaults = training_defaults(model, "sample" if edition == "sample" else "full", settings.dataset)
    of_loop = {key: value for key, value in defaults.items() if key in TrainingConfig.model_fields}
    of_model = {key: value for key, value in defaults.items() if key not in of_loop}
    overrides, section = settings.set, section_of(model)
    model_options = {**of_model, **overrides.get(section, {})}
    kind = model_class(model)
    if not (is_own(model) and is_scorer(kind)):
        checked(kind.Config, model_options, section=section)
    return SubjectSpec(
        model=model,
        model_options=model_options,
        training=checked(TrainingConfig, {**of_loop, **overrides.get("training", {})}, section="training"),
        strategy=checked(StrategyConfig, {"name": strategy, **overrides.get("strategy", {})}, section="strategy"),
        seed=seed,
    )


def checked(kind: type[M], values: dict[str, Any], *, section: str) -> M:
    """Build a configuration, with unknown keys and bad values as errors that name the override."""
    for key in values:
        if key not in kind.model_fields:
            raise unknown_name("key", key, kind.model_fields, where=f"--set {section}.{key}=…")
    try:
        return kind(**values)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        model = section if section in MODELS else "slmrec"  # the two other sections are shown with any model
        raise RobustrecError(
            f"{section}.{key} = {values.get(key)!r}: {first['msg']}",
            where=f"--set {section}.{key}=… or its default",
            fix=f"see the keys and their defaults: robustrec config show --model {model}",
        ) from error
