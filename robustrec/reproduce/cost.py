"""How long trainings take: rough figures before any is done, and measured ones afterwards."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field

from robustrec.comparison.budget import gradient_evaluations
from robustrec.errors import RobustrecError
from robustrec.runs.specs import SubjectSpec

EPOCHS = 100
"""Epochs that a training until early stopping is assumed to take."""

_ROWS, _ITEMS = 118_551, 7_050  # training interactions and items of Baby, where the figures below were taken
_SECONDS = {"dualgnn": 26.0, "dragon": 24.0, "slmrec": 10.0, "lightgcn": 1.6, "bpr": 0.2, "vbpr": 2.8}
"""Seconds of an epoch of plain training on two CPU cores (benchmarks/results/train-cpu.md, against-mmrec-cpu.md)."""
_USUAL = 20.0
_FASTER = 60.0
"""Smallest factor by which a GPU took less time than two CPU cores (benchmarks/results/gpu-h200.md)."""
_GROWTH = 0.3
"""Exponent of the training interactions in the seconds of a step's propagation (benchmarks/results/scale-cpu.md)."""
_LEAST = 0.02  # seconds of an epoch of a tiny data set
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0}


def parse_duration(text: str, *, where: str = "--budget") -> float:
    """Return the seconds in a duration: "4h", "30m", "1h30m", "90s".

    Raises:
        RobustrecError: it is not one, or it is zero.
    """
    parts = re.fullmatch(r"(?=.)(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s)?", text.strip())
    seconds = (
        sum(float(part) * unit for part, unit in zip(parts.groups("0"), _UNITS.values(), strict=True)) if parts else 0
    )
    if not parts or not seconds:
        raise RobustrecError(
            f"{text!r} is not a duration", where=f"{where} {text}", fix=f"write {where} 4h, 30m or 1h30m"
        )
    return seconds


def duration_words(seconds: float) -> str:
    """Return a duration in the unit that fits: "40 s", "25 min", "4.5 h"."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


@dataclass
class Speed:
    """Seconds of a gradient evaluation: rough figures at first, and of each model what was measured.

    Attributes:
        gpu: whether trainings run on a GPU.
        measured: (data set, model) -> gradient evaluations and seconds that they took.
    """

    gpu: bool = False
    measured: dict[tuple[str, str], tuple[int, float]] = field(default_factory=dict)

    def learn(self, dataset: str, model: str, gradients: int, seconds: float) -> None:
        """Add a finished training."""
        before = self.measured.get((dataset, model), (0, 0.0))
        self.measured[dataset, model] = (before[0] + gradients, before[1] + seconds)

    def seconds(self, spec: SubjectSpec, dataset: str, n_train: int, n_items: int) -> float:
        """Return the seconds that a training may take.

        Args:
            spec: the subject at its budget.
            dataset: name of the data set.
            n_train: training interactions.
            n_items: items.
        """
        epochs = spec.training.max_epochs
        if spec.training.patience < epochs:  # it ends earlier
            epochs = min(epochs, EPOCHS)
        gradients = gradient_evaluations(spec, n_train, epochs)
        done, took = self.measured.get((dataset, spec.model), (0, 0.0))
        if done:
            return gradients * took / done
        # Two thirds of a step are products with the features of all items, the rest is propagation.
        size = n_train / _ROWS * (2 / 3 * n_items / _ITEMS + 1 / 3 * (n_train / _ROWS) ** _GROWTH)
        plain = max(_LEAST, _SECONDS.get(spec.model, _USUAL) * float(size) / (_FASTER if self.gpu else 1.0))
        steps = max(1, math.ceil(n_train / spec.training.batch_size))
        return gradients * plain / steps
