"""Audits of noise, merchant edits and the encoder with hf-dual, from the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw
from tiny_families import WORDS, save_siglip

from robustrec.cli.main import run

SUITE = """
schema_version = 1
name = "dual"
metrics = ["ndcg@20"]
stability = ["rbo@20"]
bootstrap = { replicates = 100 }
[[audits]]
kind = "noise"
relative = [0.2]
scopes = ["text"]
draws = 2
[[audits]]
kind = "merchant"
edits = ["truncation", "text_banner"]
severities = [5]
shares = [0.5]
draws = 2
[[audits]]
kind = "encoder"
edits = ["truncation", "text_banner"]
severities = [5]
items = 20
[[gates]]
name = "lists keep under edits"
select = { audit = "merchant", metric = "rbo@20" }
quantity = "drift"
min = -0.99
"""


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A folder in the MMRec layout: 40 users, 30 items with titles of known words and pictures."""
    folder = tmp_path / "shop"
    (folder / "pictures").mkdir(parents=True)
    random = np.random.default_rng(3)
    rows = ["userID\titemID\trating\ttimestamp\tx_label"]
    for user in range(40):
        rows += [f"{user}\t{item}\t5\t{n}\t{(2, 1, 0)[min(n, 2)]}" for n, item in enumerate(random.permutation(30)[:8])]
    (folder / "shop.inter").write_text("\n".join(rows) + "\n")
    lines = []
    for item in range(30):
        title = " ".join(random.permutation(WORDS)[:8]).title()
        lines.append(json.dumps({"id": str(item), "title": title}))
        picture = Image.new("RGB", (60, 80), tuple(random.integers(0, 255, 3).tolist()))
        ImageDraw.Draw(picture).ellipse((5, 5 + item, 40, 40 + item), fill=tuple(random.integers(0, 255, 3).tolist()))
        picture.save(folder / "pictures" / f"{item}.png")
    (folder / "items.jsonl").write_text("\n".join(lines) + "\n")
    return folder


def test_noise_edits_and_the_encoder_are_audited(
    shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = save_siglip(tmp_path / "siglip")
    (tmp_path / "suite.toml").write_text(SUITE)
    command = ["audit", "-d", str(shop), "--suite", str(tmp_path / "suite.toml"), "--home", str(tmp_path / "home")]
    command += ["-f", "siglip2", "--weights", str(weights), "-m", "vbpr", "-s", "vanilla", "--device", "cpu", "--json"]
    command += ["--set", "training.max_epochs=2", "--set", "training.batch_size=128", "-q", "--offline"]
    capsys.readouterr()
    code = run(command)
    told = capsys.readouterr()
    assert code == 0, told.err
    report: dict[str, Any] = json.loads(told.out)
    assert {status["status"] for status in report["statuses"]} == {"ok"}
    (subject,) = report["subjects"]
    assert subject["subject"]["features"] == "siglip2"
    (used,) = subject["weights"]
    assert (used["network"], used["name"], len(used["digest"])) == ("siglip2", str(weights), 64)
    assert {row["audit"] for row in report["findings"]} >= {"noise", "merchant", "encoder"}
    movements = {
        (row["condition"]["edit"], row["metric"]): row["clean"]
        for row in report["findings"]
        if row["audit"] == "encoder" and row["metric"].startswith("movement")
    }
    assert movements["truncation", "movement_text"] > 0.1
    assert movements["truncation", "movement_image"] == 0
    assert movements["text_banner", "movement_image"] > 0.01
    assert movements["text_banner", "movement_text"] == 0
