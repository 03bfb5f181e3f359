"""Models of one's own, from the documentation's examples to every way they can be wrong, as a user meets them."""

from __future__ import annotations

import json
import re
import signal
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from robustrec.cli.main import run
from robustrec.models import MODELS
from robustrec.models.own import load_own

DOCUMENTATION = Path(__file__).resolve().parents[2] / "docs" / "own-models.md"
QUICK = ["--set", "training.max_epochs=3", "--set", "training.learning_rate=0.01", "--set", "training.batch_size=128"]
SUITE = """
schema_version = 1
name = "own"
metrics = ["ndcg@20"]
stability = ["rbo@20"]
bootstrap = { replicates = 100 }
[[audits]]
kind = "noise"
sigma2 = [1e-2]
draws = 2
training = { sigma2 = [1e-2], draws = 1 }
[[gates]]
name = "lists stand noise"
select = { audit = "noise", sigma2 = 1e-2, metric = "rbo@20" }
quantity = "drift"
min = -0.9
"""


def examples():
    """Return the Python sources of the documentation: a recommender and a scorer."""
    return re.findall(r"```python\n(.*?)```", DOCUMENTATION.read_text(), re.S)


@pytest.fixture(autouse=True)
def _own_folder(tmp_path, monkeypatch):
    """Work in an empty folder, whose modules are forgotten afterwards."""
    monkeypatch.setenv("ROBUSTREC_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "suite.toml").write_text(SUITE)
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)
    forget()


def forget():
    """Forget every module of one's own, as a new process does."""
    load_own.cache_clear()
    for name, module in list(sys.modules.items()):
        if "/pytest-" in str(getattr(module, "__file__", None)):
            del sys.modules[name]


@pytest.fixture
def recommender(tmp_path):
    (tmp_path / "my_shop.py").write_text(examples()[0])
    return "my_shop:MyRecommender"


@pytest.fixture
def scorer(tmp_path):
    (tmp_path / "my_scorer.py").write_text(examples()[1])
    return "my_scorer:Similar"


@pytest.fixture
def audit(tiny_folder, capsys):
    """Run an audit and return its exit code and report; errors return what was told instead."""

    def call(model, *more):
        code = run(["audit", "-m", model, "-d", str(tiny_folder), "--suite", "suite.toml", "--json", "-q", *more])
        told = capsys.readouterr()
        return code, json.loads(told.out) if told.out else told.err

    return call


def test_there_are_three_examples_and_the_first_is_short():
    sources = examples()
    assert len(sources) == 3
    assert len([line for line in sources[0].splitlines() if line.strip()]) <= 40


def test_the_documented_recommender_passes_the_doctor(recommender, capsys):
    assert run(["doctor", "--model", recommender, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {row["status"] for row in rows} == {"ok", "not applicable"}
    assert [row["check"] for row in rows if row["status"] == "not applicable"] == ["item graphs", "epoch state"]
    assert run(["doctor", "--model", recommender, "--model", "bpr", "--set", "MyRecommender.width=3", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {row["model"] for row in rows} == {recommender, "bpr"}
    assert rows[0]["detail"].startswith(f"{3 * (40 + 30 + 12 + 8 + 2)} parameters")


def test_the_documented_scorer_passes_the_doctor(scorer, capsys):
    assert run(["doctor", "--model", scorer]) == 0
    assert "a scorer has no parameters" in " ".join(capsys.readouterr().out.split())


def test_the_doctor_ends_with_2_where_something_is_wrong(tmp_path, recommender, capsys):
    source = (tmp_path / "my_shop.py").read_text()
    (tmp_path / "my_shop.py").write_text(source.replace("self.users.clone()", "self.users"))
    assert run(["doctor", "--model", recommender, "--json"]) == 2
    wrong = [row for row in json.loads(capsys.readouterr().out) if row["status"] == "PROBLEM"]
    assert [row["check"] for row in wrong] == ["no shared memory"]
    assert run(["doctor", "--model", "my_shop:Missing"]) == 2
    assert "has no 'Missing'" in capsys.readouterr().err


def test_the_documented_recommender_is_audited_and_gates_hold(recommender, audit):
    code, report = audit(recommender, "-m", "vbpr", *QUICK)
    assert code == 0
    assert report["verdict"] == "pass"
    labels = {(each["subject"]["model"], each["subject"]["strategy"]) for each in report["subjects"]}
    assert labels == {(model, strategy) for model in (recommender, "vbpr") for strategy in ("vanilla", "sgbd")}
    assert {status["status"] for status in report["statuses"]} == {"ok"}
    trained = [
        f for f in report["findings"] if f["condition"]["label"] == "trained sigma2=0.01" and f["metric"] == "ndcg@20"
    ]
    assert {f["subject"]["model"] for f in trained} == {recommender, "vbpr"}


def _trainings(tiny_folder, capsys, recommender):
    """Return the key of the training and how many seconds it took: the same ones if it was found in the store."""
    forget()
    assert run(["train", "-m", recommender, "-s", "vanilla", "-d", str(tiny_folder), "--json", "-q", *QUICK]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    return row["run"], row["seconds"], row["validation ndcg@20"]


def test_an_unchanged_model_is_not_trained_again_and_a_changed_one_is(recommender, tiny_folder, tmp_path, capsys):
    first = _trainings(tiny_folder, capsys, recommender)
    (tmp_path / "not_imported.py").write_text("x = 1")
    assert _trainings(tiny_folder, capsys, recommender) == first
    path = tmp_path / "my_shop.py"
    path.write_text(
        path.read_text().replace("from robustrec.models.initial", "import part\nfrom robustrec.models.initial")
    )
    (tmp_path / "part.py").write_text("x = 1")
    second = _trainings(tiny_folder, capsys, recommender)
    (tmp_path / "part.py").write_text("x = 2")
    third = _trainings(tiny_folder, capsys, recommender)
    assert len({first[0], second[0], third[0]}) == 3
    assert first[2] == second[2] == third[2], "the same training by another code"


def test_settings_of_ones_own_are_shown_and_overridden(recommender, capsys):
    assert run(["config", "show", "-m", recommender, "--set", "MyRecommender.width=8", "--json"]) == 0
    subject = json.loads(capsys.readouterr().out)["subjects"][0]
    assert subject["model_config"] == {"width": 8, "decay": 0.0001}
    assert subject["training"]["optimizer"] == "adam"
    assert run(["config", "show", "-m", recommender]) == 0
    assert '"width": 32' in capsys.readouterr().out


def test_a_scorer_has_no_settings_to_show(scorer, capsys):
    assert run(["config", "show", "-m", scorer, "--json"]) == 0
    subjects = json.loads(capsys.readouterr().out)["subjects"]
    assert [(each["model_config"], each["training"], each["origin"]) for each in subjects] == [({}, None, "scorer")]


def test_lists_hold_what_is_built_in(recommender, capsys):
    assert run(["list", "models", "--json"]) == 0
    assert {row["name"] for row in json.loads(capsys.readouterr().out)} == set(MODELS)


def test_the_documented_scorer_is_audited_and_training_noise_is_not_applicable(scorer, audit, tmp_path):
    code, report = audit(scorer, "--seeds", "2")
    assert (code, report["verdict"]) == (0, "pass")
    (subject,) = report["subjects"]
    assert subject["subject"] == {"model": scorer, "strategy": "external", "features": "imported", "seed": 0}
    assert (subject["training"], subject["mirror"], subject["config"]["training"]) == (None, None, None)
    assert subject["source"] == f"scores of {scorer}"
    assert report["costs"]["trainings"] == 0
    statuses = {each["audit"]: (each["status"], each["message"]) for each in report["statuses"]}
    assert statuses["reach"] == ("ok", "")
    assert "not applicable" in statuses["noise"][1]
    assert not [f for f in report["findings"] if f["condition"]["label"].startswith("trained")]
    drift = next(f for f in report["findings"] if f["metric"] == "rbo@20")
    assert drift["perturbed"] < 1
    assert not (tmp_path / "home" / "runs").exists()
    again = audit(scorer)[1]
    assert again["findings"] == report["findings"], "the same to the bit"


def test_what_a_scorer_reads_is_perturbed_and_nothing_else(tmp_path, audit):
    (tmp_path / "texts.py").write_text(
        "import numpy as np\ndef score(features, users):\n    assert list(features) == ['text']\n"
        "    return np.sin(users[:, None] + features['text'].sum(1))\nscore.modalities = ('text',)\n"
        "def all(features, users): return np.sin(users[:, None] + features['text'].sum(1))\n"
    )
    assert audit("texts:score")[0] == 0
    code, report = audit("texts:all")
    assert code == 2
    assert "noise as large as the image features" in report["verdict_reason"]


def test_there_is_nothing_to_train_in_a_scorer(scorer, tiny_folder, capsys):
    assert run(["train", "-m", scorer, "-d", str(tiny_folder), "-q"]) == 2
    assert "is not trained by robustrec" in capsys.readouterr().err
    assert run(["evaluate", "-m", scorer, "-d", str(tiny_folder), "-q", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["subject"] == f"{scorer}/external/imported/seed 0"


SCORERS = {
    "shape": ("return np.zeros((3, len(users)))", "but got (3, "),
    "words": ("return 'scores'", "but got str"),
    "nan": ("return np.full((len(users), 60), np.nan)", "are not finite"),
    "raises": ("return features['audio']", "KeyError: 'audio'"),
    "leaves": ("raise SystemExit(0)", "SystemExit: 0"),
    "same": ("return np.zeros((len(users), 60))", "all scores are equal"),
    "random": ("return np.random.default_rng().normal(size=(len(users), 60))", "two calls with the same features"),
    "writes": ("features['image'] *= 2; return features['image'] @ features['image'].T", "read-only"),
}


@pytest.mark.parametrize("name", list(SCORERS))
def test_a_scorer_that_is_wrong_ends_in_an_error_and_never_in_a_pass(name, tmp_path, audit):
    body, told = SCORERS[name]
    (tmp_path / "wrong.py").write_text(f"import numpy as np\ndef score(features, users):\n    {body}\n")
    code, outcome = audit("wrong:score")
    assert code == 2
    assert told in (outcome if isinstance(outcome, str) else outcome["verdict_reason"])
    assert "Traceback" not in str(outcome)


RECOMMENDERS = {
    "constructor": ("super().__init__()", "super().__init__(); raise ValueError('no')", "its constructor"),
    "represent": ("items = self.items +", "items = features['audio'] +", "KeyError: 'audio'"),
    "users": ("self.users.clone()", "torch.cat([self.users, self.users[:1]])", "does not fit"),
    "type": ("return Representation(self.users.clone(), items)", "return (self.users, items)", "AttributeError"),
    "nan": ("items = self.items +", "items = float('nan') * self.items +", "nan"),
    "loss": ("return Loss(", "return int('x') + (", "its training"),
    "leaves": ("users, items = self.represent(features)", "raise SystemExit(0)", "SystemExit: 0"),
}


@pytest.mark.parametrize("name", list(RECOMMENDERS))
def test_a_recommender_that_is_wrong_ends_in_an_error_with_its_line(name, recommender, tmp_path, audit):
    old, new, told = RECOMMENDERS[name]
    path = tmp_path / "my_shop.py"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    code, outcome = audit(recommender, *QUICK)
    assert code == 2
    assert told in str(outcome)
    assert "internal error" not in outcome
    if name in ("constructor", "represent", "loss", "leaves"):
        assert re.search(r"my_shop\.py, line \d+", outcome)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["-m", "my_shop"], "unknown model 'my_shop'"),
        (["-m", "my_shops:MyRecommender"], "module 'my_shops' not found"),
        (["-m", "my_shop:Recommender"], "has no 'Recommender'"),
        (["-m", "my_shop:MyConfig"], "neither represent and loss"),
        (["-m", "quits:Model"], "SystemExit: 0"),
        (["-m", "my_shop:MyRecommender", "--set", "MyRecommender.widht=3"], "did you mean 'width'"),
        (["-m", "my_shop:MyRecommender", "--set", "MyRecommender.width=0"], "greater than or equal to 1"),
        (["-m", "my_shop:MyRecommender", "--set", "MyRecommender.width=wide"], "config show --model my_shop:MyReco"),
        (["-m", "my_shop:MyRecommender", "--set", "MyRecomender.width=3"], "did you mean 'MyRecommender'"),
        (["-m", "my_scorer:Similar", "--set", "Similar.width=3"], "is a scorer without settings"),
        (["-m", "my_shop:MyRecommender", "--checkpoint", "nowhere.pth"], "not found"),
    ],
)
def test_wrong_use_is_code_2_with_three_parts_before_any_work(
    arguments, told, recommender, scorer, tiny_folder, tmp_path, capsys
):
    (tmp_path / "quits.py").write_text("import sys\nsys.exit(0)\n")
    assert run(["audit", "-d", str(tiny_folder), "-q", *arguments]) == 2
    message = capsys.readouterr().err
    assert message.startswith("error: ")
    assert "\n  where: " in message
    assert "\n  fix:   " in message
    assert told in message
    assert not (tmp_path / "home" / "runs").exists()


def test_a_checkpoint_of_ones_own_is_audited_from_the_store_and_from_a_file(recommender, audit, tmp_path):
    code, trained = audit(recommender, "-s", "sam", *QUICK)
    assert code == 0
    key = trained["subjects"][0]["run"]
    code, stored = audit(recommender, "--checkpoint", key, *QUICK)
    assert code == 0
    assert stored["subjects"][0]["subject"]["strategy"] == "sam"
    torch.save(load_file(tmp_path / "home" / "runs" / key / "parameters.safetensors"), tmp_path / "mine.pth")
    code, filed = audit(recommender, "--checkpoint", "mine.pth")
    assert code == 0
    assert filed["subjects"][0]["subject"]["strategy"] == "external"
    assert filed["subjects"][0]["source"] == "parameters of mine.pth"
    for report, told in ((stored, ""), (filed, "not applicable, because robustrec did not train the subject")):
        assert report["costs"]["trainings"] == 0, "what a stored run was trained into is in the store"
        noise = next(each for each in report["statuses"] if each["audit"] == "noise")
        assert told in noise["message"]
        assert _numbers(report) == _numbers(trained)


def _numbers(report):
    """Return what was measured at inference, by what was measured."""
    return {
        (f["audit"], f["condition"]["label"], f["metric"]): (f["clean"], f["perturbed"], f["ci_low"], f["ci_high"])
        for f in report["findings"]
        if not f["condition"]["label"].startswith("trained")
    }
