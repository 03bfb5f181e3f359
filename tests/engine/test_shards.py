"""Catalogs encoded and comparisons trained by several workers: the results of one process to the bit."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from robustrec.audits.noise.condition import NoiseCondition
from robustrec.comparison.run import Effort, plan_comparison, run_comparison
from robustrec.config import Settings
from robustrec.datasets.registry import Dataset, load_dataset
from robustrec.encoders import elsewhere
from robustrec.encoders.elsewhere import Shard, encoded_by
from robustrec.encoders.features import item_features
from robustrec.encoders.options import EncoderOptions
from robustrec.engine.sessions import Session, session_of
from robustrec.engine.spread import Spread, encoding_message
from robustrec.engine.worker import reply
from robustrec.errors import RobustrecError
from robustrec.progress import silent

NAME = "tiny-blip"


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """A catalog of 60 items with texts of different lengths and a few pictures."""
    from PIL import Image

    folder = tmp_path_factory.mktemp("data") / "shop"
    (folder / "pictures").mkdir(parents=True)
    colours = ("red", "green", "blue", "white")
    for number, colour in enumerate(colours):
        Image.new("RGB", (24, 24), colour).save(folder / "pictures" / f"{number}.png")
    words = ["a", "small", "round", "cup", "of", "white", "china", "with", "a", "handle", "and", "a", "saucer"]
    (folder / "items.jsonl").write_text(
        "\n".join(
            f'{{"itemID": {item}, "title": "{" ".join(words[: 1 + item % 13])} {item}", "image": "{item % 4}.png"}}'
            for item in range(60)
        )
    )
    rows = ["userID\titemID\trating\ttimestamp\tx_label"]
    rows += [
        f"{user}\t{(3 * user + place) % 60}\t5\t{place}\t{(1, 2, 0, 0)[place]}"
        for user in range(60)
        for place in range(4)
    ]
    (folder / "shop.inter").write_text("\n".join(rows) + "\n")
    return load_dataset(str(folder), home=folder.parent)


@pytest.fixture
def units(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(elsewhere, "UNIT_ROWS", 16)
    monkeypatch.setattr(elsewhere, "UNIT_BATCHES", 1)


def _settings(shop: Dataset, home: Path) -> Settings:
    return Settings(home=home, dataset=str(shop.folder), features=NAME, device="cpu")


def _encoded(shop: Dataset, home: Path) -> dict[str, torch.Tensor]:
    return item_features(shop, NAME, home=home, options=EncoderOptions(device="cpu")).tables


class _Here(Spread):
    """An engine whose workers are threads of this process, with sessions of their own."""

    def __init__(self) -> None:
        super().__init__(2, alone=False)
        self.asked: list[str] = []

    def _send(self, message, what):  # type: ignore[no-untyped-def]
        self.asked.append(what)
        return reply(lambda: session_of(self._first), json.loads(json.dumps(message)))

    def _stop(self, *, failed: bool) -> None:
        pass

    def _faults(self) -> dict[int, str]:
        return {}


def test_workers_encode_what_one_process_does(shop: Dataset, tmp_path: Path, units: None) -> None:
    one = _encoded(shop, tmp_path / "one")
    settings = _settings(shop, tmp_path / "two")
    with _Here() as engine, engine.encoding(encoding_message(shop), settings, silent):
        two = _encoded(shop, settings.home)
        assert engine.asked == [f"encoding with tiny-blip, unit {number}" for number in (1, 2, 3, 4)]
    assert list(one) == list(two)
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert len(list((settings.home / "encodings").glob("*/*.safetensors"))) == 4


@contextmanager
def _in_session(shop: Dataset, home: Path, sent: list[Shard]) -> Iterator[None]:
    """Encode shards as a worker does, in this process and in the opposite order, each of them twice."""
    settings = _settings(shop, home)

    def encode(shards, report):  # type: ignore[no-untyped-def]
        first = {"settings": settings.model_dump_json(exclude_unset=True), "digests": [shop.digest]}
        for shard in reversed(shards):
            for _ in range(2):  # as after a worker that was lost before it answered
                Session(first).encode(shard)
        sent.extend(shards)

    with encoded_by(encode):
        yield


def test_a_shard_that_is_sent_twice_is_stored_once(shop: Dataset, tmp_path: Path, units: None) -> None:
    sent: list[Shard] = []
    with _in_session(shop, tmp_path / "sent", sent):
        features = _encoded(shop, tmp_path / "sent")
    assert sum(shard.rows for shard in sent) == 60
    assert len(list((tmp_path / "sent" / "encodings").glob("*/*.safetensors"))) == len(sent) == 4
    alone = _encoded(shop, tmp_path / "alone")
    assert all(torch.equal(alone[name], features[name]) for name in alone)


def test_what_is_stored_is_not_sent(shop: Dataset, tmp_path: Path, units: None) -> None:
    _encoded(shop, tmp_path)
    sent: list[Shard] = []
    with _in_session(shop, tmp_path, sent):
        _encoded(shop, tmp_path)
    assert sent == []


def test_a_worker_with_other_weights_or_data_is_refused(shop: Dataset, tmp_path: Path) -> None:
    settings = _settings(shop, tmp_path)
    first = {"settings": settings.model_dump_json(exclude_unset=True), "digests": [shop.digest]}
    with pytest.raises(RobustrecError, match="other weights or settings of tiny-blip"):
        Session(first).encode(Shard(NAME, NAME, "0" * 32, [[("a cup", 0, "0" * 64)]]))
    with pytest.raises(RobustrecError, match="the data set or the suite changed"):
        Session({**first, "digests": ["0" * 64]})


def test_workers_train_the_runs_of_a_comparison(tiny_folder: Path, tmp_path: Path) -> None:
    training = {"max_epochs": 2, "learning_rate": 0.03, "batch_size": 128}
    effort = Effort((NoiseCondition(0.5, relative=True),), draws=1, triples=20, probes=2, steps=2, edits=())

    def compared(home: Path, engine: _Here | None) -> tuple[int, str]:
        options = {"model": ("vbpr",), "strategy": ("vanilla", "sgbd"), "device": "cpu", "set": {"training": training}}
        plan = plan_comparison(Settings(home=home, dataset=str(tiny_folder), **options), 2, budgets=("epochs",))
        train = None if engine is None else engine.train_comparison
        report = run_comparison(plan, effort, command=["robustrec"], train=train)
        return plan.trainings, report.model_dump_json()

    with _Here() as engine:
        assert compared(tmp_path / "many", engine) == compared(tmp_path / "one", None)
        assert sorted(engine.asked) == ["the training of vbpr/sgbd seed 0", "the training of vbpr/vanilla seed 0"]
        compared(tmp_path / "many", engine)
        assert len(engine.asked) == 2, "stored runs are not trained again"
