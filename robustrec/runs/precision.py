"""Whether a training can have matrix products of bf16 inputs; importable without torch."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from robustrec.errors import RobustrecError
from robustrec.models import modalities_of
from robustrec.models.own import is_own
from robustrec.training.config import BF16

if TYPE_CHECKING:
    import torch

    from robustrec.runs.specs import SubjectSpec

_WHERE = f"--set training.precision={BF16}"
_FIX = "omit it: --set training.precision=float32"
# Compute capability of the first GPUs with bf16 (Ampere).
_LEAST = (8, 0)


def check_precision(specs: Iterable[SubjectSpec], device: str) -> None:
    """Refuse bf16 where it has no effect or cannot be had, as far as that is known before any work.

    Args:
        specs: the subjects.
        device: name of the device as given: "auto" is looked at when the training begins.

    Raises:
        RobustrecError: a model has no product that it applies to, or the device is a CPU.
    """
    for spec in _trained_in_bf16(specs):
        if is_own(spec.model):
            raise RobustrecError(
                f"training.precision={BF16} applies to products of built-in models, but {spec.model} is user-defined",
                where=_WHERE,
                fix=f"{_FIX}, and use torch.autocast in your model",
            )
        if not modalities_of(spec.model):
            raise RobustrecError(
                f"training.precision={BF16} has no effect on {spec.model}, which projects no item features",
                where=_WHERE,
                fix=_FIX,
            )
        if device == "cpu":
            raise _on_cpu()


def check_device(spec: SubjectSpec, device: torch.device) -> None:
    """Refuse bf16 on a device without it.

    Raises:
        RobustrecError: the device is a CPU, or a GPU older than Ampere.
    """
    if spec.training.precision != BF16:
        return
    if device.type != "cuda":
        raise _on_cpu()
    import torch

    capability = torch.cuda.get_device_capability(device)
    if capability < _LEAST:
        found = ".".join(map(str, capability))
        raise RobustrecError(
            f"training.precision={BF16} needs a GPU with compute capability 8.0 or later, but {device} has {found}",
            where=_WHERE,
            fix=_FIX,
        )


def precision_notes(specs: Iterable[SubjectSpec]) -> list[str]:
    """Return a line for each model that is trained with bf16 inputs."""
    names = dict.fromkeys(spec.model for spec in _trained_in_bf16(specs))
    return [
        f"{name} is trained with {BF16} inputs of its matrix products ({_WHERE}); validation and audits are float32"
        for name in names
    ]


def _trained_in_bf16(specs: Iterable[SubjectSpec]) -> list[SubjectSpec]:
    return [spec for spec in specs if spec.can_train and spec.training.precision == BF16]


def _on_cpu() -> RobustrecError:
    return RobustrecError(
        f"training.precision={BF16} needs a GPU: PyTorch has no product of {BF16} inputs with float32 results on a CPU",
        where=_WHERE,
        fix=f"use --device cuda, or {_FIX}",
    )
