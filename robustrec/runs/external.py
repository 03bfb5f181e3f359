"""Subjects that were not trained here: parameters from a file or a stored run, and functions that only score."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from robustrec.errors import RobustrecError
from robustrec.files import digest_file, digest_sources
from robustrec.models import model_class
from robustrec.models.contract import Features, Recommender, Scored, Scorer, item_graphs
from robustrec.models.mmrec import from_mmrec
from robustrec.models.own import sources_of
from robustrec.runs.prepared import Prepared
from robustrec.runs.specs import SubjectSpec, modalities_read, reads_features, spec_json
from robustrec.runs.store import load_run, parameters_digest, read_record
from robustrec.runs.trained import TrainedSubject, build_model, subject_of

# Names under which trainers wrap a state_dict.
WRAPPERS = ("state_dict", "model_state_dict", "model")


def loaded_subject(spec: SubjectSpec, prepared: Prepared) -> TrainedSubject:
    """Return a subject with the parameters of a checkpoint: a stored run's folder, or a file of a state_dict.

    Raises:
        RobustrecError: the checkpoint is unreadable, is of another model, data set or features.
    """
    place = cast(Path, spec.checkpoint)
    model = build_model(spec, prepared)
    reads = modalities_read(spec.model, prepared.tables)
    if place.is_dir():
        _check_same_data(spec, place, prepared)
        record = load_run(place, model.module())
        key = str(record["key"])
    else:
        state = _ours(spec, read_state(place), model, reads)
        model.module().load_state_dict(state)
        model.module().eval()
        key = digest_file(place)[:32]
        record = _external_record(spec, f"parameters of {place.name}", key, parameters_digest(state))
        record["n_parameters"] = sum(value.numel() for value in state.values())
    graphs = item_graphs(model, reads, prepared.neighbours)
    return TrainedSubject(subject_of(spec, prepared), spec, key, model, reads, record, graphs)


def scorer_subject(spec: SubjectSpec, prepared: Prepared) -> TrainedSubject:
    """Return a subject that is only a function of features and users.

    Raises:
        RobustrecError: its class cannot be built.
    """
    kind: Any = model_class(spec.model)
    try:
        function: Scorer = _built(kind, prepared).score if inspect.isclass(kind) else kind
    except Exception as error:  # whatever somebody's constructor raises
        raise RobustrecError(
            f"{type(error).__name__}: {error}",
            where=f"--model {spec.model}, its constructor",
            fix=f"check it: robustrec doctor --model {spec.model}",
        ) from error
    shape = (prepared.problem.n_users, prepared.problem.n_items)

    def score(features: Features) -> Scored:
        arrays = {name: table.detach().cpu().numpy() for name, table in features.items()}

        def scores(users: NDArray[np.int64]) -> Tensor:
            return checked_scores(spec.model, function(arrays, users), (len(users), shape[1]))

        return Scored(scores, *shape)

    key = digest_sources(*sources_of(kind))[:32]
    record = _external_record(spec, f"scores of {spec.model}", key, key)
    reads = modalities_read(spec.model, prepared.tables)
    return TrainedSubject(subject_of(spec, prepared), spec, key, None, reads, record, score=score)


def _built(kind: Any, prepared: Prepared) -> Any:
    return kind(prepared.problem)


def checked_scores(name: str, scores: Any, shape: tuple[int, int]) -> Tensor:
    """Return the scores of a score function as float32 on the CPU.

    Raises:
        RobustrecError: they are no numbers of the shape [n, I].
    """
    try:
        table = torch.as_tensor(scores).detach().to("cpu", torch.float32)
        found = str(tuple(table.shape))
    except (TypeError, ValueError, RuntimeError):
        table, found = torch.empty(0), f"a {type(scores).__name__}"
    if tuple(table.shape) != shape:
        raise RobustrecError(
            f"score returned {found} where {shape} numbers were expected, a row for each user, a column for each item",
            where=f"--model {name}",
            fix=f"check it: robustrec doctor --model {name}",
        )
    return table


def read_state(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a safetensors file or of a PyTorch file, which is read with `weights_only=True`.

    Raises:
        RobustrecError: it cannot be read, or holds no named tensors.
    """
    fix = "save the parameters alone: torch.save(model.state_dict(), 'model.pth')"
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, SafetensorError) as error:
        raise RobustrecError(f"cannot read {path.name}: {error}", where=f"--checkpoint {path}", fix=fix) from error
    except Exception as error:  # the unpickler of torch raises what a damaged or refused file makes it raise
        raise RobustrecError(
            f"{path.name} holds more than tensors, or is damaged, and is not opened: {str(error).splitlines()[0]}",
            where=f"--checkpoint {path}",
            fix=fix,
        ) from error
    for name in WRAPPERS:
        if isinstance(content, dict) and isinstance(content.get(name), dict):
            content = content[name]
    if not isinstance(content, dict) or not all(isinstance(value, Tensor) for value in content.values()):
        raise RobustrecError(f"{path.name} holds no state_dict", where=f"--checkpoint {path}", fix=fix)
    return dict(content)


def _ours(
    spec: SubjectSpec, state: dict[str, Tensor], model: Recommender, tables: dict[str, Tensor]
) -> dict[str, Tensor]:
    """Return the state by our names, checked against the model it is for."""
    expected = {name: tuple(value.shape) for name, value in model.module().state_dict().items()}
    if set(state) != set(expected):
        state = from_mmrec(spec.model, state, tables)
    where = f"--checkpoint {spec.checkpoint}"
    missing = sorted(set(expected) - set(state))
    surplus = sorted(set(state) - set(expected))
    if missing or surplus:
        raise RobustrecError(
            f"these are not the parameters of {spec.model}: {', '.join([f'no {n}' for n in missing] + surplus)}",
            where=where,
            fix="name the model that was trained with --model, and its settings with --set",
        )
    for name, shape in expected.items():
        if tuple(state[name].shape) != shape:
            raise RobustrecError(
                f"{name} is {tuple(state[name].shape)}; this data set, features and settings make it {shape}",
                where=where,
                fix="use the data set and features it was trained with, and its settings: --set MODEL.KEY=VALUE",
            )
        if not bool(torch.isfinite(state[name]).all()):
            raise RobustrecError(
                f"{name} holds NaN or infinity", where=where, fix="use a checkpoint of a sound training"
            )
    return {name: state[name].to(torch.float32) for name in expected}


def _check_same_data(spec: SubjectSpec, folder: Path, prepared: Prepared) -> None:
    record = read_record(folder)
    features = prepared.features.digest if prepared.features and reads_features(spec) else None
    for what, trained_on, here in (
        ("data set", record.get("dataset", {}).get("digest"), prepared.dataset.digest),
        ("features", record.get("features_digest"), features),
    ):
        if trained_on != here:
            raise RobustrecError(
                f"the run was trained on another {what}: {str(trained_on)[:16]}, here it is {str(here)[:16]}",
                where=f"--checkpoint {folder}",
                fix="name the data set, edition and features it was trained with",
            )


def _external_record(spec: SubjectSpec, source: str, key: str, digest: str) -> dict[str, Any]:
    return {**spec_json(spec), "key": key, "source": source, "parameters_digest": digest, "n_parameters": 0}
