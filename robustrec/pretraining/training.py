"""The training loop, with checkpoints; an interrupted training resumes with identical results.

Equal settings give weights that are equal bit by bit on one machine with one version of torch and one number of CPU
threads. A GPU computes in bfloat16 under autocast, with an order of summation that varies.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from robustrec.errors import RobustrecError
from robustrec.pretraining.architecture import BlipModels
from robustrec.pretraining.batches import Step, TokenizedSource, make_step
from robustrec.pretraining.checkpoint import TrainingProgress, read_checkpoint, write_checkpoint
from robustrec.pretraining.settings import TrainingSettings
from robustrec.pretraining.steps import TEMPERATURES, Losses, losses, make_optimizer, rate
from robustrec.pretraining.tokens import TokenBatch
from robustrec.progress import Progress, silent
from robustrec.seeds import torch_generator

CURVE_INTERVAL = 25
"""Number of steps per point of the loss curve."""
CHECKPOINT_SECONDS = 60.0
TIMED_STEPS = 8
"""Number of steps that are timed to predict the training time."""


class TrainingResult(NamedTuple):
    """Progress and learned temperature of a training."""

    done: TrainingProgress
    temperature: float


def train(
    blip: BlipModels,
    sources: Sequence[TokenizedSource],
    training: TrainingSettings,
    device: torch.device,
    *,
    checkpoint: Path | None = None,
    key: str = "",
    progress: Progress = silent,
) -> TrainingResult:
    """Train both models in place.

    Args:
        blip: the models; moved to the device.
        sources: training data.
        training: the settings.
        device: the device.
        checkpoint: checkpoint file; a checkpoint of this training is resumed, and not removed here.
        key: digest of everything the training depends on.
        progress: reports the number of steps.

    Raises:
        RobustrecError: the loss is NaN or infinite, or the checkpoint is damaged or cannot be written.
    """
    blip.itm.to(device).train()
    blip.caption.to(device).train()
    temperature = nn.Parameter(torch.tensor(training.temperature, device=device))
    optimizer = make_optimizer(blip, temperature, training)
    done = TrainingProgress()
    if checkpoint is not None:
        found = read_checkpoint(checkpoint, key, blip, temperature, optimizer)
        if found is not None:
            done = found
            done.starts += 1
    written = time.monotonic()
    begun, first = written, done.step
    for number in range(done.step, training.steps):
        start = time.monotonic()
        values = _step(blip, temperature, optimizer, sources, training, number, device)
        done.seconds += time.monotonic() - start
        _note(done, values, number)
        left = (time.monotonic() - begun) / (done.step - first) * (training.steps - done.step)
        progress("pretraining", done.step, training.steps, _progress_note(values, left))
        if checkpoint is not None and time.monotonic() - written > CHECKPOINT_SECONDS:
            write_checkpoint(checkpoint, key, blip, temperature, optimizer, done)
            written = time.monotonic()
    if checkpoint is not None and done.step > first:
        write_checkpoint(checkpoint, key, blip, temperature, optimizer, done)
    blip.itm.eval()
    blip.caption.eval()
    return TrainingResult(done, temperature.item())


def seconds_per_step(
    blip: BlipModels, sources: Sequence[TokenizedSource], training: TrainingSettings, device: torch.device
) -> float:
    """Return the seconds per step, measured on a few steps of the training; this changes the weights."""
    blip.itm.to(device).train()
    blip.caption.to(device).train()
    temperature = nn.Parameter(torch.tensor(training.temperature, device=device))
    optimizer = make_optimizer(blip, temperature, training)
    seconds = []
    for place in range(-1, TIMED_STEPS):
        start = time.monotonic()
        number = max(place, 0) * training.steps // TIMED_STEPS
        _step(blip, temperature, optimizer, sources, training, number, device)
        seconds.append(time.monotonic() - start)
    return sum(seconds[1:]) / TIMED_STEPS  # the first one allocates


def _step(
    blip: BlipModels,
    temperature: nn.Parameter,
    optimizer: torch.optim.Optimizer,
    sources: Sequence[TokenizedSource],
    training: TrainingSettings,
    number: int,
    device: torch.device,
) -> list[float]:
    step = _moved(make_step(sources, training, blip.specials, number), device)
    generator = torch_generator(training.seed, "pretrain negatives", number)
    lower = torch.autocast(device.type, torch.bfloat16) if device.type == "cuda" else nullcontext()
    with lower:
        found = losses(blip, temperature, step, training, generator)
    for group in optimizer.param_groups:
        group["lr"] = rate(training, number)
    optimizer.zero_grad(set_to_none=True)
    total: Tensor = torch.stack(list(found)).sum()
    total.backward()  # type: ignore[no-untyped-call]
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    nn.utils.clip_grad_norm_(parameters, training.clip_norm)
    optimizer.step()
    with torch.no_grad():
        temperature.clamp_(*TEMPERATURES)
    values = [loss.item() for loss in found]
    if not all(abs(value) < float("inf") for value in values):
        raise RobustrecError(
            f"the loss is NaN or infinite at step {number + 1}: {values}",
            where="robustrec encoder pretrain",
            fix=f"lower the learning rate: --set training.learning_rate={training.learning_rate / 3:.1g}",
        )
    return values


def _moved(step: Step, device: torch.device) -> Step:
    texts, captions = (TokenBatch(*(part.to(device) for part in batch)) for batch in (step.texts, step.captions))
    return Step(step.pixels.to(device), texts, captions, step.same.to(device), step.hardness)


def _note(done: TrainingProgress, values: list[float], number: int) -> None:
    done.step = number + 1
    done.pending.append(values)
    if len(done.pending) == CURVE_INTERVAL:
        means = [sum(column) / CURVE_INTERVAL for column in zip(*done.pending, strict=True)]
        done.curve.append([float(done.step), *means])
        done.pending.clear()


def _progress_note(values: list[float], seconds: float) -> str:
    parts = " · ".join(f"{name} {value:.2f}" for name, value in zip(LOSSES, values, strict=True))
    left = f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"
    return f"{parts} · {left} left"


LOSSES = Losses._fields
