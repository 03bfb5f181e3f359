"""Ratings files as they are found: repeated headers, columns of one name, splits in a column, ids written alike."""

from __future__ import annotations

from pathlib import Path

import pytest

from robustrec.datasets.interactions import LABEL_NAMES
from robustrec.datasets.ratings import Ratings, read_ratings
from robustrec.errors import RobustrecError

PAIRS = [(user, item) for user in range(6) for item in range(6)]
HEADER = "user_id,item_id,rating,timestamp"


def lines(header: str = HEADER) -> list[str]:
    return [header, *(f"U{user},B{item},{1 + (user + item) % 5},{100 + item}" for user, item in PAIRS)]


def read(folder: Path, rows: list[str], **options: object) -> Ratings:
    path = folder / "ratings.csv"
    path.write_text("\n".join(rows) + "\n")
    return read_ratings(path, **{"k": 1, **options})  # type: ignore[arg-type]


def counted(ratings: Ratings) -> dict[str, int]:
    return {row.reason: row.rows for row in ratings.filters}


@pytest.mark.parametrize("again", [HEADER, HEADER.upper(), "User ID,Item-Id,Rating,TimeStamp"])
def test_a_header_that_is_repeated_in_any_spelling_is_no_interaction(tmp_path: Path, again: str) -> None:
    rows = lines()
    ratings = read(tmp_path, [*rows[:20], again, *rows[20:]], min_rating=1.0)
    assert (ratings.interactions.n_users, ratings.interactions.n_items) == (6, 6)
    assert counted(ratings)["header lines (column names, not interactions)"] == 1


def test_an_unknown_header_that_is_repeated_is_a_header_both_times(tmp_path: Path) -> None:
    rows = lines("kunde,ware,wertung,t")
    ratings = read(tmp_path, [*rows[:20], rows[0], *rows[20:]], columns=("user", "item", "rating", "timestamp"))
    assert (ratings.interactions.n_users, len(ratings.interactions.users)) == (6, 36)
    assert counted(ratings)["header lines (column names, not interactions)"] == 2


def test_a_second_header_in_another_order_is_an_error(tmp_path: Path) -> None:
    rows = lines()
    with pytest.raises(RobustrecError, match="another order") as error:
        read(tmp_path, [*rows, "item_id,user_id,rating,timestamp", "B1,U1,3,1"])
    assert "line 38" in error.value.where


@pytest.mark.parametrize("header", ["user_id,User_ID,item_id,rating", "user_id,item_id,item id,rating"])
def test_two_columns_of_one_name_are_an_error(tmp_path: Path, header: str) -> None:
    with pytest.raises(RobustrecError, match="two columns are called"):
        read(tmp_path, lines(header))


def test_two_columns_of_one_kind_in_the_option_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(RobustrecError, match="two columns are called 'user'"):
        read(tmp_path, lines()[1:], columns=("user", "user", "item", "rating"))


def test_columns_that_contradict_the_header_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(RobustrecError, match="column 1 is called 'user_id' in the file and item in --columns"):
        read(tmp_path, lines(), columns=("item", "user", "rating", "timestamp"))
    assert (
        read(tmp_path, lines("user,user_id,item,rating"), columns=("user", "-", "item", "rating")).user_ids[0] == "U0"
    )


@pytest.mark.parametrize(
    ("name", "values"), [("x_label", "012"), ("split", LABEL_NAMES), ("subset", ("Train", "VAL", "Test"))]
)
def test_a_column_of_splits_is_kept(tmp_path: Path, name: str, values: tuple[str, ...]) -> None:
    label = {item: max(0, item - 3) for item in range(6)}
    rows = [f"user,item,{name}", *(f"U{user},B{item},{values[label[item]]}" for user, item in PAIRS)]
    inter = read(tmp_path, rows, k=5).interactions
    assert inter.labels.tolist() == [label[item] for item in inter.items.tolist()]


def test_a_split_that_is_none_is_an_error_and_a_column_of_other_values_is_only_named(tmp_path: Path) -> None:
    rows = ["user,item,split", *(f"U{user},B{item},train" for user in range(60) for item in range(6)), "U1,B9,later"]
    with pytest.raises(RobustrecError, match="unknown split 'later'"):
        read(tmp_path, rows)
    ratings = read(tmp_path, ["user,item,split,label", *(f"U{user},B{item},a,{item % 2}" for user, item in PAIRS)])
    assert counted(ratings)["columns that are ignored: split, label"] == 2


def test_ids_that_differ_only_in_how_they_are_written_are_counted(tmp_path: Path) -> None:
    rows = [
        "user,item",
        "007,B1",
        "7,B1",
        "8,b1",
        "9,1.23457E+12",
        "a\u200b,B2",
        "a,B3",
        "caf\u00e9,B2",
        "cafe\u0301,B2",
    ]
    counts = counted(read(tmp_path, rows))
    assert counts["users whose id differs from another's only in case, leading zeros or form"] == 6
    assert counts["items whose id differs from another's only in case, leading zeros or form"] == 2
    assert next(count for reason, count in counts.items() if "scientific notation" in reason) == 1


def test_a_first_line_of_words_that_occur_nowhere_else_is_pointed_at(tmp_path: Path) -> None:
    rows = [f"{user},{item}" for user in ("ann", "bob", "eve") for item in ("ham", "egg", "jam")]
    assert not counted(read(tmp_path, rows, columns=("user", "item")))
    ratings = read(tmp_path, ["kunde,ware", *rows], columns=("user", "item"))
    assert any("may be a header" in reason for reason in counted(ratings))
