"""Definition of a subject without its data, and the modalities of its model."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from robustrec.errors import RobustrecError
from robustrec.feature_names import Shrink
from robustrec.modalities import ANY_MODALITY, in_order, read_of
from robustrec.models import config_class, modalities_of
from robustrec.models.configs import ModelConfig
from robustrec.subject import EXTERNAL
from robustrec.training.config import TrainingConfig
from robustrec.training.strategy_config import StrategyConfig

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class SubjectSpec:
    """Definition of a subject without its data.

    Attributes:
        model: name in `robustrec.models.MODELS`, or "package.module:Name" of a user-defined model.
        model_options: fields of the model's Config that differ from its defaults.
        training: settings of the training loop.
        strategy: settings of the strategy.
        seed: seed of initialisation, shuffles and negatives.
        training_noise: noise added to the features before training ("sigma2=1e-06 draw 0"), or "".
        origin: "trained", "checkpoint" (loaded parameters), or "scorer".
        checkpoint: the parameter file, or None.
        shrink: the filter of the features that the model reads, or None.
    """

    model: str
    model_options: dict[str, Any]
    training: TrainingConfig
    strategy: StrategyConfig
    seed: int
    training_noise: str = ""
    origin: Literal["trained", "checkpoint", "scorer"] = "trained"
    checkpoint: Path | None = None
    shrink: Shrink | None = None

    @property
    def trains(self) -> bool:
        """Whether it is trained, or taken from the run store."""
        return self.origin == "trained" and self.checkpoint is None

    @property
    def can_train(self) -> bool:
        """Whether its training can be repeated on other features."""
        return self.origin == "trained"

    @property
    def label(self) -> str:
        """The spec in one line, e.g. "slmrec/sgbd seed 0"."""
        filtered = f"/{self.shrink.label}" if self.shrink else ""
        return f"{self.model}/{self.strategy_name}{filtered} seed {self.seed}"

    @property
    def strategy_name(self) -> str:
        """Name of the strategy in reports; "external" for subjects that were not trained here."""
        return self.strategy.name if self.origin == "trained" else EXTERNAL


def evaluations_per_step(spec: SubjectSpec) -> float:
    """Return the gradient evaluations of a batch per step, in the mean over many: the strategy's, for each negative."""
    return spec.strategy.evaluations_per_step * spec.training.negatives


def gradient_evaluations(spec: SubjectSpec, epochs: int, steps_per_epoch: int) -> int:
    """Return the gradient evaluations of a batch in some epochs of a training."""
    return spec.strategy.gradient_evaluations(epochs, steps_per_epoch) * spec.training.negatives


def reads_features(spec: SubjectSpec) -> bool:
    """Return whether the model of a subject reads item features."""
    return bool(modalities_of(spec.model))


def modalities_read(model_name: str, available: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the feature tables a model reads, in the order of modalities."""
    return {name: available[name] for name in read_of(modalities_of(model_name), available)}


def check_modalities(specs: Iterable[SubjectSpec], available: Iterable[str]) -> list[str]:
    """Check that the features have what each model reads; return a note on what a model leaves out.

    Args:
        specs: the subjects.
        available: modalities of the features.

    Raises:
        RobustrecError: a model reads other modalities than there are, or its settings are for others.
    """
    there, notes = in_order(available), dict[str, None]()
    for spec in specs:
        declared = modalities_of(spec.model)
        read = read_of(declared, there)
        if declared and not read:
            wanted = "features" if ANY_MODALITY in declared else f"features of {' or '.join(declared)}"
            has = f"only {' and '.join(there)}" if there else "no modality"
            raise RobustrecError(
                f"{spec.model} needs {wanted}, but the features have {has}",
                where=f"--model {spec.model}",
                fix="choose another model (robustrec list models), another encoder (--features), or import feature"
                " files: "
                + (" or ".join(f"{name}_feat.npy" for name in declared if name != ANY_MODALITY) or "NAME_feat.npy"),
            )
        if spec.trains and len(read) < 2 and "modality-dropout" in spec.strategy.active_treatments:
            raise RobustrecError(
                f"modality-dropout needs two modalities, but {spec.model} reads {' and '.join(read) or 'none'}",
                where=f"--strategy {spec.strategy_name}",
                fix="use another treatment, for example --strategy noise-aug",
            )
        if declared and spec.origin != "scorer":
            settings = config_class(spec.model)(**spec.model_options)
            if isinstance(settings, ModelConfig):
                settings.check_modalities(spec.model, read)
        left = [name for name in there if name not in read]
        if declared and left:
            notes[f"{spec.model} reads {' and '.join(read)}, but not {' and '.join(left)}"] = None
    return list(notes)


def spec_json(spec: SubjectSpec) -> dict[str, Any]:
    """Return a spec as JSON with all defaults; training and strategy are None for external subjects."""
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
        **({"shrink": spec.shrink.model_dump(mode="json")} if spec.shrink else {}),
    }
