"""PyG models through the adapter: PyG's scores, audits to a report, faults that must not pass."""

from __future__ import annotations

import json
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch
from pydantic import BaseModel
from scipy.sparse import csr_array
from torch import nn

from robustrec.adapters.pyg import PyGLightGCN, PyGRecommender, training_graph
from robustrec.checking import check_model
from robustrec.cli.main import run
from robustrec.config import Settings
from robustrec.errors import RobustrecError
from robustrec.evaluation.ranking import rank
from robustrec.models.contract import Batch, Problem
from robustrec.models.own import load_own
from robustrec.runs.plan import subject_specs
from robustrec.runs.subjects import obtain_subject
from robustrec.seeds import torch_generator

# torch-geometric imports torch.jit.
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")

NAME = "robustrec.adapters.pyg:PyGLightGCN"
SMALL = {"embedding_dim": 8, "num_layers": 2}
SUITE = """
schema_version = 1
name = "graph"
metrics = ["ndcg@20"]
stability = ["rbo@20"]
bootstrap = { replicates = 100 }
[[audits]]
kind = "noise"
sigma2 = [1e-2]
draws = 2
[[gates]]
name = "lists under noise"
select = { audit = "noise", sigma2 = 1e-2, metric = "rbo@20" }
quantity = "drift"
min = -0.9
"""
# What somebody may have: a module that knows nothing of robustrec, and the lines that hand it over.
MODULE = '''
import torch
from torch import nn
from torch_geometric.nn import LGConv, SAGEConv
from robustrec.adapters.pyg import PyGRecommender

class Net(nn.Module):
    """Item features projected, users free, one convolution; `fault` is planted."""

    def __init__(self, n_users, widths, fault=""):
        super().__init__()
        self.fault, self.n_users, self.kept = fault, n_users, None
        self.users = nn.Embedding(n_users, 8)
        self.project = nn.ModuleDict({name: nn.Linear(width, 8) for name, width in widths.items()})
        self.conv = SAGEConv((-1, -1), 8)
        self.drop = nn.Dropout(0.3)

    def forward(self, features, edge_index):
        if self.fault == "ignores" and self.kept is not None:
            features = self.kept
        self.kept = {name: table.detach() for name, table in features.items()}
        items = sum(layer(features[name]) for name, layer in self.project.items())
        x = torch.cat([self.users.weight, self.drop(items)])
        x = x + self.conv(x, edge_index)
        if self.fault == "random":
            x = nn.functional.dropout(x, 0.3, training=True)
        if self.fault == "nan":
            x = x * float("nan")
        users, items = x[: self.n_users], x[self.n_users :]
        if self.fault == "writes":
            features["text"].mul_(2)
        if self.fault == "sparse":
            return users, items.to_sparse()
        if self.fault == "swapped":
            return items, users
        if self.fault == "short":
            return users, items[1:]
        if self.fault == "widths":
            return users, items[:, 1:]
        if self.fault == "one":
            return users
        if self.fault == "double":
            return users.double(), items.double()
        return users, items

class Shop(PyGRecommender):
    modalities = ("image", "text")
    fault = ""

    def build(self, problem, config):
        return Net(problem.n_users, problem.feature_widths, self.fault)
'''
FAULTS = {
    "ignores": "perturbation did not reach the scores",
    "random": "the same features",
    "nan": "not finite",
    "writes": "changes its text features in place",
    "sparse": "got a sparse tensor",
    "swapped": "return users first, then items",
    "short": "expected 60 item embeddings, but got 59",
    "widths": "user embeddings have width 8, item embeddings 7",
    "one": "expected a pair of user and item embeddings",
}


@pytest.fixture(autouse=True)
def _own_folder(tmp_path, monkeypatch):
    """Work in an empty folder with the module above, which is forgotten afterwards."""
    monkeypatch.setenv("ROBUSTREC_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "suite.toml").write_text(SUITE)
    subclasses = "".join(f"\nclass {fault.title()}(Shop):\n    fault = {fault!r}\n" for fault in (*FAULTS, "double"))
    (tmp_path / "my_graphs.py").write_text(MODULE + subclasses)
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)
    load_own.cache_clear()
    sys.modules.pop("my_graphs", None)


def pyg_trained(problem: Problem, steps: int = 30):
    """Return PyG's LightGCN trained by PyG alone, with its graph."""
    from torch_geometric.nn.models import LightGCN as Model
    from torch_geometric.utils import to_undirected

    edges = problem.edges + torch.tensor([[0], [problem.n_users]])
    graph = to_undirected(edges)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        model = Model(problem.n_users + problem.n_items, 8, 2, alpha=torch.tensor([0.5, 0.3, 0.2]))
        optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
        for _ in range(steps):
            others = torch.randint(problem.n_users, problem.n_users + problem.n_items, edges[1].shape)
            pairs = torch.cat([edges, torch.stack([edges[0], others])], dim=1)
            loss = model.recommendation_loss(*model(graph, pairs).chunk(2), node_id=pairs.unique())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return model.eval(), graph


def subject_from(prepared, home, checkpoint, model=NAME, **settings):
    given = {"set": {model.partition(":")[2]: settings}} if settings else {}
    (spec,) = subject_specs(Settings(home=home, model=(model,), checkpoint=str(checkpoint), **given), "full")
    return obtain_subject(spec, prepared, home=home)


@pytest.mark.parametrize("ending", ["pth", "safetensors"])
def test_scores_and_lists_are_those_of_pyg(tiny, tmp_path, ending):
    from safetensors.torch import save_file

    problem = tiny.problem
    model, graph = pyg_trained(problem)
    path = tmp_path / f"lightgcn.{ending}"
    (torch.save if ending == "pth" else save_file)(model.state_dict(), path)
    subject = subject_from(tiny, tmp_path, path, **SMALL)
    users, items = subject.represent()
    nodes = torch.arange(problem.n_users + problem.n_items)
    pairs = torch.cartesian_prod(nodes[: problem.n_users], nodes[problem.n_users :]).T
    with torch.no_grad():
        expected = model(graph, pairs).view(problem.n_users, problem.n_items)
    torch.testing.assert_close(users @ items.T, expected, rtol=1e-5, atol=1e-6)
    nothing = csr_array((problem.n_users, problem.n_items))
    lists = rank(subject.represent(), np.arange(problem.n_users), nothing, k=10).items
    with torch.no_grad():
        top = model.recommend(graph, src_index=nodes[: problem.n_users], dst_index=nodes[problem.n_users :], k=10)
    assert np.array_equal(lists, top.numpy() - problem.n_users)


def test_the_loss_is_pygs(tiny):
    model = PyGLightGCN(tiny.problem, PyGLightGCN.Config(**SMALL, reg_weight=0.1), torch_generator(0, "parameters"))
    generator = torch_generator(1, "triples")
    users, positives, negatives = (torch.randint(60, (64,), generator=generator) for _ in range(3))
    offset = tiny.problem.n_users
    rows = torch.stack([torch.cat([users, users]), torch.cat([positives, negatives]) + offset])
    expected = model.network.recommendation_loss(
        *model.network(model.edge_index, rows).chunk(2), node_id=rows.unique(), lambda_reg=0.1
    )
    loss = model.loss({}, Batch(users, positives, negatives))
    torch.testing.assert_close(loss.total, expected)
    torch.testing.assert_close(sum(loss.terms.values()), expected)


def test_items_may_come_first_in_the_numbering(tiny):
    problem = tiny.problem
    shifted = training_graph(problem, items_first=True)
    assert torch.equal(shifted[:, : problem.edges.shape[1]], problem.edges + torch.tensor([[problem.n_items], [0]]))
    assert torch.equal(training_graph(problem, bipartite=True), problem.edges)
    first = PyGLightGCN(problem, PyGLightGCN.Config(**SMALL), torch_generator(0, "x"))
    other = PyGLightGCN(problem, PyGLightGCN.Config(**SMALL, items_first=True), torch_generator(0, "x"))
    weight = first.network.embedding.weight.detach()
    with torch.no_grad():
        other.network.embedding.weight.copy_(torch.cat([weight[problem.n_users :], weight[: problem.n_users]]))
    for ours, theirs in zip(first.represent({}), other.represent({}), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_lightgcn_keeps_the_contract():
    rows = check_model(NAME)
    assert {row.status for row in rows} == {"ok", "not applicable"}, rows


def test_a_checkpoint_of_lightgcn_is_evaluated_and_what_cannot_be_audited_is_said(tiny, tiny_folder, tmp_path, capsys):
    torch.save(pyg_trained(tiny.problem)[0].state_dict(), tmp_path / "lightgcn.pth")
    options = ["-m", NAME, "--checkpoint", "lightgcn.pth", "-d", str(tiny_folder), "--suite", "suite.toml", "-q"]
    options += ["--set", "PyGLightGCN.embedding_dim=8", "--set", "PyGLightGCN.num_layers=2"]
    assert run(["evaluate", *options, "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["ndcg@20"][0] > 0.2, "random scores give 0.15"
    assert run(["audit", *options]) == 2
    assert "the model reads no item features, so there is nothing to perturb" in capsys.readouterr().err


def test_lightgcn_is_trained_and_reported_beside_a_model_with_features(tiny_folder, capsys):
    short = ["--set", "training.max_epochs=2", "--set", "training.batch_size=128", "-s", "vanilla"]
    short += ["--set", "PyGLightGCN.embedding_dim=8"]
    command = ["audit", "-m", NAME, "-m", "vbpr", "-d", str(tiny_folder), "--suite", "suite.toml", "--json", "-q"]
    assert run([*command, *short]) == 0
    report = json.loads(capsys.readouterr().out)
    statuses = {(each["subject"]["model"], each["audit"]): each["status"] for each in report["statuses"]}
    assert statuses[NAME, "noise"] == "not_applicable"
    assert statuses["vbpr", "noise"] == "ok"
    assert {each["subject"]["model"] for each in report["findings"] if each["audit"] == "clean"} == {NAME, "vbpr"}


def saved(tiny, tmp_path):
    """Save the parameters of the module above, as PyG code would, and return the path and the recommender."""
    kind = load_own("my_graphs:Shop").kind
    model = kind(tiny.problem, kind.Config(), torch_generator(0, "parameters"))
    torch.save(model.network.state_dict(), tmp_path / "net.pth")
    return tmp_path / "net.pth", model


@pytest.fixture
def audit(tiny, tiny_folder, tmp_path, capsys):
    def call(name, *more):
        path, _ = saved(tiny, tmp_path)
        command = ["audit", "-m", f"my_graphs:{name}", "--checkpoint", str(path), "-d", str(tiny_folder)]
        code = run([*command, "--suite", "suite.toml", "--json", "-q", *more])
        told = capsys.readouterr()
        return code, json.loads(told.out) if told.out else told.err

    return call


def test_a_module_that_reads_features_is_audited_to_a_report(audit):
    code, report = audit("Shop")
    assert (code, report["verdict"]) == (0, "pass")
    assert {each["audit"]: each["status"] for each in report["statuses"]} == {"reach": "ok", "noise": "ok"}
    assert report["subjects"][0]["source"] == "parameters of net.pth"
    drift = next(each for each in report["findings"] if each["metric"] == "rbo@20")
    assert drift["perturbed"] < 1, "the noise arrives"


EVERY_AUDIT = (
    SUITE
    + """
[[audits]]
kind = "merchant"
edits = ["empty_description"]
severities = [5]
draws = 1
[[audits]]
kind = "sharpness"
triples = 100
sigma = [0.1]
input_probes = 2
worst_items = 0
input_steps = 0
flip_draws = 0
noise_pairs = 0
parameters = { eigenvalues = 1, steps = 4, probes = 2, ascent_steps = 2, average_pairs = 2, curvature_probes = 2 }
"""
)


def test_edits_and_sharpness_reach_a_module_too(tiny_folder, tmp_path, capsys):
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "shop.inter").write_bytes((tiny_folder / "tiny.inter").read_bytes())
    words = ("red", "green", "blue", "grey")
    lines = [{"itemID": row, "title": f"cup {row}", "description": f"a {words[row % 4]} cup"} for row in range(60)]
    (folder / "items.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (tmp_path / "every.toml").write_text(EVERY_AUDIT)
    short = ["--set", "training.max_epochs=2", "--set", "training.batch_size=256", "-s", "vanilla", "-s", "sgbd"]
    command = ["audit", "-m", "my_graphs:Shop", "-d", "shop", "--suite", "every.toml", "--features", "basic", "--json"]
    assert run([*command, "-q", *short]) == 0
    report = json.loads(capsys.readouterr().out)
    assert {each["audit"]: each["status"] for each in report["statuses"]} == dict.fromkeys(
        ("reach", "noise", "merchant", "sharpness", "sharpness of parameters"), "ok"
    )
    drifts = [each for each in report["findings"] if each["audit"] == "merchant" and each["metric"] == "rbo@20"]
    assert any(each["perturbed"] < 1 for each in drifts), "the edits arrive"


def test_vectors_in_another_precision_are_ranked_in_that_of_the_parameters(audit):
    code, report = audit("Double")
    assert code == 0
    assert [each["clean"] for each in report["findings"]] == [each["clean"] for each in audit("Shop")[1]["findings"]]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_ends_in_an_error_and_never_in_a_pass(fault, audit):
    code, outcome = audit(fault.title())
    assert code == 2
    told = outcome if isinstance(outcome, str) else outcome["verdict_reason"]
    assert FAULTS[fault] in told, told


def test_dropout_is_off_in_an_audit_and_follows_the_seed_of_a_training_step(tiny, tmp_path):
    _, model = saved(tiny, tmp_path)
    model.module().train()
    first, again = model.represent(tiny.tables), model.represent(tiny.tables)
    assert torch.equal(first.items, again.items)
    batch = Batch(*(torch.arange(20) for _ in range(3)))
    state = torch.get_rng_state()
    with torch.no_grad():
        losses = [float(model.loss(tiny.tables, batch._replace(seed=seed)).total) for seed in (None, None, 1, 1, 2)]
    assert losses[0] == losses[1]
    assert losses[2] == losses[3]
    assert len(set(losses)) == 3
    assert torch.equal(torch.get_rng_state(), state)
    assert not model.network.training


def test_gradients_reach_the_features(tiny, tmp_path):
    _, model = saved(tiny, tmp_path)
    tables = {name: table.clone().requires_grad_() for name, table in tiny.tables.items()}
    users, items = model.represent(tables)
    (users @ items.T).square().sum().backward()
    assert all(bool(table.grad.any()) for table in tables.values())


@pytest.mark.parametrize(
    ("model", "told"),
    [("LightGCN", "but got (141, 8)"), ("Other", "no alpha, embedding.weight; besides weight")],
)
def test_parameters_of_another_size_or_model_are_refused(model, told, tiny, tmp_path):
    from torch_geometric.nn.models import LightGCN as Model

    state = Model(141, 8, 2).state_dict() if model == "LightGCN" else {"weight": torch.zeros(2)}
    torch.save(state, tmp_path / "other.pth")
    with pytest.raises(RobustrecError) as caught:
        subject_from(tiny, tmp_path, tmp_path / "other.pth", **SMALL)
    assert told in caught.value.what


def test_a_module_that_is_named_itself_is_refused_with_the_page_to_read(capsys):
    assert run(["audit", "-m", "torch_geometric.nn.models:LightGCN", "-q"]) == 2
    assert "docs/pyg.md" in capsys.readouterr().err


class Plain(nn.Module):
    """Free embeddings that it returns as they are, with batch normalisation on the way."""

    def __init__(self, n_users, n_items):
        super().__init__()
        self.users, self.items = nn.Embedding(n_users, 4), nn.Embedding(n_items, 4)
        self.norm = nn.BatchNorm1d(4)

    def forward(self, features, edge_index):
        return {"user": self.users.weight, "item": self.items.weight}


class Hetero(PyGRecommender):
    bipartite = True

    def build(self, problem, config):
        return Plain(problem.n_users, problem.n_items)


def test_a_mapping_of_user_and_item_is_taken_and_returned_as_copies(tiny):
    model = Hetero(tiny.problem, Hetero.Config(), torch_generator(0, "x"))
    assert torch.equal(model.edge_index, tiny.problem.edges)
    users, items = model.represent({})
    with torch.no_grad():
        users.zero_()
    assert bool(model.network.users.weight.any())
    assert len(items) == tiny.problem.n_items


def test_batch_normalisation_is_audited_but_not_trained(tiny):
    model = Hetero(tiny.problem, Hetero.Config(), torch_generator(0, "x"))
    batch = Batch(*(torch.arange(20) for _ in range(3)))
    assert torch.isfinite(model.loss({}, batch).total)
    with pytest.raises(RobustrecError, match="batch normalisation"):
        model.loss({}, batch._replace(seed=1))


class NoModule(PyGRecommender):
    def build(self, problem, config: BaseModel):
        return None


def test_a_build_that_returns_no_module_is_an_error(tiny):
    with pytest.raises(RobustrecError, match=r"must return a torch\.nn\.Module"):
        NoModule(tiny.problem, NoModule.Config(), torch_generator(0, "x"))


def test_torch_geometric_is_imported_only_when_used():
    code = (
        "import sys, robustrec.cli.main, robustrec.audits.run, robustrec.adapters.pyg\n"
        "sys.exit('torch_geometric' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
