"""A stored picture that rows of a call share is encoded once; the shipped BLIP is read without transformers."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import torch
from toy_shop import MakeDataset

from robustrec.datasets.catalog import Catalog
from robustrec.edits.view import view_of_catalog
from robustrec.encoders import pipeline
from robustrec.encoders import rows as rows_module
from robustrec.encoders.blip import Blip, TinyBlip
from robustrec.encoders.options import EncoderOptions
from robustrec.encoders.pipeline import encode_chunks
from robustrec.encoders.rows import RowContent, StoredPicture, catalog_rows
from robustrec.encoders.weights import shipped_blip
from robustrec.runs import treatments
from robustrec.runs.treatments import EditApplier, treatments_of

OPTIONS = EncoderOptions(device="cpu", batch_size=4)


@pytest.fixture
def edited(make_dataset: MakeDataset, tmp_path: Path) -> list[RowContent]:
    """Three items, each with four texts, one of them without a text."""
    catalog = make_dataset(3).catalog
    assert catalog is not None
    known = catalog_rows(catalog, tmp_path)
    texts = ["sale", "best gift for all", ""]
    return [RowContent(text, row.picture) for text in [*texts, known[0].text] for row in known]


def vectors(network: Blip, given: list[RowContent], *, share: bool) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = {}
    for chunk in encode_chunks(network, given, None, workers=1, share_pictures=share):
        for name, table in chunk.outputs.items():
            found.setdefault(name, torch.zeros(len(given), table.shape[1]))[chunk.rows] = table
    return found


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Count decoded pictures and computed picture states."""
    counts: Counter[str] = Counter()
    decode, compute = rows_module.decode, Blip.encode_pictures

    def decoding(content: bytes, where: str) -> object:
        counts["decoded"] += 1
        return decode(content, where)

    def computing(self: Blip, pictures: list[torch.Tensor]) -> torch.Tensor:
        counts["computed"] += len(pictures)
        return compute(self, pictures)

    monkeypatch.setattr(rows_module, "decode", decoding)
    monkeypatch.setattr(Blip, "encode_pictures", computing)
    return counts


def test_a_picture_of_several_rows_is_decoded_and_computed_once(
    edited: list[RowContent], counted: Counter[str], tmp_path: Path
) -> None:
    network = TinyBlip(OPTIONS, tmp_path)
    shared = vectors(network, edited, share=True)
    assert counted == {"decoded": 3, "computed": 3}
    alone = vectors(network, edited, share=False)
    assert counted == {"decoded": 3 + 12, "computed": 3 + 12}
    for name, table in alone.items():
        torch.testing.assert_close(shared[name], table, atol=1e-5, rtol=0)


def test_pictures_beyond_the_memory_limit_are_computed_again(
    edited: list[RowContent], counted: Counter[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = TinyBlip(OPTIONS, tmp_path)
    expected = vectors(network, edited, share=True)
    counted.clear()
    monkeypatch.setattr(pipeline, "_MOST_HELD", 0)
    found = vectors(network, edited, share=True)
    assert counted["decoded"] == 3 < counted["computed"]
    for name, table in expected.items():
        torch.testing.assert_close(found[name], table, atol=1e-5, rtol=0)


def test_an_edited_picture_never_takes_the_state_of_a_stored_one(edited: list[RowContent], tmp_path: Path) -> None:
    network = TinyBlip(OPTIONS, tmp_path)
    own = edited[0].picture
    assert isinstance(own, StoredPicture)
    other = own()
    assert other is not None
    inverted = other.point(lambda value: 255 - value)
    given = [*edited, RowContent(edited[0].text, lambda: inverted)]
    found = vectors(network, given, share=True)["image"]
    assert float((found[-1] - found[0]).norm()) > 0.05 * float(found[0].norm())


def test_the_shipped_blip_is_that_of_transformers(edited: list[RowContent], tmp_path: Path) -> None:
    ours = TinyBlip(OPTIONS, tmp_path)
    theirs = Blip(EncoderOptions(device="cpu", batch_size=4, weights=(str(shipped_blip()),)), tmp_path)
    texts = [row.text for row in edited] + ["Wool, RUG: " * 60, "café 100% (new) & naïve", "zzqq 漢字"]
    assert ours.tokens(texts) == theirs.tokens(texts)
    loaded, other = ours.loaded, theirs.loaded
    assert (loaded.empty, loaded.pad, loaded.first_token) == (other.empty, other.pad, other.first_token)
    for name, table in loaded.towers.parameters.items():
        assert torch.equal(table, other.towers.parameters[name]), name
    for name, table in vectors(ours, edited, share=False).items():
        assert torch.equal(table, vectors(theirs, edited, share=False)[name])


def test_the_shipped_blip_is_encoded_without_importing_transformers(tmp_path: Path) -> None:
    script = f"""
import sys
from pathlib import Path
from robustrec.encoders.options import EncoderOptions
from robustrec.encoders.rows import RowContent
from robustrec.encoders.stored_network import StoredNetwork
rows = [RowContent("red lamp", lambda: None)]
network = StoredNetwork("tiny-blip", EncoderOptions(device="cpu"), Path({str(tmp_path)!r}), first="tiny-blip")
network.uncached(rows, None)
sys.exit("transformers" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_edits_decode_an_unedited_picture_once_within_the_memory_limit(
    make_dataset: MakeDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog = make_dataset(3).catalog
    assert catalog is not None
    opened: Counter[int] = Counter()
    picture = type(catalog).picture

    def opening(self: Catalog, item: int) -> object:
        opened[item] += 1
        return picture(self, item)

    monkeypatch.setattr(type(catalog), "picture", opening)

    def keys() -> list[str]:
        applier = EditApplier(catalog, catalog_rows(catalog, tmp_path), view_of_catalog(catalog), 0)
        chosen = treatments_of(["recolour", "crop", "promo_badge"])
        return [row.key for each in chosen for item in range(3) for _, row in applier.edited(each, item, (1, 5), 0)]

    kept = keys()
    assert opened == {0: 1, 1: 1, 2: 1}
    monkeypatch.setattr(treatments, "MOST_DECODED", 0)
    assert keys() == kept
    assert opened == {0: 4, 1: 4, 2: 4}
