"""Random treatments of the features that a training reads, and the treatments of a strategy."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor

from robustrec.errors import RobustrecError
from robustrec.models.contract import Features, Graphs, Recommender
from robustrec.seeds import torch_generator
from robustrec.training.adversarial import Adversarial
from robustrec.training.content import Treatment
from robustrec.training.edit_settings import EDIT_AUG
from robustrec.training.edited_content import Consistency, EditedContent
from robustrec.training.strategy_config import StrategyConfig


def treatments_of(
    config: StrategyConfig,
    model: Recommender,
    features: Features,
    graphs: Graphs | None,
    *,
    seed: int,
    edited: Features | None = None,
) -> list[Treatment]:
    """Return the active treatments of a strategy, in the order in which they act.

    Args:
        config: settings of the strategy.
        model: the recommender.
        features: clean, modality -> [I, D_m].
        graphs: item graphs of the model.
        seed: of the training.
        edited: vectors of edited content, modality -> [P, I, D_m]; None for none.

    Raises:
        RobustrecError: a treatment does not apply to the features.
    """
    found: list[Treatment] = []
    for name in config.active_treatments:
        if name == EDIT_AUG:
            if edited is None:
                raise ValueError(f"strategy {config.name!r} trains on edited content, but there is none")
            content = EditedContent(edited, config.edit_share, seed, next(iter(features.values())).device)
            found.append(content)
            if config.consistency:
                found.append(Consistency(content, config.consistency, model, graphs))
        elif name == "noise-aug":
            found.append(NoiseAugmentation(config, features, seed))
        elif name == "modality-dropout":
            found.append(ModalityDropout(config, features, seed))
        elif name == "amr":
            found.append(Adversarial(config, model, features, graphs, seed))
    return found


class Redrawn(Treatment, ABC):
    """A random change of the features that is drawn again in each epoch or step, into the same memory.

    Args:
        config: `redraw` says when.
        features: clean, modality -> [I, D_m].
        seed: of the training.
    """

    name = ""
    changes_features = True

    def __init__(self, config: StrategyConfig, features: Features, seed: int) -> None:
        self.config, self.seed = config, seed
        self.changes_steps = config.redraw == "step"
        self._changed = {modality: torch.empty_like(table) for modality, table in features.items()}

    def of_epoch(self, features: Features, epoch: int, /) -> Features:
        """Return the changed features of an epoch."""
        return self._drawn(features, epoch) if self.config.redraw == "epoch" else features

    def of_step(self, features: Features, step: int, /) -> Features:
        """Return the changed features of a step."""
        return self._drawn(features, step) if self.config.redraw == "step" else features

    def _drawn(self, features: Features, number: int) -> Features:
        self.write(features, number)
        return self._changed

    @abstractmethod
    def write(self, features: Features, number: int) -> None:
        """Write the changed features of an epoch or step of that number."""

    def generator(self, number: int, *names: str, device: torch.device) -> torch.Generator:
        """Return the generator of an epoch or step for a named purpose."""
        return torch_generator(self.seed, self.name, *names, number, device=device)


class NoiseAugmentation(Redrawn):
    """Adds Gaussian noise to each row x_i: x_i + σ ‖x_i‖ z / √D, z ~ N(0, I), of a norm of about σ ‖x_i‖.

    The noise audit's relative noise has the same form, with other draws.
    """

    name = "noise-aug"

    def write(self, features: Features, number: int) -> None:
        """Write the features with noise."""
        for modality, table in features.items():
            changed = self._changed[modality]
            changed.normal_(generator=self.generator(number, modality, device=table.device))
            sizes = torch.linalg.vector_norm(table, dim=1, keepdim=True)
            changed.mul_(sizes * (self.config.noise_sigma / math.sqrt(table.shape[1]))).add_(table)


class ModalityDropout(Redrawn):
    """Replaces one modality of an item, drawn uniformly, by its mean over the items, with probability p.

    With `dropout_of` "rows" each item is drawn on its own; with "modality" all items lose the same modality. No item
    loses two modalities.

    Raises:
        RobustrecError: the model reads fewer than two modalities.
    """

    name = "modality-dropout"

    def __init__(self, config: StrategyConfig, features: Features, seed: int) -> None:
        if len(features) < 2:
            raise RobustrecError(
                f"modality-dropout needs two modalities, but the model reads {' and '.join(features) or 'none'}",
                where="strategy modality-dropout",
                fix="use another treatment, for example --strategy noise-aug",
            )
        super().__init__(config, features, seed)
        self._means = {m: table.mean(dim=0, dtype=torch.float64).to(table.dtype) for m, table in features.items()}

    def write(self, features: Features, number: int) -> None:
        """Write the features with the drawn modality of each item replaced."""
        first = next(iter(features.values()))
        n = len(first) if self.config.dropout_of == "rows" else 1
        generator = self.generator(number, device=first.device)
        lost = torch.rand(n, 1, generator=generator, device=first.device) < self.config.dropout_rate
        which = torch.randint(len(features), (n, 1), generator=generator, device=first.device)
        for place, (modality, table) in enumerate(features.items()):
            dropped: Tensor = lost & (which == place)
            self._changed[modality].copy_(torch.where(dropped, self._means[modality], table))
