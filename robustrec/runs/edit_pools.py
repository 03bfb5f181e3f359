"""Pools of edited content for training, HOME/pools/KEY: versions of the catalogue in which every item is edited.

A version is encoded once; its vectors are an .npy file per modality that training maps into memory. Rows are also kept
in the row store by content, so that an interrupted encoding resumes. The folder is written when all of it is encoded.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import robustrec.edits
from robustrec.datasets.catalog import Catalog
from robustrec.datasets.registry import Dataset
from robustrec.digests import file_stamp
from robustrec.edits.content import text_of
from robustrec.edits.languages import languages_of
from robustrec.encoders.features import ItemFeatures, row_encoder
from robustrec.encoders.own import NO_DIGEST
from robustrec.encoders.rows import StoredPicture
from robustrec.errors import RobustrecError
from robustrec.files import digest_file, digest_json, digest_sources, locked, remove_leftovers, staged_folder
from robustrec.in_use import mark_used
from robustrec.models.own import code_digest
from robustrec.object_store import fetched, files_in, share
from robustrec.progress import Progress, silent
from robustrec.runs.editable import trained_on_edits
from robustrec.runs.edited_rows import EditedRows, in_batches
from robustrec.runs.prepared import EditSource, Prepared
from robustrec.runs.specs import SubjectSpec
from robustrec.runs.treatments import EditApplier, Row, Shown, Treatment, applier_of, row_of, treatments_of
from robustrec.seeds import numpy_generator
from robustrec.training.edit_settings import EditPool, edit_pool
from robustrec.untrusted import UnreadableError, read_json_object
from robustrec.untrusted.arrays import open_npy

_log = logging.getLogger(__name__)

STREAM = "training edit"
"""Name of the random stream of edits in training; those of audits are drawn from another, `treatments.AUDITED`."""

FORMAT = 1
RECORD = "pool.json"
STAGE = "encoding edited content"


def make_pools(specs: Iterable[SubjectSpec], prepared: Prepared, progress: Progress = silent) -> None:
    """Encode the pools of all trainings on edited content that are not stored yet, one after another in this process.

    Raises:
        RobustrecError: as `obtain_pool`.
    """
    for pool in dict.fromkeys(edit_pool(spec.strategy) for spec in trained_on_edits(specs)):
        if pool is not None:
            pool_of(pool, prepared, progress)


def pool_of(pool: EditPool, prepared: Prepared, progress: Progress = silent) -> dict[str, Tensor]:
    """Return the vectors of a pool for prepared data, modality -> float32 [P, I, D_m]; see `obtain_pool`.

    Raises:
        RobustrecError: as `obtain_pool`.
    """
    features, source = _inputs(prepared)
    return obtain_pool(pool, prepared.dataset, features, source, progress=progress)


def content_key(spec: SubjectSpec, prepared: Prepared) -> str | None:
    """Return the key of the pool that a subject trains on; None for other trainings."""
    pool = edit_pool(spec.strategy) if trained_on_edits([spec]) else None
    return None if pool is None else pool_key(pool, prepared.dataset, *_inputs(prepared))


def _inputs(prepared: Prepared) -> tuple[ItemFeatures, EditSource]:
    features, source = prepared.features, prepared.edits
    assert features is not None  # a training on edited content reads features
    assert source is not None
    return features, source


def pool_key(pool: EditPool, dataset: Dataset, features: ItemFeatures, source: EditSource) -> str:
    """Return the key of a pool: the digest of all inputs of its vectors."""
    own = {part.place.partition(":")[0] for each in treatments_of(pool.edits) for part in each.parts if not part.own}
    return digest_json(
        {
            "format": FORMAT,
            "data": dataset.digest,
            "further photos": further_photos(dataset.catalog),
            "features": features.digest,
            "encoder": [features.name, dict(features.identity)],
            "languages": languages_of(source.language, source.vocabulary).digest,
            "code": digest_sources(*_SOURCES),
            "own code": code_digest(own) if own else None,
            **pool._asdict(),
        }
    )[:32]


def obtain_pool(
    pool: EditPool, dataset: Dataset, features: ItemFeatures, source: EditSource, *, progress: Progress = silent
) -> dict[str, Tensor]:
    """Return the vectors of a pool from the store; edit and encode the catalogue if needed.

    Args:
        pool: number of versions, edits, severities and seed.
        dataset: with a catalog.
        features: of the unedited catalogue.
        source: home, encoder options and languages.
        progress: reports the number of edited items that have vectors.

    Returns:
        Modality -> float32 [P, I, D_m], memory-mapped.

    Raises:
        RobustrecError: the encoder fails or has no digest, or the store cannot be written.
    """
    key = pool_key(pool, dataset, features, source)
    folder = source.home / "pools" / key
    mark_used(folder)
    found = _read(folder, features)
    if found is None:
        _refuse_unnamed(features)

        def waiting() -> None:
            progress("waiting", 0, 1, "another robustrec process is encoding this edited content")

        with locked(folder.parent / f".{key}.lock", waiting=waiting):
            remove_leftovers(folder.parent)
            found = _read(folder, features)
            if found is None and folder.exists():
                _log.warning("edited content %s is damaged and is made again", folder)
                shutil.rmtree(folder)
            if found is None and fetched("pools", key, folder):
                found = _read(folder, features)
            if found is None:
                shutil.rmtree(folder, ignore_errors=True)
                with staged_folder(folder) as stage:
                    _encode(stage, pool, dataset, features, source, progress)
                found = _read(folder, features)
    mark_used(folder)
    share("pools", key, lambda: files_in(folder))
    assert found is not None
    return found


def edited_versions(pool: EditPool, applier: EditApplier, modalities: Iterable[str]) -> Iterator[tuple[int, int, Row]]:
    """Yield (version, item, row) of the items that the edits change, version by version.

    An item gets an edit of its text and an edit of its picture, each drawn from those that change the item.

    Args:
        pool: number of versions, edits, severities and seed.
        applier: applies edits with the seed and the stream of the pool.
        modalities: of the features: an edit of what no table shows is not applied.
    """
    edits = treatments_of(pool.edits)
    read = set(modalities)
    kinds = [
        [each for each in edits if each.modality == modality]
        for modality in ("text", "image")
        if read - {"text", "image"} or modality in read
    ]
    for version in range(pool.pools):
        for item in range(len(applier.rows)):
            row = _edited(pool, applier, [kind for kind in kinds if kind], item, version)
            if row is not None:
                yield version, item, row


def _edited(pool: EditPool, applier: EditApplier, kinds: list[list[Treatment]], item: int, version: int) -> Row | None:
    """Return an item with one edit of each kind, or None if none changes it."""
    if not kinds:
        return None
    generator = numpy_generator(applier.seed, applier.stream, "choice", version, item)
    content = before = applier.before(kinds[-1][0], item)
    for edits in kinds:
        order, severity = generator.permutation(len(edits)), int(generator.choice(pool.severities))
        for place in order.tolist():
            after = applier.after(edits[place], content, item, severity, version)
            if after is not content:
                content = after
                break
    if content is before:
        return None
    own = applier.rows[item].picture
    assert isinstance(own, StoredPicture)  # as `catalog_rows` makes them
    return row_of(text_of(content), own if content.picture is before.picture else Shown(content.picture))


def further_photos(catalog: Catalog | None) -> list[Any]:
    """Return the further photos of items with their state; the digest of the data does not cover them."""
    source = None if catalog is None else catalog.pictures
    if source is None or not source.further:
        return []
    files = [source.path / name for names in source.further.values() for name in names]
    stamps = [file_stamp(path) for path in (files if source.path.is_dir() else [source.path])]
    return [sorted(source.further.items()), stamps]


def _encode(
    stage: Path, pool: EditPool, dataset: Dataset, features: ItemFeatures, source: EditSource, progress: Progress
) -> None:
    languages = languages_of(source.language, source.vocabulary)
    applier = applier_of(dataset, source.home, pool.seed, languages, stream=STREAM)
    encoder = row_encoder(dataset, features.name, home=source.home, options=source.options)
    rows = EditedRows(encoder, features, source.home, lambda _: None)
    tables = {
        name: _copies(stage / f"{name}.npy", table.numpy(), pool.pools) for name, table in features.encoded.items()
    }
    n_items = len(applier.rows)
    total, changed = pool.pools * n_items, 0
    progress(STAGE, 0, total)
    for batch in in_batches(edited_versions(pool, applier, features.encoded), lambda each: each[2]):
        vectors = rows.encode([row for _, _, row in batch])
        versions, items = [version for version, _, _ in batch], [item for _, item, _ in batch]
        for name, table in tables.items():
            table[versions, items] = vectors[name].numpy()
        changed += len(batch)
        progress(STAGE, versions[-1] * n_items + items[-1] + 1, total)
    progress(STAGE, total, total)
    for table in tables.values():
        table.flush()
    record = {
        "format": FORMAT,
        "pool": pool._asdict(),
        "edited": changed,
        "files": {f"{name}.npy": digest_file(stage / f"{name}.npy") for name in tables},
    }
    text = json.dumps({**record, "digest": digest_json(record)}, indent=1)
    (stage / RECORD).write_text(text + "\n", encoding="utf-8")


def _copies(path: Path, clean: NDArray[np.float32], n: int) -> np.memmap[Any, Any]:
    """Return a new file of n copies of a table [I, D], memory-mapped."""
    table = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(n, *clean.shape))
    table[:] = clean
    return table


def _read(folder: Path, features: ItemFeatures) -> dict[str, Tensor] | None:
    """Return the vectors of a folder; None if it does not exist or is damaged."""
    if not (folder / RECORD).is_file():
        return None
    try:
        record = read_json_object(folder / RECORD)
        if record.pop("digest", None) != digest_json(record):
            raise ValueError(f"{RECORD} does not match its digest")
        for name, digest in record["files"].items():
            if digest_file(folder / name) != digest:
                raise ValueError(f"{name} does not match its digest")
        return {name: _mapped(folder / f"{name}.npy") for name in features.encoded}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, UnreadableError):
        return None


def _mapped(path: Path) -> Tensor:
    values: NDArray[np.float32] = open_npy(path, own_pages=True)
    return torch.from_numpy(values)


def _refuse_unnamed(features: ItemFeatures) -> None:
    if NO_DIGEST in json.dumps(dict(features.identity), default=str):
        raise RobustrecError(
            f"the encoder {features.name!r} has no digest: its vectors are not stored, so that content edited with them"
            " cannot be either",
            where=f"--features {features.name}, training on edited content",
            fix="give the encoder a digest (docs/own-encoders.md), or choose another strategy",
        )


_SOURCES = (
    Path(robustrec.edits.__file__).parent,
    Path(__file__),
    Path(__file__).with_name("treatments.py"),
)
