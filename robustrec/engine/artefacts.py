"""Outputs of tasks on disk: HOME/measured/KEY, so that an interrupted audit measures no condition twice.

A key is the digest of everything that an output depends on, the code of robustrec included. A file is the sha256 of
its content and the content: an npz with arrays of numbers and one JSON text. It appears whole or not at all; one that
is damaged is measured again. The files of an audit are removed once its report is written.
"""

from __future__ import annotations

import hashlib
import io
import json
import time
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import Field

import robustrec
from robustrec.audits.context import CostCounts
from robustrec.audits.results import Audited, AuditResults, Work
from robustrec.audits.run_tasks import config_of
from robustrec.audits.tasks import Task, TaskOutput
from robustrec.datasets.registry import Dataset
from robustrec.files import digest_json, digest_sources, remove_leftovers, write_atomically
from robustrec.in_use import mark_used
from robustrec.results.exhibits import Exhibit, Relation
from robustrec.results.findings import AuditStatus, Finding
from robustrec.runs.edit_pools import further_photos
from robustrec.runs.specs import spec_json
from robustrec.subject import Record
from robustrec.untrusted import UnreadableError, read_bytes, read_npz

FORMAT = 2
"""Raised by hand when the content of a file changes."""

MOST_BYTES = 512 << 20
"""Largest output that is stored, in bytes."""

DAYS = 7
"""Age in days from which on outputs of an audit that was never finished are removed."""

_HEX = 64


class _Content(Record):
    """All of an output but its arrays."""

    findings: tuple[Finding, ...]
    statuses: tuple[AuditStatus, ...]
    exhibits: tuple[Exhibit, ...]
    relations: tuple[Relation, ...]
    over_seeds: tuple[Finding, ...]
    warnings: tuple[str, ...]
    costs: dict[str, int]
    state: dict[str, Any]
    error: str
    arrays: tuple[str, ...] = Field(description="names of the per-user arrays a0, a1, …")
    others: tuple[str, ...] = Field(description="names of the other arrays b0, b1, …")


def packed(output: TaskOutput) -> bytes:
    """Return an output as bytes, exact to the bit."""
    results = output.results
    content = _Content(
        findings=tuple(results.findings),
        statuses=tuple(results.statuses),
        exhibits=tuple(results.exhibits),
        relations=tuple(results.relations),
        over_seeds=tuple(results.over_seeds),
        warnings=tuple(results.warnings),
        costs=asdict(output.costs),
        state=output.state,
        error=output.error,
        arrays=tuple(results.arrays),
        others=tuple(output.arrays),
    )
    buffer = io.BytesIO()
    np.savez(
        buffer,
        allow_pickle=False,
        content=np.frombuffer(content.model_dump_json().encode(), dtype=np.uint8),
        **{f"a{place}": array for place, array in enumerate(results.arrays.values())},
        **{f"b{place}": array for place, array in enumerate(output.arrays.values())},
    )
    return buffer.getvalue()


def unpacked(data: bytes) -> TaskOutput:
    """Return the output in bytes of `packed`.

    Raises:
        UnreadableError: the bytes are damaged.
        ValueError: likewise.
    """
    arrays = read_npz(data, most=4 * MOST_BYTES)
    content = _Content.model_validate_json(arrays["content"].tobytes(), strict=True)
    results = AuditResults(
        findings=list(content.findings),
        statuses=list(content.statuses),
        arrays={name: arrays[f"a{place}"] for place, name in enumerate(content.arrays)},
        exhibits=list(content.exhibits),
        relations=list(content.relations),
        over_seeds=list(content.over_seeds),
        warnings=list(content.warnings),
    )
    others = {name: arrays[f"b{place}"] for place, name in enumerate(content.others)}
    return TaskOutput(results, CostCounts(**content.costs), content.state, others, content.error)


class Artefacts:
    """The stored outputs of one run.

    Attributes:
        folder: where they are.
        keys: task -> its key, for the tasks that can be stored.
    """

    def __init__(self, tasks: Iterable[Task], subjects: Audited, work: Work) -> None:
        self.folder = work.plan.home / "measured"
        base = _inputs(subjects, work)
        self.keys = {_name(task): _key(base, task, work) for task in tasks if task.stored}
        mark_used(self.folder)
        _remove_old(self.folder)

    def find(self, task: Task) -> TaskOutput | None:
        """Return a stored output, which costs nothing now; None if there is none, or if it is damaged."""
        key = self.keys.get(_name(task))
        path = self.folder / str(key)
        if key is None or not path.is_file():
            return None
        try:
            data = read_bytes(path, most=MOST_BYTES + _HEX)
            if hashlib.sha256(data[_HEX:]).hexdigest().encode() != data[:_HEX]:
                raise ValueError("the content does not match its digest")
            output = unpacked(data[_HEX:])
        except (UnreadableError, ValueError, KeyError, TypeError):
            path.unlink(missing_ok=True)
            return None
        output.costs = CostCounts()
        return output

    def stored(self, task: Task) -> bool:
        """Return whether a file is there for a task, sound or not."""
        return (self.folder / str(self.keys.get(_name(task)))).is_file()

    def keep(self, task: Task, output: TaskOutput) -> None:
        """Store an output without error, if it is not too large.

        Raises:
            RobustrecError: the store cannot be written.
        """
        key = self.keys.get(_name(task))
        data = b"" if key is None else packed(output)
        if key is None or len(data) > MOST_BYTES:
            return
        write_atomically(self.folder / key, hashlib.sha256(data).hexdigest().encode() + data)
        mark_used(self.folder)

    def forget(self) -> None:
        """Remove the stored outputs of the run, whose report has been written."""
        for key in self.keys.values():
            (self.folder / key).unlink(missing_ok=True)


def _name(task: Task) -> tuple[str, str]:
    return task.audit, json.dumps(dict(task.block), sort_keys=True)


def _key(base: dict[str, Any], task: Task, work: Work) -> str:
    config = config_of(work.plan, task.audit).model_dump(mode="json")
    return digest_json({**base, "audit": task.audit, "config": config, "block": dict(task.block)})


def _inputs(subjects: Audited, work: Work) -> dict[str, Any]:
    """Return what the outputs of all tasks of a run depend on."""
    prepared, suite = work.context.prepared, work.plan.suite
    features = prepared.features
    return {
        "format": FORMAT,
        "code": digest_sources(Path(robustrec.__file__).parent),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "device": str(prepared.device),
        "data": prepared.dataset.digest,
        "languages": work.languages.digest,
        "further photos": further_photos(prepared.dataset.catalog),
        "features": [features.digest, dict(features.identity)] if features else None,
        "filters": {shrink.label: prepared.features_digest(shrink) for shrink in prepared.fitted},
        "subjects": [
            [subject.key, subject.record["parameters_digest"], spec_json(subject.spec), subject.subject.label]
            for subject, _ in subjects
        ],
        "suite": suite.model_dump(
            mode="json",
            include={
                "metrics",
                "stability",
                "bootstrap",
                "compare_with",
                "mask_validation",
                "users",
                "segments",
                "value",
            },
        ),
        "columns": _columns(prepared.dataset),
        "seed": work.context.seed,
        "intervals": work.intervals.seed,
    }


def _columns(dataset: Dataset) -> str | None:
    """Return a digest of the prices and own columns of the items, which the digest of the data does not have."""
    items = dataset.catalog.items if dataset.catalog else ()
    found = [[item.price, item.own] if item else None for item in items]
    return digest_json(found) if any(each and (each[0] is not None or each[1]) for each in found) else None


def _remove_old(folder: Path) -> None:
    """Remove outputs that no audit has finished with for days, and what killed processes left."""
    remove_leftovers(folder)
    for path in folder.glob("*") if folder.is_dir() else ():
        try:
            if time.time() - path.stat().st_mtime > DAYS * 86_400:
                path.unlink()
        except OSError:  # another process removed it
            continue
