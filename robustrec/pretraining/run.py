"""A pretraining from catalogues to an encoder's folder; one that was killed is taken up again."""

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
from robustrec.pretraining.architecture import Blip, from_scratch
from robustrec.pretraining.batches import Tokenised, tokenised
from robustrec.pretraining.card import make_card
from robustrec.pretraining.measuring import examples, measure
from robustrec.pretraining.page import write_card
from robustrec.pretraining.reading import Catalogue, read_source
from robustrec.pretraining.saving import round_to_half, save_models
from robustrec.pretraining.settings import Shape, Training
from robustrec.pretraining.sources import SHOWN, Source, all_texts
from robustrec.pretraining.start import from_weights, start_digest, start_weights
from robustrec.pretraining.training import seconds_per_step, train
from robustrec.pretraining.vocabulary import train_vocabulary
from robustrec.progress import Progress, silent
from robustrec.untrusted import UnreadableError, read_json_object

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Request:
    """What is to be trained.

    Attributes:
        catalogues: what it learns from.
        out: the encoder's folder; must not exist.
        home: robustrec's own folder.
        shape: sizes, where training begins from scratch.
        training: how it is trained.
        start: weights to begin from: a folder, or a name on a hub; None for random ones.
        image_size: side of the pictures where it is not the start's own.
        minutes: train for about so long instead of `training.steps`; what a step takes is measured first.
        device: where.
        offline: never look on a network.
    """

    catalogues: tuple[Catalogue, ...]
    out: Path
    home: Path
    shape: Shape
    training: Training
    start: str | None = None
    image_size: int | None = None
    minutes: float | None = None
    device: torch.device = CPU
    offline: bool = False


class Plan(NamedTuple):
    """A training with the number of its steps settled, and the key of its checkpoint."""

    training: Training
    key: str


@full_precision()
def pretrain(
    request: Request, progress: Progress = silent, say: Callable[[str], None] = lambda _: None
) -> dict[str, Any]:
    """Train a BLIP and write its folder: itm/, caption/, card.json, README.md. Return the card.

    The state lies in OUT.partial beside the folder until it is whole; the same command takes it up again.

    Raises:
        RobustrecError: the folder exists, a catalogue has no pairs, settings that do not fit, or unreadable weights.
    """
    require_transformers("blip")
    _check_out(request.out)
    start = start_weights(request.start, offline=request.offline) if request.start is not None else None
    work = request.out.with_name(f"{request.out.name}.partial")
    _make(work)
    side = request.image_size or (request.shape.image_size if start is None else _side_of(start))
    sources = [
        read_source(catalogue, request.training, side, home=request.home, work=work, progress=progress)
        for catalogue in request.catalogues
    ]
    _check_names(sources)
    blip = _blip(request, start, sources)
    data = [
        tokenised(source, blip.tokenizer, int(blip.itm.config.text_config.max_position_embeddings))
        for source in sources
    ]
    plan = _plan(request, blip, data, work, start, say)
    blip = _blip(request, start, sources)  # anew: planning has taken steps to see how long they take
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
    """Return the digest of the sources that decide over the weights, taken once."""
    room = Path(__file__).parent
    return digest_sources(room, room.parent / "encoders" / "cleaning.py", room.parent / "seeds.py")


def _check_out(out: Path) -> None:
    if out.exists():
        raise RobustrecError(
            f"{out} already exists", where="--out", fix=f"choose another folder, or remove it: rm -r {out}"
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
            f"cannot read the side of its pictures: {error}", where=str(file), fix="give a folder of a BLIP"
        ) from error
    return side


def _blip(request: Request, start: Weights | None, sources: Sequence[Source]) -> Blip:
    if start is not None:
        return from_weights(start, request.training.seed, request.image_size)
    shape = request.shape
    if request.image_size is not None:
        shape = shape.model_copy(update={"image_size": request.image_size})
    return from_scratch(shape, train_vocabulary(all_texts(sources), shape.vocabulary), request.training.seed)


def _plan(
    request: Request,
    blip: Blip,
    data: Sequence[Tokenised],
    work: Path,
    start: Weights | None,
    say: Callable[[str], None],
) -> Plan:
    """Settle the number of steps, say what they cost, and make the key of the checkpoint."""
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
    known = _noted(noted, key)
    if known is not None:
        say(f"resuming the training in {work}")
        return Plan(training.model_copy(update={"steps": known}), key)
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
    return Plan(training, key)


def _noted(path: Path, key: str) -> int | None:
    try:
        entry = read_json_object(path)
    except UnreadableError:
        return None
    return entry["steps"] if entry.get("key") == key and type(entry.get("steps")) is int else None
