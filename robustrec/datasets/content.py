"""The digest of the content of a data set, cached so that the next load does not read all pictures again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from robustrec.datasets.catalog import Catalog
from robustrec.datasets.feature_files import check_finite, open_features
from robustrec.datasets.interactions import Interactions
from robustrec.datasets.user_graph import digest_user_graph, read_user_graph
from robustrec.digests import Stamp, file_stamp, is_settled, remembered
from robustrec.files import digest_array, digest_bytes, digest_file, digest_json

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
    """Return the sha256 over interactions, texts, picture bytes, feature files and user graph; check the last two.

    Args:
        interactions: the interactions.
        catalog: texts and pictures, if any.
        features: feature file of each modality.
        user_graph: user graph file, if any.
        cache: folder of cached digests; a folder that cannot be written is not an error.
        folder: folder of the data set; a digest is cached as long as its files keep sizes, times and inodes.

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
    stamps = _stamps(catalog, features, user_graph)

    def produce() -> str:
        for path in features.values():
            check_finite(path, open_features(path, interactions.n_items))
        files = [[modality, digest_file(path)] for modality, path in sorted(features.items())]
        parts = [base, _digest_pictures(catalog), files]
        if user_graph is not None:
            parts.append(digest_user_graph(read_user_graph(user_graph, interactions.n_users)))
        return digest_json(parts)

    state = [base, catalog.pictures.entries if catalog is not None and catalog.pictures is not None else None, stamps]
    return str(remembered(cache, str(folder.resolve()), state, produce, settled=all(map(is_settled, stamps))))


def _digest_pictures(catalog: Catalog | None) -> str | None:
    if catalog is None or catalog.pictures is None:
        return None

    def parts() -> Iterator[bytes]:
        for item in range(len(catalog.texts)):
            content = catalog.picture_bytes(item)
            yield b"none" if content is None else b"picture"
            yield content or b""

    return digest_bytes(parts())


def _stamps(catalog: Catalog | None, features: Mapping[str, Path], user_graph: Path | None) -> list[Stamp | None]:
    """Return the stamps of all files that are not read at each load."""
    files = [path for _, path in sorted(features.items())]
    if user_graph is not None:
        files.append(user_graph)
    if catalog is not None and catalog.pictures is not None:
        source = catalog.pictures
        inside = [source.path / entry for entry in source.entries if entry is not None]
        files += inside if source.path.is_dir() else [source.path]
    return [file_stamp(path) for path in files]
