"""Damaged files of every format that is imported: the one error with its place, or rows that are right."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fuzzing import fuzzed, mutations
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parents[1] / "datasets"))
from written_formats import arrow_bytes, catalog_table, interactions_table, saved, small_shop

from robustrec.datasets.formats import huggingface
from robustrec.datasets.formats.folders import tables_in
from robustrec.datasets.items import read_items
from robustrec.datasets.naming import is_missing
from robustrec.datasets.ratings import read_ratings
from robustrec.errors import RobustrecError

pytestmark = pytest.mark.filterwarnings("error")
SHOP = small_shop(4, 5)
PAIRS = {(row[0], row[1]) for row in SHOP.rows}
HEADER = "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"
NAMES = ("user_id", "item_id", "rating", "timestamp")
RECORDS = [dict(zip(NAMES, row, strict=True)) for row in SHOP.rows]


def parquet(table: Any, **options: Any) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, row_group_size=6, **options)
    return bytes(sink.getvalue().to_pybytes())


def delimited(separator: str) -> bytes:
    return "".join(separator.join(map(str, row)) + "\n" for row in SHOP.rows).encode()


def lines(records: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(record) + "\n" for record in records).encode()


CSV = b"user_id,item_id,rating,timestamp\n" + delimited(",")
FILES = {
    "ratings.csv.gz": gzip.compress(CSV, mtime=0),
    "ratings.csv.bz2": bz2.compress(CSV),
    "ratings.csv.xz": lzma.compress(CSV),
    "shop.inter": HEADER.encode() + delimited("\t"),
    "ratings.dat": delimited("::"),
    "u.data": delimited("\t"),
    "log.jsonl": lines(RECORDS),
    "log.json": json.dumps(RECORDS).encode(),
    "log.parquet": parquet(interactions_table(SHOP)),
    "plain.parquet": parquet(interactions_table(SHOP), compression="none", use_dictionary=False),
    "log.arrow": arrow_bytes(interactions_table(SHOP), rows=5),
    "file.arrow": arrow_bytes(interactions_table(SHOP), stream=False, rows=5),
    "train.txt": b"100 3 10 17\n101 24 31\n102 3\n",
}
CATALOGS = {
    "shop.item": b"item_id:token\ttitle:token_seq\tcategories:token_seq\n3\tGood 0\tToys\n10\tGood 1\tToys Kind\n",
    "movies.dat": "3::Amélie (2001)::Comedy|Drama\n10::Good 1::Drama\n".encode("iso-8859-1"),
    "u.item": b"3|Good 0|01-Jan-1995||http://x|" + b"|".join([b"0"] * 18 + [b"1"]) + b"\n",
    "items.csv.gz": gzip.compress(b"item_id,title\n3,Good 0\n10,Good 1\n", mtime=0),
    "items.jsonl": lines(SHOP.records),
    "items.parquet": parquet(catalog_table(SHOP)),
    "items.arrow": arrow_bytes(catalog_table(SHOP), rows=2),
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


def checked(error: RobustrecError, name: str) -> None:
    assert error.what
    assert error.fix
    assert name in error.where or "option" in error.where, error.where


@pytest.mark.parametrize("name", FILES)
@fuzzed(st.data())
def test_interactions(place: Path, name: str, data: Any) -> None:
    path = place / name
    path.write_bytes(data.draw(mutations([FILES[name]])))
    options = data.draw(st.sampled_from([{}, {"min_rating": 2.0}, {"columns": ("user=user_id", "item=item_id")}]))
    try:
        found = read_ratings(path, k=1, **options)
    except RobustrecError as error:
        checked(error, name)
        return
    for ids, number in ((found.user_ids, found.interactions.n_users), (found.item_ids, found.interactions.n_items)):
        assert len(ids) == number == len(set(ids))
        assert not any(is_missing(each) or "\0" in each or each != each.strip() for each in ids)
    assert len(found.interactions.users) > 0


@pytest.mark.parametrize("name", [name for name in FILES if name not in ("train.txt",)])
@fuzzed(st.floats(0, 1))
def test_a_cut_file_adds_no_row(place: Path, name: str, share: float) -> None:
    path, content = place / name, FILES[name]
    path.write_bytes(content[: int(share * len(content))])
    try:
        found = read_ratings(path, k=1, min_rating=0)
    except RobustrecError as error:
        checked(error, name)
        return
    inter = found.interactions
    pairs = zip(inter.users.tolist(), inter.items.tolist(), strict=True)
    assert {(found.user_ids[user], found.item_ids[item]) for user, item in pairs} <= PAIRS


@pytest.mark.parametrize("name", CATALOGS)
@fuzzed(st.data())
def test_catalogs(place: Path, name: str, data: Any) -> None:
    path = place / name
    path.write_bytes(data.draw(mutations([CATALOGS[name]])))
    try:
        found = read_items(path, 3, ids={"3": 0, "10": 1, "17": 2})
    except RobustrecError as error:
        checked(error, name)
        return
    for item in filter(None, found.rows):
        assert item.title == "" or not is_missing(item.title)
        assert all(text.encode() is not None for text in (item.title, item.brand, item.description, *item.categories))


@fuzzed(st.data())
def test_saved_data_sets(place: Path, data: Any) -> None:
    folder = place / "saved"
    saved(folder, interactions_table(SHOP))
    name = data.draw(st.sampled_from([huggingface.STATE, huggingface.INFO, "data-00000-of-00002.arrow"]))
    (folder / name).write_bytes(data.draw(mutations([(folder / name).read_bytes()])))
    try:
        tables = tables_in(folder, [path for path in folder.iterdir() if path.is_file()])
        read_ratings([path for table in tables for path in table.files], k=1)
    except RobustrecError as error:
        checked(error, "saved")


@fuzzed(st.lists(st.sampled_from(
    [None, True, 7, 7.5, "7", "", "nan", [1, 2], [], {}, {"a": 1}, "x" * 3000, "\ud800", 1e400, -1, 2**70, ["a", None]]
), min_size=4, max_size=4), st.sampled_from(["jsonl", "parquet"]))  # fmt: skip
def test_wrong_types(place: Path, values: list[Any], form: str) -> None:
    record = dict(zip(NAMES, values, strict=True))
    path = place / f"types.{form}"
    if form == "jsonl":
        path.write_bytes(lines([*RECORDS, record]))
    else:
        try:
            pq.write_table(pa.Table.from_pylist([record, record]), path)
        except (pa.ArrowException, ValueError, OverflowError):
            return
    try:
        found = read_ratings(path, k=1, min_rating=0)
    except RobustrecError as error:
        checked(error, path.name)
        return
    assert not any(is_missing(each) for each in (*found.user_ids, *found.item_ids))
