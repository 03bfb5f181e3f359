"""What says the same is the same data set: rows in any order, other names of columns, other ways to write a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiny_folders import N_ITEMS, N_USERS, inter_text

from robustrec.datasets.importing import ImportOptions, import_folder
from robustrec.datasets.naming import ALIASES, id_order, is_missing, loose_id, without_decimals
from robustrec.datasets.ratings import read_ratings
from robustrec.datasets.registry import load_dataset
from robustrec.errors import RobustrecError

ROWS = [(f"u{user}", f"{3 * item}", 5 - (user + item) % 3, 100 * user + item) for user in range(7) for item in range(9)]


def told(folder: Path, home: Path, **options: Any) -> Any:
    """Import a folder and return all that counts of it."""
    name = f"d{len(list((home / 'data').glob('*'))) if (home / 'data').exists() else 0}"
    target = import_folder(folder, name, home, ImportOptions(**options))
    data = load_dataset(name, home=home)
    inter = data.interactions
    return (
        data.digest,
        inter.users.tolist(),
        inter.items.tolist(),
        inter.labels.tolist(),
        {row.reason: row.rows for row in data.filters},
        (target / "i_id_mapping.csv").read_text() if (target / "i_id_mapping.csv").exists() else None,
    )


def written(folder: Path, content: str | bytes, name: str = "ratings.csv") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


def text(rows: list[tuple[Any, ...]], header: str = "user,item,rating,timestamp", delimiter: str = ",") -> str:
    lines = [header.replace(",", delimiter), *(delimiter.join(map(str, row)) for row in rows)]
    return "\n".join(lines) + "\n"


@given(order=st.permutations(ROWS), seed=st.integers(0, 3))
@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_rows_in_any_order_are_the_same_ratings(tmp_path: Path, order: list[tuple[Any, ...]], seed: int) -> None:
    """With a pair rated twice and a row repeated, so that which of them is kept could depend on the order."""
    double = [*ROWS, ("u0", "0", 1, 999), ROWS[5]]
    first, second = (
        read_ratings(written(tmp_path, text(rows)) / "ratings.csv", seed=seed)
        for rows in (double, [("u0", "0", 1, 999), *order, ROWS[5]])
    )
    for name in ("users", "items", "labels"):
        assert (getattr(first.interactions, name) == getattr(second.interactions, name)).all()
    assert first[1:] == second[1:]


def test_two_exports_are_one_data_set(tmp_path: Path) -> None:
    """Sorted by user and by time; columns renamed and reordered; tabs; CRLF and a byte order mark; ids with .0."""
    home = tmp_path / "home"
    by_time = sorted(ROWS, key=lambda row: (row[3] % 100, row[3]))
    swapped = [(row[3], row[1], row[0], row[2]) for row in by_time]
    variants = [
        text(ROWS),
        text(by_time),
        text(swapped, "unixReviewTime,parent_asin,reviewerID,overall"),
        text(by_time, delimiter="\t"),
        b"\xef\xbb\xbf" + text(ROWS).replace("\n", "\r\n").encode(),
        text([(row[0], f"{row[1]}.0", *row[2:]) for row in by_time]),
        text([(f'"{row[0]}"', *row[1:]) for row in ROWS], '"user","item","rating","timestamp"'),
    ]
    found = [told(written(tmp_path / f"v{place}", content), home) for place, content in enumerate(variants)]
    assert all(each == found[0] for each in found)
    recbole = text(by_time, "user_id:token,item_id:token,rating:float,timestamp:float", "\t")
    assert told(written(tmp_path / "recbole", recbole, "shop.inter"), home) == found[0]
    assert told(written(tmp_path / "other", text(ROWS[:-1])), home) != found[0]


def test_mmrec_rows_in_any_order_are_one_data_set(tmp_path: Path) -> None:
    home = tmp_path / "home"
    header, *rows = inter_text().splitlines()
    shuffled = [rows[place] for place in np.random.default_rng(0).permutation(len(rows))]
    variants = [
        "\n".join([header, *rows]),
        "\n".join([header, *shuffled, shuffled[3]]),
        "\n".join([header.replace("userID", "user_id").replace("itemID", "iid"), *shuffled]),
    ]
    found = [told(written(tmp_path / f"v{place}", content, "x.inter"), home) for place, content in enumerate(variants)]
    assert found[0][:4] == found[1][:4] == found[2][:4]
    assert found[1][4] == {"repeated rows (same user, item and split)": 1}
    bare = [load_dataset(str(tmp_path / f"v{place}"), home=home).digest for place in range(3)]
    assert set(bare) == {found[0][0]}


def test_ids_are_numbered_by_value_and_by_text(tmp_path: Path) -> None:
    rows = [(user, item, 5, 1) for user in ("10", "9", "b", "a", "09") for item in ("2", "10", "x")]
    found = read_ratings(written(tmp_path, text(rows)) / "ratings.csv", k=1)
    assert found.user_ids == ["09", "9", "10", "a", "b"]
    assert found.item_ids == ["2", "10", "x"]
    assert sorted(["10", "9", "9" * 200], key=id_order) == ["9", "10", "9" * 200]


def test_ids_written_as_numbers_lose_their_decimals_only_where_all_are_numbers() -> None:
    assert without_decimals(["7.0", "10", "3.00"]) == ["7", "10", "3"]
    assert without_decimals(["7.0", "v1.0"]) == ["7.0", "v1.0"]
    assert without_decimals(["7.5", "1.0"]) == ["7.5", "1.0"]
    assert without_decimals(["007"]) == ["007"]
    assert (loose_id("007"), loose_id("7.0"), loose_id("B07x"), loose_id("7.5")) == ("7", "7", "b07x", "7.5")


MISSING = ["", " ", "NaN", "nan", "NULL", "null", "None", "NONE", "N/A", "n/a", "NA", "<NA>", "#N/A", "\\N", "NaT"]


@pytest.mark.parametrize("spelled", MISSING)
def test_what_stands_for_no_value_is_no_user_item_rating_or_title(tmp_path: Path, spelled: str) -> None:
    assert is_missing(spelled)
    rows = [*ROWS, (spelled, "0", 5, 1), ("u1", spelled, 5, 1), ("u1", "0", spelled, 2), ("u1", "0", 5, spelled)]
    folder = written(tmp_path / "source", text(rows))
    lines = [{"item_id": f"{3 * item}", "title": spelled if item == 4 else f"Good {item}"} for item in range(9)]
    written(folder, "".join(json.dumps(line) + "\n" for line in lines), "items.jsonl")
    counts = told(folder, tmp_path / "home", min_rating=1.0)[4]
    assert counts == {
        "rows without a user or item": 2,
        "rows without a rating": 1,
        "rows without a time": 1,
        "items without a title in the catalog (kept)": 1,
    }


@pytest.mark.parametrize("rating", ["inf", "-inf", "Infinity", "NaN", "nan", "NAN", "+nan", ""])
def test_ratings_that_are_no_finite_number_are_left_out_and_counted(tmp_path: Path, rating: str) -> None:
    rows = [*ROWS, ("u9", "0", rating, 1)]
    found = read_ratings(written(tmp_path, text(rows)) / "ratings.csv", k=1, min_rating=4)
    assert "u9" not in found.user_ids
    assert {row.reason: row.rows for row in found.filters}["rows without a rating"] == 1
    assert read_ratings(tmp_path / "ratings.csv", k=1).user_ids[-1] == "u9"  # without --min-rating they count


COLUMNS = ("user", "item", "rating", "timestamp")


@pytest.mark.parametrize(
    ("header", "rows", "columns"),
    [
        ("konto,ware,note,wann", ROWS, COLUMNS),
        ("konto,ware,note", [row[:3] for row in ROWS], COLUMNS[:3]),
        ("konto,ware", [row[:2] for row in ROWS], COLUMNS[:2]),
        ("konto_id,ware_id", [(f"{'abcdefg'[int(row[0][1:])]}x", row[1]) for row in ROWS], COLUMNS[:2]),
        ("wann,ware,konto", [("2020-01-02", row[1], row[0]) for row in ROWS], ("timestamp", "item", "user")),
    ],
)
def test_a_header_of_other_names_is_no_row(
    tmp_path: Path, header: str, rows: list[tuple[Any, ...]], columns: tuple[str, ...]
) -> None:
    found = read_ratings(written(tmp_path, text(rows, header)) / "ratings.csv", k=1, columns=columns)
    assert (len(found.user_ids), len(found.item_ids)) == (7, 9)
    counts = {row.reason: row.rows for row in found.filters}
    assert counts["header lines (column names, not interactions)"] == 1
    with pytest.raises(RobustrecError, match=r"column not found: user, item|no header"):
        read_ratings(tmp_path / "ratings.csv", k=1)


@pytest.mark.parametrize(
    "rows",
    [
        [("anna", "shirt", 5, 1), ("u1", "i1", 4, 2), ("u2", "i2", 3, 3)],
        [("anna", "shirt", "nan", 1), ("u1", "i1", 4, 2), ("u2", "i2", 3, 3)],
        [("anna", "shirt"), ("berta", "cap"), ("carla", "hat")],
        [("anna", "i1"), ("u1", "i1"), ("u2", "i2")],
    ],
)
def test_a_first_row_that_may_be_an_interaction_is_one(tmp_path: Path, rows: list[tuple[Any, ...]]) -> None:
    path = tmp_path / "ratings.csv"
    path.write_text("".join(",".join(map(str, row)) + "\n" for row in rows))
    assert "anna" in read_ratings(path, k=1, columns=COLUMNS[: len(rows[0])]).user_ids


def test_a_header_in_the_middle_of_appended_files_is_counted(tmp_path: Path) -> None:
    path = written(tmp_path, text(ROWS[:30]) + text(ROWS[30:])) / "ratings.csv"
    found = read_ratings(path, k=1)
    assert len(found.user_ids) == 7
    assert {row.reason: row.rows for row in found.filters} == {"header lines (column names, not interactions)": 1}


def test_every_alias_is_written_plainly_and_belongs_to_one_kind() -> None:
    names = [name for aliases in ALIASES.values() for name in aliases]
    assert len(names) == len(set(names))
    assert all(name.isalnum() and name == name.lower() for name in names)


PUBLISHED = {
    "csv": ("shop.train.csv", "shop.valid.csv", "shop.test.csv"),
    "plain": ("train.tsv", "val.tsv", "test.tsv"),
    "recbole": ("ml.train.inter", "ml.valid.inter", "ml.test.inter"),
    "lightgcn": ("train.txt", "test.txt"),
}


@pytest.mark.parametrize("kind", PUBLISHED)
def test_a_published_split_is_kept_as_it_is(tmp_path: Path, kind: str) -> None:
    names = PUBLISHED[kind]
    rows = [(user, (user + step) % N_ITEMS, step) for user in range(N_USERS) for step in range(5)]
    parts = [[row[:2] for row in rows if row[2] < 3], *([row[:2] for row in rows if row[2] == step] for step in (3, 4))]
    if len(names) == 2:
        parts = [parts[0], parts[1] + parts[2]]
    for name, part in zip(names, parts, strict=True):
        lists = {user: [str(item) for owner, item in part if owner == user] for user, _ in part}
        content = (
            "".join(f"{user} {' '.join(items)}\n" for user, items in lists.items())
            if kind == "lightgcn"
            else text(part, "user_id:token,item_id:token", "," if kind == "csv" else "\t")
        )
        written(tmp_path / "source", content, name)
    import_folder(tmp_path / "source", "mine", tmp_path / "home")
    data = load_dataset("mine", home=tmp_path / "home")
    expected = {(*row, 2 if len(names) == 2 and place else place) for place, part in enumerate(parts) for row in part}
    inter = data.interactions
    assert set(zip(inter.users.tolist(), inter.items.tolist(), inter.labels.tolist(), strict=True)) == expected
    assert names[0] in (data.folder / "dataset.toml").read_text()


def test_pairs_that_two_files_of_a_split_hold_are_counted(tmp_path: Path) -> None:
    for name, rows in (("train.csv", ROWS[:20]), ("test.csv", [*ROWS[18:22], ("stranger", "0", 1, 1)])):
        written(tmp_path / "source", text(rows), name)
    counts = told(tmp_path / "source", tmp_path / "home")[4]
    assert counts["rows of a pair that is already in an earlier split"] == 2
    assert counts["validation/test rows of users without training rows"] == 1
