"""The page on PyTorch Geometric: its code and its commands, run in the order in which a reader would."""

from __future__ import annotations

import json
import re
import shlex
import signal
import sys
from pathlib import Path

import pytest
import torch

from robustrec.adapters.pyg import PyGLightGCN, PyGRecommender, audit, import_hetero_data
from robustrec.cli.main import run
from robustrec.errors import RobustrecError
from robustrec.models.own import load_own
from robustrec.seeds import torch_generator

# torch-geometric imports torch.jit.
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "pyg.md").read_text()
MODEL = """
import torch
from torch import nn
from torch_geometric.nn import LGConv

class Net(nn.Module):
    def __init__(self, n_users, n_items, widths):
        super().__init__()
        self.users = nn.Embedding(n_users, 8)
        self.layers = nn.ModuleDict({name: nn.Linear(width, 8) for name, width in widths.items()})
        self.conv = LGConv()

    def forward(self, features, edge_index):
        items = sum(self.layers[name](features[name]) for name in self.layers)
        x = torch.cat([self.users.weight, items])
        return x + self.conv(x, edge_index)
"""


def blocks():
    return re.findall(r"```python\n(.*?)```", PAGE, re.S)


@pytest.fixture
def shop(tiny, tiny_folder, tmp_path, monkeypatch):
    """A folder with the reader's model, the page's class and checkpoints, and the data set my-shop."""
    monkeypatch.setenv("ROBUSTREC_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "my_model.py").write_text(MODEL)
    (tmp_path / "my_graphs.py").write_text(blocks()[0])
    before = signal.getsignal(signal.SIGTERM)
    assert run(["data", "import", str(tiny_folder), "--name", "my-shop", "-q", "--json"]) == 0
    from my_graphs import Shop

    shop, lightgcn = (
        kind(tiny.problem, kind.Config(**options), torch_generator(0, "x"))
        for kind, options in ((Shop, {}), (PyGLightGCN, {"embedding_dim": 16, "num_layers": 2}))
    )
    torch.save(shop.network.state_dict(), "net.pth")
    torch.save(lightgcn.network.state_dict(), "lightgcn.pth")
    yield shop
    signal.signal(signal.SIGTERM, before)
    load_own.cache_clear()
    for name in ("my_model", "my_graphs"):
        sys.modules.pop(name, None)


def commands():
    return [shlex.split(line)[1:] for line in re.findall(r"^ {4}(robustrec .*)$", PAGE, re.M)]


def test_the_class_is_ten_lines():
    assert len([line for line in blocks()[0].splitlines() if line.strip()]) <= 10


def test_the_commands_and_the_code_work(shop, tmp_path, capsys):
    spaces = [{} for _ in blocks()]
    for source, space in zip(blocks(), spaces, strict=True):
        exec(compile(source, "docs/pyg.md", "exec"), space)
    _, from_python, saving, converting, exporting = spaces
    graph = exporting["graph_of"]("my-shop")
    saving["save"](graph)
    torch.save(graph, "pickled.pt")
    converting["convert"]("pickled.pt")
    assert run(["data", "import", "plain.pt", "--name", "again", "-q", "--json"]) == 0
    capsys.readouterr()
    assert len(commands()) == 4
    for words in sorted(commands(), key=lambda words: words[0], reverse=True):
        more = {"data": ["--replace"], "audit": ["--json"]}.get(words[0], [])
        code = run([*words, *more])
        told = capsys.readouterr()
        assert code in ((0, 1) if words[0] == "audit" else (0,)), (words, told.err)
    report = json.loads(told.out)
    assert {each["status"] for each in report["statuses"] if each["audit"] in ("reach", "noise")} == {"ok"}
    for given in (shop.network, shop):
        again = from_python["report_on"](given)
        assert [each.model_dump() for each in again.findings] == _findings(report), "the same numbers from Python"
    assert json.loads(Path("report.json").read_text())["findings"] == json.loads(again.model_dump_json())["findings"]


def _findings(report):
    from robustrec.results.report import Report

    return [each.model_dump() for each in Report.model_validate(report).findings]


class Inner:
    class Shop(PyGRecommender):
        pass


def test_a_class_without_a_name_to_import_it_by_is_refused():
    with pytest.raises(RobustrecError, match="cannot be imported"):
        audit(Inner.Shop, {}, "baby")


def test_the_attributes_in_the_page_are_read(tmp_path):
    table = PAGE.split("## Import a graph")[1].split("Without a split")[0]
    named = set(re.findall(r"`(\w+)`", "\n".join(line.split("|")[1] for line in re.findall(r"^\| `.*$", table, re.M))))
    graph = {
        "user": {"num_nodes": 3, "user_id": ["a", "b", "c"]},
        "item": {
            "num_nodes": 3,
            **{key: torch.ones(3, 2) for key in ("image_feat", "text_feat")},
            **{key: ["x", "y", "z"] for key in ("item_id", "title", "brand", "categories", "description")},
        },
        ("user", "buys", "item"): {"edge_index": torch.tensor([[0, 0, 1, 1, 2, 2], [0, 1, 1, 2, 2, 0]])},
    }
    masks = {name: torch.arange(6) % 2 == place for place, name in enumerate(("train_mask", "test_mask"))}
    graph["user", "buys", "item"] |= {**masks, "val_mask": torch.zeros(6, dtype=torch.bool)}
    graph["user", "buys", "item"] |= {"edge_label_index": torch.zeros(2, 0), "edge_label": torch.zeros(0)}
    assert named == {name for store in graph.values() for name in store}
    folder = import_hetero_data(graph, "all", home=tmp_path)
    assert "not read" not in (folder / "dataset.toml").read_text()
