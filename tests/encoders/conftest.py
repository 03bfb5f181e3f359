"""The fixtures of these tests; what they are made of stands in `toy_shop` and `tiny_networks`."""

from pathlib import Path

import pytest
from blip_case import EncoderCase
from tiny_networks import save_blip, save_blip2
from toy_shop import MakeDataset, make_dataset

__all__ = ["make_dataset"]


@pytest.fixture(scope="session")
def tiny_blip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with itm/ and caption/: BLIP with random weights."""
    return save_blip(tmp_path_factory.mktemp("blip"), captioner=True)


@pytest.fixture(scope="session")
def tiny_blip2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the first stage of a BLIP-2 with random weights."""
    return save_blip2(tmp_path_factory.mktemp("blip2"))


@pytest.fixture
def case(make_dataset: MakeDataset, tiny_blip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> EncoderCase:
    """Toy data sets through the tiny BLIP."""
    return EncoderCase(make_dataset, tiny_blip, tmp_path / "home", monkeypatch)


@pytest.fixture
def no_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
