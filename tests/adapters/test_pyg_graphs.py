"""Graphs of PyG as data sets and back: an exact round trip, splits, files without pickles, refusals."""

from __future__ import annotations

import json
import pickle
import shlex

import numpy as np
import pytest
import torch

from robustrec.adapters.pyg import import_hetero_data, to_hetero_data
from robustrec.cli.main import run
from robustrec.datasets.importing import ImportOptions, import_folder
from robustrec.datasets.interactions import TEST, TRAIN, VALIDATION
from robustrec.datasets.registry import load_folder
from robustrec.encoders.features import item_features
from robustrec.errors import RobustrecError

# torch-geometric imports torch.jit.
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")

USERS, ITEMS = 12, 9
PAIRS = [(user, (user + step) % (ITEMS - 1)) for user in range(USERS - 1) for step in range(4)]


def stores(**edges):
    """Return a graph as the mapping that `to_dict()` gives; the last user and item have no edge."""
    return {
        "user": {"num_nodes": USERS},
        "item": {"num_nodes": ITEMS},
        ("user", "interacts", "item"): {"edge_index": torch.tensor(PAIRS).T} | edges,
    }


def masks():
    place = torch.arange(len(PAIRS)) % 4
    return {"train_mask": place < 2, "val_mask": place == 2, "test_mask": place == 3}


def imported(tmp_path, data, **more):
    return load_folder(import_hetero_data(data, "graph", home=tmp_path, **more), home=tmp_path)


def refused(tmp_path, data, **more):
    with pytest.raises(RobustrecError) as caught:
        import_hetero_data(data, "graph", home=tmp_path, **more)
    assert not (tmp_path / "data" / "graph").exists()
    assert "HeteroData" in caught.value.where
    assert caught.value.fix
    return caught.value.what


def same(ours, theirs):
    for name in ("users", "items", "labels", "n_users", "n_items"):
        assert np.array_equal(getattr(ours.interactions, name), getattr(theirs.interactions, name)), name


def digests(dataset):
    return {name: np.load(path).tobytes() for name, path in dataset.feature_files.items()}


def test_a_data_set_comes_back_as_it_was(tiny_folder, tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    for path in tiny_folder.iterdir():
        (source / path.name).write_bytes(path.read_bytes())
    items = [{"itemID": row, "title": f"Good {row}", "categories": ["A", "B"], "brand": "x"} for row in range(50)]
    (source / "items.jsonl").write_text("".join(json.dumps(item) + "\n" for item in items))
    for file, header, count in (("u_id_mapping.csv", "user_id\tuserID", 80), ("i_id_mapping.csv", "asin\titemID", 60)):
        (source / file).write_text(header + "\n" + "".join(f"B{count - row:04}\t{row}\n" for row in range(count)))
    ours = load_folder(import_folder(source, "ours", tmp_path), home=tmp_path)
    graph = to_hetero_data(ours)
    assert graph.validate()
    again = imported(tmp_path, graph)
    same(again, ours)
    assert digests(again) == digests(ours)
    assert again.catalog.items == ours.catalog.items
    assert again.digest == ours.digest
    for file in ("u_id_mapping.csv", "i_id_mapping.csv"):
        assert (again.folder / file).read_text() == (ours.folder / file).read_text()
    back = to_hetero_data(again)
    for key, store in graph.to_dict().items():
        for name, value in store.items():
            other = back.to_dict()[key][name]
            assert torch.equal(other, value) if isinstance(value, torch.Tensor) else other == value, (key, name)


def test_given_features_take_the_place_of_the_files(tiny, tmp_path):
    ours = tiny.dataset
    tables = {"text": torch.arange(ours.interactions.n_items * 3.0).view(-1, 3)}
    again = imported(tmp_path, to_hetero_data(ours, tables))
    same(again, ours)
    found = item_features(again, "imported", home=tmp_path)
    assert list(found.tables) == ["text"]
    assert torch.equal(found.tables["text"], tables["text"])
    encoded = to_hetero_data(ours, tiny.features)["item"]
    assert torch.equal(encoded.image_feat, tiny.tables["image"])


def test_features_of_any_modality_go_both_ways(tiny, tmp_path):
    tables = {"audio": torch.rand(60, 3), "text": torch.rand(60, 2), "clip-b32": torch.rand(60, 4)}
    graph = to_hetero_data(tiny.dataset, tables)
    assert {key for key in graph["item"] if key.endswith("_feat")} == {"audio_feat", "text_feat", "clip-b32_feat"}
    again = imported(tmp_path, graph)
    found = item_features(again, "imported", home=tmp_path).tables
    assert list(found) == ["text", "audio", "clip-b32"]
    assert all(torch.equal(found[name], table) for name, table in tables.items())
    with pytest.raises(RobustrecError, match="expected features of a modality"):
        to_hetero_data(tiny.dataset, {"a b": torch.rand(60, 3)})


def test_features_of_another_catalog_are_not_exported(tiny):
    with pytest.raises(RobustrecError, match="60 rows"):
        to_hetero_data(tiny.dataset, {"text": torch.zeros(59, 2)})


def test_masks_give_the_split_and_nodes_without_edges_stay(tmp_path):
    chosen = masks()
    chosen["test_mask"][-1] = False
    data = imported(tmp_path, stores(**chosen, time=torch.zeros(len(PAIRS))))
    assert (data.interactions.n_users, data.interactions.n_items) == (USERS, ITEMS)
    found = set(zip(*(array.tolist() for array in data.interactions.pairs(TEST)), strict=True))
    assert found == {pair for pair, kept in zip(PAIRS, chosen["test_mask"].tolist(), strict=True) if kept}
    told = {row.reason: row.rows for row in data.filters}
    assert told["edges that are in no mask"] == 1
    assert told["attributes of the graph that are not read: user-interacts-item.time"] == 1


def test_without_a_split_the_edges_are_split_by_seed_and_repeats_are_counted(tmp_path):
    repeated = stores()
    key = ("user", "interacts", "item")
    repeated[key]["edge_index"] = torch.cat([repeated[key]["edge_index"]] * 2, dim=1)
    first = imported(tmp_path, repeated)
    assert len(first.interactions.users) == len(PAIRS)
    assert {row.reason: row.rows for row in first.filters}["repeated rows (same user, item and split)"] == len(PAIRS)
    assert sorted(set(first.interactions.labels.tolist())) == [TRAIN, VALIDATION, TEST]
    assert "split with seed 0" in (first.folder / "dataset.toml").read_text()
    other = imported(tmp_path, stores(), options=ImportOptions(seed=1, replace=True))
    assert not np.array_equal(first.interactions.labels, other.interactions.labels)


def test_the_parts_of_random_link_split_are_one_data_set(tmp_path):
    from torch_geometric.data import HeteroData
    from torch_geometric.transforms import RandomLinkSplit, ToUndirected

    data = HeteroData()
    data["user"].num_nodes, data["item"].num_nodes = USERS, ITEMS
    data["user", "interacts", "item"].edge_index = torch.tensor(PAIRS).T
    both = ToUndirected()(data)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        parts = RandomLinkSplit(
            num_val=0.2,
            num_test=0.25,
            disjoint_train_ratio=0.3,
            edge_types=("user", "interacts", "item"),
            rev_edge_types=("item", "rev_interacts", "user"),
        )(both)
    found = imported(tmp_path, parts)
    assert sorted(zip(found.interactions.users.tolist(), found.interactions.items.tolist(), strict=True)) == sorted(
        PAIRS
    )
    counts = np.bincount(found.interactions.labels)
    store = [part["user", "interacts", "item"] for part in parts]
    assert counts.tolist()[1:] == [int((each.edge_label > 0).sum()) for each in store[1:]]
    val = store[1].edge_label_index[:, store[1].edge_label > 0]
    assert {*zip(*val.tolist(), strict=True)} == {*zip(*map(list, found.interactions.pairs(VALIDATION)), strict=True)}
    assert not found.filters or all(row.reason.endswith("(kept)") for row in found.filters)
    assert "nothing to test on" in refused(tmp_path / "x", _without_negatives(parts[0]))


def _without_negatives(part):
    """Return a training part in which every pair to predict is an edge of the graph, as without disjoint training."""
    content = part.to_dict()
    store = content["user", "interacts", "item"]
    return {
        **content,
        ("user", "interacts", "item"): {
            **store,
            "edge_label_index": store["edge_index"],
            "edge_label": torch.ones(store["edge_index"].shape[1]),
        },
    }


def test_edges_from_items_to_users_and_the_test_pairs_of_amazon_book(tmp_path):
    graph = {
        "user": {"num_nodes": USERS},
        "book": {"num_nodes": ITEMS},
        ("book", "rated_by", "user"): {
            "edge_index": torch.tensor(PAIRS[::2]).T.flip(0),
            "edge_label_index": torch.tensor(PAIRS[1::2]).T.flip(0),
        },
    }
    found = imported(tmp_path, graph)
    assert {*zip(*map(list, found.interactions.pairs(TRAIN)), strict=True)} == set(PAIRS[::2])
    assert {*zip(*map(list, found.interactions.pairs(TEST)), strict=True)} == set(PAIRS[1::2])


def changed(**items):
    graph = stores(**masks())
    return {**graph, "item": {**graph["item"], **items}}


def edited(**edges):
    return stores(**{**masks(), **edges})


REFUSALS = {
    "a plain graph": (
        lambda: {"edge_index": torch.tensor(PAIRS).T, "x": torch.zeros(ITEMS, 2)},
        "expected a HeteroData",
    ),
    "two edge types": (
        lambda: {**stores(), ("user", "views", "item"): {"edge_index": torch.tensor(PAIRS).T}},
        "expected one edge type",
    ),
    "item numbers after those of users": (
        lambda: edited(edge_index=torch.tensor(PAIRS).T + torch.tensor([[0], [USERS]])),
        "the items are numbered from 12, after 12 users",
    ),
    "node": (lambda: edited(edge_index=torch.tensor(PAIRS).T + torch.tensor([[0], [3]])), "node 10, but there are 9"),
    "negative": (lambda: edited(edge_index=torch.tensor(PAIRS).T - 1), "the node -1"),
    "float edges": (lambda: edited(edge_index=torch.tensor(PAIRS).T.float()), "must be int64"),
    "transposed": (lambda: edited(edge_index=torch.tensor(PAIRS)), "must be int64 of shape (2, E)"),
    "sparse": (lambda: edited(edge_index=torch.eye(2).to_sparse()), "dense tensor"),
    "no edges": (lambda: stores(edge_index=torch.zeros(2, 0, dtype=torch.int64)), "no edges"),
    "overlap": (lambda: edited(test_mask=torch.ones(len(PAIRS), dtype=torch.bool)), "another mask"),
    "short mask": (lambda: edited(test_mask=torch.ones(2, dtype=torch.bool)), "boolean tensor"),
    "no training": (lambda: edited(train_mask=torch.zeros(len(PAIRS), dtype=torch.bool)), "no training rows"),
    "nan": (lambda: changed(text_feat=torch.full((ITEMS, 2), torch.nan)), "item 0 is not a finite float32"),
    "rows": (lambda: changed(text_feat=torch.zeros(ITEMS - 1, 2)), "numbers of nodes differ"),
    "integers": (lambda: changed(text_feat=torch.zeros(ITEMS, 2, dtype=torch.int64)), "floating-point"),
    "modality": (lambda: changed(all_feat=torch.zeros(ITEMS, 2)), "'all' cannot be the name of a modality"),
    "x": (lambda: changed(x=torch.ones(ITEMS, 2)), "modality of the item attribute x is unknown"),
    "ids twice": (lambda: changed(item_id=["a"] * ITEMS), "different ids"),
    "missing id": (lambda: changed(item_id=[*map(str, range(ITEMS - 1)), "None"]), "'None' is not an id"),
    "texts": (lambda: changed(title=[1] * ITEMS), "title must be a list"),
    "huge": (lambda: changed(num_nodes=10**12), "too many"),
    "four parts": (lambda: (stores(),) * 4, "got 4 parts"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_a_graph_that_does_not_fit_is_refused_whole(name, tmp_path):
    make, told = REFUSALS[name]
    assert told in refused(tmp_path, make())


def test_a_name_that_is_taken_needs_an_option_of_python(tmp_path):
    imported(tmp_path, stores())
    with pytest.raises(RobustrecError) as caught:
        import_hetero_data(stores(), "graph", home=tmp_path)
    assert "options=ImportOptions(" in caught.value.fix
    assert "robustrec-graph" not in str(caught.value)


def test_an_edge_index_of_pyg_is_a_tensor(tmp_path):
    from torch_geometric import EdgeIndex

    edges = EdgeIndex(torch.tensor(PAIRS).T.contiguous(), sparse_size=(USERS, ITEMS))
    same(imported(tmp_path / "a", stores(**masks(), edge_index=edges)), imported(tmp_path / "b", stores(**masks())))


def test_x_has_the_modality_that_is_named(tmp_path):
    table = torch.arange(ITEMS * 2.0).view(ITEMS, 2)
    for dtype in (torch.float32, torch.float64, torch.bfloat16):
        found = imported(tmp_path, changed(x=table.to(dtype)), x="image", options=ImportOptions(replace=True))
        assert list(found.feature_files) == ["image"]
        assert np.array_equal(np.load(found.feature_files["image"]), table.numpy())


@pytest.fixture
def saved_graph(tmp_path, monkeypatch):
    monkeypatch.setenv("ROBUSTREC_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    torch.save(stores(**masks()), tmp_path / "shop.pt")
    return tmp_path / "shop.pt"


def test_a_saved_graph_is_imported_by_the_command(saved_graph, capsys):
    assert run(["data", "import", "shop.pt", "--name", "shop", "--json", "-q"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["users"], told["items"]) == (USERS, ITEMS)
    assert told["rows"] == {"train": 22, "validation": 11, "test": 11}
    assert run(["data", "import", "shop.pt", "--name", "shop", "-q"]) == 2
    message = capsys.readouterr().err
    assert "robustrec-graph" not in message, "the folder on the way is named nowhere"
    command = message.split("robustrec data import", 1)[1].splitlines()[0]
    assert run(["data", "import", *shlex.split(command), "-q"]) == 0, "the command of the fix works"


def test_a_pickled_graph_is_refused_with_the_lines_that_convert_it(saved_graph, capsys):
    from torch_geometric.data import HeteroData

    torch.save(HeteroData.from_dict(stores(**masks())), saved_graph)
    assert run(["data", "import", "shop.pt", "--name", "shop", "-q"]) == 2
    message = capsys.readouterr().err
    assert "torch_geometric.data" in message
    assert "it was not loaded" in message
    code = message.split('python -c "', 1)[1].split('"')[0]
    exec(code)
    assert run(["data", "import", "plain.pt", "--name", "shop", "-q"]) == 0


def test_nothing_in_a_file_is_executed(saved_graph, tmp_path, capsys):
    class Touch:
        def __reduce__(self):
            return (open, (str(tmp_path / "executed"), "w"))

    saved_graph.write_bytes(pickle.dumps({"user": Touch()}))
    assert run(["data", "import", "shop.pt", "--name", "shop", "-q"]) == 2
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("options", [["--k", "3"], ["--columns", "user,item"], ["--min-rating", "3"]])
def test_options_of_ratings_files_are_refused(options, saved_graph, capsys):
    assert run(["data", "import", "shop.pt", "--name", "shop", "-q", *options]) == 2
    assert "does not apply to a saved graph" in capsys.readouterr().err


@pytest.mark.parametrize("content", [b"", b"not a file of torch", torch.zeros(3), [1, 2], {"user": 3}])
def test_other_files_are_refused(content, saved_graph, capsys):
    saved_graph.write_bytes(content) if isinstance(content, bytes) else torch.save(content, saved_graph)
    assert run(["data", "import", "shop.pt", "--name", "shop", "-q"]) == 2
    assert "internal error" not in capsys.readouterr().err


def test_a_file_that_is_not_there_is_an_error(saved_graph, capsys):
    assert run(["data", "import", "nowhere.pt", "--name", "shop", "-q"]) == 2
    assert "No such file" in capsys.readouterr().err
