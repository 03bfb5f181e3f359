"""Checkpoints of the full training state, so that an interrupted training resumes with identical results."""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from robustrec.checkpoint_files import read_checkpoint_file, write_checkpoint_file
from robustrec.untrusted import UnreadableError

FORMAT = 2

_log = logging.getLogger(__name__)


@dataclass
class Counters:
    """Progress of a training at the end of an epoch.

    Attributes:
        epoch: epochs finished.
        steps: optimiser batches finished.
        best_epoch: epoch (1-based) of the best validation metric, 0 before the first evaluation.
        best_metric: that metric, unrounded.
        waited: evaluations since then.
        losses: mean batch loss of each epoch.
        metrics: validation metric of each evaluation.
        seconds: time spent in training and validation, including before resuming.
        starts: number of processes that the training ran in: 1, and 1 more each time it resumed.
    """

    epoch: int = 0
    steps: int = 0
    best_epoch: int = 0
    best_metric: float = float("-inf")
    waited: int = 0
    losses: list[float] = field(default_factory=list)
    metrics: list[float] = field(default_factory=list)
    seconds: float = 0.0
    starts: int = 1


def save_checkpoint(
    path: Path,
    *,
    run_key: str,
    model: nn.Module,
    best: dict[str, Tensor],
    optimizer: torch.optim.Optimizer,
    strategy_state: dict[str, Any],
    generator: torch.Generator,
    counters: Counters,
) -> None:
    """Write the training state at the end of an epoch, atomically.

    Args:
        path: the file.
        run_key: key of the run; a checkpoint of another run is never used.
        model: parameters and buffers as they are now.
        best: parameters of the best validation so far.
        optimizer: its moments are stored by parameter index.
        strategy_state: plain numbers and tensors of the strategy.
        generator: the sampling generator.
        counters: progress of the training.
    """
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    tensors |= {f"best.{name}": value for name, value in best.items()}
    plain: dict[str, Any] = {"strategy": {}, "optimizer": {}}
    for index, state in optimizer.state_dict()["state"].items():
        for name, value in state.items():
            _put(tensors, plain["optimizer"], f"optimizer.{index}.{name}", value)
    for name, value in strategy_state.items():
        _put(tensors, plain["strategy"], f"strategy.{name}", value)
    tensors["generator"] = generator.get_state()
    header = {"format": FORMAT, "run_key": run_key, "counters": asdict(counters), **plain}
    write_checkpoint_file(path, tensors, header)


def _put(tensors: dict[str, Tensor], plain: dict[str, Any], name: str, value: Any) -> None:
    if isinstance(value, Tensor):
        tensors[name] = value
    else:
        plain[name] = value


def load_checkpoint(
    path: Path,
    *,
    run_key: str,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    generator: torch.Generator,
) -> tuple[Counters, dict[str, Tensor], dict[str, Any]] | None:
    """Restore a stored state into model, optimizer and generator.

    Returns:
        The counters, the best parameters and the state of the strategy; None without a checkpoint of this run, or with
        a warning for a damaged one.
    """
    if not path.exists():
        return None
    device = next(model.parameters()).device
    try:
        header, tensors = read_checkpoint_file(path)
    except UnreadableError as error:
        _log.warning("the checkpoint %s is damaged (%s); the training restarts from the beginning", path, error)
        return None
    if header.get("format") != FORMAT or header.get("run_key") != run_key:
        return None
    model.load_state_dict(_part(tensors, "model."))
    best = {name: value.to(device) for name, value in _part(tensors, "best.").items()}
    state: dict[int, dict[str, Any]] = {}
    for name, value in {**_part(tensors, "optimizer."), **_part(header["optimizer"], "optimizer.")}.items():
        index, _, key = name.partition(".")
        state.setdefault(int(index), {})[key] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    generator.set_state(tensors["generator"])
    strategy_state = {**_part(tensors, "strategy."), **_part(header["strategy"], "strategy.")}
    counters = {"starts" if name == "sittings" else name: value for name, value in header["counters"].items()}  # older
    return Counters(**counters), best, strategy_state


def epochs_of_checkpoint(path: Path, run_key: str) -> int:
    """Return the epochs that a training had finished at its checkpoint; 0 without one of this run."""
    if not path.exists():
        return 0
    try:
        header, _ = read_checkpoint_file(path)
    except UnreadableError:
        return 0
    if header.get("format") != FORMAT or header.get("run_key") != run_key:
        return 0
    return int(header["counters"]["epoch"])


def _part(values: dict[str, Any], prefix: str) -> dict[str, Any]:
    return {name.removeprefix(prefix): value for name, value in values.items() if name.startswith(prefix)}
