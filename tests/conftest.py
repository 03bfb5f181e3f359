"""What every test may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# Two test workers on two cores: torch's own threads would only fight each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["HF_HUB_OFFLINE"] = "1"


@pytest.fixture(scope="session")
def shared_folder() -> Path:
    """The folder of given material beside the checkout; tests that need it skip where it is not."""
    folder = Path(__file__).resolve().parents[2] / "shared"
    if not folder.is_dir():
        pytest.skip("the folder ../shared with real data is not here")
    return folder
