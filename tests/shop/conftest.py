"""Each sample edition is built once, whichever test asks first and whatever number of workers runs."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from robustrec.datasets.checksums import CHECKSUMS
from robustrec.datasets.registry import sample_folder
from robustrec.datasets.shop import SHOPS


@dataclass(frozen=True)
class Edition:
    name: str
    folder: Path

    def rows(self, file: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.folder / file).read_text(encoding="utf-8").splitlines()]

    def pictures(self, file: str) -> dict[str, NDArray[np.uint8]]:
        with zipfile.ZipFile(self.folder / file) as archive:
            return {name: np.asarray(Image.open(archive.open(name))) for name in archive.namelist()}

    def interactions(self) -> NDArray[np.int64]:
        """Columns user, item, time, label."""
        table = np.loadtxt(self.folder / f"{self.name}.inter", skiprows=1, usecols=(0, 1, 3, 4))
        return table.astype(np.int64)


@pytest.fixture(scope="session")
def editions(tmp_path_factory: pytest.TempPathFactory, sample_home: Path) -> Callable[[str], Edition]:
    @cache
    def built(name: str) -> Edition:
        folder = tmp_path_factory.mktemp("shop") / name
        folder.mkdir()
        drawn = sample_folder(name, sample_home)
        for file in json.loads((drawn / CHECKSUMS).read_text()):
            (folder / file).hardlink_to(drawn / file)
        return Edition(name, folder)

    return built


@pytest.fixture(params=SHOPS)
def edition(request: pytest.FixtureRequest, editions: Callable[[str], Edition]) -> Edition:
    return editions(request.param)
