"""A subject: model × strategy × features × seed, trained once and taken from the run store ever after."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from filelock import FileLock, Timeout
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from robustrec.errors import RobustrecError
from robustrec.evaluation.metrics import parse_metric, per_user_metrics
from robustrec.evaluation.ranking import rank
from robustrec.files import digest_array, digest_bytes, digest_json, digest_sources, staged_folder, unwritable
from robustrec.models import model_class
from robustrec.models.contract import Features, Graphs, Recommender, Representation, item_graphs, represent
from robustrec.models.graphs import cosine_neighbours
from robustrec.progress import Progress, silent
from robustrec.reporting.findings import Subject
from robustrec.runs.prepared import Prepared
from robustrec.seeds import torch_generator
from robustrec.training.config import TrainingConfig
from robustrec.training.strategy_config import StrategyConfig
from robustrec.training.trainer import Checkpointing, Outcome, train

RECORD_FORMAT = 1


@dataclass(frozen=True)
class SubjectSpec:
    """What defines a training apart from its data.

    Attributes:
        model: name in `robustrec.models.MODELS`.
        model_options: fields of the model's Config that differ from its defaults.
        training: the loop's settings.
        strategy: the strategy's settings.
        seed: seed of initialisation, shuffles and negatives.
        training_noise: what was added to the features before training ("sigma2=1e-06 draw 0"), or nothing.
    """

    model: str
    model_options: dict[str, Any]
    training: TrainingConfig
    strategy: StrategyConfig
    seed: int
    training_noise: str = ""


@dataclass(frozen=True)
class TrainedSubject:
    """A trained model with the features it is served on.

    Attributes:
        subject: its name in the table of findings.
        spec: what it was trained from.
        key: key of its run in the store.
        model: the recommender at its best validation, in evaluation mode.
        tables: the modalities it reads, float32 [I, D_m] on the device.
        record: what its training said (see `train_subject`).
        graphs: the item graphs of the features it is served on, where it derives any.
    """

    subject: Subject
    spec: SubjectSpec
    key: str
    model: Recommender
    tables: dict[str, Tensor]
    record: dict[str, Any] = field(repr=False)
    graphs: Graphs | None = field(default=None, repr=False)

    def represent(self, features: Features | None = None, *, frozen: bool = False) -> Representation:
        """Recompute the user and item vectors from the features, by default the clean ones.

        Args:
            features: modality -> [I, D_m].
            frozen: keep the item graphs of training time; otherwise they are derived from the features given.
        """
        with torch.no_grad():
            if features is None:
                return represent(self.model, self.tables, self.graphs)
            return represent(self.model, features, self.graphs if frozen else None)


def reads_features(spec: SubjectSpec) -> bool:
    """Tell whether a subject's model reads item features at all."""
    return bool(model_class(spec.model).modalities)


def modalities_read(model_name: str, available: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the feature tables a model reads, in the order of MODALITIES."""
    return {name: table for name, table in available.items() if name in model_class(model_name).modalities}


def run_key(spec: SubjectSpec, prepared: Prepared) -> str:
    """Return the key of a run: the digest of everything its parameters depend on, code and torch version included."""
    return digest_json(
        {
            "format": RECORD_FORMAT,
            "data": prepared.dataset.digest,
            "features": prepared.features.digest if prepared.features and reads_features(spec) else None,
            "spec": spec_json(spec),
            "code": _code_version(),
            "torch": torch.__version__,
            "device": prepared.device.type,
        }
    )[:32]


@cache
def _code_version() -> str:
    """Return the digest of the sources that decide over parameters, taken once: a process runs what it started with."""
    package = Path(__file__).parent.parent
    rooms = (package / "models", package / "training", package / "evaluation", package / "runs", package / "seeds.py")
    return digest_sources(*rooms)


def spec_json(spec: SubjectSpec) -> dict[str, Any]:
    """Return a spec as JSON, every default written out."""
    config = model_class(spec.model).Config(**spec.model_options)
    return {
        "model": spec.model,
        "model_config": config.model_dump(mode="json"),
        "training": spec.training.model_dump(mode="json"),
        "strategy": spec.strategy.model_dump(mode="json"),
        "seed": spec.seed,
        "training_noise": spec.training_noise,
    }


def stored_run(home: Path, key: str) -> Path | None:
    """Return the folder of a finished run, or None."""
    folder = home / "runs" / key
    return folder if (folder / "run.json").is_file() else None


def obtain_subject(
    spec: SubjectSpec,
    prepared: Prepared,
    *,
    home: Path,
    tables: dict[str, Tensor] | None = None,
    progress: Progress = silent,
) -> TrainedSubject:
    """Take a subject from the run store, or train it and put it there.

    Args:
        spec: what to train.
        prepared: data and features.
        home: the folder that holds the store.
        tables: features to train and serve on instead of the clean ones (then `spec.training_noise` names the change).
        progress: told after each epoch.

    Raises:
        RobustrecError: the stored run is damaged, or training failed.
    """
    key = run_key(spec, prepared)
    reads = modalities_read(spec.model, prepared.tables if tables is None else tables)
    model = build_model(spec, prepared)
    graphs = item_graphs(model, reads, prepared.neighbours if tables is None else cosine_neighbours)
    with _locked(home / "runs" / ".locks" / key, progress):
        folder = stored_run(home, key)
        if folder is None:
            folder = _train_into_store(spec, prepared, model, reads, graphs, home=home, key=key, progress=progress)
    record = _load_run(folder, model.module())
    name = prepared.features.name if prepared.features and reads else "none"
    subject = Subject(model=spec.model, strategy=spec.strategy.name, features=name, seed=spec.seed)
    return TrainedSubject(subject, spec, key, model, reads, record, graphs)


def build_model(spec: SubjectSpec, prepared: Prepared) -> Recommender:
    """Initialise a model on the CPU, so that every device starts from the same parameters, and move it."""
    kind = model_class(spec.model)
    config = kind.Config(**spec.model_options)
    model = kind(prepared.problem, config, torch_generator(spec.seed, "parameters"))
    return cast(Recommender, model.to(prepared.device))


def validation_metric(
    model: Recommender, features: Features, prepared: Prepared, metric: str, graphs: Graphs | None = None
) -> Callable[[], float]:
    """Return the function that ranks the validation users with the model as it is and averages the metric over them."""
    split, k = prepared.validation, parse_metric(metric).k

    def validate() -> float:
        with torch.no_grad():
            ranking = rank(represent(model, features, graphs), split.users, split.masked, k=k)
        return float(per_user_metrics(ranking, split.relevant, [metric])[metric].mean())

    return validate


@contextmanager
def _locked(path: Path, progress: Progress) -> Iterator[None]:
    """Hold a lock file; when another process has it, say so and wait."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path)
        lock.acquire(blocking=False)
    except Timeout:
        progress("waiting", 0, 1, "another robustrec process is training this subject")
        lock.acquire()
    except OSError as error:
        raise unwritable(path, error) from error
    try:
        yield
    finally:
        lock.release()


def _train_into_store(
    spec: SubjectSpec,
    prepared: Prepared,
    model: Recommender,
    tables: dict[str, Tensor],
    graphs: Graphs | None,
    *,
    home: Path,
    key: str,
    progress: Progress,
) -> Path:
    module = model.module()
    partial = home / "runs" / f".partial-{key}.safetensors"
    outcome = train(
        model,
        tables,
        prepared.positives,
        validation_metric(model, tables, prepared, spec.training.validation_metric, graphs),
        config=spec.training,
        strategy_config=spec.strategy,
        seed=spec.seed,
        graphs=graphs,
        checkpointing=Checkpointing(partial, key),
        progress=progress,
    )
    folder = home / "runs" / key
    parameters = {name: value.detach().cpu().contiguous() for name, value in module.state_dict().items()}
    with staged_folder(folder) as stage:
        save_file(parameters, stage / "parameters.safetensors")
        record = _record(spec, prepared, key, outcome, parameters)
        (stage / "run.json").write_text(json.dumps(record, indent=2, allow_nan=False))
    partial.unlink(missing_ok=True)
    return folder


def _record(
    spec: SubjectSpec, prepared: Prepared, key: str, outcome: Outcome, parameters: dict[str, Tensor]
) -> dict[str, Any]:
    counters = outcome.counters
    return {
        "format": RECORD_FORMAT,
        "key": key,
        "dataset": {
            "name": prepared.dataset.name,
            "edition": prepared.dataset.edition,
            "digest": prepared.dataset.digest,
        },
        **spec_json(spec),
        "epochs": counters.epoch,
        "best_epoch": counters.best_epoch,
        "best_validation": counters.best_metric,
        "validation_metric": spec.training.validation_metric,
        "stopped_early": counters.epoch < spec.training.max_epochs,
        "losses": counters.losses,
        "metrics": counters.metrics,
        "seconds": counters.seconds,
        "sittings": counters.sittings,
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


def _load_run(folder: Path, module: nn.Module) -> dict[str, Any]:
    try:
        record: dict[str, Any] = json.loads((folder / "run.json").read_text())
        parameters = load_file(folder / "parameters.safetensors")
        if parameters_digest(parameters) != record["parameters_digest"]:
            raise ValueError("the parameters are not those of the record")
        module.load_state_dict(parameters)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise RobustrecError(
            f"stored run is damaged: {error}",
            where=str(folder),
            fix=f"remove it and train again: rm -r {folder}",
        ) from error
    module.eval()
    return record
