"""MMRec's pickled user graph, read as data: the same numbers, checked, kept by an import and used by models."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pickled_files import framed, saved
from tiny_folders import N_ITEMS, N_USERS, Maker, inter_text
from typer.testing import CliRunner

from robustrec.cli.data import app
from robustrec.datasets.importing import import_folder
from robustrec.datasets.interactions import TRAIN
from robustrec.datasets.registry import load_dataset
from robustrec.datasets.user_graph import UserGraph, digest_user_graph, read_user_graph, write_user_graph
from robustrec.errors import RobustrecError
from robustrec.models import model_class
from robustrec.models.graphs import co_occurrence
from robustrec.runs.prepared import prepare

# User 1 has no neighbour; large and small ids; counts as floats, as the published script writes them.
TABLE = {
    0: [[2, 1, 3], [3.0, 2.0, 1.0]],
    1: [[], []],
    2: [[300], [1.0]],
    **{u: [[0], [70000.0]] for u in range(3, 400)},
}


def as_dict(graph: UserGraph) -> dict[int, list[list[float]]]:
    bounds = zip(graph.starts[:-1], graph.starts[1:], strict=True)
    return {u: [graph.neighbours[a:b].tolist(), graph.counts[a:b].tolist()] for u, (a, b) in enumerate(bounds)}


def _objects(row: list[Any]) -> Any:
    array = np.empty(2, object)
    array[0], array[1] = row
    return array


WRITERS: dict[str, Callable[[list[Any]], Any]] = {
    "lists": lambda row: row,
    "tuples": tuple,
    "int64 arrays": lambda row: [np.array(part, np.int64) for part in row],
    "float32 arrays": lambda row: [np.array(part, np.float32) for part in row],
    "big-endian arrays": lambda row: [np.array(part, ">i4") for part in row],
    "lists of numpy scalars": lambda row: [[np.int32(x) for x in row[0]], [np.float64(x) for x in row[1]]],
    "an array of objects": _objects,
}


@pytest.mark.parametrize("writer", list(WRITERS))
def test_files_written_by_numpy(tmp_path: Path, writer: str) -> None:
    path = saved(tmp_path / "g.npy", {user: WRITERS[writer](row) for user, row in TABLE.items()})
    graph = read_user_graph(path, 400)
    assert as_dict(graph) == TABLE
    assert all(part.dtype == np.int64 for part in graph)


@pytest.mark.parametrize("protocol", [2, 3, 4])
@pytest.mark.parametrize("module", [b"numpy._core.multiarray", b"numpy.core.multiarray"])
@pytest.mark.parametrize("scalars", [False, True])
def test_files_of_older_and_newer_numpy(tmp_path: Path, protocol: int, module: bytes, scalars: bool) -> None:
    table = {np.int64(u): WRITERS["lists of numpy scalars"](row) for u, row in TABLE.items()} if scalars else TABLE
    content = pickle.dumps(np.array(table, object), protocol=protocol)
    for written in (b"numpy._core.multiarray", b"numpy.core.multiarray"):
        if protocol < 4:
            content = content.replace(b"c" + written + b"\n", b"c" + module + b"\n")
        elif len(written) == len(module):
            content = content.replace(written, module)
    assert as_dict(read_user_graph(framed(tmp_path / "g.npy", content), 400)) == TABLE


def test_lists_that_are_shared_or_unordered_and_users_in_any_order(tmp_path: Path) -> None:
    shared = [[2, 1], [1.0, 5.0]]
    graph = read_user_graph(saved(tmp_path / "g.npy", {2: [[0], [1]], 1: [[2, 0], [4, 4]], 0: shared, 3: shared}), 4)
    assert as_dict(graph)[0] == as_dict(graph)[3] == [[2, 1], [1, 5]], "the order of the file"
    assert as_dict(graph)[1] == [[2, 0], [4, 4]]


# What is no user graph ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ({0: [[1], [1.0]]}, "1 users, but the interactions have 2"),
        ({0: [[1], [1.0]], 2: [[0], [1.0]]}, "not numbered from 0"),
        ({0: [[1], [1.0]], 1: [[2], [1.0]]}, "neighbour 2, which is out of range"),
        ({0: [[1], [1.0]], 1: [[-1], [1.0]]}, "neighbour -1"),
        ({0: [[1], [0.0]], 1: [[0], [1.0]]}, "count 0"),
        ({0: [[1], [1.5]], 1: [[0], [1.0]]}, "user 0 has a number that is not an integer"),
        ({0: [[1], [float("nan")]], 1: [[0], [1.0]]}, "not an integer"),
        ({0: [[1], [float("inf")]], 1: [[0], [1.0]]}, "not an integer"),
        ({0: [[1], [2**60]], 1: [[0], [1.0]]}, "not an integer"),
        ({0: [[1], [10**400]], 1: [[0], [1.0]]}, "damaged|too large|instruction"),
        ({0: [[1, 1], [1.0, 1.0]], 1: [[0], [1.0]]}, "user 0 has the neighbour 1 twice"),
        ({0: [[1], [1.0, 2.0]], 1: [[0], [1.0]]}, "1 neighbours, but 2 counts"),
        ({0: [[1], [True]], 1: [[0], [1.0]]}, "is not a list of numbers"),
        ({0: [[[1]], [1.0]], 1: [[0], [1.0]]}, "is not a list of numbers"),
        ({0: [["1"], [1.0]], 1: [[0], [1.0]]}, "is not a list of numbers"),
        ({0: [[1]], 1: [[0], [1.0]]}, "is not a pair of lists"),
        ({0: None, 1: [[0], [1.0]]}, "is not a pair of lists"),
        ({"0": [[1], [1.0]]}, "key '0'"),
        ({True: [[1], [1.0]]}, "key 'True'"),
        ([[1], [1.0]], "expected a saved dict|not a dict"),
        (3, "expected a saved dict"),
    ],
)  # fmt: skip
def test_what_is_no_graph_of_these_users(tmp_path: Path, table: Any, told: str) -> None:
    with pytest.raises(RobustrecError, match=told):
        read_user_graph(saved(tmp_path / "g.npy", table), 2)


def test_files_that_are_something_else(tmp_path: Path) -> None:
    with pytest.raises(RobustrecError, match="No such file"):
        read_user_graph(tmp_path / "none.npy", 2)
    (tmp_path / "text.npy").write_text("hello")
    np.save(tmp_path / "numbers.npy", np.zeros((3, 2)))
    framed(tmp_path / "header.npy", b"", "{'descr': __import__('os'), 'fortran_order': False, 'shape': (), }")
    (tmp_path / "text.npz").write_text("hello")
    np.savez(tmp_path / "other.npz", a=np.zeros(3))
    np.savez(tmp_path / "floats.npz", starts=np.zeros(3), neighbours=np.zeros(0), counts=np.zeros(0))
    np.savez(tmp_path / "pickled.npz", starts=np.array([{}], object), neighbours=[0], counts=[0])
    for path in sorted(tmp_path.iterdir()):
        with pytest.raises(RobustrecError, match="cannot read the user graph"):
            read_user_graph(path, 2)


def test_an_archive_holds_the_graph_and_is_checked(tmp_path: Path) -> None:
    graph = read_user_graph(saved(tmp_path / "g.npy", TABLE), 400)
    write_user_graph(tmp_path / "one.npz", graph)
    write_user_graph(tmp_path / "two.npz", graph)
    again = read_user_graph(tmp_path / "one.npz", 400)
    assert as_dict(again) == TABLE
    assert digest_user_graph(again) == digest_user_graph(graph)
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()
    for bad in (
        graph._replace(starts=graph.starts + 1),
        graph._replace(starts=graph.starts[:-1]),
        graph._replace(counts=graph.counts[1:]),
        graph._replace(neighbours=graph.neighbours + 400),
        graph._replace(counts=graph.counts * 0),
    ):
        write_user_graph(tmp_path / "bad.npz", bad)
        with pytest.raises(RobustrecError, match="cannot read the user graph"):
            read_user_graph(tmp_path / "bad.npz", 400)


# As part of a data set ----------------------------------------------------------------------------------------------


def tiny_table(last: float = 4.0) -> dict[int, list[list[float]]]:
    return {u: [[(u + 1) % N_USERS, (u + 2) % N_USERS], [last, 1.0]] for u in range(N_USERS)}


def test_an_import_keeps_the_user_graph_without_its_pickle(tiny: Maker, home: Path) -> None:
    source = tiny(features=("image",))
    saved(source / "user_graph_dict.npy", tiny_table())
    folder = import_folder(source, "mine", home)
    assert (folder / "user_graph.npz").is_file()
    assert not (folder / "user_graph_dict.npy").exists()
    assert 'user_graph = "user_graph.npz"' in (folder / "dataset.toml").read_text()
    data = load_dataset("mine", home=home)
    assert data.user_graph == folder / "user_graph.npz"
    assert as_dict(read_user_graph(data.user_graph, N_USERS)) == tiny_table()
    assert load_dataset(str(source), home=home).digest == data.digest, "the bare folder is the same data set"
    again = import_folder(folder, "again", home)
    assert load_dataset("again", home=home).digest == data.digest
    assert (again / "user_graph.npz").read_bytes() == (folder / "user_graph.npz").read_bytes()


def test_the_digest_and_so_every_run_key_follows_the_graph(tiny: Maker, home: Path) -> None:
    digests = []
    for name, table in (("none", None), ("one", tiny_table()), ("two", tiny_table(5.0)), ("three", tiny_table())):
        folder = tiny(name)
        (folder / f"{name}.inter").write_text(inter_text())
        if table:
            saved(folder / "user_graph_dict.npy", table)
        digests.append(load_dataset(str(folder), home=home).digest)
        assert load_dataset(str(folder), home=home).digest == digests[-1], "remembered"
    assert len(set(digests)) == 3
    assert digests[1] == digests[3]
    saved(folder / "user_graph_dict.npy", tiny_table(6.0))
    assert load_dataset(str(folder), home=home).digest not in digests


def test_a_graph_of_others_or_a_damaged_one_is_refused_whole(tiny: Maker, home: Path) -> None:
    source = tiny()
    for table in ({0: [[], []]}, {**tiny_table(), 0: [[99], [1.0]]}, "text"):
        saved(source / "user_graph_dict.npy", table)
        with pytest.raises(RobustrecError, match="cannot read the user graph"):
            import_folder(source, "mine", home)
        assert not (home / "data" / "mine").exists()
        with pytest.raises(RobustrecError, match="cannot read the user graph"):
            load_dataset(str(source), home=home)


def test_with_a_ratings_file_it_is_left_out_and_counted(tiny: Maker, home: Path, tmp_path: Path) -> None:
    source = tmp_path / "rated"
    source.mkdir()
    rows = [f"U{u},I{i},5,{u + i}" for u in range(6) for i in range(6)]
    (source / "ratings.csv").write_text("user,item,rating,timestamp\n" + "\n".join(rows) + "\n")
    saved(source / "user_graph_dict.npy", tiny_table())
    import_folder(source, "mine", home)
    data = load_dataset("mine", home=home)
    assert data.user_graph is None
    assert any("user_graph_dict.npy" in row.reason and row.rows == 6 for row in data.filters)


def test_describe_tells(tiny: Maker, home: Path) -> None:
    saved((source := tiny()) / "user_graph_dict.npy", tiny_table())
    import_folder(source, "mine", home)
    result = CliRunner().invoke(app, ["describe", "mine", "--home", str(home)])
    assert "user graph" in result.stdout


def test_models_use_the_graph_that_the_data_set_brings(tiny: Maker, home: Path) -> None:
    counted = prepare(load_dataset(str(tiny("counted")), home=home), None, torch.device("cpu")).problem
    assert counted.user_neighbours is None
    source = tiny("brought")
    saved(source / "user_graph_dict.npy", tiny_table())
    data = load_dataset(str(source), home=home)
    problem = prepare(data, None, torch.device("cpu")).problem
    assert problem.nearest_users(1).neighbours.tolist() == [(u + 1) % N_USERS for u in range(N_USERS)]
    users, items = data.interactions.pairs(TRAIN)
    own = co_occurrence(torch.from_numpy(np.stack([users, items])), N_USERS, N_ITEMS, 1)
    assert own.neighbours.tolist() != problem.nearest_users(1).neighbours.tolist()
    kind = model_class("dualgnn")
    width = {"image": 3}
    models = [
        kind(type(problem)(p.n_users, p.n_items, p.edges, width, p.user_neighbours), kind.Config(latent_width=2),
             torch.Generator().manual_seed(0))
        for p in (problem, counted)
    ]  # fmt: skip
    features = {"image": torch.randn(N_ITEMS, 3)}
    one, other = (model.represent(features).users for model in models)
    assert not torch.equal(one, other)
