from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tiny_folders import N_ITEMS, Maker
from typer.testing import CliRunner

from robustrec.cli.data import app
from robustrec.cli.descriptions import bars
from robustrec.datasets.describe import describe, gini, head_share
from robustrec.datasets.registry import load_dataset
from robustrec.errors import RobustrecError


def run(*arguments: str | Path, home: Path) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments] + ["--home", str(home)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout


def test_import_describe_list(tiny: Maker, home: Path) -> None:
    source = tiny(items=True, pictures="zip", features=("image",), width=17)
    shown = run("import", source, "--name", "mine", home=home)
    assert "mine · full edition" in shown
    assert "SYNTHETIC" not in shown
    assert "train 18 · validation 6 · test 6" in shown
    assert "image: image_feat.npy 8 x 17 float32" in shown
    assert run("describe", "mine", home=home) == shown
    assert "mine" in run("list", home=home)
    rows = json.loads(run("list", "--json", home=home))
    mine = next(row for row in rows if row["name"] == "mine")
    assert (mine["edition"], mine["synthetic"], mine["what"]) == ("full", False, "imported from tiny.inter")
    clothing = next(row for row in rows if row["name"] == "clothing")
    assert (clothing["edition"], clothing["synthetic"], clothing["folder"]) == ("sample", True, None)


def test_json_says_everything(tiny: Maker, home: Path) -> None:
    told = json.loads(run("import", tiny(items=True), "--name", "mine", "--json", home=home))
    assert told == json.loads(run("describe", "mine", "--json", home=home))
    assert (told["users"], told["items"], told["interactions"]) == (6, N_ITEMS, 30)
    assert told["rows"] == {"train": 18, "validation": 6, "test": 6}
    assert told["sparsity"] == 1 - 30 / 48
    assert told["per_user"] == {"min": 5, "median": 5.0, "mean": 5.0, "max": 5}
    assert (told["texts"], told["pictures"], told["text_words"]) == (N_ITEMS - 1, None, 5.0)
    assert told["filters"] == {"items that are missing in the catalog (kept)": 1}
    assert len(told["digest"]) == 64


def test_errors_come_through_whole(tiny: Maker, home: Path) -> None:
    run("import", tiny(), "--name", "mine", home=home)
    with pytest.raises(RobustrecError, match="already exists"):
        run("import", tiny("two"), "--name", "mine", home=home)
    run("import", tiny("three", items=True), "--name", "mine", "--replace", home=home)
    with pytest.raises(RobustrecError, match="unknown dataset"):
        run("describe", "nothing", home=home)
    with pytest.raises(RobustrecError, match="full edition of 'baby' is not imported"):
        run("describe", "baby", "--edition", "full", home=home)
    (home / "data" / "mine" / "dataset.toml").write_text("schema_version = 7\n")
    assert "damaged" in run("list", home=home)


def test_home_comes_from_the_environment(tiny: Maker, home: Path) -> None:
    result = CliRunner().invoke(app, ["import", str(tiny()), "--name", "mine"], env={"ROBUSTREC_HOME": str(home)})
    assert result.exit_code == 0
    assert (home / "data" / "mine" / "dataset.toml").is_file()


def test_stdout_is_data_and_stderr_messages(tiny: Maker, home: Path) -> None:
    result = CliRunner().invoke(app, ["import", str(tiny()), "--name", "mine", "--home", str(home), "--json"])
    json.loads(result.stdout)
    assert "imported as 'mine'" in result.stderr


def test_a_sample_is_always_called_synthetic(sample_home: Path) -> None:
    assert "SYNTHETIC" in run("describe", "clothing", home=sample_home)
    told = json.loads(run("describe", "clothing", "--json", home=sample_home))
    assert (told["edition"], told["synthetic"], told["clean_catalog"]) == ("sample", True, True)
    assert told["users"] > 1000
    assert run("list", home=sample_home).count("synthetic") == 4


def test_gini_in_closed_form() -> None:
    assert gini(np.full(7, 3)) == pytest.approx(0.0)
    assert gini(np.array([0, 0, 0, 9])) == pytest.approx(3 / 4)
    values = np.array([4, 1, 0, 7, 7])
    pairs = np.abs(values[:, None] - values[None, :]).sum() / (2 * len(values) * values.sum())
    assert gini(values) == pytest.approx(float(pairs))


def test_head_share_takes_whole_items() -> None:
    popularity = np.array([50, 30, 10, 5, 5])
    assert head_share(popularity, 0.01) == 0.5
    assert head_share(popularity, 0.2) == 0.5
    assert head_share(popularity, 0.5) == 0.9
    assert head_share(np.arange(30, 0, -1), 0.1) == pytest.approx((30 + 29 + 28) / 465)


def test_cold_items_are_those_without_training_rows(tiny: Maker, home: Path) -> None:
    source = tiny()
    (source / "tiny.inter").write_text("userID\titemID\tx_label\n0\t0\t0\n0\t1\t1\n0\t3\t2\n")
    told = describe(load_dataset(str(source), home=home))
    assert told.cold_items == 3
    assert told.held_out_on_cold_items == 2
    assert told.popularity == [1.0, 1.0, 1.0, 0.0]


def test_bars_show_anything_above_zero() -> None:
    assert bars([1000.0, 0.01, 0.0]) == "█▁ "
    assert bars([]) == ""
    assert bars([0.0]) == " "
