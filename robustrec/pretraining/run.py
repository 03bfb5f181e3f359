"""Pretraining from catalogs to the folder of an encoder; an interrupted training resumes."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import torch

from robustrec.encoders.weights import Weights, require_transformers
from robustrec.errors import RobustrecError
from robustrec.files import digest_json, digest_sources, staged_folder, unwritable, write_atomically
from robustrec.hardware import describe_environment, full_precision
from robustrec.pretraining.architecture import BlipModels, from_scratch
from robustrec.pretraining.batches import TokenizedSource, tokenize_source
from robustrec.pretraining.card import make_card
from robustrec.pretraining.measuring import examples, measure
from robustrec.pretraining.page import write_card
from robustrec.pretraining.reading import TrainingCatalog, read_source
from robustrec.pretraining.saving import round_to_half, save_models
from robustrec.pretraining.settings import Shape, TrainingSettings
from robustrec.pretraining.sources import SHOWN, Source, training_texts
from robustrec.pretraining.start import from_weights, start_digest, start_weights
from robustrec.pretraining.training import seconds_per_step, train
from robustrec.pretraining.vocabulary import train_vocabulary
from robustrec.progress import Progress, silent
from robustrec.untrusted import UnreadableError, read_json_object

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Request:
    """Settings of a pretraining.

    Attributes:
        catalogs: training data.
        out: folder of the encoder; must not exist.
        home: the robustrec home folder.
        shape: model sizes, for training from scratch.
        training: settings of the training.
        start: initial weights: a folder, or a Hugging Face Hub name; None for random ones.
        image_size: height and width of the pictures; None for those of the initial weights.
        minutes: approximate training time instead of `training.steps`; the time of a step is measured first.
        device: the device.
        offline: never use the network.
    """

    catalogs: tuple[TrainingCatalog, ...]
    out: Path
    home: Path
    shape: Shape
    training: TrainingSettings
    start: str | None = None
    image_size: int | None = None
    minutes: float | None = None
    device: torch.device = CPU
    offline: bool = False


class StepPlan(NamedTuple):
    """A training with its number of steps, and the key of its checkpoint."""

    training: TrainingSettings
    key: str


@full_precision()
def pretrain(
    request: Request, progress: Progress = silent, say: Callable[[str], None] = lambda _: None
) -> dict[str, Any]:
    """Train a BLIP and write its folder: itm/, caption/, card.json, README.md. Return the card.

    The state is kept in OUT.partial until the folder is complete; the same command resumes it.

    Raises:
        RobustrecError: the folder exists, a catalog has no pairs, settings are invalid, or weights are unreadable.
    """
    require_transformers("blip")
    _check_out(request.out)
    start = start_weights(request.start, offline=request.offline) if request.start is not None else None
    work = request.out.with_name(f"{request.out.name}.partial")
    _make(work)
    side = request.image_size or (request.shape.image_size if start is None else _side_of(start))
    sources = [
        read_source(catalog, request.training, side, home=request.home, work=work, progress=progress)
        for catalog in request.catalogs
    ]
    _check_names(sources)
    blip = _blip(request, start, sources)
    data = [
        tokenize_source(source, blip.tokenizer, int(blip.itm.config.text_config.max_position_embeddings))
        for source in sources
    ]
    plan = _plan(request, blip, data, work, start, say)
    blip = _blip(request, start, sources)  # new weights: planning changes them by timing some steps
    begun = time.monotonic()
    trained = train(
        blip,
        data,
        plan.training,
        request.device,
        checkpoint=work / "checkpoint.safetensors",
        key=plan.key,
        progress=progress,
    )
    round_to_half(blip)
    found = measure(blip, data, request.training.seed, progress=progress)
    card = make_card(
        blip,
        training=plan.training,
        start=None if start is None else start_digest(start, request.home / "digests"),
        sources=[source.record | {"name": source.name} for source in sources],
        done=trained.done,
        temperature=trained.temperature,
        held_out=found,
        examples=examples(blip, data, SHOWN),
        environment=describe_environment(request.device),
        code=code_version(),
    )
    with staged_folder(request.out) as stage:
        save_models(blip, stage)
        write_card(stage, card)
    shutil.rmtree(work, ignore_errors=True)
    say(f"{request.out}: trained and evaluated in {(time.monotonic() - begun) / 60:.1f} min")
    return card


@cache
def code_version() -> str:
    """Return the digest of the sources that the weights depend on, computed once."""
    room = Path(__file__).parent
    return digest_sources(room, room.parent / "encoders" / "cleaning.py", room.parent / "seeds.py")


def _check_out(out: Path) -> None:
    if out.exists():
        raise RobustrecError(
            f"{out} already exists", where="--output", fix=f"choose another folder, or remove it: rm -r {out}"
        )


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(folder, error) from error


def _check_names(sources: Sequence[Source]) -> None:
    names = [source.name for source in sources]
    for name in names:
        if names.count(name) > 1:
            raise RobustrecError(f"duplicate catalog {name!r}", where="--dataset", fix="give each catalog once")


def _side_of(start: Weights) -> int:
    file = start.folder / "config.json"
    try:
        side = int(read_json_object(file).get("vision_config", {}).get("image_size", 384))
    except (UnreadableError, AttributeError, TypeError, ValueError) as error:
        raise RobustrecError(
            f"cannot read the image size: {error}", where=str(file), fix="give the folder of a BLIP model"
        ) from error
    return side


def _blip(request: Request, start: Weights | None, sources: Sequence[Source]) -> BlipModels:
    if start is not None:
        return from_weights(start, request.training.seed, request.image_size)
    shape = request.shape
    if request.image_size is not None:
        shape = shape.model_copy(update={"image_size": request.image_size})
    return from_scratch(shape, train_vocabulary(training_texts(sources), shape.vocabulary), request.training.seed)


def _plan(
    request: Request,
    blip: BlipModels,
    data: Sequence[TokenizedSource],
    work: Path,
    start: Weights | None,
    say: Callable[[str], None],
) -> StepPlan:
    """Return the number of steps and the key of the checkpoint, and report the expected time."""
    base = {
        "code": code_version(),
        "torch": torch.__version__,
        "device": request.device.type,
        "threads": torch.get_num_threads(),
        "minutes": request.minutes,
        "training": request.training.model_dump(),
        "shape": blip.itm.config.to_dict(),
        "start": None if start is None else start_digest(start, request.home / "digests"),
        "sources": [source.source.record for source in data],
    }
    key = digest_json(base)
    noted = work / "plan.json"
    training = request.training
    known = _planned_steps(noted, key)
    if known is not None:
        say(f"resuming the training in {work}")
        return StepPlan(training.model_copy(update={"steps": known}), key)
    if (work / "checkpoint.safetensors").exists():
        say(f"the interrupted training in {work} has other settings or data; starting a new training")
    seconds = seconds_per_step(blip, data, training, request.device)
    if request.minutes is not None:
        training = training.model_copy(update={"steps": max(1, int(60 * request.minutes / seconds))})
    pairs = sum(len(source.source.train) for source in data)
    say(
        f"{pairs} training pairs, {training.steps} steps of {training.batch_size} at {seconds:.2f} s: "
        f"about {training.steps * seconds / 60:.1f} min on {request.device}"
    )
    write_atomically(noted, json.dumps({"key": key, "steps": training.steps}))
    return StepPlan(training, key)


def _planned_steps(path: Path, key: str) -> int | None:
    try:
        entry = read_json_object(path)
    except UnreadableError:
        return None
    return entry["steps"] if entry.get("key") == key and type(entry.get("steps")) is int else None
