"""PyG's `HeteroData` as a data set: written as a folder with numbered users and items, and imported like any other."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from robustrec.adapters.pyg.edges import (
    SPLIT_OF_PARTS,
    Edges,
    Ints,
    Places,
    Stores,
    dense,
    edges_of,
    places_of,
    wrong,
)
from robustrec.adapters.pyg.export import FEATURES, IDS, MASKS, TEXTS
from robustrec.config import default_home
from robustrec.datasets.feature_files import feature_file
from robustrec.datasets.importing import ImportOptions, import_folder
from robustrec.datasets.interactions import MAX_IDS_PER_SEEN, Interactions, write_inter
from robustrec.datasets.item_numbers import write_mappings
from robustrec.datasets.items import CatalogItem, items_text
from robustrec.datasets.manifest import MANIFEST, Counts, Files, Filtered, Manifest, feature_fields, manifest_text
from robustrec.datasets.naming import is_missing
from robustrec.datasets.split_record import SplitRecord
from robustrec.datasets.splits import split_per_user
from robustrec.errors import RobustrecError
from robustrec.files import unwritable, write_atomically
from robustrec.modalities import MODALITIES, in_order, modality_fault
from robustrec.progress import Progress, silent
from robustrec.runs.external import read_torch

GRAPH = "HeteroData"
"""What errors name as the place of a graph that is not a file."""
EDGE_KEYS = {"edge_index", "edge_label_index", "edge_label", *MASKS}
SAVE_AGAIN = (
    'save it as plain tensors, in a process where you trust the file: python -c "import torch;'
    " data = torch.load({path!r}, weights_only=False); torch.save(data.to_dict(), 'plain.pt')\""
)


def import_hetero_data(
    data: Any,
    name: str,
    *,
    home: Path | None = None,
    x: str | None = None,
    options: ImportOptions | None = None,
    progress: Progress = silent,
) -> Path:
    """Import a graph as the full edition of a data set, with the checks of `robustrec data import`; return its folder.

    Nodes keep their numbers. The split is that of the masks `train_mask`, `val_mask` and `test_mask` of the edges; or
    of (train, validation, test) graphs as made by `RandomLinkSplit`; or `edge_index` is training and
    `edge_label_index` is test. Without any, each user's edges are split 8:1:1 with the seed of the options.

    Args:
        data: a `HeteroData` with one edge type between users and items, its `to_dict()`, or two or three of them.
        name: name of the data set.
        home: the robustrec home folder.
        x: modality of the item attribute `x`; tables `image_feat`, `text_feat` or `NAME_feat` need no modality.
        options: seed, replace, and a catalog or pictures in addition to the graph.
        progress: reports the number of pictures.

    Raises:
        RobustrecError: the graph has no edges between users and items, or several types of them; a table, mask, list or
            edge does not fit; or as `import_folder`.
    """
    return _import(data, name, GRAPH, home or default_home(), x, options or ImportOptions(), progress)


def import_graph_file(
    path: Path, name: str, home: Path, options: ImportOptions, *, progress: Progress = silent
) -> Path:
    """Import a file written by `torch.save(data.to_dict(), path)`, read with `weights_only=True`.

    Raises:
        RobustrecError: the file has other content than tensors, numbers, texts and containers of them, an option is of
            ratings files only, or as `import_hetero_data`.
    """
    given = ImportOptions()
    unfit = [
        key for key in ("interactions", "columns", "k", "min_rating") if getattr(options, key) != getattr(given, key)
    ]
    if unfit:
        raise RobustrecError(
            f"--{unfit[0].replace('_', '-')} does not apply to a saved graph",
            where=f"robustrec data import {path}",
            fix=f"omit it: robustrec data import {shlex.quote(str(path))} --name {name}",
        )
    content = read_torch(path, where=str(path), fix=SAVE_AGAIN.format(path=str(path)))
    return _import(content, name, str(path), home, None, options, progress)


def _import(
    data: Any, name: str, label: str, home: Path, x: str | None, options: ImportOptions, progress: Progress
) -> Path:
    with TemporaryDirectory(prefix="robustrec-graph-") as folder:
        stage = Path(folder).resolve() / "graph"
        stage.mkdir()
        try:
            _write(stage, data, label, x, options.seed)
        except OSError as error:
            raise unwritable(stage, error) from error
        given = [(key, getattr(options, key)) for key in ("items", "pictures", "user_table")]
        absolute = {key: path.resolve() for key, path in given if path is not None and path.exists()}
        try:
            return import_folder(stage, name, home, replace(options, **absolute), progress=progress)
        except RobustrecError as error:  # name what was given, not the folder that is gone
            where, fix = (text.replace(str(stage), label) for text in (error.where, error.fix))
            advice, command, _ = fix.partition(": robustrec data import")
            if label == GRAPH and command:
                fix = f"{advice}: give the option as import_hetero_data(..., options=ImportOptions(...))"
            raise RobustrecError(error.what, where=where, fix=fix) from error


def _write(stage: Path, data: Any, label: str, x: str | None, seed: int) -> None:
    """Write a graph as a folder with a manifest."""
    parts = _parts(data, label)
    stores, places = parts[0], places_of(parts[0], label)
    users, items = (stores.get(node, {}) for node in (places.user, places.item))
    edges = edges_of(parts, places, label)
    n_users = _count(users, edges.users, f"{label}, {places.user!r}")
    n_items = _count(items, edges.items, f"{label}, {places.item!r}", before=n_users)
    dropped = [Filtered(reason="edges that are in no mask", rows=edges.in_no_mask)] if edges.in_no_mask else []
    labels = edges.labels if edges.labels is not None else _split(edges, seed)
    write_inter(stage / "graph.inter", Interactions(edges.users, edges.items, labels, n_users, n_items))
    files = {"interactions": "graph.inter"}
    features = {}
    for modality, table in _features(items, n_items, x, label).items():
        features[modality] = feature_file(modality)
        np.save(stage / features[modality], table)
    rows = _texts(items, n_items, label)
    if any(rows):
        write_atomically(stage / "items.jsonl", items_text(rows))
        files["items"] = "items.jsonl"
    user_ids, item_ids = _ids(users, "user", n_users, label), _ids(items, "item", n_items, label)
    write_mappings(stage, stage, user_ids, item_ids)
    ignored = _ignored(stores, places)
    if ignored:
        shown = ", ".join(ignored[:8]) + (", ..." if len(ignored) > 8 else "")
        dropped.append(Filtered(reason=f"attributes of the graph that are not read: {shown}", rows=len(ignored)))
    manifest = Manifest(
        name="graph",
        source=f"imported from {label}" + ("" if edges.labels is not None else f", split with seed {seed}"),
        counts=Counts(users=n_users, items=n_items, interactions=len(edges.users)),
        files=Files(**files, **feature_fields(features)),
        filters=tuple(dropped),
        split=SplitRecord(kind="random", seed=seed)
        if edges.labels is None
        else SplitRecord(kind="published", source="the graph"),
    )
    write_atomically(stage / MANIFEST, manifest_text(manifest))


def _parts(data: Any, label: str) -> list[Stores]:
    """Return the graph, or its two or three parts, as attributes by node type and edge type."""
    given = list(data) if isinstance(data, tuple | list) else [data]
    if len(given) > 1 and len(given) not in SPLIT_OF_PARTS:
        raise wrong(f"expected a graph, or its training, validation and test parts, but got {len(given)} parts", label)
    return [_stores(each, label) for each in given]


def _stores(data: Any, label: str) -> Stores:
    content = data.to_dict() if hasattr(data, "to_dict") else data
    stores = (
        {key: store for key, store in content.items() if key != "_global_store" and isinstance(store, Mapping)}
        if isinstance(content, Mapping)
        else {}
    )
    edge_types = [key for key in stores if isinstance(key, tuple) and len(key) == 3 and "edge_index" in stores[key]]
    if not edge_types or not all(isinstance(part, str) for key in edge_types for part in key):
        raise wrong(
            "expected a HeteroData with an edge_index between users and items",
            label,
            "build a HeteroData: data['user'].num_nodes, data['item'].num_nodes and data['user', 'interacts',"
            " 'item'].edge_index with users and items each numbered from 0",
        )
    return stores


def _count(store: Mapping[str, Any], used: Ints, where: str, *, before: int = 0) -> int:
    """Return the number of nodes of a type, from what the graph says, else from its edges.

    Args:
        store: attributes of the nodes.
        used: nodes of the edges [E].
        where: what errors name as the place.
        before: number of nodes that a numbering of all nodes would have before these.
    """
    sizes: dict[str, int] = {}
    for key, value in store.items():
        if key == "num_nodes" and isinstance(value, int) and not isinstance(value, bool):
            sizes[key] = value
        elif key == "x" or _is_table(key) or key in IDS.values() or key in TEXTS:
            sizes[key] = len(value) if isinstance(value, Sequence) or (isinstance(value, Tensor) and value.dim()) else 0
    if len(set(sizes.values())) > 1:
        raise wrong(f"the numbers of nodes differ: {sizes}", where)
    least, different = int(used.max(initial=-1)) + 1, len(np.unique(used))
    number = next(iter(sizes.values()), least)
    if before and int(used.min()) >= before and least > different:
        raise wrong(
            f"the items are numbered from {used.min()}, after {before} users",
            where,
            f"number users and items each from 0: data[...].edge_index[1] -= {before}",
        )
    if least > number:
        raise wrong(f"an edge has the node {least - 1}, but there are {number} nodes", where)
    if not 1 <= number <= MAX_IDS_PER_SEEN * different:
        raise wrong(f"{number} nodes are too many: only {different} have edges", where)
    return number


def _split(edges: Edges, seed: int) -> NDArray[np.int8]:
    """Return the labels of a random split in which repeated pairs share one label."""
    width = int(edges.items.max()) + 1
    _, first, place = np.unique(edges.users * width + edges.items, return_index=True, return_inverse=True)
    return split_per_user(edges.users[first], edges.items[first], seed=seed)[place]


def _features(store: Mapping[str, Any], n_items: int, x: str | None, label: str) -> dict[str, NDArray[Any]]:
    """Return the feature tables of the items by modality."""
    given = {key.removesuffix(FEATURES): store[key] for key in store if _is_table(key)}
    given = {modality: given[modality] for modality in in_order(given)}
    where = f"{label}, attributes of the items"
    for name in (*given, *([] if x is None else [x])):
        if fault := modality_fault(name, (*MODALITIES, *given)):
            raise wrong(f"{name!r} cannot be the name of a modality: it {fault}", where, "rename the attribute")
    if "x" in store:
        if x is None and not given:
            raise wrong(
                "the modality of the item attribute x is unknown",
                where,
                "rename it before saving, for example: data['item'].text_feat = data['item'].x; or use"
                " import_hetero_data(data, name, x='text')",
            )
        if x is not None and x in given:
            raise wrong(
                f"x cannot be the {x} features: the attribute {x}{FEATURES} has them", where, "use another name"
            )
        if x is not None:
            given[x] = store["x"]
    tables = {}
    for modality, value in given.items():
        table = value.detach().float() if isinstance(value, Tensor) and value.dtype == torch.bfloat16 else value
        found = dense(table, where, f"{modality} features")
        if found.dtype.kind != "f" or found.ndim != 2 or len(found) != n_items or not found.shape[1]:
            raise wrong(
                f"the {modality} features must be floating-point numbers of shape ({n_items}, width), but got"
                f" {found.dtype} {found.shape}",
                where,
            )
        with np.errstate(over="ignore"):
            broken = np.argwhere(~np.isfinite(found.astype(np.float32, copy=False)))
        if len(broken):
            row, column = broken[0].tolist()
            raise wrong(f"feature value {found[row, column]} of item {row} is not a finite float32", where)
        tables[modality] = found
    return tables


def _is_table(key: str) -> bool:
    """Return whether an attribute of the items is a table of features by its name."""
    return key.endswith(FEATURES) and key != FEATURES


def _texts(store: Mapping[str, Any], n_items: int, label: str) -> list[CatalogItem | None]:
    """Return the catalog records of the items; None for an item without any text."""
    where = f"{label}, attributes of the items"
    if not {*TEXTS, "categories"} & set(store):
        return []
    columns = {}
    for key in (*TEXTS, "categories"):
        values = store.get(key, [""] * n_items)
        lists = key == "categories"
        fits = isinstance(values, list) and len(values) == n_items
        if not fits or not all(isinstance(each, str) or (lists and _are_texts(each)) for each in values):
            raise wrong(f"{key} must be a list of {n_items} texts", where)
        columns[key] = values
    rows: list[CatalogItem | None] = []
    for *texts, labels in zip(*columns.values(), strict=True):
        title, brand, description = map(_utf8, texts)
        path = tuple(_utf8(each) for each in (labels if isinstance(labels, list) else [labels]) if each)
        rows.append(
            CatalogItem(title, brand, path, description, "", ()) if title or brand or description or path else None
        )
    return rows


def _utf8(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


def _ids(store: Mapping[str, Any], kind: str, number: int, label: str) -> list[str] | None:
    """Return the original ids of the nodes as texts, or None."""
    key = IDS[kind]
    if key not in store:
        return None
    where = f"{label}, {key} of the {kind}s"
    value = store[key]
    names = [str(each) for each in (value.tolist() if isinstance(value, Tensor) else list(value))]
    if len(names) != number or len(set(names)) != number:
        raise wrong(f"expected {number} different ids, but got {len(set(names))} in {len(names)}", where)
    for name in names:
        if is_missing(name) or name != name.strip() or not name.isprintable():
            raise wrong(f"{name[:60]!r} is not an id", where)
    return names


def _ignored(stores: Stores, places: Places) -> list[str]:
    """Return the attributes and types that are not read, by name."""
    read = {places.user: {"num_nodes", IDS["user"]}, places.edges: EDGE_KEYS}
    read[places.item] = {"num_nodes", IDS["item"], *TEXTS, "categories", "x"}
    read[places.item] |= {key for key in stores.get(places.item, {}) if _is_table(key)}
    reverse = {key for key in stores if isinstance(key, tuple) and (key[0], key[2]) == places.edges[::-2]}
    names = []
    for key, store in stores.items():
        shown = "-".join(key) if isinstance(key, tuple) else str(key)
        if key in read:
            names += [f"{shown}.{name}" for name in store if name not in read[key]]
        elif key not in reverse:
            names.append(shown)
    return names
