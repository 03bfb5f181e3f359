"""The store: hits, keys, damage, two processes at once."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import pytest
import torch
from toy_shop import MakeDataset, toy_picture, toy_text

from robustrec.datasets.registry import Dataset
from robustrec.encoders import ENCODERS, SUMMARIES, basic
from robustrec.encoders.features import catalog_digest, encoder_state, item_features
from robustrec.encoders.store import RECORD, STATE, TABLES, Encoded, stored
from robustrec.errors import RobustrecError


@pytest.fixture
def encodings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A list that grows by one entry with each encoding."""
    done: list[str] = []
    encode = basic.encode

    def counted(dataset: Dataset, progress: object) -> Encoded:
        done.append(dataset.name)
        return encode(dataset, progress)  # type: ignore[arg-type]

    monkeypatch.setattr(basic, "encode", counted)
    return done


def entries(home: Path) -> list[Path]:
    return sorted(path for path in (home / "features").iterdir() if not path.name.startswith("."))


def test_names_resolve_to_classes_and_each_has_a_summary() -> None:
    for target in ENCODERS.values():
        module, kind = target.split(":")
        made = getattr(import_module(module), kind)
        assert callable(made.catalog_features)
        assert callable(made.encode)
    assert list(SUMMARIES) == list(ENCODERS)


def test_an_unknown_name_lists_the_choices(make_dataset: MakeDataset, tmp_path: Path) -> None:
    with pytest.raises(RobustrecError, match="unknown encoder 'basci'") as caught:
        item_features(make_dataset(3), "basci", home=tmp_path)
    assert "did you mean 'basic'" in caught.value.fix
    assert "auto" in caught.value.fix


def test_the_second_time_nothing_is_encoded(make_dataset: MakeDataset, tmp_path: Path, encodings: list[str]) -> None:
    dataset = make_dataset(8)
    calls: list[tuple[object, ...]] = []
    first = item_features(dataset, "auto", home=tmp_path, progress=lambda *call: calls.append(call))
    assert {call[0] for call in calls} == {"encoding pictures", "encoding texts"}
    assert all(call[1] <= call[2] == 8 for call in calls)
    calls.clear()
    again = item_features(make_dataset(8), "basic", home=tmp_path, progress=lambda *call: calls.append(call))
    assert encodings == ["toy"]
    assert calls == []
    assert (again.name, again.digest, again.notes) == (first.name, first.digest, first.notes)
    assert all(torch.equal(again.tables[modality], table) for modality, table in first.tables.items())
    state = basic.state_from_tensors(encoder_state(dataset, "basic", home=tmp_path))
    assert torch.equal(basic.encode_texts(state, [toy_text(2)])[0], first.tables["text"][2])
    assert encodings == ["toy"]


def test_the_record_says_what_it_is(make_dataset: MakeDataset, tmp_path: Path) -> None:
    features = item_features(make_dataset(8, texts=["", *"abcdefg"]), "basic", home=tmp_path)
    (folder,) = entries(tmp_path)
    record = json.loads((folder / RECORD).read_text())
    assert record["digest"] == features.digest
    assert record["shapes"] == {"image": [8, 512], "text": [8, 384]}
    assert record["notes"] == ["1 item without a text: mean vector"]
    assert record["identity"]["encoder"] == "basic"
    assert set(record["identity"]) == {"encoder", "content", "code", "configuration", "libraries"}


def one_title(make: MakeDataset) -> Dataset:
    return make(8, texts=[*map(toy_text, range(7)), toy_text(7) + "!"])


def one_pixel(make: MakeDataset) -> Dataset:
    dataset = make(8)
    image = toy_picture(5)
    image.putpixel((0, 0), (239, 240, 235))
    image.save(dataset.folder / "5.png")
    return dataset


def one_picture_less(make: MakeDataset) -> Dataset:
    return make(8, pictures={5: None})


@pytest.mark.parametrize("change", [one_title, one_pixel, one_picture_less])
def test_any_change_of_content_is_another_entry(
    make_dataset: MakeDataset, tmp_path: Path, encodings: list[str], change: Callable[[MakeDataset], Dataset]
) -> None:
    clean = item_features(make_dataset(8), "basic", home=tmp_path)
    changed = item_features(change(make_dataset), "basic", home=tmp_path)
    assert len(encodings) == len(entries(tmp_path)) == 2
    assert changed.digest != clean.digest


def test_a_catalog_replaced_in_memory_is_not_served_the_original(make_dataset: MakeDataset, tmp_path: Path) -> None:
    dataset = make_dataset(8)
    assert dataset.catalog is not None
    edited = replace(dataset, catalog=replace(dataset.catalog, texts=("SALE", *dataset.catalog.texts[1:])))
    assert edited.digest == dataset.digest
    assert catalog_digest(edited, tmp_path) != catalog_digest(dataset, tmp_path)


def test_text_borders_count(make_dataset: MakeDataset, tmp_path: Path) -> None:
    joined, parted = (make_dataset(2, texts=t, with_pictures=False) for t in (["ab", "c"], ["a", "bc"]))
    assert catalog_digest(joined, tmp_path) != catalog_digest(parted, tmp_path)


@pytest.mark.parametrize("key", ["code", "configuration", "libraries"])
def test_other_code_or_configuration_is_another_entry(
    make_dataset: MakeDataset, tmp_path: Path, encodings: list[str], monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    dataset = make_dataset(4)
    item_features(dataset, "basic", home=tmp_path)
    other = {**basic.identity(), key: "other"}
    monkeypatch.setattr(basic, "identity", lambda: other)
    item_features(dataset, "basic", home=tmp_path)
    assert len(encodings) == len(entries(tmp_path)) == 2


def truncate(folder: Path) -> None:
    path = folder / TABLES
    path.write_bytes(path.read_bytes()[:-100])


def flip(folder: Path) -> None:
    content = bytearray((folder / TABLES).read_bytes())
    content[-5] ^= 1
    (folder / TABLES).write_bytes(content)


def lose_state(folder: Path) -> None:
    (folder / STATE).unlink()


def half_record(folder: Path) -> None:
    (folder / RECORD).write_text((folder / RECORD).read_text()[:40])


def other_record(folder: Path) -> None:
    (folder / RECORD).write_text("[1]")


def other_note(folder: Path) -> None:
    record = json.loads((folder / RECORD).read_text())
    (folder / RECORD).write_text(json.dumps(record | {"notes": ["3 items without a text"]}))


def no_folder(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    folder.write_text("a file")


@pytest.mark.parametrize("damage", [truncate, flip, lose_state, half_record, other_record, other_note, no_folder])
def test_a_damaged_entry_is_encoded_again_and_says_so(
    make_dataset: MakeDataset,
    tmp_path: Path,
    encodings: list[str],
    caplog: pytest.LogCaptureFixture,
    damage: Callable[[Path], None],
) -> None:
    dataset = make_dataset(8)
    whole = item_features(dataset, "basic", home=tmp_path)
    (folder,) = entries(tmp_path)
    damage(folder)
    repaired = item_features(dataset, "basic", home=tmp_path)
    assert repaired.digest == whole.digest
    assert "were damaged" in repaired.notes[-1]
    assert "were damaged" in caplog.text
    assert entries(tmp_path) == [folder]
    assert item_features(dataset, "basic", home=tmp_path).notes == ()
    assert len(encodings) == 2


@pytest.mark.skipif(not hasattr(signal, "SIGXFSZ"), reason="no limit on the size of files")
def test_a_full_disk_is_an_error_that_says_so(make_dataset: MakeDataset, tmp_path: Path) -> None:
    """The limit on the size of files stands for the disk: what is written last, by whichever library, fails with it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    dataset = make_dataset(40)
    for limit in (0, 100, 20_000):
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
        try:
            with pytest.raises(RobustrecError, match="File too large") as error:
                item_features(dataset, "basic", home=tmp_path)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert "free disk space" in error.value.fix
        assert entries(tmp_path) == []
        assert [path for path in (tmp_path / "features").iterdir() if not path.name.endswith(".lock")] == []
    item_features(dataset, "basic", home=tmp_path)


def test_what_killed_processes_left_is_removed_at_the_next_encoding(make_dataset: MakeDataset, tmp_path: Path) -> None:
    left = tmp_path / "features" / ".0123.abcdefgh"
    left.mkdir(parents=True)
    (left / TABLES).write_text("half")
    item_features(make_dataset(4), "basic", home=tmp_path)
    assert not left.exists()


def test_an_encoding_that_fails_leaves_nothing(
    make_dataset: MakeDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(basic, "encode", interrupted)
        with pytest.raises(KeyboardInterrupt):
            item_features(make_dataset(4), "basic", home=tmp_path)
    assert entries(tmp_path) == []
    item_features(make_dataset(4), "basic", home=tmp_path)


def test_a_home_that_cannot_be_written_is_an_error(make_dataset: MakeDataset, tmp_path: Path) -> None:
    (tmp_path / "features").write_text("in the way")
    with pytest.raises(RobustrecError, match="cannot write") as caught:
        item_features(make_dataset(4), "basic", home=tmp_path)
    assert "ROBUSTREC_HOME" in caught.value.fix


_ENCODE = """
import sys
from pathlib import Path
import torch
from robustrec.encoders.store import Encoded, stored
home = Path(sys.argv[1])
def produce():
    with (home / "encodings").open("a") as file:
        file.write("one\\n")
    return Encoded({"text": torch.arange(3_000_000.0).reshape(-1, 3)}, ("note",), {})
print("ready", flush=True)
sys.stdin.readline()
encoded = stored(home, {"encoder": "test"}, produce)
print(float(encoded.tables["text"].sum()), encoded.notes)
"""


def test_two_processes_at_once_encode_once(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _ENCODE, str(tmp_path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    other = subprocess.Popen(command, env=dict(os.environ), **pipes)  # type: ignore[call-overload]
    assert other.stdout.readline() == "ready\n"

    def produce() -> Encoded:
        with (tmp_path / "encodings").open("a") as file:
            file.write("one\n")
        return Encoded({"text": torch.arange(3_000_000.0).reshape(-1, 3)}, ("note",), {})

    other.stdin.write("go\n")
    other.stdin.flush()
    encoded = stored(tmp_path, {"encoder": "test"}, produce)
    assert other.communicate()[0] == f"{float(encoded.tables['text'].sum())} {encoded.notes}\n"
    assert other.returncode == 0
    assert (tmp_path / "encodings").read_text() == "one\n"
    assert len(entries(tmp_path)) == 1
