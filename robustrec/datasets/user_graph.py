"""The user graph of a data set: MMRec's `user_graph_dict.npy`, and the .npz file written at import."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from robustrec.datasets.pickled_numbers import Array, read_pickled_numbers
from robustrec.errors import RobustrecError
from robustrec.files import digest_array, digest_bytes, write_atomically
from robustrec.untrusted import UnreadableError, open_regular, read_npy_header, read_npz

USER_GRAPH = "user_graph.npz"
MMREC_USER_GRAPH = "user_graph_dict.npy"
MAX_BYTES = 2**31  # four times that of 200,000 users with 200 neighbours


class UserGraph(NamedTuple):
    """Nearest users of each user, in file order or most shared items first (ties by lower id), as a ragged array.

    Attributes:
        starts: int64 [U + 1], first neighbour of each user.
        neighbours: int64 [nnz].
        counts: int64 [nnz] shared items, at least 1.
    """

    starts: NDArray[np.int64]
    neighbours: NDArray[np.int64]
    counts: NDArray[np.int64]

    def first(self, k: int) -> UserGraph:
        """Return the lists truncated to k neighbours."""
        sizes = np.diff(self.starts)
        place = np.arange(len(self.neighbours)) - np.repeat(self.starts[:-1], sizes)
        starts = np.concatenate([[0], np.cumsum(np.minimum(sizes, k))])
        return UserGraph(starts, self.neighbours[place < k], self.counts[place < k])


def read_user_graph(path: Path, n_users: int) -> UserGraph:
    """Read a user graph: an .npz that robustrec wrote, or MMRec's pickled dict {user: [neighbours, counts]}.

    The file is not unpickled; see `pickled_numbers`.

    Raises:
        RobustrecError: the file is missing, too large, damaged, has other content, or has other users.
    """
    try:
        graph = _read_archive(path) if path.suffix == ".npz" else _read_mmrec(path)
        _check(graph, n_users)
    except UnreadableError as error:
        raise RobustrecError(
            f"cannot read the user graph: {error}",
            where=str(path),
            fix=f"move the file; the user graph is then computed from the training interactions: "
            f"mv {path} {path}.unused",
        ) from error
    return graph


def write_user_graph(path: Path, graph: UserGraph) -> None:
    """Write a user graph as an .npz file without pickles; equal graphs give equal files."""
    stream = io.BytesIO()
    np.savez_compressed(stream, **graph._asdict())
    write_atomically(path, stream.getvalue())


def digest_user_graph(graph: UserGraph) -> str:
    """Return the sha256 over the content of a graph, independent of the file format."""
    return digest_bytes(digest_array(part).encode() for part in graph)


def _read_archive(path: Path) -> UserGraph:
    arrays = read_npz(path, most=MAX_BYTES)
    if arrays.keys() != {*UserGraph._fields}:
        raise UnreadableError("not a user graph written by robustrec: unexpected arrays")
    parts = [arrays[name] for name in UserGraph._fields]
    if any(part.dtype != np.int64 or part.ndim != 1 for part in parts):
        raise UnreadableError("not a user graph written by robustrec: its arrays are not one-dimensional int64")
    return UserGraph(*parts)


def _read_mmrec(path: Path) -> UserGraph:
    with open_regular(path) as file:
        header = read_npy_header(file)
        if header.shape != () or header.dtype.kind != "O":
            raise UnreadableError(f"expected a saved dict, but got an array {header.dtype} {header.shape}")
        if os.fstat(file.fileno()).st_size > MAX_BYTES:
            raise UnreadableError(f"more than {MAX_BYTES} bytes")
        tree = read_pickled_numbers(file.read())
    table = tree.value if isinstance(tree, Array) else tree
    if not isinstance(table, dict):
        raise UnreadableError("not a dict of users")
    if table.keys() != set(range(len(table))):
        raise UnreadableError(f"the users are not numbered from 0 to {len(table) - 1}")
    rows = [_row(user, table[user]) for user in range(len(table))]
    sizes = [len(row[0]) for row in rows]
    empty = np.zeros(0, np.int64)
    return UserGraph(
        np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
        *(np.concatenate([empty, *(row[part] for row in rows)]) for part in (0, 1)),
    )


def _row(user: int, entry: Any) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    entry = entry.value if isinstance(entry, Array) else entry
    if not isinstance(entry, list | tuple) or len(entry) != 2:
        raise UnreadableError(f"the value of user {user} is not a pair of lists")
    neighbours, counts = (_whole(user, part) for part in entry)
    if len(neighbours) != len(counts):
        raise UnreadableError(f"user {user} has {len(neighbours)} neighbours, but {len(counts)} counts")
    return neighbours, counts


def _whole(user: int, part: Any) -> NDArray[np.int64]:
    """Return a list or array as integers; counts may be written as floats."""
    values = part.value if isinstance(part, Array) else part
    if isinstance(values, list | tuple) and set(map(type, values)) <= {int, float}:
        try:
            values = np.array(values, np.float64)
        except OverflowError as error:
            raise UnreadableError(f"user {user} has a number that is too large") from error
    if not isinstance(values, np.ndarray) or values.ndim != 1 or values.dtype.kind not in "iuf":
        raise UnreadableError(f"a value of user {user} is not a list of numbers")
    rounded = np.rint(values.astype(np.float64))
    if not np.array_equal(rounded, values) or (np.abs(rounded) > 2**53).any():
        raise UnreadableError(f"user {user} has a number that is not an integer")
    return rounded.astype(np.int64)


def _check(graph: UserGraph, n_users: int) -> None:
    """Check that a graph matches these users."""
    starts, neighbours, counts = graph
    if len(starts) != n_users + 1:
        raise UnreadableError(f"it has {len(starts) - 1} users, but the interactions have {n_users}")
    sizes = np.diff(starts)
    if starts[0] != 0 or (sizes < 0).any() or starts[-1] != len(neighbours) or len(neighbours) != len(counts):
        raise UnreadableError("damaged: its lists are inconsistent")
    users = np.repeat(np.arange(n_users), sizes)
    outside = (neighbours < 0) | (neighbours >= n_users)
    if outside.any():
        raise UnreadableError(
            f"user {users[outside][0]} has the neighbour {neighbours[outside][0]}, which is out of range"
        )
    if (counts < 1).any():
        raise UnreadableError(f"user {users[counts < 1][0]} has a neighbour with the count {counts[counts < 1][0]}")
    pairs = np.sort(users * n_users + neighbours)
    twice = pairs[1:][pairs[1:] == pairs[:-1]]
    if len(twice):
        raise UnreadableError(f"user {twice[0] // n_users} has the neighbour {twice[0] % n_users} twice")
