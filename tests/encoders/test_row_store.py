"""The store of rows: what is encoded again and what is not, kills, damage, two processes, changes meanwhile."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from blip_case import EncoderCase, chunks
from toy_shop import toy_picture, toy_text

from robustrec import digests
from robustrec.encoders import blip, stored_network
from robustrec.encoders.networks import NetworkInput
from robustrec.encoders.rows import picture_digests
from robustrec.errors import RobustrecError


def test_the_second_time_nothing_is_loaded(case: EncoderCase, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = case.make(6)
    first = case.features(dataset)
    monkeypatch.setattr(blip.Blip, "loaded", property(lambda _: pytest.fail("loaded")))
    again = case.features(dataset)
    assert (again.digest, again.notes, len(case.encoded)) == (first.digest, first.notes, 6)


def test_only_changed_rows_are_encoded_again(case: EncoderCase) -> None:
    case.features(case.make(8))
    assert len(case.encoded) == 8
    first = case.make(8)
    other_picture = Path(first.folder) / "5.png"
    toy_picture(77).save(other_picture)
    assert first.catalog is not None
    texts = ("a new text", *first.catalog.texts[1:])
    case.features(replace(first, catalog=replace(first.catalog, texts=texts)))
    assert sorted(case.encoded[8:]) == sorted(["a new text", toy_text(5)])


def test_rows_of_the_same_content_are_encoded_once(case: EncoderCase) -> None:
    dataset = case.make(4, texts=["same"] * 4)
    for item in (1, 2, 3):
        toy_picture(0).save(dataset.folder / f"{item}.png")
    table = case.features(dataset).tables["image"]
    assert case.encoded == ["same"]
    assert torch.equal(table, table[:1].expand_as(table))


@pytest.mark.parametrize(
    "changed", [{"enc_token": False}, {"max_words": 3}, {"side": 48}, {"precision": "bfloat16"}, {"denoise": "capfilt"}]
)
def test_settings_that_change_vectors_are_part_of_the_key(case: EncoderCase, changed: dict[str, Any]) -> None:
    dataset = case.make(3)
    first = case.features(dataset)
    other = case.features(dataset, **changed)
    assert first.identity != other.identity
    assert len(case.encoded) == 6


def test_other_weights_are_another_key(case: EncoderCase, tiny_blip: Path, tmp_path: Path) -> None:
    import shutil

    from safetensors.torch import load_file, save_file

    shutil.copytree(tiny_blip / "itm", tmp_path / "other")
    weights = load_file(tmp_path / "other" / "model.safetensors")
    weights["itm_head.bias"] += 1
    save_file(weights, tmp_path / "other" / "model.safetensors", metadata={"format": "pt"})
    dataset = case.make(3)
    case.features(dataset)
    case.features(dataset, weights=(str(tmp_path / "other"),))
    assert len(case.encoded) == 6


def test_batching_is_not_part_of_the_key(case: EncoderCase) -> None:
    dataset = case.make(5)
    case.features(dataset)
    case.features(dataset, batch_size=1, workers=1)
    assert len(case.encoded) == 5


def test_a_killed_encoding_goes_on_where_it_was(case: EncoderCase, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = case.make(12)
    counted = blip.Blip.vectors

    def killed(network: blip.Blip, parts: Sequence[NetworkInput]) -> Any:
        if len(case.encoded) >= 8:
            raise KeyboardInterrupt
        return counted(network, parts)

    with monkeypatch.context() as patch:
        patch.setattr(blip.Blip, "vectors", killed)
        patch.setattr(stored_network, "_CHUNK_ROWS", 4)
        with pytest.raises(KeyboardInterrupt):
            case.features(dataset)
    assert len(chunks(case.home)) == 1  # the batch after it was running
    table = case.features(dataset).tables["image"]
    assert len(case.encoded) == 8 + 8
    fresh = replace(dataset, catalog=dataset.catalog)
    case.home = case.home.parent / "other"
    torch.testing.assert_close(case.features(fresh).tables["image"], table, atol=1e-5, rtol=0)


@pytest.mark.parametrize("damage", ["cut", "flip", "empty"])
def test_a_damaged_chunk_is_encoded_again_and_says_so(case: EncoderCase, damage: str) -> None:
    dataset = case.make(6)
    whole = case.features(dataset)
    (chunk,) = chunks(case.home)
    content = chunk.read_bytes()
    flipped = content[:-5] + bytes([content[-5] ^ 1]) + content[-4:]
    chunk.write_bytes({"cut": content[:-50], "flip": flipped, "empty": b""}[damage])
    repaired = case.features(dataset)
    assert repaired.digest == whole.digest
    assert repaired.notes == ("1 stored file of blip damaged: encoded again",)
    assert case.features(dataset).notes == ()
    assert len(case.encoded) == 12


_STUB = """
import sys, time
from pathlib import Path
import torch
from robustrec.encoders import stored_network
from robustrec.encoders.networks import TokenizedTexts
from robustrec.encoders.options import EncoderOptions
from robustrec.encoders.rows import RowContent
folder = Path(sys.argv[1])
class Stub:
    name, reads, facts, source, identity, batch_size = "stub", ("text",), (), "stub", {}, 7
    def __init__(self, options, cache, *, first): pass
    def tokens(self, texts): return TokenizedTexts(texts, [[1]] * len(texts), [False] * len(texts), [0] * len(texts))
    def prepare(self, image): return ()
    def vectors(self, parts):
        with (folder / "encoded").open("a") as file:
            file.writelines(part.text + "\\n" for part in parts)
        return {"out": torch.tensor([[float(part.text)] for part in parts])}, {}
stored_network.NETWORKS["stub"] = "__main__:Stub"
part = stored_network.StoredNetwork("stub", EncoderOptions(), folder, first="stub")
print("ready", flush=True)
sys.stdin.readline()
rows = [RowContent(str(number), lambda: None) for number in range(500)]
print(part.cached(rows, None).outputs["out"].flatten().tolist() == [*range(500)])
"""


def test_what_killed_processes_left_is_removed_at_the_next_encoding(case: EncoderCase) -> None:
    case.features(case.make(4))
    (chunk, *_) = chunks(case.home)
    left = chunk.with_name(f".{chunk.name}.abcdefgh")
    left.write_bytes(chunk.read_bytes()[:100])
    case.features(case.make(5))
    assert not left.exists()
    assert chunk.exists()


def test_two_processes_at_once_encode_once(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _STUB, str(tmp_path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    both = [subprocess.Popen(command, env=dict(os.environ), **pipes) for _ in range(2)]  # type: ignore[call-overload]
    for process in both:
        assert process.stdout.readline() == "ready\n"
    outputs = [process.communicate("go\n")[0] for process in both]
    assert outputs == ["True\n", "True\n"]
    assert sorted(map(int, (tmp_path / "encoded").read_text().split())) == [*range(500)]


def test_pictures_are_not_read_again_to_see_that_nothing_changed(
    case: EncoderCase, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = case.make(5)
    catalog = dataset.catalog
    assert catalog is not None
    cache = case.home / "digests"
    fresh = picture_digests(catalog, cache)
    assert not cache.exists() or not list(cache.iterdir())  # files written a moment ago may change unseen
    monkeypatch.setattr(digests, "_SETTLED_NS", -1)
    assert picture_digests(catalog, cache) == fresh
    with monkeypatch.context() as patch:
        patch.setattr(type(catalog.pictures), "read", lambda *_: pytest.fail("read"))
        assert picture_digests(catalog, cache) == fresh
    toy_picture(40).save(dataset.folder / "2.png")
    changed = picture_digests(catalog, cache)
    assert [a == b for a, b in zip(changed, fresh, strict=True)] == [True, True, False, True, True]


def test_a_picture_that_changes_meanwhile_stops_the_encoding(
    case: EncoderCase, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = case.make(5)
    tokens = blip.Blip.tokens

    def meddled(network: blip.Blip, texts: Sequence[str]) -> Any:
        toy_picture(40).save(dataset.folder / "2.png")
        return tokens(network, texts)

    monkeypatch.setattr(blip.Blip, "tokens", meddled)
    with pytest.raises(RobustrecError, match="changed during encoding"):
        case.features(dataset)
