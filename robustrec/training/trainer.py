"""The training loop: epochs without host round trips, early stopping on validation, best parameters restored."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from robustrec.errors import RobustrecError
from robustrec.models.contract import (
    Batch,
    DrawsPerEpoch,
    Features,
    Graphs,
    Recommender,
    item_graphs,
)
from robustrec.models.dense import bf16_inputs
from robustrec.progress import Progress, silent
from robustrec.seeds import derive_seed, torch_generator
from robustrec.training import optimizers
from robustrec.training.checkpoints import Counters, load_checkpoint, save_checkpoint
from robustrec.training.config import BF16, TrainingConfig
from robustrec.training.content import Content
from robustrec.training.replay import ReplayedPasses, replayed_passes
from robustrec.training.sampling import Positives, batches_of, sample_epoch
from robustrec.training.strategies import FEATURE_TABLES, MirrorRecord, Strategy
from robustrec.training.strategy_config import StrategyConfig
from robustrec.training.treatments import treatments_of

# One mirrored step in about thirty steps is measured with an additional forward pass.
PROBE_PERIOD = 30


class NotFiniteError(RobustrecError):
    """A training diverged: its loss or its validation metric is not finite."""


@dataclass(frozen=True)
class Outcome:
    """Result of a finished training.

    Attributes:
        counters: epochs, best validation, losses, seconds.
        mirror: diagnostics of the mirrored steps.
        resumed: whether it resumed from a checkpoint.
        paused: whether it ended before its end; the model has its best parameters so far.
    """

    counters: Counters
    mirror: MirrorRecord
    resumed: bool
    paused: bool = False


@dataclass(frozen=True)
class Checkpointing:
    """Path and interval of checkpoints.

    Attributes:
        path: the checkpoint file.
        run_key: key of the run.
        seconds: minimum time between two checkpoints; 0 for a checkpoint after each epoch.
        pause_after: epochs after which training writes a checkpoint and ends for now; None to train to the end. The
            next training with this checkpoint goes on to the same parameters as one without a pause.
    """

    path: Path
    run_key: str
    seconds: float = 10.0
    pause_after: int | None = None


def make_optimizer(model: nn.Module, config: TrainingConfig) -> torch.optim.Optimizer:
    """Return the optimizer of a configuration; Adam with β=(.9, .999), ε=1e-8.

    Fine-tuned feature tables (`deltas` of the module) are a separate parameter group.
    """
    trained = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
    tables = [parameter for name, parameter in trained if name.startswith("deltas.")]
    parameters: list[dict[str, Any]] = [
        {"params": [parameter for name, parameter in trained if not name.startswith("deltas.")]}
    ]
    if tables:
        parameters.append({"params": tables, FEATURE_TABLES: True})
    kinds: dict[str, Callable[..., torch.optim.Optimizer]] = {
        "adam": optimizers.Adam,
        "adamw": optimizers.AdamW,
        "sgd": optimizers.SGD,
    }
    return kinds[config.optimizer](parameters, lr=config.learning_rate, weight_decay=config.weight_decay, fused=True)


def run_epoch(
    content: Content,
    batches: list[Batch],
    strategy: Strategy,
    first_step: int,
    *,
    seed: int = 0,
    constants: Any = None,
    replayed: ReplayedPasses | None = None,
) -> Tensor:
    """Take one step per batch and return the mean batch loss as a scalar on the device, without synchronization.

    Args:
        content: the recommender, in training mode, and what it reads in this epoch.
        batches: the batches of the epoch.
        strategy: the training strategy.
        first_step: number of the first step since the start of training, for measured steps and noise seeds.
        seed: seed of the random numbers of the model.
        constants: result of `training_constants` for the features; without it every step computes them.
        replayed: passes that are replayed as CUDA graphs; None for none.
    """
    state = begin_epoch(content.model, content.of_epoch, batches[0].users.device, first_step, seed)
    known = [
        batch._replace(
            epoch=state, step=place, seed=derive_seed(seed, "noise", first_step + place), constants=constants
        )
        for place, batch in enumerate(batches)
    ]
    return take_steps(content, known, strategy, first_step, replayed) / len(batches)


def begin_epoch(model: Recommender, features: Features, device: torch.device, first_step: int, seed: int) -> Any:
    """Return the epoch state of a model, or None."""
    if not isinstance(model, DrawsPerEpoch):
        return None
    with torch.no_grad():
        return model.epoch_state(features, torch_generator(seed, "epoch", first_step, device=device))


def take_steps(
    content: Content,
    batches: list[Batch],
    strategy: Strategy,
    first_step: int,
    replayed: ReplayedPasses | None = None,
) -> Tensor:
    """Take one step per batch, and return the sum of the batch losses."""
    total: Tensor | None = None
    beta = strategy.config.beta
    for offset, batch in enumerate(batches):
        content.start_step(first_step + offset)

        def closure(batch: Batch = batch) -> Tensor:
            return content.loss(batch)

        # beta consecutive steps include exactly one mirrored step.
        known = None if replayed is None else replayed.closure(batch)
        loss = strategy.step(known or closure, probe=(first_step + offset) % PROBE_PERIOD < beta)
        total = loss if total is None else total + loss
    if total is None:
        raise ValueError("no batches")
    return total


def train(
    model: Recommender,
    features: Features,
    positives: Positives,
    validate: Callable[[], float],
    *,
    config: TrainingConfig,
    strategy_config: StrategyConfig,
    seed: int,
    graphs: Graphs | None = None,
    edited: Features | None = None,
    checkpointing: Checkpointing | None = None,
    progress: Progress = silent,
) -> Outcome:
    """Train a model in place, and restore the parameters of its best validation.

    Args:
        model: a recommender on its device; its parameters are changed.
        features: modality -> [I, D_m] on the same device.
        positives: the training interactions on the same device.
        validate: returns the validation metric of the current model, unrounded, higher is better.
        config: settings of the training loop.
        strategy_config: settings of the strategy.
        seed: seed of shuffling, negatives and random numbers of the model.
        graphs: item graphs of the model; None derives them in every step.
        edited: vectors of edited content, modality -> [P, I, D_m], for strategies that train on it.
        checkpointing: path and interval of checkpoints; None for no checkpoints.
        progress: reports each epoch.

    Raises:
        NotFiniteError: the loss or the validation metric is not finite.
    """
    module = model.module()
    strategy_config.check_epochs(config.max_epochs)
    optimizer = make_optimizer(module, config)
    strategy = Strategy(strategy_config, optimizer, clip_norm=config.clip_norm)
    generator = torch_generator(seed, "triples", device=positives.users.device)
    content = _content_of(strategy_config, model, features, graphs, seed, edited)
    replayed = replayed_passes(model, module, content.loss) if config.negatives == 1 else None
    counters, best, resumed = Counters(), _copy(module), False
    if checkpointing is not None:
        stored = load_checkpoint(
            checkpointing.path,
            run_key=checkpointing.run_key,
            model=module,
            optimizer=optimizer,
            generator=generator,
        )
        if stored is not None:
            counters, best, strategy_state = stored
            strategy.load_state_dict(strategy_state)
            counters.starts += 1
            resumed = True
    saved_at = started = time.monotonic()
    pause = math.inf if checkpointing is None or checkpointing.pause_after is None else checkpointing.pause_after
    while counters.epoch < min(config.max_epochs, pause) and counters.waited < config.patience:
        module.train()
        strategy.start_epoch()
        content.start_epoch(counters.epoch)
        _set_step_size(optimizer, config, counters.epoch)
        batches = list(batches_of(sample_epoch(positives, generator, config.negatives), config.batch_size))
        constants = content.constants(config.batch_size, replayed=replayed is not None)
        held: dict[str, Any] = {"constants": constants, "replayed": replayed}
        with bf16_inputs(config.precision == BF16):
            loss = float(run_epoch(content, batches, strategy, counters.steps, seed=seed, **held))
        counters.steps += len(batches)
        counters.epoch += 1
        _check_finite("training loss", loss, counters.epoch, config)
        counters.losses.append(loss)
        strategy.end_epoch(counters.epoch)
        if counters.epoch % config.evaluate_every == 0 or counters.epoch == config.max_epochs:
            module.eval()
            with strategy.judged() as ready:
                if ready:
                    metric = validate()
                    _check_finite(config.validation_metric, metric, counters.epoch, config)
                    best = _judge(counters, metric, module, best)
        now = time.monotonic()
        counters.seconds, started = counters.seconds + now - started, now
        progress("training", counters.epoch, _last_epoch(counters, config), _note(counters, config))
        if checkpointing is not None and (now - saved_at >= checkpointing.seconds or counters.epoch == pause):
            save_checkpoint(
                checkpointing.path,
                run_key=checkpointing.run_key,
                model=module,
                best=best,
                optimizer=optimizer,
                strategy_state=strategy.state_dict(),
                generator=generator,
                counters=counters,
            )
            saved_at = now
    if counters.best_epoch:
        module.load_state_dict(best)
    # Else nothing was judged yet, as before swa_start, and the last parameters are all there is.
    module.eval()
    paused = counters.epoch < config.max_epochs and counters.waited < config.patience
    return Outcome(counters, strategy.record(), resumed, paused)


def _content_of(
    config: StrategyConfig,
    model: Recommender,
    features: Features,
    graphs: Graphs | None,
    seed: int,
    edited: Features | None,
) -> Content:
    if config.active_treatments and graphs is None:
        graphs = item_graphs(model, features)  # of the clean features, also where a treatment changes them
    return Content(model, features, graphs, treatments_of(config, model, features, graphs, seed=seed, edited=edited))


def _set_step_size(optimizer: torch.optim.Optimizer, config: TrainingConfig, epoch: int) -> None:
    """Set η·γ^(e/s) for epoch e, counted from 0."""
    for group in optimizer.param_groups:
        group["lr"] = config.learning_rate * config.decay_rate ** (epoch / config.decay_epochs)


def _copy(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in module.state_dict().items()}


def _judge(counters: Counters, metric: float, module: nn.Module, best: dict[str, Tensor]) -> dict[str, Tensor]:
    counters.metrics.append(metric)
    if metric > counters.best_metric:
        counters.best_metric, counters.best_epoch, counters.waited = metric, counters.epoch, 0
        return _copy(module)
    counters.waited += 1
    return best


def _check_finite(what: str, value: float, epoch: int, config: TrainingConfig) -> None:
    if not math.isfinite(value):
        raise NotFiniteError(
            f"{what} is {value} in epoch {epoch}",
            where=f"training with learning rate {config.learning_rate}",
            fix=f"lower the learning rate: --set training.learning_rate={config.learning_rate / 10:g}",
        )


def _last_epoch(counters: Counters, config: TrainingConfig) -> int:
    """Return the last epoch if the metric does not improve further: the total of the progress bar."""
    return min(config.max_epochs, counters.epoch + (config.patience - counters.waited) * config.evaluate_every)


def _note(counters: Counters, config: TrainingConfig) -> str:
    loss = f"loss {counters.losses[-1]:.4f}"
    if not counters.metrics:
        return loss
    latest, best = counters.metrics[-1], f"best {counters.best_metric:.4f} in epoch {counters.best_epoch}"
    return f"{loss} · {config.validation_metric} {latest:.4f}, {best}"
