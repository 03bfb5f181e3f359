"""What defines a subject apart from its data, and what its model reads."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from robustrec.models import config_class, modalities_of
from robustrec.subject import EXTERNAL
from robustrec.training.config import TrainingConfig
from robustrec.training.strategy_config import StrategyConfig

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class SubjectSpec:
    """What defines a subject apart from its data.

    Attributes:
        model: name in `robustrec.models.MODELS`, or "package.module:Name" of one's own.
        model_options: fields of the model's Config that differ from its defaults.
        training: the loop's settings.
        strategy: the strategy's settings.
        seed: seed of initialisation, shuffles and negatives.
        training_noise: what was added to the features before training ("sigma2=1e-06 draw 0"), or nothing.
        origin: whether it is trained here, loaded from a file of parameters, or only a function that scores.
        checkpoint: the file of parameters, where there is one.
    """

    model: str
    model_options: dict[str, Any]
    training: TrainingConfig
    strategy: StrategyConfig
    seed: int
    training_noise: str = ""
    origin: Literal["trained", "checkpoint", "scorer"] = "trained"
    checkpoint: Path | None = None

    @property
    def trains(self) -> bool:
        """Whether there is a training to do, or a stored one to take."""
        return self.origin == "trained" and self.checkpoint is None

    @property
    def can_train(self) -> bool:
        """Whether everything that a training takes is known, so that it can be repeated on other features."""
        return self.origin == "trained"

    @property
    def label(self) -> str:
        """The spec in one line, e.g. "slmrec/sgbd seed 0"."""
        return f"{self.model}/{self.strategy_name} seed {self.seed}"

    @property
    def strategy_name(self) -> str:
        """The strategy as the table of findings names it: "external" for what was trained elsewhere."""
        return self.strategy.name if self.origin == "trained" else EXTERNAL


def reads_features(spec: SubjectSpec) -> bool:
    """Tell whether a subject's model reads item features at all."""
    return bool(modalities_of(spec.model))


def modalities_read(model_name: str, available: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the feature tables a model reads, in the order of MODALITIES."""
    return {name: table for name, table in available.items() if name in modalities_of(model_name)}


def spec_json(spec: SubjectSpec) -> dict[str, Any]:
    """Return a spec as JSON, every default written out; training and strategy are None for what came from elsewhere."""
    scorer = spec.origin == "scorer"
    config = {} if scorer else config_class(spec.model)(**spec.model_options).model_dump(mode="json")
    ours = spec.origin == "trained"
    return {
        "model": spec.model,
        "model_config": config,
        "training": spec.training.model_dump(mode="json") if ours else None,
        "strategy": spec.strategy.model_dump(mode="json") if ours else None,
        "seed": spec.seed,
        "training_noise": spec.training_noise,
        "origin": spec.origin,
    }
