"""Averages of the parameters of a training, by `torch.optim.swa_utils`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn, get_swa_multi_avg_fn

from robustrec.training.strategy_config import StrategyConfig


class Average:
    """An average of parameters, which are judged and kept in place of the last ones.

    `swa` (Izmailov et al., UAI 2018, arXiv 1803.05407) is the mean of the parameters after each epoch from
    `swa_start` on, at the learning rate that the training has. `ema` is a ← d a + (1 - d) θ after each step t = 0, 1,
    …, with d = min(`ema_decay`, (1 + t)/(10 + t)). It costs one copy of the parameters and no gradient.

    Args:
        config: of a strategy with an average.
        parameters: what is averaged.
    """

    def __init__(self, config: StrategyConfig, parameters: Sequence[Tensor]) -> None:
        self.config = config
        self.parameters = list(parameters)
        self.count = 0
        self._mean: list[Tensor] = []

    @property
    def ready(self) -> bool:
        """Whether there is an average of more than one set of parameters."""
        return self.count > 1

    def after_step(self) -> None:
        """Take the parameters after a step into account."""
        if self.config.parts.averaging == "ema":
            decay = min(self.config.ema_decay, (1 + self.count) / (10 + self.count))
            self._add(get_ema_multi_avg_fn(decay))  # type: ignore[no-untyped-call]

    def after_epoch(self, epoch: int) -> None:
        """Take the parameters after an epoch, counted from 1, into account."""
        if self.config.parts.averaging == "swa" and epoch >= self.config.swa_start:
            self._add(get_swa_multi_avg_fn())  # type: ignore[no-untyped-call]

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Set the parameters to their average in a block; they stay in their memory, and are restored bit by bit."""
        if not self.ready:
            yield
            return
        aside = [parameter.detach().clone() for parameter in self.parameters]
        self._put(self._mean)
        try:
            yield
        finally:
            self._put(aside)

    def state_dict(self) -> dict[str, int | Tensor]:
        """Return the number of parameters averaged, and the averages by their place."""
        return {"averaged": self.count, **{f"average.{place}": mean for place, mean in enumerate(self._mean)}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore a state of `state_dict`."""
        self.count = int(state["averaged"])
        if self.count:
            pairs = enumerate(self.parameters)
            self._mean = [state[f"average.{place}"].to(parameter.device).clone() for place, parameter in pairs]

    @torch.no_grad()
    def _add(self, update: Any) -> None:
        current = [parameter.detach() for parameter in self.parameters]
        if self._mean:
            update(self._mean, current, self.count)
        else:
            self._mean = [value.clone() for value in current]
        self.count += 1

    @torch.no_grad()
    def _put(self, values: Sequence[Tensor]) -> None:
        torch._foreach_copy_(self.parameters, list(values))
