"""Training of subjects (model × strategy × features × seed), with the run store."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from robustrec.datasets.interactions import VALIDATION
from robustrec.errors import RobustrecError
from robustrec.evaluation.kinds import ACCURACY, parse_metric
from robustrec.evaluation.places import per_user_accuracy
from robustrec.files import locked, remove_leftovers
from robustrec.hardware import full_precision
from robustrec.in_use import mark_used
from robustrec.models.contract import Features, Graphs, Recommender, item_graphs, represent
from robustrec.models.graphs import cosine_neighbours
from robustrec.models.own import attributed_to
from robustrec.object_store import files_in, share
from robustrec.progress import Progress, silent
from robustrec.runs.edit_pools import pool_of
from robustrec.runs.external import loaded_subject, scorer_subject
from robustrec.runs.precision import check_device
from robustrec.runs.prepared import Prepared, with_users
from robustrec.runs.records import read_record
from robustrec.runs.specs import SubjectSpec, modalities_read
from robustrec.runs.store import load_run, run_key, run_record, store_run, stored_run
from robustrec.runs.trained import TrainedSubject, build_model, subject_of
from robustrec.training.checkpoints import epochs_of_checkpoint
from robustrec.training.edit_settings import EditPool, edit_pool
from robustrec.training.trainer import Checkpointing, train


@full_precision()
def obtain_subject(
    spec: SubjectSpec,
    prepared: Prepared,
    *,
    home: Path,
    tables: dict[str, Tensor] | None = None,
    progress: Progress = silent,
) -> TrainedSubject:
    """Return a subject from the run store; train and store it if needed.

    Args:
        spec: what to train.
        prepared: data and features.
        home: folder of the store.
        tables: features for training and inference instead of the clean ones; `spec.training_noise` describes them.
        progress: reports each epoch.

    Raises:
        RobustrecError: the stored run is damaged, or training failed, or the device lacks its precision.
    """
    if spec.origin == "scorer":
        return scorer_subject(spec, prepared)
    if spec.checkpoint is not None:
        return loaded_subject(spec, prepared)
    check_device(spec, prepared.device)
    key = run_key(spec, prepared)
    reads = modalities_read(spec.model, prepared.tables if tables is None else tables)
    model = build_model(spec, prepared)
    with attributed_to(spec.model, "item_graphs"):
        graphs = item_graphs(model, reads, prepared.neighbours if tables is None else cosine_neighbours)

    def waiting() -> None:
        progress("waiting", 0, 1, "another robustrec process is training this subject")

    with locked(home / "runs" / ".locks" / key, waiting=waiting):
        remove_leftovers(home / "runs")
        partial = home / "runs" / f".partial-{key}.checkpoint"
        folder = stored_run(home, key)
        if folder is None:
            state = Checkpointing(partial, key)
            record, parameters, _ = _trained(spec, prepared, model, reads, graphs, state=state, progress=progress)
            folder = store_run(home, key, parameters, record)
        mark_used(folder)
        partial.unlink(missing_ok=True)  # also of a process that was killed before it removed it
        record = load_run(folder, model.module())
        share("runs", key, lambda: files_in(folder))
    return TrainedSubject(subject_of(spec, prepared), spec, key, model, reads, record, graphs)


@full_precision()
def paused_subject(
    spec: SubjectSpec, prepared: Prepared, epochs: int, *, home: Path, progress: Progress = silent
) -> TrainedSubject:
    """Return a subject as it is after some epochs of its training, at its best validation until then.

    The state of the training stays beside the run store, and a later call with more epochs, or `obtain_subject`, goes
    on from there to the same parameters as a training without a pause. A training that ends earlier is stored.

    Args:
        spec: what to train.
        prepared: data and features.
        epochs: of the training.
        home: folder of the store.
        progress: reports each epoch.

    Raises:
        RobustrecError: as `obtain_subject`.
    """
    check_device(spec, prepared.device)
    key = run_key(spec, prepared)
    folder = stored_run(home, key)
    if folder is not None and int(read_record(folder)["epochs"]) <= epochs:
        return obtain_subject(spec, prepared, home=home, progress=progress)
    model = build_model(spec, prepared)
    reads = modalities_read(spec.model, prepared.tables)
    with attributed_to(spec.model, "item_graphs"):
        graphs = item_graphs(model, reads, prepared.neighbours)
    with locked(home / "runs" / ".locks" / key):
        mark_used(home / "runs")  # of the pauses in it, all may be needed
        path = home / "runs" / f".partial-{key}.checkpoint"
        # Where another command trained further, these epochs are trained again, and what there is stays.
        further = folder is not None or epochs_of_checkpoint(path, key) > epochs
        path = home / "runs" / f".partial-{key}-{epochs}.checkpoint" if further else path
        state = Checkpointing(path, key, pause_after=epochs)
        record, parameters, paused = _trained(spec, prepared, model, reads, graphs, state=state, progress=progress)
        if not paused:
            store_run(home, key, parameters, record)
        if not paused or further:
            path.unlink(missing_ok=True)
    return TrainedSubject(subject_of(spec, prepared), spec, key, model, reads, record, graphs)


def forget_pause(spec: SubjectSpec, prepared: Prepared, home: Path) -> None:
    """Remove the state of a paused training."""
    key = run_key(spec, prepared)
    with locked(home / "runs" / ".locks" / key):
        (home / "runs" / f".partial-{key}.checkpoint").unlink(missing_ok=True)


def validation_metric(
    model: Recommender, features: Features, prepared: Prepared, metric: str, graphs: Graphs | None = None
) -> Callable[[], float]:
    """Return a function that computes the mean validation metric of the current model.

    Raises:
        RobustrecError: no user has validation interactions.
    """
    split = with_users(prepared.dataset, prepared.validation, VALIDATION)
    parse_metric(metric, kinds=ACCURACY, where="training.validation_metric")

    def validate() -> float:
        with torch.no_grad():
            representation = represent(model, features, graphs)
        found = per_user_accuracy(representation, split.users, split.mask, split.wanted, [metric])
        return float(found[metric].mean())

    return validate


def _check_edits_arrive(spec: SubjectSpec, pool: EditPool, edited: Features, tables: Features) -> None:
    """Check that edited content differs from the clean content: else it is plain training by another name.

    Raises:
        RobustrecError: no edit changes a vector that the model reads.
    """
    for name, clean in tables.items():
        if any(bool((version.to(clean.device) != clean).any()) for version in edited.get(name, ())):
            return
    raise RobustrecError(
        f"no edit of {', '.join(pool.edits)} changes a vector that {spec.model} reads, so that {spec.strategy_name}"
        " would train on clean content",
        where="strategy.edit_only and strategy.edit_without",
        fix="train on other edits (robustrec list edits), or choose another strategy: robustrec list strategies",
    )


def _trained(
    spec: SubjectSpec,
    prepared: Prepared,
    model: Recommender,
    tables: dict[str, Tensor],
    graphs: Graphs | None,
    *,
    state: Checkpointing,
    progress: Progress,
) -> tuple[dict[str, Any], dict[str, Tensor], bool]:
    """Train a model, and return the record of the run, its parameters, and whether it paused before its end."""
    module = model.module()
    pool = edit_pool(spec.strategy)
    edited = None if pool is None else pool_of(pool, prepared, progress)
    if pool is not None and edited is not None:
        _check_edits_arrive(spec, pool, edited, tables)
    with attributed_to(spec.model, "its training"):
        outcome = train(
            model,
            tables,
            prepared.positives,
            validation_metric(model, tables, prepared, spec.training.validation_metric, graphs),
            config=spec.training,
            strategy_config=spec.strategy,
            seed=spec.seed,
            graphs=graphs,
            edited=edited and {name: table for name, table in edited.items() if name in tables},
            checkpointing=state,
            progress=progress,
        )
        parameters = {name: value.detach().cpu().contiguous() for name, value in module.state_dict().items()}
        record = run_record(spec, prepared, state.run_key, outcome, parameters)
        return record, parameters, outcome.paused
