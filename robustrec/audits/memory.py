"""Memory that the item features of a plan take, known before any work from the headers of feature files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from robustrec.errors import RobustrecError
from robustrec.modalities import read_of
from robustrec.models import modalities_of, model_class
from robustrec.models.own import has_vectors, is_own, is_scorer
from robustrec.runs.specs import SubjectSpec
from robustrec.untrusted import UnreadableError, open_regular, read_npy_header
from robustrec.untrusted.arrays import MAPPED_BYTES

WORKING = 2
"""Further tables that checks and audits hold at once: one draw of noise, and the features with it."""
SCORED = 1
"""A scorer by a function gets a read-only copy of all features."""
TUNED = 5
"""Fine-tuned features (`deltas`): the parameter, its gradient, two moments of Adam, and the best so far."""
TUNING = ("lattice",)
_CGROUP = Path("/sys/fs/cgroup/memory.max")


class FeatureMemory(NamedTuple):
    """Bytes of item features in main memory.

    Attributes:
        tables: of the clean tables.
        needed: at most, with the tables that checks, audits and models add; a mapped file itself counts as nothing.
        subject: the subject that needs most.
    """

    tables: int
    needed: int
    subject: str


def feature_memory(files: dict[str, Path], specs: Sequence[SubjectSpec]) -> FeatureMemory | None:
    """Return what the features of feature files take, or None if the files are not read or have no such header.

    Args:
        files: modality -> .npy file, as the encoder `imported` reads it.
        specs: the subjects, which share the clean tables and are measured one after the other.
    """
    sizes, kept = {}, 0
    for modality, path in files.items():
        try:
            with open_regular(path) as file:
                header = read_npy_header(file)
        except UnreadableError:
            return None  # reading the features says what is wrong
        sizes[modality] = 4 * header.n_values
        mapped = header.dtype == "float32" and not header.fortran_order and sizes[modality] >= MAPPED_BYTES
        kept += 0 if mapped else sizes[modality]
    needs = {}
    for spec in specs:
        read = sum(sizes[name] for name in read_of(modalities_of(spec.model), sizes))
        needs[spec.label] = _further(spec) * read
    if not needs:
        return None
    largest = max(needs, key=needs.__getitem__)
    return FeatureMemory(sum(sizes.values()), kept + needs[largest], largest)


def _further(spec: SubjectSpec) -> int:
    """Return how many further tables a subject needs."""
    if is_own(spec.model) and is_scorer(kind := model_class(spec.model)):
        return WORKING + (0 if has_vectors(kind) else SCORED)
    return WORKING + (TUNED if spec.model in TUNING and spec.trains else 0)


def machine_bytes() -> int | None:
    """Return the memory of this machine or container, or None if it is not known."""
    try:
        found = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return None
    try:
        limit = _CGROUP.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        limit = ""
    return min(found, int(limit)) if limit.isdecimal() else found


def memory_words(files: dict[str, Path], specs: Sequence[SubjectSpec]) -> str:
    """Return what a plan says of its memory; empty if that is not known."""
    memory, there = feature_memory(files, specs), machine_bytes()
    if memory is None:
        return ""
    of = f" of {_gib(there)} on this machine" if there else ""
    return (
        f"item features {_gib(memory.tables)}; features with all that checks and audits add to them at most"
        f" {_gib(memory.needed)}{of}"
    )


def refuse_too_large(files: dict[str, Path], specs: Sequence[SubjectSpec], *, where: str) -> None:
    """Refuse features that do not fit into the memory of this machine.

    Args:
        files: as for `feature_memory`, like specs.
        specs: the subjects.
        where: what errors name as the place.

    Raises:
        RobustrecError: they do not.
    """
    memory, there = feature_memory(files, specs), machine_bytes()
    if memory is None or there is None or memory.needed <= there:
        return
    raise RobustrecError(
        f"{memory.subject} needs up to {_gib(memory.needed)} for item features of {_gib(memory.tables)}, but this"
        f" machine has {_gib(there)}",
        where=where,
        fix="use a machine with more memory, narrower features, or a scorer with item_vectors and user_vectors on"
        f" float32 feature files of {_gib(MAPPED_BYTES)} or more (docs/sizes.md)",
    )


def _gib(size: int) -> str:
    return f"{size / 2**30:.3g} GiB" if size >= 2**30 else f"{size / 2**20:.3g} MiB"
