"""Results on object storage: a second machine computes nothing, and what is incomplete or damaged is absent."""

from __future__ import annotations

import json
import logging
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
from toy_shop import MakeDataset, toy_picture, toy_text

import robustrec as rr
from robustrec import object_store
from robustrec.audits.plan import make_plan
from robustrec.cli.main import run
from robustrec.config import Settings
from robustrec.encoders import basic, stored_network
from robustrec.encoders.features import item_features
from robustrec.encoders.options import EncoderOptions
from robustrec.engine.sessions import session_of
from robustrec.engine.spread import audit_message
from robustrec.engine.worker import reply
from robustrec.errors import RobustrecError
from robustrec.object_store import ObjectStore, check_store, open_store, share, shared_results, using
from robustrec.runs import subjects
from robustrec.store_urls import hidden_in, recorded_command, shown_url

SUITE = """
schema_version = 1
name = "short"
metrics = ["ndcg@20"]
bootstrap = { replicates = 100 }
[[audits]]
kind = "noise"
sigma2 = [1e-2]
draws = 2
[[gates]]
name = "small drift"
select = { audit = "noise", sigma2 = 1e-2, metric = "ndcg@20" }
quantity = "drift"
min = -0.9
"""


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 60 users and 60 items with texts and pictures."""
    folder = tmp_path_factory.mktemp("data") / "shop"
    folder.mkdir()
    for number in range(4):
        toy_picture(number).save(folder / f"{number}.png")
    (folder / "items.jsonl").write_text(
        "\n".join(f'{{"itemID": {i}, "title": "{toy_text(i)}", "image": "{i % 4}.png"}}' for i in range(60))
    )
    rows = ["userID\titemID\trating\ttimestamp\tx_label"]
    rows += [
        f"{user}\t{(3 * user + place) % 60}\t5\t{place}\t{(1, 2, 0, 0)[place]}"
        for user in range(60)
        for place in range(4)
    ]
    (folder / "shop.inter").write_text("\n".join(rows) + "\n")
    return folder


@pytest.fixture(params=["file", "memory"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """URL of an empty store."""
    if request.param == "file":
        yield f"file://{tmp_path}/store"
        return
    yield f"memory://{tmp_path.name}"
    fsspec.filesystem("memory").store.clear()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with two files, an entry to upload."""
    place = tmp_path / "first" / "runs" / "k1"
    place.mkdir(parents=True)
    (place / "a.bin").write_bytes(b"a" * 1000)
    (place / "b.json").write_text("{}")
    return place


def _files(store: ObjectStore) -> dict[str, bytes]:
    fs, root = store._fs, store._root
    return {path.removeprefix(f"{root}/"): fs.cat_file(path) for path in fs.find(root)}


def _opened(url: str) -> ObjectStore:
    store = open_store(url)
    assert store is not None
    return store


def _upload(store: ObjectStore, folder: Path) -> None:
    with using(store):
        share("runs", "k1", lambda: object_store.files_in(folder))


@pytest.fixture
def counts(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Numbers of trainings, encodings and uploaded entries."""
    found = {"trainings": 0, "encodings": 0, "uploads": 0}

    def counted(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            found[name] += 1
            return function(*args, **options)

        return call

    monkeypatch.setattr(subjects, "train", counted("trainings", subjects.train))
    monkeypatch.setattr(basic, "encode", counted("encodings", basic.encode))
    monkeypatch.setattr(stored_network, "encode_chunks", counted("encodings", stored_network.encode_chunks))
    monkeypatch.setattr(ObjectStore, "upload", counted("uploads", ObjectStore.upload))
    return found


def _audit(shop: Path, home: Path, suite: Path, url: str) -> rr.Report:
    return rr.audit(
        "vbpr",
        shop,
        strategy=["vanilla", "sgbd"],
        suite=suite,
        home=home,
        store=url,
        features="basic",
        device="cpu",
        set={"training": {"max_epochs": 2, "learning_rate": 0.01, "batch_size": 128}},
        output=home / "report.json",
    )


def _text(report: rr.Report) -> str:
    """Return a report without times and without what this run took from the store."""
    record = json.loads(report.model_dump_json())
    record["planned"].pop("time")
    for name in ("durations", "costs", "created", "judgement", "digests"):
        record.pop(name, None)
    for subject in record["subjects"]:
        subject["training"] = None
    return json.dumps(record, sort_keys=True)


def test_a_second_machine_trains_and_encodes_nothing(
    shop: Path, tmp_path: Path, url: str, counts: dict[str, int]
) -> None:
    suite = tmp_path / "suite.toml"
    suite.write_text(SUITE)
    first = _audit(shop, tmp_path / "one", suite, url)
    assert counts == {"trainings": 2, "encodings": 1, "uploads": 3}
    second = _audit(shop, tmp_path / "two", suite, url)
    assert counts == {"trainings": 2, "encodings": 1, "uploads": 3}
    assert _text(second) == _text(first)
    assert second.costs.trainings == 0
    again = _audit(shop, tmp_path / "two", suite, url)
    assert counts["uploads"] == 3
    assert _text(again) == _text(first)


def test_what_was_computed_without_the_store_is_uploaded_later(
    make_dataset: MakeDataset, tmp_path: Path, url: str, counts: dict[str, int]
) -> None:
    dataset = make_dataset(8)
    item_features(dataset, "basic", home=tmp_path / "one")
    with shared_results(url, offline=True):
        first = item_features(dataset, "basic", home=tmp_path / "one")
        second = item_features(dataset, "basic", home=tmp_path / "two")
    assert counts == {"trainings": 0, "encodings": 1, "uploads": 1}
    assert second.digest == first.digest


def test_rows_of_a_network_come_from_the_store(
    make_dataset: MakeDataset, tmp_path: Path, url: str, counts: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset, options = make_dataset(8), EncoderOptions(device="cpu")
    with shared_results(url, offline=True):
        first = item_features(dataset, "tiny-blip", home=tmp_path / "one", options=options)
        before = dict(counts)
        assert before["uploads"] == 1
        monkeypatch.setattr(stored_network, "_CHUNK_ROWS", 3)
        second = item_features(dataset, "tiny-blip", home=tmp_path / "two", options=options)
    # Nothing is lacking, so that no row is encoded.
    assert counts["uploads"] == 1
    assert second.digest == first.digest
    assert second.notes == first.notes
    one, two = ({path.name for path in (tmp_path / home).glob("encodings/*/*")} for home in ("one", "two"))
    assert one == two


def test_an_entry_is_fetched_whole(folder: Path, tmp_path: Path, url: str) -> None:
    _upload(_opened(url), folder)
    assert all(name.startswith("runs/") for name in _files(_opened(url)))
    place = tmp_path / "second" / "runs" / "k1"
    assert _opened(url).fetch("runs", "k1", place)
    assert {path.name: path.read_bytes() for path in place.iterdir()} == {"a.bin": b"a" * 1000, "b.json": b"{}"}
    assert [path.name for path in place.parent.iterdir()] == ["k1"]
    assert not any("." in name.rpartition("/")[2].removesuffix(".json") for name in _files(_opened(url)))


def _missing(store: ObjectStore, name: str, content: bytes) -> None:
    store._fs.rm_file(f"{store._root}/{name}")


def _flipped(store: ObjectStore, name: str, content: bytes) -> None:
    store._fs.pipe_file(f"{store._root}/{name}", bytes([content[0] ^ 1]) + content[1:])


def _cut(store: ObjectStore, name: str, content: bytes) -> None:
    store._fs.pipe_file(f"{store._root}/{name}", content[: len(content) // 2])


@pytest.mark.parametrize("damage", [_missing, _flipped, _cut])
@pytest.mark.parametrize("part", ["object", "entry"])
def test_what_is_damaged_is_absent_and_is_repaired(
    damage: Callable[[ObjectStore, str, bytes], None],
    part: str,
    folder: Path,
    tmp_path: Path,
    url: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    store = _opened(url)
    _upload(store, folder)
    name, content = max(
        ((name, content) for name, content in _files(store).items() if ("objects/" in name) == (part == "object")),
        key=lambda item: len(item[1]),
    )
    assert name.startswith("runs/")
    damage(store, name, content)
    other, place = _opened(url), tmp_path / "second" / "runs" / "k1"
    with caplog.at_level(logging.WARNING, logger="robustrec"):
        assert not other.fetch("runs", "k1", place)
    assert ("is not used" in caplog.text) == ((part, damage) != ("entry", _missing))
    assert not list(place.parent.glob("*")) if place.parent.exists() else True
    _upload(other, folder)
    assert _opened(url).fetch("runs", "k1", place)


def test_an_entry_of_another_key_is_not_used(folder: Path, tmp_path: Path, url: str) -> None:
    store = _opened(url)
    _upload(store, folder)
    entry = store._fs.cat_file(f"{store._root}/runs/k1.json")
    store._fs.pipe_file(f"{store._root}/runs/k2.json", entry)
    assert not store.fetch("runs", "k2", tmp_path / "runs" / "k2")


@pytest.mark.parametrize("name", ["../x", "/x", ".x", "a/b", ""])
def test_a_name_outside_the_folder_is_not_used(name: str, folder: Path, tmp_path: Path, url: str) -> None:
    store = _opened(url)
    store.upload("runs", "k1", {name: folder / "a.bin"})
    assert not store.fetch("runs", "k1", tmp_path / "second" / "runs" / "k1")
    assert not list(tmp_path.glob("second/**/x"))


@pytest.mark.parametrize("after", range(3))
def test_an_upload_that_stops_leaves_no_entry(
    after: int, folder: Path, tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, done, put = _opened(url), [], ObjectStore._put

    def stopping(self: ObjectStore, path: Path, place: str) -> None:
        if len(done) == after:
            raise KeyboardInterrupt
        done.append(place)
        put(self, path, place)

    with monkeypatch.context() as patch:
        patch.setattr(ObjectStore, "_put", stopping)
        with pytest.raises(KeyboardInterrupt):
            _upload(store, folder)
    place = tmp_path / "second" / "runs" / "k1"
    assert not _opened(url).fetch("runs", "k1", place)
    assert not place.exists()
    _upload(_opened(url), folder)
    assert _opened(url).fetch("runs", "k1", place)


def test_two_homes_upload_one_key_at_a_time(folder: Path, tmp_path: Path) -> None:
    """Records of two trainings of one key differ in their times."""
    url = f"file://{tmp_path}/store"
    folders = [folder, tmp_path / "other"]
    shutil.copytree(folder, folders[1])
    (folders[1] / "b.json").write_text('{"seconds": 2}')
    texts = {(each / "b.json").read_text() for each in folders}
    for turn in range(10):
        barrier, found = threading.Barrier(3, timeout=60), []

        def upload(each: Path, barrier: threading.Barrier = barrier, key: str = f"k{turn}") -> None:
            store = _opened(url)
            barrier.wait()
            store.upload("runs", key, object_store.files_in(each))

        def fetch(
            barrier: threading.Barrier = barrier, turn: int = turn, found: list[tuple[bool, Path]] = found
        ) -> None:
            store = _opened(url)
            barrier.wait()
            for number in range(5):
                place = tmp_path / "reader" / f"{turn}-{number}"
                found.append((store.fetch("runs", f"k{turn}", place), place))

        threads = [threading.Thread(target=upload, args=(each,)) for each in folders]
        threads.append(threading.Thread(target=fetch))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(found) == 5
        last = tmp_path / "reader" / str(turn)
        assert _opened(url).fetch("runs", f"k{turn}", last)
        for place in [last, *(place for there, place in found if there)]:
            assert (place / "a.bin").read_bytes() == b"a" * 1000
            assert (place / "b.json").read_text() in texts


def test_a_store_that_fails_during_work_is_a_warning_without_credentials(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    url = f"file://me:geheim@{tmp_path}/store?token=abc"
    store = ObjectStore(url, fsspec.filesystem("file"), f"{tmp_path}/store")

    def failing(path: str) -> bytes:
        raise PermissionError(f"{url} refused geheim and abc")

    monkeypatch.setattr(store, "_fs", type("Failing", (), {"cat_file": staticmethod(failing)})())
    with caplog.at_level(logging.WARNING, logger="robustrec"):
        assert not store.fetch("runs", "k1", tmp_path / "runs" / "k1")
        _upload(store, folder)
    assert "cannot read runs/k1" in caplog.text
    assert "cannot upload runs/k1" in caplog.text
    assert "geheim" not in caplog.text
    assert "abc" not in caplog.text


def test_a_store_that_cannot_be_used_is_an_error_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RobustrecError, match="the store cannot be used: ") as caught:
        open_store(f"file://{tmp_path}/file/below")
    assert "omit --store" in caught.value.fix
    with pytest.raises(RobustrecError, match="cannot be used: ValueError") as caught:
        open_store("nosuch://me:geheim@place/x")
    assert "geheim" not in str(caught.value)

    def lacking(url: str, **options: Any) -> None:
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr(fsspec.core, "url_to_fs", lacking)
    with pytest.raises(RobustrecError, match="needs fsspec") as caught:
        open_store("s3://bucket/x")
    assert caught.value.fix == "pip install 'robustrec[store]' s3fs, or omit --store"


def test_names_of_stores_are_checked_without_opening_them(monkeypatch: pytest.MonkeyPatch) -> None:
    check_store(None, offline=True)
    check_store("s3://bucket", offline=False)
    for local in ("file:///x", "memory://x", "local:///x"):
        check_store(local, offline=True)
    with pytest.raises(RobustrecError, match="--offline forbids the network"):
        check_store("gs://bucket/x", offline=True)
    for wrong in ("bucket/x", "s3://b/*", "simplecache::s3://b", "s3:/b", "file:///a[1]"):
        with pytest.raises(RobustrecError, match="must be one URL"):
            check_store(wrong, offline=False)
    monkeypatch.setattr(object_store.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(RobustrecError, match="fsspec is not installed") as caught:
        check_store("gs://bucket/x", offline=False)
    assert "pip install 'robustrec[store]' gcsfs" in caught.value.fix


def test_credentials_are_never_shown() -> None:
    url = "s3://key:se/cr@t@bucket/folder?token=a%20b"
    assert shown_url(url) == "s3://***@bucket/folder?***"
    assert {"key:se/cr@t", "se/cr@t", "token=a%20b", "a%20b", "a b"} <= set(hidden_in(url))
    assert shown_url("s3://bucket/folder") == "s3://bucket/folder"
    assert recorded_command(["robustrec", "audit", "--store", url, "-m", "bpr"]) == ["robustrec", "audit", "-m", "bpr"]
    assert recorded_command(["audit", f"--store={url}", "--offline"]) == ["audit", "--offline"]
    assert recorded_command(["audit", "--store", "s3://bucket"]) == ["audit", "--store", "s3://bucket"]
    assert recorded_command(["audit", "--store"]) == ["audit", "--store"]


def test_a_worker_uploads_what_it_trains(shop: Path, tmp_path: Path) -> None:
    suite = tmp_path / "suite.toml"
    suite.write_text(SUITE)
    url = f"file://{tmp_path}/store"
    given: dict[str, Any] = {"model": ("vbpr",), "strategy": ("vanilla",), "features": "basic", "device": "cpu"}
    settings = Settings(
        home=tmp_path / "home",
        dataset=str(shop),
        suite=str(suite),
        store=url,
        set={"training": {"max_epochs": 1}},
        **given,
    )
    first = {"settings": settings.model_dump_json(exclude_unset=True), **audit_message(make_plan(settings))}
    assert reply(lambda: session_of(first), {"train": 0}) == b"j{}"
    assert len(list((tmp_path / "store" / "runs").glob("*.json"))) == 1
    assert len(list((tmp_path / "store" / "features").glob("*.json"))) == 1
    (tmp_path / "file").write_text("")
    broken = {**first, "settings": settings.model_copy(update={"store": f"file://{tmp_path}/file/x"}).model_dump_json()}
    assert b"the store cannot be used" in reply(lambda: session_of(broken), {"train": 0})


def test_the_plan_names_the_store_without_credentials(
    shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "suite.toml").write_text(SUITE)
    words = ["audit", "--dry-run", "--dataset", str(shop), "--model", "vbpr", "--features", "basic"]
    words += ["--suite", str(tmp_path / "suite.toml"), "--home", str(tmp_path)]
    assert run([*words, "--store", "s3://me:geheim@bucket/x?token=abc"]) == 0
    printed = capsys.readouterr()
    assert "store      s3://***@bucket/x?***" in printed.out
    assert run([*words, "--nosuch", "--store", "s3://me:geheim@bucket/x"]) == 2
    printed = capsys.readouterr()
    assert "geheim" not in printed.out + printed.err
    assert run([*words, "--offline", "--store", "s3://me:geheim@bucket/x"]) == 2
    printed = capsys.readouterr()
    assert "--offline forbids the network" in printed.err
    assert "geheim" not in printed.out + printed.err
