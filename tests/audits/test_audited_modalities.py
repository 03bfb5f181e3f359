"""Audits of features with other modalities than image and text: noise, reach and sharpness by name, and wrong names."""

from __future__ import annotations

import datetime
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from merchant_shop import N_ITEMS, make_shop

from robustrec.audits import run as runner
from robustrec.audits.judged import judged_again
from robustrec.audits.outcome import make_report
from robustrec.audits.plan import Plan, make_plan
from robustrec.config import Settings
from robustrec.datasets.registry import load_dataset
from robustrec.encoders.chosen import modalities_of_features
from robustrec.encoders.features import RowContent, edited_tables, item_features, row_encoder
from robustrec.encoders.rows import catalog_rows
from robustrec.errors import RobustrecError
from robustrec.runs.plan import subject_specs
from robustrec.runs.specs import check_modalities

SUITE = """
schema_version = 1
name = "test"
metrics = ["ndcg@20"]
stability = ["changed@20"]
bootstrap = { replicates = 100 }
[[audits]]
kind = "noise"
relative = [0.5]
scopes = ["all", "image", "tags"]
draws = 2
[[audits]]
kind = "sharpness"
triples = 200
sigma = [0.1]
input_probes = 2
worst_items = 0
input_steps = 2
flip_draws = 0
noise_pairs = 0
[[gates]]
name = "signal"
select = { audit = "noise", modality = "tags", metric = "snr_db_tags" }
quantity = "value"
min = -100.0
"""


@pytest.fixture
def folder(tiny_folder: Path, tmp_path: Path) -> Path:
    """The tiny data with a third table, of tags that tell the groups of items."""
    made = tmp_path / "three"
    shutil.copytree(tiny_folder, made)
    random = np.random.default_rng(1)
    tags = np.eye(4)[np.arange(60) % 4] + 0.2 * random.normal(size=(60, 4))
    np.save(made / "tags_feat.npy", tags.astype(np.float32))
    return made


def plan_of(folder: Path, home: Path, suite: str = SUITE, model: str | tuple[str, ...] = "vbpr", **more: Any) -> Plan:
    home.mkdir(exist_ok=True)
    (home / "suite.toml").write_text(suite)
    options = {"training": {"max_epochs": 3, "learning_rate": 0.01, "batch_size": 128}, **more}
    return make_plan(
        Settings(
            home=home,
            model=(model,) if isinstance(model, str) else model,
            dataset=str(folder),
            strategy=("vanilla",),
            suite=str(home / "suite.toml"),
            device="cpu",
            set=options,
        )
    )


@pytest.mark.parametrize("model", ["vbpr", "dragon"])
def test_every_modality_has_its_noise_reach_and_sharpness(folder: Path, tmp_path: Path, model: str) -> None:
    plan = plan_of(folder, tmp_path / "home", model=model)
    assert plan.notes == ()
    run = runner.measure(plan)
    report, _ = make_report(plan, run, command=["robustrec", "audit"])
    assert {status.status for status in report.statuses} == {"ok"}
    noise = [row for row in report.findings if row.audit == "noise"]
    signals = {(row.condition.modality, row.modality) for row in noise if row.metric.startswith("snr_db_")}
    names = {"image", "text", "tags"}
    assert signals == {*(("all", name) for name in names), ("image", "image"), ("tags", "tags")}
    changed = {row.condition.modality: row.perturbed for row in noise if row.metric == "changed@20"}
    assert set(changed) == {"all", "image", "tags"}
    assert all(value is not None and value > 0 for value in changed.values())
    quality = {row.condition.modality: row.perturbed for row in noise if row.metric == "ndcg@20"}
    assert len(set(quality.values())) == 3, "each condition has noise of its own"
    sharpness = {row.condition.modality for row in report.findings if row.metric.startswith("input_sharpness")}
    assert sharpness == {"all", *names}
    eigenvalues = {row.condition.modality for row in report.findings if row.condition.kind == "features"}
    assert eigenvalues >= names


@pytest.mark.parametrize(
    ("scopes", "what", "fix"),
    [
        ('["all", "tag"]', "unknown modality 'tag'", "did you mean 'tags'"),
        ('["video"]', "unknown modality 'video'", "all, image, tags, text"),
        ('["a b"]', "'a b' is neither 'all' nor the name of a modality", ""),
        ('["both"]', "'both' is neither 'all' nor the name of a modality", ""),
    ],
)
def test_noise_on_no_modality_is_an_error_before_work(
    folder: Path, tmp_path: Path, scopes: str, what: str, fix: str
) -> None:
    suite = SUITE.replace('["all", "image", "tags"]', scopes).partition("[[gates]]")[0]
    gate = '[[gates]]\nname = "g"\nselect = { audit = "noise", metric = "ndcg@20" }\nquantity = "drift"\nmin = -0.5\n'
    with pytest.raises(RobustrecError, match=what) as caught:
        plan_of(folder, tmp_path / "home", suite + gate)
    assert "scopes" in caught.value.where
    assert fix in caught.value.fix


def test_image_and_text_may_lack_beside_other_scopes_and_it_is_said(folder: Path, tmp_path: Path) -> None:
    (folder / "image_feat.npy").unlink()
    plan = plan_of(folder, tmp_path / "home")
    assert plan.notes == ("noise on image: not measured, because the features have only text and tags",)
    only = (
        SUITE.replace('["all", "image", "tags"]', '["image"]').replace('"tags"', '"image"').replace("_tags", "_image")
    )
    with pytest.raises(RobustrecError, match="unknown modality 'image'"):
        plan_of(folder, tmp_path / "other", only)


OWN = """
import numpy as np
class Scores:
    modalities = {modalities}
    def __init__(self, problem):
        self.users = np.random.default_rng(0).normal(size=(problem.n_users, 40))
    def score(self, features, users):
        table = np.concatenate([features[name] for name in sorted(features)], axis=1)
        return self.users[users][:, : table.shape[1]] @ table.T
"""


def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, modalities: str) -> str:
    (tmp_path / f"{name}.py").write_text(OWN.format(modalities=modalities))
    monkeypatch.syspath_prepend(str(tmp_path))
    return f"{name}:Scores"


def test_own_models_of_any_names(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = plan_of(folder, tmp_path / "a", model=own(tmp_path, monkeypatch, "scores_tags", '("tags",)'))
    assert one.notes[0] == "scores_tags:Scores reads tags, but not image and text"
    assert plan_of(folder, tmp_path / "b", model=own(tmp_path, monkeypatch, "scores_any", '("*",)')).notes[1:] == ()
    with pytest.raises(RobustrecError, match="needs features of audio or video, but the features have only") as caught:
        plan_of(folder, tmp_path / "c", model=own(tmp_path, monkeypatch, "scores_audio", '("audio", "video")'))
    assert "audio_feat.npy or video_feat.npy" in caught.value.fix
    with pytest.raises(RobustrecError, match="needs features, but the features have no modality") as caught:
        check_modalities(subject_specs(Settings(model=["vbpr"], strategy=["vanilla"]), "sample"), [])
    assert caught.value.fix.endswith("import feature files: NAME_feat.npy")


def test_noise_that_reaches_no_input_of_a_model_is_not_measured(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would be a drift of exactly zero, or a status "ok" without a number."""
    suite = SUITE.replace('["all", "image", "tags"]', '["tags"]')
    name = own(tmp_path, monkeypatch, "scores_text", '("text",)')
    gate = "min = -100.0\noptional = true\n"
    with pytest.raises(RobustrecError, match="its scores depend on text, and the noise is on tags"):
        plan_of(folder, tmp_path / "home", suite.replace("min = -100.0\n", gate), model=name)


def test_a_gate_on_one_modality_says_which_models_it_does_not_judge(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A PASS on noise of tags would otherwise look like one of a model that reads texts only."""
    name = own(tmp_path, monkeypatch, "scores_text", '("text",)')
    suite = SUITE[: SUITE.index('[[audits]]\nkind = "sharpness"')] + SUITE[SUITE.index("[[gates]]") :]
    suite += 'bound = "estimate"\n'
    plan = plan_of(folder, tmp_path / "home", suite, model=("vbpr", name))
    report, _ = make_report(plan, runner.measure(plan), command=["robustrec", "audit"])
    (gate,) = report.gates
    assert (gate.status, gate.subject and gate.subject.model) == ("pass", "vbpr")
    silent = (
        f"gate 'signal' does not judge {name}/external/imported: "
        "no finding of audit noise has modality 'tags', metric 'snr_db_tags'"
    )
    assert silent in report.warnings
    again = judged_again(report, plan.suite, now=datetime.datetime.now(datetime.UTC))
    assert again.warnings.count(silent) == 1


def test_settings_for_other_modalities_are_refused_before_any_training(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(RobustrecError, match="freedom has modality_weights of image, text, but reads"):
        plan_of(folder, tmp_path / "a", model="freedom", freedom={"modality_weights": {"image": 0.5, "text": 0.5}})
    with pytest.raises(RobustrecError, match="mmrec_compat of dualgnn"):
        plan_of(folder, tmp_path / "b", model="dualgnn", dualgnn={"mmrec_compat": True})
    weights = {"image": 0.2, "text": 0.3, "tags": 0.5}
    plan_of(folder, tmp_path / "c", model="freedom", freedom={"modality_weights": weights})


def test_one_modality_of_another_name_is_enough(folder: Path, tmp_path: Path) -> None:
    for name in ("image", "text"):
        (folder / f"{name}_feat.npy").unlink()
    suite = SUITE.replace('["all", "image", "tags"]', '["all", "tags"]')
    report, _ = make_report(
        plan := plan_of(folder, tmp_path / "home", suite), runner.measure(plan), command=["robustrec", "audit"]
    )
    assert {status.status for status in report.statuses} == {"ok"}
    assert {row.modality for row in report.findings if row.metric.startswith("snr_db")} == {"tags"}


@pytest.fixture
def shop(tiny_folder: Path, tmp_path: Path) -> Path:
    """A shop with texts and pictures, and a feature file of tags."""
    made = make_shop(tmp_path / "shop", tiny_folder / "tiny.inter")
    tags = np.eye(4)[np.arange(N_ITEMS) % 4] + 0.2 * np.random.default_rng(2).normal(size=(N_ITEMS, 4))
    np.save(made / "tags_feat.npy", tags.astype(np.float32))
    return made


def test_edits_change_the_vectors_of_the_encoder_and_no_feature_file(shop: Path, tmp_path: Path) -> None:
    dataset = load_dataset(str(shop), home=tmp_path)
    features = item_features(dataset, "auto", home=tmp_path)
    assert (features.name, list(features.tables), features.from_files) == (
        "basic",
        ["image", "text", "tags"],
        ("tags",),
    )
    assert features.label == "basic"
    assert "tags: feature file tags_feat.npy, which no edit changes" in features.notes
    assert np.array_equal(features.tables["tags"].numpy(), np.load(shop / "tags_feat.npy"))
    assert list(features.encoded) == ["image", "text"]
    encoder = row_encoder(dataset, "basic", home=tmp_path)
    row = RowContent("another text", catalog_rows(dataset.catalog, tmp_path)[5].picture)  # type: ignore[arg-type]
    tables = edited_tables(dataset, features, {3: row}, encoder).tables
    assert {name: int((tables[name] != table).any(dim=1).sum()) for name, table in features.tables.items()} == {
        "image": 1,
        "text": 1,
        "tags": 0,
    }
    np.save(shop / "tags_feat.npy", features.tables["tags"].numpy() * 2)
    again = item_features(load_dataset(str(shop), home=tmp_path), "auto", home=tmp_path)
    assert again.digest != features.digest
    assert np.array_equal(again.tables["text"], features.tables["text"])


def test_an_audit_of_edits_with_a_modality_that_no_edit_changes(shop: Path, tmp_path: Path) -> None:
    edits = """
[[audits]]
kind = "merchant"
edits = ["wrong_picture", "empty_description"]
severities = [5]
shares = [0.3]
draws = 2
[[audits]]
kind = "encoder"
edits = ["wrong_picture"]
severities = [5]
items = 20
[[gates]]
"""
    along = 'edits = { edits = ["empty_description"], severity = 5, items = 10, points = 3 }\n'
    suite = SUITE.replace("noise_pairs = 0\n", f"noise_pairs = 0\n{along}").replace("[[gates]]\n", edits)
    plan = plan_of(shop, tmp_path / "home", suite)
    run = runner.measure(plan)
    report, _ = make_report(plan, run, command=["robustrec", "audit"])
    assert {(status.audit, status.status) for status in report.statuses} == {
        (kind, "ok") for kind in ("reach", "noise", "sharpness", "sharpness along edits", "merchant", "encoder")
    }
    assert any(each.name.startswith("loss along the edit") for each in run.results.exhibits if hasattr(each, "name"))
    moved = {row.metric for row in report.findings if row.audit == "encoder" and row.metric.startswith("movement_")}
    assert moved == {"movement_image", "movement_text"}
    drifts = [row for row in report.findings if row.audit == "merchant" and row.metric == "ndcg@20"]
    assert drifts
    assert any(row.drift for row in drifts)


OWN_ENCODER = """
import numpy as np
class Three:
    name = "three"
    digest = "1"
    widths = {"image": 3, "text": 2, "tags": 2}
    needs = {"tags": "text"}
    def encode(self, texts, pictures):
        text = np.array([[len(each), each.count("e")] for each in texts], np.float32)
        image = np.array([np.asarray(each).mean((0, 1)) for each in pictures], np.float32)
        return {"image": image, "text": text, "tags": text[:, ::-1] ** 2}
"""


def test_a_modality_of_the_encoder_replaces_its_file(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    np.save(shop / "audio_feat.npy", np.load(shop / "tags_feat.npy"))
    (tmp_path / "own_three.py").write_text(OWN_ENCODER)
    monkeypatch.syspath_prepend(str(tmp_path))
    dataset = load_dataset(str(shop), home=tmp_path)
    features = item_features(dataset, "own_three:Three", home=tmp_path)
    assert modalities_of_features(dataset, "own_three:Three") == ("image", "text", "audio", "tags")
    assert (list(features.tables), features.from_files) == (["image", "text", "audio", "tags"], ("audio",))
    assert features.tables["tags"].shape[1] == 2
    encoder = row_encoder(dataset, "own_three:Three", home=tmp_path)
    assert dataset.catalog is not None
    row = RowContent("another text", catalog_rows(dataset.catalog, tmp_path)[3].picture)
    tables = edited_tables(dataset, features, {3: row}, encoder).tables
    moved = [name for name, table in features.tables.items() if not np.array_equal(table, tables[name])]
    assert moved == ["text", "tags"]


def test_a_model_of_tags_alone_is_moved_by_no_edit(shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    suite = SUITE.partition("[[audits]]")[0] + (
        '[[audits]]\nkind = "merchant"\nedits = ["wrong_picture"]\nseverities = [5]\nshares = [0.3]\ndraws = 2\n'
        '[[gates]]\nname = "g"\nselect = { audit = "merchant", metric = "ndcg@20" }\nquantity = "drift"\nmin = -0.5\n'
    )
    plan = plan_of(shop, tmp_path / "home", suite, model=own(tmp_path, monkeypatch, "scores_tag", '("tags",)'))
    report, _ = make_report(plan, runner.measure(plan), command=["robustrec", "audit"])
    assert report.verdict != "pass"
    (status,) = [each for each in report.statuses if each.audit == "merchant"]
    assert status.status != "ok" or "changes no vector of the model" in status.message


@pytest.mark.parametrize(
    ("files", "catalog", "expected"),
    [
        (("tags",), True, "basic"),
        (("image", "tags"), True, "imported"),
        (("tags",), False, "imported"),
        ((), True, "basic"),
    ],
)
def test_the_default_encoder_takes_files_where_they_are_of_images_or_texts(
    shop: Path, tmp_path: Path, files: tuple[str, ...], catalog: bool, expected: str
) -> None:
    table = np.load(shop / "tags_feat.npy")
    (shop / "tags_feat.npy").unlink()
    for name in files:
        np.save(shop / f"{name}_feat.npy", table)
    if not catalog:
        (shop / "items.jsonl").unlink()
        shutil.rmtree(shop / "pictures")
    dataset = load_dataset(str(shop), home=tmp_path)
    features = item_features(dataset, "auto", home=tmp_path)
    assert features.name == expected
    assert modalities_of_features(dataset, expected) == tuple(features.tables)
    assert features.from_files == (("tags",) if expected == "basic" and files else ())
