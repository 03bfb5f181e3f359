"""From settings to the list of subjects: every default, file and override resolved before work starts."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from robustrec.config import Settings
from robustrec.errors import RobustrecError, unknown_name
from robustrec.models import MODELS, model_class, training_defaults
from robustrec.runs.subjects import SubjectSpec
from robustrec.training.config import TrainingConfig
from robustrec.training.strategy_config import STRATEGY_NAMES, StrategyConfig

SECTIONS = ("training", "strategy")
M = TypeVar("M", bound=BaseModel)


def subject_specs(settings: Settings, edition: str) -> tuple[SubjectSpec, ...]:
    """Return the subjects of a command: models × strategies × seeds, in the order they were named.

    Args:
        settings: models, strategies, seeds and overrides.
        edition: "full" or "sample"; the sample editions have defaults of their own.

    Raises:
        RobustrecError: an unknown model, strategy, section or key, or a value out of range.
    """
    for name in settings.model:
        if name not in MODELS:
            raise unknown_name("model", name, MODELS, where="--model")
    for name in settings.strategy:
        if name not in STRATEGY_NAMES:
            raise unknown_name("strategy", name, STRATEGY_NAMES, where="--strategy")
    for section in settings.set:
        if section not in (*SECTIONS, *MODELS):
            raise unknown_name("section", section, (*SECTIONS, *MODELS), where=f"--set {section}.…")
    return tuple(
        _spec(settings, edition, model, strategy, settings.seed + offset)
        for model in dict.fromkeys(settings.model)
        for strategy in dict.fromkeys(settings.strategy)
        for offset in range(settings.seeds)
    )


def _spec(settings: Settings, edition: str, model: str, strategy: str, seed: int) -> SubjectSpec:
    defaults = training_defaults(model, "sample" if edition == "sample" else "full")
    of_loop = {key: value for key, value in defaults.items() if key in TrainingConfig.model_fields}
    of_model = {key: value for key, value in defaults.items() if key not in of_loop}
    overrides = settings.set
    model_options = {**of_model, **overrides.get(model, {})}
    checked(model_class(model).Config, model_options, section=model)
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
