"""Ratings, catalogs and .inter files, damaged in every way: the one error with its place, or rows that are right."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from robustrec.datasets.interactions import COLUMNS, read_inter
from robustrec.datasets.items import read_items
from robustrec.datasets.naming import is_missing
from robustrec.datasets.ratings import read_published_split, read_ratings
from robustrec.errors import RobustrecError

pytestmark = pytest.mark.filterwarnings("error")
quick = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)

RATINGS = "user,item,rating,timestamp\n" + "".join(
    f"u{u},i{i},{1 + (u + i) % 5},{u}\n" for u in range(3) for i in range(3)
)
INTER = "userID\titemID\tx_label\n" + "".join(f"{u}\t{i}\t{i}\n" for u in range(3) for i in range(3))
ITEMS = "".join(json.dumps({"itemID": i, "title": f"Good {i}", "categories": ["A"]}) + "\n" for i in range(3))
TABLE = "itemID,title,categories\n" + "".join(f'{i},"Good, {i}",A|B\n' for i in range(3))

junk = st.sampled_from(
    [
        b"\0", b"\xff\xfe", b"\xef\xbb\xbf", b'"', b"'", b",", b"\t", b"\n", b"\r\n", b"\r", b"\xe4", b"NaN", b"inf",
        b"-1", b"9" * 30, b"x" * 140_000, b"{", b"[" * 2000, b"1e309", b"\\u0000", b"1_0", b"null", b" ", b"#", b"0x1f",
    ]
)  # fmt: skip


@st.composite
def damaged(draw: st.DrawFn, text: str) -> bytes:
    content = draw(st.sampled_from([text.encode(), text.replace("\n", "\r\n").encode(), text.encode("utf-16")]))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(content)))
        end = draw(st.integers(at, min(len(content), at + 6)))
        content = content[:at] + draw(junk) + content[end:]
    return content[: draw(st.integers(0, len(content)))] if draw(st.booleans()) else content


def read(path: Path, content: bytes, reader: Callable[[Path], Any]) -> Any:
    """Return what a reader makes of a file, None where it ends in the one error with its three parts."""
    path.write_bytes(content)
    try:
        return reader(path)
    except RobustrecError as error:
        complete = bool(error.what and error.fix) and (path.name in error.where or "option" in error.where)
    assert complete
    return None


@given(content=damaged(RATINGS), options=st.sampled_from([{}, {"min_rating": 3.0}, {"columns": ("user", "item")}]))
@quick
def test_ratings(tmp_path: Path, content: bytes, options: dict[str, Any]) -> None:
    found = read(tmp_path / "ratings.csv", content, lambda path: read_ratings(path, k=1, **options))
    if found is not None:
        inter = found.interactions
        for names, number in ((found.user_ids, inter.n_users), (found.item_ids, inter.n_items)):
            assert len(names) == number == len(set(names))
            assert not any(is_missing(name) or "\0" in name or name != name.strip() for name in names)
        pairs = set(zip(inter.users.tolist(), inter.items.tolist(), strict=True))
        assert len(pairs) == len(inter.users) > 0


@given(at=st.integers(0, len(RATINGS)))
@quick
def test_a_cut_file_adds_no_row(tmp_path: Path, at: int) -> None:
    whole = {tuple(line.split(",")[:2]) for line in RATINGS.splitlines()[1:]}
    found = read(tmp_path / "ratings.csv", RATINGS[:at].encode(), lambda path: read_ratings(path, k=1, min_rating=1))
    if found is not None:
        inter = found.interactions
        pairs = zip(inter.users.tolist(), inter.items.tolist(), strict=True)
        assert {(found.user_ids[user], found.item_ids[item]) for user, item in pairs} <= whole


@given(content=damaged(INTER))
@quick
def test_mmrec_interactions(tmp_path: Path, content: bytes) -> None:
    found = read(tmp_path / "x.inter", content, read_inter)
    if found is not None:
        inter = found[0]
        lines = content.decode("utf-8-sig").replace("\r\n", "\n").split("\n")
        header = [name.strip() for name in lines[0].split("\t")]
        rows = [dict(zip(header, line.split("\t"), strict=True)) for line in lines[1:] if line]
        written = {tuple(int(value) for name, value in row.items() if name in COLUMNS) for row in rows}
        kept = set(zip(inter.users.tolist(), inter.items.tolist(), inter.labels.tolist(), strict=True))
        assert not set(COLUMNS) <= set(header) or kept <= written


@given(content=damaged(ITEMS), by_id=st.booleans())
@quick
def test_catalogs(tmp_path: Path, content: bytes, by_id: bool) -> None:
    ids = None if by_id else {"0": 2, "1": 1, "2": 0}
    found = read(tmp_path / "items.jsonl", content, lambda path: read_items(path, 3, ids=ids))
    if found is not None:
        for item in filter(None, found.rows):
            assert not is_missing(item.title) or item.title == ""
            assert all(label.strip() == label for label in item.categories)


@given(content=damaged(TABLE))
@quick
def test_catalogs_that_are_tables(tmp_path: Path, content: bytes) -> None:
    found = read(tmp_path / "items.csv", content, lambda path: read_items(path, 3))
    if found is not None:
        assert len(found.rows) == 3


@given(content=damaged("0 1 2 3\n1 2 3\n2 0 1\n"))
@quick
def test_lists_of_items(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "test.txt").write_text("0 4\n1 4\n")
    read(tmp_path / "train.txt", content, lambda path: read_published_split({0: path, 2: tmp_path / "test.txt"}))


# Without points, since "7.0" is the id 7 where all ids are numbers.
field = st.text(st.characters(exclude_characters=".", exclude_categories=["Cs"]), max_size=6)


@given(fields=st.lists(st.tuples(field, field, field, field), min_size=1, max_size=8))
@quick
def test_any_text_in_quotes_comes_back_as_the_id_it_is(tmp_path: Path, fields: list[tuple[str, ...]]) -> None:
    """Quotes, line ends and separators inside of ids; what counts as missing, and what cannot be written, aside."""
    quoted = ['"' + field.replace('"', '""') + '"' for row in fields for field in row]
    lines = [",".join(quoted[at : at + 4]) for at in range(0, len(quoted), 4)]
    path = tmp_path / "ratings.csv"
    content = "\n".join(["user,item,a,b", *lines]).encode()
    found = read(path, content, lambda place: read_ratings(place, k=1))
    if found is not None:
        inter = found.interactions
        pairs = zip(inter.users.tolist(), inter.items.tolist(), strict=True)
        expected = {(u.strip(), i.strip()) for u, i, *_ in fields if not is_missing(u) and not is_missing(i)}
        assert {(found.user_ids[user], found.item_ids[item]) for user, item in pairs} == expected
