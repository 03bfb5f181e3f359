from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from robustrec.datasets.interactions import TEST, TRAIN, VALIDATION, Interactions, read_inter, write_inter
from robustrec.errors import RobustrecError

HEADER = "userID\titemID\tx_label\n"
GOOD = HEADER + "0\t0\t0\n0\t1\t1\n1\t1\t0\n1\t0\t2\n"


def write(folder: Path, content: str | bytes) -> Path:
    path = folder / "x.inter"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_reads_the_columns_it_needs_in_any_order(tmp_path: Path) -> None:
    text = "x_label\trating\titemID\tnote\tuserID\n0\t4.5\t2\tä\t1\n2\t\t0\t\t1\n0\t1\t1\tb\t0\n"
    data, filters = read_inter(write(tmp_path, text))
    assert data.users.tolist() == [0, 1, 1]
    assert data.items.tolist() == [1, 0, 2]
    assert data.labels.tolist() == [0, 2, 0]
    assert (data.n_users, data.n_items) == (2, 3)
    assert data.users.dtype == np.int64
    assert data.labels.dtype == np.int8
    assert filters == []


@pytest.mark.parametrize("text", [GOOD.replace("\n", "\r\n"), GOOD.rstrip("\n"), "\ufeff" + GOOD, GOOD + "\n\n"])
def test_line_ends_byte_order_mark_and_last_newline_do_not_matter(tmp_path: Path, text: str) -> None:
    data, _ = read_inter(write(tmp_path, text))
    assert data.users.tolist() == [0, 0, 1, 1]
    assert data.labels.tolist() == [0, 1, 2, 0]


def test_matrices_and_pairs(tmp_path: Path) -> None:
    data, _ = read_inter(write(tmp_path, GOOD))
    assert data.csr(TRAIN).toarray().tolist() == [[1.0, 0.0], [0.0, 1.0]]
    assert data.csr(TEST).toarray().tolist() == [[0.0, 0.0], [1.0, 0.0]]
    assert data.csr(TRAIN).dtype == np.float64
    assert data.csr(VALIDATION).has_sorted_indices
    assert [part.tolist() for part in data.pairs(VALIDATION)] == [[0], [1]]


MALFORMED = {
    "empty file": ("", "empty", ""),
    "white space only": ("\n\n", "empty", ""),
    "header only": (HEADER, "no rows", ""),
    "no header": ("0\t0\t0\n0\t1\t0\n", "column not found in the header: userID", "line 1"),
    "commas": ("userID,itemID,x_label\n0,0,0\n", "column not found in the header: userID", "line 1"),
    "missing column": ("userID\titemID\n0\t0\n", "column not found in the header: x_label", "line 1"),
    "column twice": ("userID\titemID\tx_label\tuserID\n0\t0\t0\t0\n", "duplicate columns: userID", "line 1"),
    "truncated in the last line": (GOOD + "1\t", "2 fields, but the header has 3", "line 6"),
    "truncated after a tab": (GOOD + "1\t1\t", "x_label is missing", "line 6"),
    "too many fields": (HEADER + "0\t0\t0\n0\t1\t0\t7\n0\t1\t1\n", "4 fields", "line 3"),
    "blank line inside": (HEADER + "0\t0\t0\n\n0\t1\t1\n", "1 field, but the header has 3", "line 3"),
    "fields that even out over two lines": (HEADER + "0\t0\n0\t0\t0\t0\n", "2 fields", "line 2"),
    "missing user": (HEADER + "0\t0\t0\n\t1\t0\n", "userID is missing", "line 3, column userID"),
    "word for an id": (HEADER + "0\tB00X\t0\n", "itemID 'B00X' is not an integer", "line 2, column itemID"),
    "float id": (HEADER + "0\t1.0\t0\n", "itemID '1.0' is not an integer", "line 2"),
    "spaces": (HEADER + "0\t 1\t0\n", "is not an integer", "line 2"),
    "plus sign": (HEADER + "0\t+1\t0\n", "is not an integer", "line 2"),
    "lone minus": (HEADER + "0\t-\t0\n", "is not an integer", "line 2"),
    "minus at the very end": (HEADER + "0\t1\t0\n0\t1\t-", "is not an integer", "line 3"),
    "negative id": (HEADER + "0\t0\t0\n-1\t0\t0\n", "userID -1 is negative", "line 3"),
    "huge id": (HEADER + "0\t99999999999\t0\n", "maximum id", "line 2"),
    "longer than any integer": (HEADER + "0\t1" + "0" * 30 + "\t0\n", "digits", "line 2"),
    "sparse ids": (HEADER + "0\t0\t0\n0\t1000\t0\n", "is too large: only 2 different ids occur", "line 3"),
    "unknown labels": (HEADER + "0\t0\t0\n0\t1\t3\n0\t2\t9\n", "unknown x_label 3, 9 in 2 rows", "line 3"),
    "negative label": (HEADER + "0\t0\t-1\n", "unknown x_label -1", "line 2"),
    "NUL byte": (HEADER + "0\t0\t0\n0\t\x00\t0\n", "NUL", "line 3"),
    "no training rows": (HEADER + "0\t0\t1\n0\t1\t2\n", "no training rows", ""),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_malformed_files_are_errors_in_three_parts(tmp_path: Path, case: str) -> None:
    content, what, where = MALFORMED[case]
    path = write(tmp_path, content)
    with pytest.raises(RobustrecError) as caught:
        read_inter(path)
    assert what in caught.value.what
    assert str(path) in caught.value.where
    assert where in caught.value.where
    assert caught.value.fix


def test_bytes_that_are_no_text_name_the_line(tmp_path: Path) -> None:
    with pytest.raises(RobustrecError, match="not UTF-8") as caught:
        read_inter(write(tmp_path, HEADER.encode() + b"0\t0\t0\n\xff\t0\t0\n"))
    assert "line 3" in caught.value.where


def test_missing_file_and_folder_in_its_place(tmp_path: Path) -> None:
    for path in (tmp_path / "none.inter", tmp_path):
        with pytest.raises(RobustrecError, match="cannot read"):
            read_inter(path)


def test_a_known_catalog_bounds_and_widens(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD)
    assert read_inter(path, n_items=5)[0].n_items == 5
    with pytest.raises(RobustrecError, match="itemID 1 is out of range; ids must be below 1"):
        read_inter(path, n_items=1)


def test_repeats_are_counted_and_the_earliest_split_wins(tmp_path: Path) -> None:
    text = HEADER + "0\t0\t2\n0\t1\t0\n0\t0\t0\n0\t1\t0\n0\t2\t1\n0\t2\t2\n"
    data, filters = read_inter(write(tmp_path, text))
    kept = list(zip(data.items.tolist(), data.labels.tolist(), strict=True))
    assert kept == [(0, 0), (1, 0), (2, 1)]
    assert {row.reason: row.rows for row in filters} == {
        "repeated rows (same user, item and split)": 1,
        "rows of a pair that is already in an earlier split": 2,
    }


def test_held_out_rows_of_cold_users_are_dropped_and_counted(tmp_path: Path) -> None:
    data, filters = read_inter(write(tmp_path, HEADER + "0\t0\t0\n1\t0\t1\n1\t1\t2\n0\t1\t2\n"))
    assert data.users.tolist() == [0, 0]
    assert data.n_users == 2
    counts = {row.reason: row.rows for row in filters}
    assert counts["validation/test rows of users without training rows"] == 2
    assert counts["user ids without interactions (kept)"] == 1


def test_gaps_in_ids_are_allowed_and_counted(tmp_path: Path) -> None:
    data, filters = read_inter(write(tmp_path, HEADER + "0\t0\t0\n0\t9\t0\n"))
    assert data.n_items == 10
    assert {row.reason: row.rows for row in filters} == {"item ids without interactions (kept)": 8}


pair_lists = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9), st.integers(0, 2)), min_size=1, max_size=60)


@given(rows=pair_lists)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_reading_agrees_with_a_plain_reading(tmp_path: Path, rows: list[tuple[int, int, int]]) -> None:
    path = write(tmp_path, HEADER + "".join(f"{u}\t{i}\t{x}\n" for u, i, x in rows))
    best: dict[tuple[int, int], int] = {}
    for user, item, label in rows:
        best[user, item] = min(label, best.get((user, item), label))
    trained = {user for (user, _), label in best.items() if label == 0}
    expected = {(user, item, label) for (user, item), label in best.items() if user in trained}
    if not trained:
        with pytest.raises(RobustrecError, match="no training rows"):
            read_inter(path)
        return
    data, filters = read_inter(path)
    found = list(zip(data.users.tolist(), data.items.tolist(), data.labels.tolist(), strict=True))
    assert len(found) == len(expected)
    assert set(found) == expected
    dropped = sum(row.rows for row in filters if "(kept)" not in row.reason)
    assert dropped + len(found) == len(rows)
    write_inter(path, data)
    again, _ = read_inter(path, n_items=data.n_items, n_users=data.n_users)
    for name in ("users", "items", "labels"):
        assert np.array_equal(getattr(again, name), getattr(data, name))


pieces = st.sampled_from(
    [b"userID", b"itemID", b"x_label", b"\t", b"\n", b"\r\n", b"0", b"1", b"-", b"7", b"\x00", b"\xff", b"."]
)
soup = st.one_of(st.binary(max_size=80), st.lists(pieces, max_size=40).map(b"".join))


@given(body=soup, with_header=st.booleans())
@example(body=b"0\t0\t0", with_header=True)
@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_bytes_parse_or_raise_the_one_error(tmp_path: Path, body: bytes, with_header: bool) -> None:
    path = write(tmp_path, (HEADER.encode() if with_header else b"") + body)
    try:
        data, _ = read_inter(path)
    except RobustrecError:
        return
    assert isinstance(data, Interactions)
    assert len(data.users) == len(data.items) == len(data.labels) > 0
    assert 0 <= data.users.min() <= data.users.max() < data.n_users
    assert 0 <= data.items.min() <= data.items.max() < data.n_items


@pytest.mark.parametrize(
    ("name", "users", "items", "rows"),
    [
        ("baby/baby.inter", 19445, 7050, (118551, 21682, 20559)),
        ("clothing/clothing.inter", 39387, 23033, (197338, 41189, 40150)),
        ("movielens/mlsmall.inter", 671, 3379, (72045, 8640, 8640)),
    ],
)
def test_real_files(shared_folder: Path, name: str, users: int, items: int, rows: tuple[int, ...]) -> None:
    data, filters = read_inter(shared_folder / "data" / name)
    assert (data.n_users, data.n_items) == (users, items)
    assert tuple(np.bincount(data.labels).tolist()) == rows
    assert filters == []
