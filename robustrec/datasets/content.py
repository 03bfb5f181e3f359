"""The digest of a data set's content, and a cache of it so that a second load need not read every picture."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from robustrec.datasets.catalog import Catalog
from robustrec.datasets.feature_files import check_finite, open_features
from robustrec.datasets.interactions import Interactions
from robustrec.datasets.user_graph import digest_user_graph, read_user_graph
from robustrec.errors import RobustrecError
from robustrec.files import digest_array, digest_bytes, digest_file, digest_json, write_atomically

DIGEST_VERSION = 1  # raise it where what goes into the digest changes


def content_digest(
    interactions: Interactions,
    catalog: Catalog | None,
    features: Mapping[str, Path],
    *,
    user_graph: Path | None = None,
    cache: Path,
    folder: Path,
) -> str:
    """Return the sha256 over interactions, texts, picture bytes, feature files and user graph; checks the last two.

    Args:
        interactions: the interactions.
        catalog: texts and pictures, if any.
        features: feature file by modality.
        user_graph: file of users' co-occurrence, if any.
        cache: folder for remembered digests; one that cannot be written is no error.
        folder: the data set's folder; a digest is remembered while its files keep sizes and times.

    Raises:
        RobustrecError: a picture or the user graph cannot be read, or a feature is not finite.
    """
    pairs = digest_bytes(
        digest_array(array).encode() for array in (interactions.users, interactions.items, interactions.labels)
    )
    base = digest_json(
        [
            DIGEST_VERSION,
            pairs,
            interactions.n_users,
            interactions.n_items,
            list(catalog.texts) if catalog else None,
        ]
    )
    stamps = _stamps(catalog, features)
    if user_graph is not None:
        stamps.append(["user graph", *_stamp(user_graph)])
    state = digest_json([base, *stamps])
    remembered = cache / f"{digest_bytes([str(folder.resolve()).encode()])[:32]}.json"
    digest = _recall(remembered, state)
    if digest is None:
        for path in features.values():
            check_finite(path, open_features(path, interactions.n_items))
        files = [[modality, digest_file(path)] for modality, path in sorted(features.items())]
        parts = [base, _digest_pictures(catalog), files]
        if user_graph is not None:
            parts.append(digest_user_graph(read_user_graph(user_graph, interactions.n_users)))
        digest = digest_json(parts)
        with suppress(RobustrecError):  # a read-only home costs time, not the answer
            write_atomically(remembered, json.dumps({"state": state, "digest": digest}))
    return digest


def _digest_pictures(catalog: Catalog | None) -> str | None:
    if catalog is None or catalog.pictures is None:
        return None

    def parts() -> Iterator[bytes]:
        for item in range(len(catalog.texts)):
            content = catalog.picture_bytes(item)
            yield b"none" if content is None else b"picture"
            yield content or b""

    return digest_bytes(parts())


def _stamps(catalog: Catalog | None, features: Mapping[str, Path]) -> list[list[object]]:
    """Return name, size and time of change of every file that is not read anew at each load."""
    stamps: list[list[object]] = [[modality, *_stamp(path)] for modality, path in sorted(features.items())]
    if catalog is not None and catalog.pictures is not None:
        source = catalog.pictures
        stamps.append([*source.entries])
        if source.path.is_dir():
            stamps += [[entry, *_stamp(source.path / entry)] for entry in source.entries if entry is not None]
        else:
            stamps.append(_stamp(source.path))
    return stamps


def _stamp(path: Path) -> list[object]:
    try:
        status = path.stat()
    except OSError:
        return [str(path), -1]
    return [str(path), status.st_size, status.st_mtime_ns, status.st_ino]


def _recall(path: Path, state: str) -> str | None:
    try:
        entry = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if isinstance(entry, dict) and entry.get("state") == state and isinstance(entry.get("digest"), str):
        return str(entry["digest"])
    return None
