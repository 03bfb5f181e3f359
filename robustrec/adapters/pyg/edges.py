"""The edges between users and items of a `HeteroData`, with the split that it gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from robustrec.adapters.pyg.export import MASKS
from robustrec.datasets.interactions import MAX_ID, TEST, TRAIN, VALIDATION
from robustrec.errors import RobustrecError
from robustrec.runs.external import is_plain

Ints = NDArray[np.int64]
Stores = Mapping[Any, Mapping[str, Any]]
"""Node type or edge type -> its attributes, as in `HeteroData.to_dict()`."""

USERS = ("user", "users", "customer", "customers")
SPLIT_OF_PARTS = {2: (TRAIN, TEST), 3: (TRAIN, VALIDATION, TEST)}


class Edges(NamedTuple):
    """Edges [E] from users to items with their splits.

    `labels` is None if the graph has no split; `in_no_mask` counts the edges that its masks leave out.
    """

    users: Ints
    items: Ints
    labels: NDArray[np.int8] | None
    in_no_mask: int = 0


class Places(NamedTuple):
    """The node types of users and items, the edge type, and whether it runs from items to users."""

    user: str
    item: str
    edges: tuple[str, str, str]
    flipped: bool


def places_of(stores: Stores, label: str) -> Places:
    """Find the one edge type between users and items; the reverse of an edge type does not count."""
    types = [key for key in stores if isinstance(key, tuple) and key[0] != key[2] and "edge_index" in stores[key]]
    forward = [key for key in types if key[0].lower() in USERS]
    backward = [key for key in types if key[2].lower() in USERS]
    chosen = forward or backward or [key for key in types if not key[1].startswith("rev_")]
    if len(chosen) != 1:
        raise wrong(
            f"expected one edge type between users and items, but got {sorted(map(str, chosen or stores))}",
            label,
            "name the node type of the users 'user', and delete other edge types: del data['user', 'views', 'item']",
        )
    (edges,) = chosen
    flipped = edges in backward
    user, item = (edges[2], edges[0]) if flipped else (edges[0], edges[2])
    return Places(user, item, edges, flipped)


def edges_of(parts: Sequence[Stores], places: Places, label: str) -> Edges:
    """Return the edges with their splits: by masks, by the parts, or by `edge_index` and `edge_label_index`.

    Args:
        parts: the graph, or its training, validation and test parts (validation may be absent).
        places: where its users, items and edges are.
        label: what errors name as the place.

    Raises:
        RobustrecError: an edge tensor, mask or label has another type or shape, masks overlap, or the test edges are
            those of training.
    """
    store = parts[0].get(places.edges, {})
    where = f"{label}, {places.edges}"
    if len(parts) > 1:
        return _edges_of_parts(parts, places, where)
    users, items = _pairs(store, "edge_index", places, where)
    masks = {name: store[name] for name in MASKS if name in store}
    if masks:
        labels = np.full(len(users), -1, dtype=np.int8)
        for name, mask in masks.items():
            chosen = dense(mask, where, name)
            if chosen.dtype != np.bool_ or chosen.shape != users.shape:
                raise wrong(f"{name} must be a boolean tensor [{len(users)}]; got {chosen.dtype} {chosen.shape}", where)
            if (labels[chosen] >= 0).any():
                raise wrong(f"{name} has edges of another mask; an edge belongs to one split", where)
            labels[chosen] = MASKS.index(name)
        kept = labels >= 0
        return Edges(users[kept], items[kept], labels[kept], int((~kept).sum()))
    if "edge_label_index" not in store:
        return Edges(users, items, None)
    test = _positives(store, places, where)
    if not _new(test, (users, items)).any():
        raise wrong(
            "every edge of edge_label_index is in edge_index too: there is nothing to test on",
            where,
            "import all parts of the split: import_hetero_data((train, val, test), name), or save"
            " [part.to_dict() for part in (train, val, test)]",
        )
    return _joined([((users, items), TRAIN), (test, TEST)])


def _edges_of_parts(parts: Sequence[Stores], places: Places, where: str) -> Edges:
    """Return the edges of the parts of `RandomLinkSplit`: training edges, and the positive pairs of each part."""
    found = []
    for part, label in zip(parts, SPLIT_OF_PARTS[len(parts)], strict=True):
        store = part.get(places.edges, {})
        if label == TRAIN:
            train = _pairs(store, "edge_index", places, where)
            found.append((train, label))
            if "edge_label_index" in store:  # supervision edges that are left out of message passing
                more = _positives(store, places, where)
                new = _new(more, train)
                found.append(((more[0][new], more[1][new]), label))
        else:
            found.append((_positives(store, places, where), label))
    return _joined(found)


def _joined(found: Sequence[tuple[tuple[Ints, Ints], int]]) -> Edges:
    users, items = (np.concatenate([pairs[side] for pairs, _ in found]) for side in (0, 1))
    return Edges(users, items, np.concatenate([np.full(len(pairs[0]), label, np.int8) for pairs, label in found]))


def _new(pairs: tuple[Ints, Ints], known: tuple[Ints, Ints]) -> NDArray[np.bool_]:
    """Return a mask of the pairs that are not among the known ones."""
    width = max(int(pairs[1].max(initial=0)), int(known[1].max(initial=0))) + 1
    return ~np.isin(pairs[0] * width + pairs[1], known[0] * width + known[1])


def _positives(store: Mapping[str, Any], places: Places, where: str) -> tuple[Ints, Ints]:
    users, items = _pairs(store, "edge_label_index", places, where)
    if "edge_label" not in store:
        return users, items
    labels = dense(store["edge_label"], where, "edge_label")
    if labels.shape != users.shape or labels.dtype.kind not in "biuf":
        raise wrong(f"edge_label must be numbers [{len(users)}]; got {labels.dtype} {labels.shape}", where)
    return users[labels > 0], items[labels > 0]


def _pairs(store: Mapping[str, Any], key: str, places: Places, where: str) -> tuple[Ints, Ints]:
    """Return the users and items of an edge tensor."""
    if key not in store:
        raise wrong(f"{key} is missing", where, "give each part of the split, as RandomLinkSplit returns them")
    edges = dense(store[key], where, key)
    if edges.dtype != np.int64 or edges.ndim != 2 or edges.shape[0] != 2:
        raise wrong(f"{key} must be int64 of shape (2, E), but got {edges.dtype} {edges.shape}", where)
    if key == "edge_index" and edges.shape[1] == 0:
        raise wrong("edge_index has no edges", where, "import a graph with interactions")
    if edges.size and (int(edges.min()) < 0 or int(edges.max()) > MAX_ID):
        raise wrong(f"{key} has the node {int(edges.min())}" if int(edges.min()) < 0 else f"{key} is too large", where)
    users, items = (edges[1], edges[0]) if places.flipped else (edges[0], edges[1])
    return users.copy(), items.copy()


def dense(value: Any, where: str, name: str) -> NDArray[Any]:
    """Return the numbers of a tensor on any device.

    Raises:
        RobustrecError: it is not a tensor, or is sparse, quantised or without storage.
    """
    if not isinstance(value, Tensor) or not is_plain(value):
        raise wrong(f"{name} must be a dense tensor, but got a {type(value).__name__}", where)
    return np.asarray(value.detach().cpu().as_subclass(Tensor).contiguous().numpy())


def wrong(what: str, where: str, fix: str = "correct the graph and import it again; see docs/pyg.md") -> RobustrecError:
    """Return the error of a graph that cannot be imported."""
    return RobustrecError(what, where=where, fix=fix)
