"""Landscapes along merchant edits, on a tiny shop whose items can be edited and encoded again."""

from __future__ import annotations

from pathlib import Path

import pytest
from merchant_shop import make_shop, shop_plan

from robustrec.audits import run as runner
from robustrec.audits.plan import cost_of
from robustrec.errors import RobustrecError
from robustrec.results.exhibits import Curve

SUITE = """
schema_version = 1
name = "along"
metrics = ["ndcg@20"]
bootstrap = { replicates = 100 }
[[audits]]
kind = "sharpness"
triples = 200
sigma = [0.1]
input_probes = 2
worst_items = 0
input_steps = 0
flip_draws = 0
noise_pairs = 0
edits = { edits = ["wrong_picture", "empty_description"], severity = 5, items = 12, points = 3 }
"""


def test_the_loss_along_edits_starts_at_the_clean_loss(tiny_folder: Path, tmp_path: Path) -> None:
    shop = make_shop(tmp_path / "shop", tiny_folder / "tiny.inter")
    plan = shop_plan(shop, tmp_path / "home", "vbpr", suite=SUITE, strategy=("vanilla",))
    run = runner.measure(plan)
    (status,) = [each for each in run.results.statuses if each.audit == "sharpness along edits"]
    assert status.status == "ok"
    curves = [each for each in run.results.exhibits if isinstance(each, Curve)]
    assert [each.name for each in curves] == [
        "loss along the edit wrong_picture, severity 5",
        "loss along the edit empty_description, severity 5",
    ]
    (loss,) = [row.clean for row in run.results.findings if row.condition.label == "clean standardised"]
    for curve in curves:
        assert curve.x == (-1.0, 0.0, 1.0)
        assert curve.y[1] == pytest.approx(loss, rel=1e-6)
        assert curve.y[2] != pytest.approx(loss, rel=1e-6)
    assert 0 < run.context.costs.encodings <= cost_of(plan).encodings


def test_imported_features_cannot_be_edited(tiny_folder: Path, tmp_path: Path) -> None:
    plan = shop_plan(tiny_folder, tmp_path / "home", "vbpr", suite=SUITE, strategy=("vanilla",), features="imported")
    run = runner.measure(plan)
    found = {each.audit: each for each in run.results.statuses}
    assert found["sharpness"].status == "ok"
    assert found["sharpness along edits"].status == "not_applicable"
    assert "imported" in found["sharpness along edits"].message


def test_an_unknown_edit_is_refused_before_any_work(tiny_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(RobustrecError, match="wrong_pictur"):
        shop_plan(tiny_folder, tmp_path / "home", "vbpr", suite=SUITE.replace("wrong_picture", "wrong_pictur"))
