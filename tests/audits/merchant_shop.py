"""A tiny shop with texts and pictures that tell the users' taste, for the merchant audit."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from robustrec.audits import run as runner
from robustrec.audits.plan import make_plan
from robustrec.config import Settings

COLOURS = {"red": (210, 30, 30), "green": (20, 150, 50), "blue": (30, 50, 210), "yellow": (235, 215, 40)}
GOODS = ("cup", "lamp", "rug", "vase", "bowl")
N_ITEMS = 60

SUITE = """
schema_version = 1
name = "edits"
metrics = ["ndcg@20", "recall@20"]
stability = ["rbo@20"]
bootstrap = { replicates = 200 }
[[audits]]
kind = "merchant"
edits = ["wrong_picture", "empty_description", "brand_first"]
severities = [0, 1, 5]
shares = [0.2]
draws = 2
"""


def make_shop(folder: Path, interactions: Path, *, brands: bool = False, pictures: bool = True) -> Path:
    """Put the catalogue beside a copy of the tiny interactions: group 0 likes red things, group 1 green ones, ..."""
    folder.mkdir(parents=True)
    shutil.copy(interactions, folder / "shop.inter")
    rng = np.random.default_rng(5)
    lines = []
    for item in range(N_ITEMS):
        colour, good = list(COLOURS)[item % 4], GOODS[item % 5]
        record: dict[str, Any] = {
            "itemID": item,
            "title": f"{good.title()} number {item} in {colour}",
            "categories": ["Home", good.title()],
            "description": f"A {colour} {good} for everyday use. It comes in a box. Made to last, in {colour}.",
        }
        if brands:
            record["brand"] = f"Maker{item % 7}"
        if pictures:
            record["image"] = f"{item}.png"
            (folder / "pictures").mkdir(exist_ok=True)
            _picture(list(COLOURS.values())[item % 4], rng).save(folder / "pictures" / f"{item}.png")
        lines.append(json.dumps(record))
    (folder / "items.jsonl").write_text("\n".join(lines) + "\n")
    return folder


def _picture(colour: tuple[int, int, int], rng: np.random.Generator) -> Image.Image:
    image = Image.new("RGB", (48, 48), (245, 245, 240))
    left, top = (int(each) for each in rng.integers(4, 14, 2))
    ImageDraw.Draw(image).ellipse((left, top, left + 26, top + 26), fill=colour)
    return image


def shop_plan(folder: Path, home: Path, *models: str, suite: str = SUITE, **settings: Any) -> Any:
    """Return the plan of a suite on a shop, with a training of few epochs."""
    home.mkdir(parents=True, exist_ok=True)
    path = home / "edits.toml"
    path.write_text(suite)
    overrides = {"training": {"max_epochs": 6, "learning_rate": 0.01, "batch_size": 128}}
    options = {"strategy": ("vanilla",), "device": "cpu", "features": "basic", "set": overrides, **settings}
    return make_plan(Settings(home=home, model=models or ("vbpr",), dataset=str(folder), suite=str(path), **options))


def measured(folder: Path, home: Path, *models: str, **settings: Any) -> runner.Measurements:
    """Return what a suite measures on a shop."""
    return runner.measure(shop_plan(folder, home, *models, **settings))


def rows(run: runner.Measurements, **wanted: Any) -> list[Any]:
    """Return the findings of the merchant audit with the given fields, of those that compare with clean input."""
    return [
        row
        for row in run.results.findings
        if row.audit == "merchant"
        and row.reference == "clean"
        and all(_label_or(row, key) == value for key, value in wanted.items())
    ]


def _label_or(row: Any, key: str) -> Any:
    return row.condition.label if key == "condition" else getattr(row, key)


def status_of(run: runner.Measurements) -> Any:
    """Return how the merchant audit of the only subject ended."""
    (status,) = [status for status in run.results.statuses if status.audit == "merchant"]
    return status
