"""What every test may use."""

from __future__ import annotations

import os
import sys
from pathlib import Path

# Two test workers on two cores: torch's own threads would only fight each other. Read when torch is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

import hypothesis
import numpy as np
import pytest
import torch

from robustrec.datasets.registry import load_dataset
from robustrec.encoders.features import item_features
from robustrec.runs.prepared import Prepared, prepare

# Containers often set PYTHONDONTWRITEBYTECODE: each process that tests start would compile the package again, and each
# worker all tests.
sys.dont_write_bytecode = False


def pytest_collection_finish() -> None:
    """Write no more: of a module that a test writes twice in a second, with one length, the first would be cached."""
    sys.dont_write_bytecode = True


# A deadline would be a timed assertion, and a shared machine breaks it.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")


@pytest.fixture(scope="session")
def shared_folder() -> Path:
    """The folder of given material beside the checkout; tests that need it skip where it is not."""
    folder = Path(__file__).resolve().parents[2] / "shared"
    if not folder.is_dir():
        pytest.skip("the folder ../shared with real data is not here")
    return folder


@pytest.fixture(scope="session")
def sample_home(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """A home that all tests and workers share, for sample editions: each is drawn and encoded once."""
    base = tmp_path_factory.getbasetemp()
    return (base if worker_id == "master" else base.parent) / "samples-home"


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in the MMRec layout: 80 users in four groups of taste, 60 items, features that tell the groups."""
    folder = tmp_path_factory.mktemp("tiny")
    random = np.random.default_rng(7)
    groups = np.arange(60) % 4
    rows = ["userID\titemID\trating\ttimestamp\tx_label"]
    for user in range(80):
        liked = random.permutation(np.flatnonzero(groups == user % 4))[:7]
        other = random.permutation(np.flatnonzero(groups != user % 4))[:2]
        for place, item in enumerate(random.permutation([*liked, *other])):
            rows.append(f"{user}\t{item}\t5.0\t{place}\t{1 if place == 0 else 2 if place == 1 else 0}")
    (folder / "tiny.inter").write_text("\n".join(rows) + "\n")
    for name, width in (("image_feat.npy", 12), ("text_feat.npy", 8)):
        signal = random.normal(size=(4, width))
        np.save(folder / name, (signal[groups] + 0.3 * random.normal(size=(60, width))).astype(np.float32))
    return folder


@pytest.fixture
def tiny(tiny_folder: Path, tmp_path: Path) -> Prepared:
    """The tiny data set with its features, on the CPU."""
    dataset = load_dataset(str(tiny_folder), home=tmp_path)
    return prepare(dataset, item_features(dataset, "imported", home=tmp_path), torch.device("cpu"))
