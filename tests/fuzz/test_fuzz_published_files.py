"""Damaged metadata, titles, articles, image features and splits: an error with its place, or counted."""

from __future__ import annotations

import ast
import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fuzzing import fuzzed, mutations
from hypothesis import strategies as st

from benchmarks.raw_archives import write_archive, write_image_features
from robustrec.datasets.formats import amazon, fashion, microlens
from robustrec.datasets.formats.amazon import MetadataCounts
from robustrec.datasets.prepare.addresses import LinkError, checked_place
from robustrec.datasets.prepare.cnn_features import write_features
from robustrec.datasets.prepare.labels import published_split
from robustrec.datasets.prepare.layouts import LAYOUTS, find_raw
from robustrec.errors import RobustrecError
from robustrec.progress import silent
from robustrec.untrusted import UnreadableError
from robustrec.untrusted.literals import parse_literal

SMALL = {"reviews": 300, "users": 30, "items": 40}
READERS = {"microlens": microlens.read_titles, "hm": fashion.read_articles}
LITERALS = [
    repr({"asin": "B1", "title": 'It\'s "soft"\n', "related": {"also_bought": ["B2", "B3"]}, "price": -9.5}).encode(),
    b"{'a': (1, 2.5e3, None), u'b': [True, {'c'}], 'd': \"\\xe9\\u20ac\"}",
    b"[[1], {'x': {}}, -.5, 'a' 'b', ()]",
]


@pytest.fixture(scope="module")
def archives(tmp_path_factory) -> dict[str, Path]:
    folders = {}
    for layout in LAYOUTS:
        folders[layout] = tmp_path_factory.mktemp(layout)
        category = {"microlens": "50k", "hm": ""}.get(layout, "Baby")
        write_archive(layout, folders[layout], category=category, **SMALL)
    return folders


def catalog_of(folder: Path) -> tuple[Path, bytes]:
    path = next(
        path for path in sorted(folder.iterdir()) if path.name.startswith(("meta_", "articles")) or "title" in path.name
    )
    content = path.read_bytes()
    return path, gzip.decompress(content) if path.suffix == ".gz" else content


@fuzzed(mutations(LITERALS))
def test_literals(content):
    text = content.decode("utf-8", "replace")
    try:
        value = parse_literal(text)
    except UnreadableError:
        return
    assert repr(value) == repr(ast.literal_eval(text.strip()))


@fuzzed(st.text(alphabet="{}[](),:'\"\\u-+.eE01 TrueNoneFals\n*_x", max_size=60))
def test_texts_that_look_like_literals(text):
    try:
        value = parse_literal(text)
    except UnreadableError:
        return
    assert repr(value) == repr(ast.literal_eval(text.strip()))


@pytest.mark.parametrize("layout", LAYOUTS)
@fuzzed(st.data())
def test_catalogs(archives, tmp_path_factory, layout, data):
    path, content = catalog_of(archives[layout])
    damaged = data.draw(mutations([content]))
    place = tmp_path_factory.mktemp("fuzz") / path.name.removesuffix(".gz")
    place.write_bytes(damaged)
    reader = READERS.get(layout, amazon.read_metadata)
    clean, counts = MetadataCounts(), MetadataCounts()
    (place.parent / "clean").write_bytes(content)
    wanted = {item.item for item in reader(place.parent / "clean", Everything(), clean)}
    found = told(lambda: list(reader(place, wanted, counts)), place)
    if found is None:
        return
    assert len({item.item for item in found}) == len(found)
    assert {item.item for item in found} <= wanted
    assert len(found) + counts.others + counts.unreadable + counts.repeated == counts.lines


def told(read: Callable[[], Any], path: Path) -> Any:
    """Return what is read, or None where an error names the file and a remedy."""
    try:
        return read()
    except RobustrecError as error:
        place, fix = error.where, error.fix
    assert str(path) in place
    assert fix
    return None


class Everything:
    def __contains__(self, _: object) -> bool:
        return True


@fuzzed(st.data())
def test_compressed_metadata(archives, tmp_path_factory, data):
    path, _ = catalog_of(archives["amazon2014"])
    place = tmp_path_factory.mktemp("fuzz") / path.name
    place.write_bytes(data.draw(mutations([path.read_bytes()])))
    told(lambda: list(amazon.read_metadata(place, Everything(), MetadataCounts())), place)


@pytest.fixture(scope="module")
def features(tmp_path_factory) -> tuple[list[str], bytes]:
    folder = tmp_path_factory.mktemp("features")
    archive = write_archive("amazon2014", folder / "raw", **SMALL)
    write_image_features(archive, folder / "f.b")
    return [item.id for item in archive.items[:4]], (folder / "f.b").read_bytes()[: 3 * (10 + 4 * 4096)]


@fuzzed(st.data())
def test_image_features(features, tmp_path_factory, data):
    names, content = features
    folder = tmp_path_factory.mktemp("fuzz")
    (folder / "f.b").write_bytes(data.draw(mutations([content])))
    counted = told(lambda: write_features(folder / "f.npy", folder / "f.b", names, silent), folder / "f.b")
    if counted is None:
        return
    assert np.isfinite(np.load(folder / "f.npy")).all()


@fuzzed(st.data())
def test_published_splits(archives, tmp_path_factory, data):
    files = find_raw(LAYOUTS["amazon2014"], archives["amazon2014"], "Baby")
    folder = tmp_path_factory.mktemp("fuzz")
    rows = [line.split(",")[:2] for line in files.ratings.read_text().splitlines()]
    lines = [f"{user}\t{item}\t{number % 3}" for number, (user, item) in enumerate(dict.fromkeys(map(tuple, rows)))]
    text = "\n".join(["userID\titemID\tx_label", *lines]).encode()
    (folder / "x.inter").write_bytes(data.draw(mutations([text])))
    found = told(lambda: published_split(folder / "x.inter", files, k=5), folder / "x.inter")
    if found is None:
        return
    known = {tuple(row) for row in rows}
    ours = found.interactions
    pairs = zip(ours.users.tolist(), ours.items.tolist(), strict=True)
    assert all((found.user_ids[user], found.item_ids[item]) in known for user, item in pairs)


ADDRESSES = [
    b"http://ecx.images-amazon.com/images/I/41Bb6wf%2BqUL._SX300_.jpg",
    b"https://user:word@[::ffff:127.0.0.1]:8443/a/../b.png?x=1&y=%20#top",
    "http://bücher.example:80/bild.png".encode(),
]


@fuzzed(mutations(ADDRESSES))
def test_addresses_of_pictures(content):
    """Whatever stands there, what is connected to is a checked address, and the request has one line."""
    asked: list[tuple[str, int]] = []

    def resolve(host: str, port: int) -> list[str]:
        asked.append((host, port))
        return ["10.0.0.1"] if "amazon" not in host else ["8.8.8.8"]

    try:
        place = checked_place(content.decode("utf-8", "replace"), resolve=resolve)
    except LinkError:
        return
    assert place.addresses == ("8.8.8.8",)
    assert asked == [(place.host, place.port)]
    assert place.scheme in ("http", "https")
    assert place.target.startswith("/")
    assert place.target.isascii()
    assert place.target.isprintable()
    assert " " not in place.target
    assert place.host.isascii()
    assert not set(place.host) & set("\r\n @/\\")
