"""External subjects: parameters from a file or a stored run, and scorers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from robustrec.errors import RobustrecError
from robustrec.files import digest_file
from robustrec.in_use import mark_used
from robustrec.models import model_class, section_of
from robustrec.models.contract import Features, Recommender, Representation, Scored, item_graphs
from robustrec.models.feature_chunks import ChunkedFeatures
from robustrec.models.filtered import FilteredChunks
from robustrec.models.mmrec import from_mmrec, refuse_further
from robustrec.models.own import attributed_to, is_own, load_own
from robustrec.models.scorers import build_scorer, scored
from robustrec.models.vector_scorers import VectorScorer
from robustrec.quiet import warnings_are
from robustrec.runs.prepared import Prepared
from robustrec.runs.specs import SubjectSpec, modalities_read, reads_features, spec_json
from robustrec.runs.store import parameters_digest, read_run
from robustrec.runs.trained import TrainedSubject, build_model, subject_of
from robustrec.untrusted import UnreadableError, regular_file

# Common keys of a state_dict in a checkpoint.
WRAPPERS = ("state_dict", "model_state_dict", "model")
# Prefix of parameter names after data-parallel training.
PARALLEL = "module."
# Maximum number of names in a message.
NAMED = 4


def loaded_subject(spec: SubjectSpec, prepared: Prepared) -> TrainedSubject:
    """Return a subject with the parameters of a checkpoint: a stored run's folder, or a file of a state_dict.

    Raises:
        RobustrecError: the checkpoint is unreadable, or of another model, data set or features.
    """
    place = cast(Path, spec.checkpoint)
    model = build_model(spec, prepared)
    reads = modalities_read(spec.model, prepared.tables)
    if place.is_dir():
        mark_used(place)
        record, found = read_run(place)
        _check_same_data(spec, place, record, prepared)
        state = _ours(spec, found, model, reads)
        key = str(record["key"])
    else:
        found = read_state(place)
        source = f"parameters of {place.name}"
        if _is_foreign(spec, found, model):
            refuse_further(spec.model, reads)
        if _is_foreign(spec, found, model) and "mmrec_compat" in model_class(spec.model).Config.model_fields:
            # Trained with the equations of MMRec.
            spec = replace(spec, model_options={**spec.model_options, "mmrec_compat": True})
            model, source = build_model(spec, prepared), f"{source}, in MMRec's layout: with mmrec_compat"
        state = _ours(spec, found, model, reads)
        key = digest_file(place)[:32]
        record = _external_record(spec, source, key, parameters_digest(state))
        record["n_parameters"] = sum(value.numel() for value in state.values())
    model.module().load_state_dict(state)
    model.module().eval()
    with attributed_to(spec.model, "item_graphs"):
        graphs = item_graphs(model, reads, prepared.neighbours)
    return TrainedSubject(subject_of(spec, prepared), spec, key, model, reads, record, graphs)


def temporary_checkpoint(trained: nn.Module | Mapping[str, Tensor], folder: Path) -> Path:
    """Write the parameters of a trained module, or its state_dict, into a folder, and return the file."""
    state = trained.state_dict() if isinstance(trained, nn.Module) else trained
    path = folder / "parameters.safetensors"
    save_file({key: value.detach().cpu().clone().contiguous() for key, value in state.items()}, path)
    return path


def scorer_subject(spec: SubjectSpec, prepared: Prepared) -> TrainedSubject:
    """Return the subject of a scorer.

    Raises:
        RobustrecError: its class cannot be built.
    """
    scorer = build_scorer(spec.model, model_class(spec.model), prepared.problem)

    vectors = scorer.represent if isinstance(scorer, VectorScorer) else None
    chosen = prepared.filter_of(spec.shrink)

    def chunked(features: ChunkedFeatures) -> Representation:
        assert vectors is not None
        return vectors(FilteredChunks(features, chosen) if chosen else features)

    def score(features: Features) -> Scored | Representation:
        features = chosen(features) if chosen else features
        return vectors(features) if vectors else scored(spec.model, scorer, features, prepared.problem)

    code = load_own(spec.model).code
    record = _external_record(spec, f"scores of {spec.model}", code[:32], code)
    reads = modalities_read(spec.model, prepared.tables)
    return TrainedSubject(
        subject_of(spec, prepared),
        spec,
        code[:32],
        None,
        reads,
        record,
        score=score,
        chunked=chunked if vectors else None,
    )


def read_state(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a safetensors file or of a PyTorch file, which is read with `weights_only=True`.

    Raises:
        RobustrecError: it cannot be read, or has no named tensors.
    """
    where, fix = f"--checkpoint {path}", "save the parameters only: torch.save(model.state_dict(), 'model.pth')"
    content = read_torch(path, where=where, fix=fix)
    for name_of_wrapper in WRAPPERS:
        if isinstance(content, dict) and isinstance(content.get(name_of_wrapper), dict):
            content = content[name_of_wrapper]
    plain = isinstance(content, dict) and all(
        isinstance(name, str) and isinstance(value, Tensor) and is_plain(value) for name, value in content.items()
    )
    if not plain:
        raise RobustrecError(f"{path.name} has no state_dict of plain tensors", where=where, fix=fix)
    return dict(content)


def read_torch(path: Path, *, where: str, fix: str) -> Any:
    """Return the content of a safetensors file, or of a PyTorch file, which is read with `weights_only=True`.

    Args:
        path: the file.
        where: what errors name as the place.
        fix: what errors advise.

    Raises:
        RobustrecError: it cannot be read, or has other content than tensors, numbers, texts and containers of them.
    """
    try:
        regular_file(path)
        if path.suffix == ".safetensors":
            return load_file(path)
        with warnings_are("ignore"):  # of a pickle protocol that torch does not write
            return torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, SafetensorError, UnreadableError) as error:
        raise RobustrecError(f"cannot read {path.name}: {error}", where=where, fix=fix) from error
    except Exception as error:  # torch.load raises many exception types
        # The message of torch is not shown, because it suggests weights_only=False.
        name = re.search(r"GLOBAL (\S+)", str(error))
        held = f"more than tensors ({name[1]})" if name else "something else than tensors, or is damaged"
        raise RobustrecError(f"{path.name} contains {held}; it was not loaded", where=where, fix=fix) from error


def is_plain(value: Tensor) -> bool:
    """Return whether a tensor is dense and has storage: not meta, sparse or quantized."""
    return value.layout is torch.strided and not value.is_quantized and not value.is_meta


def _ours(
    spec: SubjectSpec, state: dict[str, Tensor], model: Recommender, tables: dict[str, Tensor]
) -> dict[str, Tensor]:
    """Return the state with the parameter names of robustrec, checked against the model."""
    expected = dict(model.module().state_dict())
    if state and set(state) != set(expected) and all(name.startswith(PARALLEL) for name in state):
        state = {name.removeprefix(PARALLEL): value for name, value in state.items()}
    if _is_foreign(spec, state, model):
        state = from_mmrec(spec.model, state, tables, expected)
    where = f"--checkpoint {spec.checkpoint}"
    missing, surplus = sorted(set(expected) - set(state)), sorted(set(state) - set(expected))
    if missing or surplus:
        differences = [f"{what} {_some(names)}" for what, names in (("no", missing), ("besides", surplus)) if names]
        raise RobustrecError(
            f"the parameters do not match {spec.model}: {'; '.join(differences)}",
            where=where,
            fix="set --model to the trained model, and its settings with --set",
        )
    for name, value in expected.items():
        found, wanted = tuple(state[name].shape), tuple(value.shape)
        if found != wanted:
            raise RobustrecError(
                f"{name} must have shape {wanted} for this data set, features and settings, but got {found}",
                where=where,
                fix="use the data set and features it was trained with, and its settings: "
                f"--set {section_of(spec.model)}.KEY=VALUE",
            )
        if not bool(torch.isfinite(state[name]).all()):
            raise RobustrecError(
                f"{name} holds NaN or infinity", where=where, fix="use a checkpoint without NaN or infinite values"
            )
    return {name: state[name].to(value.dtype) for name, value in expected.items()}


def _is_foreign(spec: SubjectSpec, state: dict[str, Tensor], model: Recommender) -> bool:
    """Return whether the names of a state are not those of robustrec, so that they may be those of MMRec."""
    expected = set(model.module().state_dict())
    names = {name.removeprefix(PARALLEL) for name in state}
    # With most names of robustrec, it is an incomplete state of robustrec.
    return 2 * len(names & expected) < len(expected) and not is_own(spec.model)


def _some(names: list[str]) -> str:
    return ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")


def _check_same_data(spec: SubjectSpec, folder: Path, record: dict[str, Any], prepared: Prepared) -> None:
    features = prepared.features_digest(spec.shrink) if reads_features(spec) else None
    for what, trained_on, here in (
        ("data set", record.get("dataset", {}).get("digest"), prepared.dataset.digest),
        ("features", record.get("features_digest"), features),
    ):
        if trained_on != here:
            raise RobustrecError(
                f"the run was trained on another {what}: expected {str(here)[:16]}, but got {str(trained_on)[:16]}",
                where=f"--checkpoint {folder}",
                fix="use the data set, edition and features of its training",
            )


def _external_record(spec: SubjectSpec, source: str, key: str, digest: str) -> dict[str, Any]:
    return {**spec_json(spec), "key": key, "source": source, "parameters_digest": digest, "n_parameters": 0}
