"""The run store: folders HOME/runs/KEY with parameters and a record, and the key of a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from robustrec.feature_names import with_filter
from robustrec.files import digest_array, digest_bytes, digest_json, staged_folder, unwritable
from robustrec.models.own import is_own, load_own
from robustrec.object_store import fetched
from robustrec.runs.edit_pools import content_key
from robustrec.runs.formats import TRAINED_BY
from robustrec.runs.prepared import Prepared
from robustrec.runs.records import PARAMETERS as PARAMETERS
from robustrec.runs.records import RECORD as RECORD
from robustrec.runs.records import RECORD_FORMAT, damaged, read_record
from robustrec.runs.specs import SubjectSpec, gradient_evaluations, reads_features, spec_json
from robustrec.training.trainer import Outcome
from robustrec.untrusted import UnreadableError, regular_file


def run_key(spec: SubjectSpec, prepared: Prepared) -> str:
    """Return the key of a run: the digest of all inputs of its parameters.

    The code is represented by the numbers of `robustrec.runs.formats`.
    """
    content = content_key(spec, prepared)
    return digest_json(
        {
            "format": RECORD_FORMAT,
            "data": prepared.dataset.digest,
            "features": prepared.features_digest(spec.shrink) if reads_features(spec) else None,
            "spec": spec_json(spec),
            "trained_by": TRAINED_BY,
            "own_code": load_own(spec.model).code if is_own(spec.model) else None,
            "torch": torch.__version__,
            "device": prepared.device.type,
            **({} if content is None else {"content": content}),
        }
    )[:32]


def stored_run(home: Path, key: str) -> Path | None:
    """Return the folder of a finished run, which is fetched if only the store in use has it, or None."""
    folder = home / "runs" / key
    if not (folder / RECORD).is_file():
        fetched("runs", key, folder)
    return folder if (folder / RECORD).is_file() else None


def store_run(home: Path, key: str, parameters: dict[str, Tensor], record: dict[str, Any]) -> Path:
    """Store a finished training atomically and return its folder."""
    folder = home / "runs" / key
    try:
        with staged_folder(folder) as stage:
            (stage / PARAMETERS).write_bytes(save(parameters))
            (stage / RECORD).write_text(record_text(record), encoding="utf-8")
    except OSError as error:
        raise unwritable(folder, error) from error
    return folder


def record_text(record: dict[str, Any]) -> str:
    """Return the JSON text of a record with the digest of its other entries."""
    return json.dumps({**record, "digest": digest_json(record)}, indent=2, allow_nan=False)


def run_record(
    spec: SubjectSpec, prepared: Prepared, key: str, outcome: Outcome, parameters: dict[str, Tensor]
) -> dict[str, Any]:
    """Return the record of a finished training, as JSON values."""
    counters = outcome.counters
    return {
        "format": RECORD_FORMAT,
        "key": key,
        "dataset": {
            "name": prepared.dataset.name,
            "edition": prepared.dataset.edition,
            "digest": prepared.dataset.digest,
        },
        "features_digest": prepared.features_digest(spec.shrink) if reads_features(spec) else None,
        "features": with_filter(prepared.features.label, spec.shrink)
        if prepared.features and reads_features(spec)
        else "none",
        **spec_json(spec),
        "epochs": counters.epoch,
        "best_epoch": counters.best_epoch,
        "best_validation": counters.best_metric,
        "validation_metric": spec.training.validation_metric,
        "stopped_early": counters.waited >= spec.training.patience,
        "gradient_evaluations": gradient_evaluations(spec, counters.epoch, counters.steps // max(1, counters.epoch)),
        "losses": counters.losses,
        "metrics": counters.metrics,
        "seconds": counters.seconds,
        "starts": counters.starts,
        "resumed": outcome.resumed,
        "mirror": outcome.mirror._asdict(),
        "n_parameters": sum(value.numel() for value in parameters.values()),
        "parameters_digest": parameters_digest(parameters),
        "device": prepared.device.type,
        "torch": torch.__version__,
    }


def parameters_digest(parameters: dict[str, Tensor]) -> str:
    """Return the digest of named parameters: names, shapes and exact values."""
    parts: list[bytes] = []
    for name in sorted(parameters):
        parts += [name.encode(), digest_array(np.asarray(parameters[name].cpu())).encode()]
    return digest_bytes(parts)


def read_run(folder: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return a run's record and parameters.

    Raises:
        RobustrecError: the run is damaged.
    """
    record = read_record(folder)
    try:
        regular_file(folder / PARAMETERS)
        parameters = load_file(folder / PARAMETERS)
        if parameters_digest(parameters) != record.get("parameters_digest"):
            raise ValueError(f"{PARAMETERS} does not match the digest in {RECORD}")
    except (OSError, ValueError, TypeError, SafetensorError, UnreadableError) as error:
        raise damaged(folder, error) from error
    return record, parameters


def load_run(folder: Path, module: nn.Module) -> dict[str, Any]:
    """Load the parameters of a run of the store into a module and return its record.

    Raises:
        RobustrecError: the run is damaged, or its key differs from the name of its folder.
    """
    record, parameters = read_run(folder)
    if record.get("key") != folder.name:
        raise damaged(folder, ValueError(f"{RECORD} is of run {record.get('key')!r}"))
    try:
        module.load_state_dict(parameters)
    except RuntimeError as error:
        raise damaged(folder, error) from error
    module.eval()
    return record
