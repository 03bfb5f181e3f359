"""`tiny-blip` is for the sample editions and says so elsewhere; `blip` is a checkpoint of yours or an error."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from test_weights import folder_of
from toy_shop import MakeDataset

from robustrec.cli.main import run
from robustrec.encoders.chosen import RECIPES, encoder_name, opened_weights
from robustrec.encoders.features import item_features
from robustrec.encoders.options import EncoderOptions
from robustrec.encoders.weights import shipped_blip
from robustrec.errors import RobustrecError
from robustrec.results.report import read_report

DIGEST = 16


@pytest.fixture(autouse=True)
def empty_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))


@pytest.mark.parametrize("name", ["blip", "blip-split", "blip+minilm", "blip2", "blip2+minilm"])
@pytest.mark.parametrize("synthetic", [True, False])
def test_no_encoder_takes_the_shipped_weights_instead_of_yours(
    make_dataset: MakeDataset, tmp_path: Path, name: str, *, synthetic: bool
) -> None:
    dataset = make_dataset(3)
    object.__setattr__(dataset, "synthetic", synthetic)
    with pytest.raises(RobustrecError, match="no weights of 'Salesforce/") as caught:
        item_features(dataset, name, home=tmp_path, options=EncoderOptions(device="cpu"))
    assert "hf download Salesforce/" in caught.value.fix


def test_only_tiny_blip_reads_the_shipped_weights(make_dataset: MakeDataset, tmp_path: Path) -> None:
    assert [name for name, recipe in RECIPES.items() if any(out.network == "tiny-blip" for out in recipe.values())] == [
        "tiny-blip"
    ]
    used, warnings = opened_weights(
        make_dataset(3), "tiny-blip", home=tmp_path, options=EncoderOptions(device="cpu", denoise="capfilt")
    )
    assert [(each.network, each.name, each.synthetic) for each in used] == [
        ("tiny-blip", "tiny-blip", True),
        ("captioner", "tiny-blip", True),
    ]
    assert len(warnings) == 2


def test_its_weights_cannot_be_replaced(make_dataset: MakeDataset, tmp_path: Path) -> None:
    for place in ("owner/model", "tiny-blip=owner/model"):
        with pytest.raises(RobustrecError, match="does not accept weights") as caught:
            item_features(make_dataset(3), "tiny-blip", home=tmp_path, options=EncoderOptions(weights=(place,)))
        assert "--features blip --weights owner/model" in caught.value.fix


def test_weights_of_synthetic_shops_are_warned_of_under_any_name(make_dataset: MakeDataset, tmp_path: Path) -> None:
    given = EncoderOptions(device="cpu", weights=(str(shipped_blip()),))
    _, warnings = opened_weights(make_dataset(3), "blip", home=tmp_path, options=given)
    assert "was trained on the synthetic sample shops only" in warnings[0]


def test_it_is_the_default_of_sample_editions_alone() -> None:
    catalog = SimpleNamespace(n_texts=3, n_pictures=3)
    sample = {"name": "baby", "synthetic": True, "feature_files": {}, "catalog": catalog}
    assert encoder_name(SimpleNamespace(**sample), "auto") == "tiny-blip"  # type: ignore[arg-type]
    assert encoder_name(SimpleNamespace(**{**sample, "synthetic": False}), "auto") == "basic"  # type: ignore[arg-type]


def test_everything_that_is_printed_names_the_weights_and_warns(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    suite = tmp_path / "small.toml"
    suite.write_text("""
        schema_version = 1
        name = "small"
        description = "noise"
        metrics = ["ndcg@5"]
        stability = ["rbo@5"]
        [bootstrap]
        replicates = 100
        [[audits]]
        kind = "noise"
        sigma2 = [0.1]
        draws = 1
        [[gates]]
        name = "loss"
        select = { metric = "ndcg@5" }
        quantity = "relative_drift"
        min = -0.9
    """)
    page, form = tmp_path / "page.html", tmp_path / "report.json"
    base = ["audit", "--model", "vbpr", "--strategy", "vanilla", "--dataset", str(folder_of(tmp_path, 8))]
    base += ["--features", "tiny-blip", "--device", "cpu", "--home", str(tmp_path / "home"), "--suite", str(suite)]
    base += ["--set", "training.max_epochs=1", "--set", "training.validation_metric=ndcg@5"]
    warned = "tiny-blip (tiny-blip) was trained on the synthetic sample shops only"

    assert run([*base, "--dry-run"]) == 0
    plan = " ".join(capfd.readouterr().out.split())
    assert run([*base, "--dry-run", "--json"]) == 0
    planned = json.loads(capfd.readouterr().out)
    run([*base, "--output-format", f"html:{page}", "--output-format", f"json:{form}"])  # four users pass no gate
    out, err = capfd.readouterr()
    assert form.is_file(), err

    report = read_report(form)
    (record,) = report.subjects
    (used,) = record.weights
    assert (used.network, used.name, len(used.digest)) == ("tiny-blip", "tiny-blip", 64)
    assert planned["weights"] == [used.model_dump()]
    assert record.encoder is not None
    assert record.encoder["networks"]["tiny-blip"]["weights"] == used.digest
    for shown in (plan, " ".join(out.split()), " ".join(page.read_text().split())):
        assert used.digest[:DIGEST] in shown
        assert warned in shown
    assert warned in err, "said before the work begins"
    assert warned in report.warnings[0]
    assert warned in planned["warnings"][0]


def test_encode_names_weights_and_warns(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    command = ["encode", "--dataset", str(folder_of(tmp_path)), "--features", "tiny-blip", "--device", "cpu"]
    assert run([*command, "--home", str(tmp_path / "home"), "--json"]) == 0
    out, err = capfd.readouterr()
    assert json.loads(out)[0]["weights"].startswith("tiny-blip ")
    assert "warning: encoder tiny-blip" in err


def test_the_list_says_which_is_which(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["list", "encoders", "--json"]) == 0
    listed = {row["name"]: row["what"] for row in json.loads(capfd.readouterr().out)}
    assert "synthetic sample editions only" in listed["tiny-blip"]
    assert "BLIP checkpoint (--weights FOLDER" in listed["blip"]


def test_comparisons_of_strategies_name_weights_and_warn(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    from rich.console import Console

    from robustrec.comparison.console import print_comparison
    from robustrec.comparison.result import StrategyReport

    command = ["compare", "--model", "vbpr", "--strategy", "vanilla", "--strategy", "sgbd", "--features", "tiny-blip"]
    command += ["--dataset", str(folder_of(tmp_path)), "--device", "cpu", "--home", str(tmp_path / "home")]
    assert run([*command, "--dry-run"]) == 0
    told = capfd.readouterr().err
    assert "weights of tiny-blip: tiny-blip, digest " in told
    assert "warning: encoder tiny-blip" in told
    nothing = {"name": "shop", "edition": "full", "synthetic": False, "digest": "0" * 64}
    counts = dict.fromkeys(("n_users", "n_items", "n_train", "n_validation", "n_test"), 1)
    versions = dict.fromkeys(("python", "torch", "numpy", "platform", "device"), "x")
    report = StrategyReport.model_validate(
        {
            "robustrec": "0",
            "command": (),
            "dataset": {**nothing, **counts},
            "features": "tiny-blip",
            "epochs": 1,
            "seeds": (0,),
            "draws": 1,
            "n_users": 1,
            "level": 0.95,
            "rows": (),
            "sentences": (),
            "environment": {**versions, "threads": 1},
            "weights": [{"network": "tiny-blip", "name": "tiny-blip", "digest": "9" * 64}],
            "warnings": ("was trained on the synthetic sample shops only",),
        }
    )
    print_comparison(report, Console(width=200))
    shown = capfd.readouterr().out
    assert "weights of tiny-blip: tiny-blip, digest 9999" in shown
    assert "warning: was trained on the synthetic sample shops only" in shown
