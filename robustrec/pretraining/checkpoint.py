"""Checkpoints of pretraining, so that an interrupted training resumes with identical results."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from robustrec.checkpoint_files import read_checkpoint_file, write_checkpoint_file
from robustrec.errors import RobustrecError
from robustrec.pretraining.architecture import BlipModels, parameters
from robustrec.untrusted import UnreadableError

FORMAT = 2


@dataclass
class TrainingProgress:
    """Progress of a training.

    Attributes:
        step: finished steps.
        seconds: time spent in steps, including before resuming.
        starts: number of processes that the training ran in: 1, and 1 more each time it resumed.
        curve: loss curve: rows [finished steps, mean of each of `steps.Losses` since the last row].
        pending: losses of each step since the last row of the curve.
    """

    step: int = 0
    seconds: float = 0.0
    starts: int = 1
    curve: list[list[float]] = field(default_factory=list)
    pending: list[list[float]] = field(default_factory=list)


def write_checkpoint(
    path: Path,
    key: str,
    blip: BlipModels,
    temperature: nn.Parameter,
    optimizer: torch.optim.Optimizer,
    done: TrainingProgress,
) -> None:
    """Write weights, optimizer state and progress, atomically.

    Args:
        path: the file.
        key: digest of everything the training depends on.
        blip: the models.
        temperature: temperature of the contrastive loss.
        optimizer: its moments are stored by parameter index.
        done: progress of the training.
    """
    tensors = {f"weights.{name}": value.data for name, value in parameters(blip.itm, blip.caption)}
    tensors["temperature"] = temperature.data
    for index, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{name}": value for name, value in state.items()}
    write_checkpoint_file(path, tensors, {"format": FORMAT, "key": key, "done": asdict(done)})


def read_checkpoint(
    path: Path, key: str, blip: BlipModels, temperature: nn.Parameter, optimizer: torch.optim.Optimizer
) -> TrainingProgress | None:
    """Restore a stored state and return its progress; None without a checkpoint of this training.

    Raises:
        RobustrecError: the file is damaged.
    """
    if not path.exists():
        return None
    try:
        header, tensors = read_checkpoint_file(path)
    except UnreadableError as error:
        raise RobustrecError(
            f"the checkpoint is damaged: {error}", where=str(path), fix=f"remove it and start again: rm {path}"
        ) from error
    if header.get("format") != FORMAT or header.get("key") != key:
        return None
    with torch.no_grad():
        for name, parameter in parameters(blip.itm, blip.caption):
            parameter.copy_(tensors[f"weights.{name}"])
        temperature.copy_(tensors["temperature"])
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        kind, _, rest = name.partition(".")
        if kind == "optimizer":
            index, _, moment = rest.partition(".")
            state.setdefault(int(index), {})[moment] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    return TrainingProgress(**header["done"])
