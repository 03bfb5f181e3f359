"""A tiny data set in the MMRec layout, and pictures to go with it."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

N_USERS, N_ITEMS = 6, 8
Maker = Callable[..., Path]


def picture(
    color: tuple[int, ...] = (200, 30, 30), *, mode: str = "RGB", size: tuple[int, int] = (12, 8), **save: Any
) -> bytes:
    stream = io.BytesIO()
    Image.new(mode, size, color).save(stream, **{"format": "PNG", **save})
    return stream.getvalue()


def inter_text(labels: tuple[int, ...] = (0, 0, 0, 1, 2)) -> str:
    """Every user takes five neighbouring items; rating and timestamp are there to be ignored."""
    rows = [
        f"{user}\t{(user + step) % N_ITEMS}\t5.0\t{1000 + step}\t{label}"
        for user in range(N_USERS)
        for step, label in enumerate(labels)
    ]
    return "\n".join(["userID\titemID\trating\ttimestamp\tx_label", *rows]) + "\n"


@pytest.fixture
def tiny(tmp_path: Path) -> Maker:
    """Return a maker of folders: interactions always, catalog, pictures and features as asked for."""

    def make(
        name: str = "tiny", *, items: bool = False, pictures: str = "", features: tuple[str, ...] = (), width: int = 3
    ) -> Path:
        folder = tmp_path / "source" / name
        folder.mkdir(parents=True)
        (folder / f"{name}.inter").write_text(inter_text())
        if items:
            lines = [
                {
                    "itemID": row,
                    "title": f"Good {row}",
                    "brand": None,
                    "description": "soft\nand  red",
                    "image": f"p/{row}.png",
                }
                for row in range(N_ITEMS - 1)
            ]
            (folder / "items.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        contents = {f"{row}.png": picture((row * 20, 10, 10)) for row in range(N_ITEMS - 1)}
        if pictures == "zip":
            with zipfile.ZipFile(folder / "pictures.zip", "w") as archive:
                for entry, content in contents.items():
                    archive.writestr(entry, content)
        elif pictures == "folder":
            (folder / "pictures").mkdir()
            for entry, content in contents.items():
                (folder / "pictures" / entry).write_bytes(content)
        for modality in features:
            table = np.random.default_rng(0).normal(size=(N_ITEMS, width)).astype(np.float32)
            np.save(folder / f"{modality}_feat.npy", table)
        return folder

    return make


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"
