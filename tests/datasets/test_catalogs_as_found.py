"""Catalogs, feature files and folders as they are found: what is understood, and what is told or refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from robustrec.datasets.importing import ImportOptions, import_folder
from robustrec.datasets.registry import Dataset, load_dataset
from robustrec.errors import RobustrecError

N = 6
RATINGS = "user_id,item_id\n" + "".join(f"u{user},{item}\n" for user in range(N) for item in range(N))
INTER = "userID\titemID\tx_label\n" + "".join(
    f"{user}\t{item}\t{max(0, item - 3)}\n" for user in range(N) for item in range(N)
)
MAPPING = "asin\titemID\n" + "".join(f"B{N - 1 - item}\t{item}\n" for item in range(N))
Import = Callable[..., Dataset]


@pytest.fixture
def imported(tmp_path: Path) -> Import:
    """Return a function that writes files into a folder, imports it and loads the data set."""

    def make(files: dict[str, str | np.ndarray[Any, Any]], **options: Any) -> Dataset:
        folder = tmp_path / "shop"
        folder.mkdir()
        for name, content in files.items():
            if isinstance(content, str):
                (folder / name).write_text(content)
            else:
                np.save(folder / name, content)
        import_folder(folder, "shop", tmp_path / "home", ImportOptions(**options))
        return load_dataset("shop", home=tmp_path / "home")

    return make


def lines(records: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(record) + "\n" for record in records)


def titles(data: Dataset) -> list[str]:
    assert data.catalog is not None
    return list(data.catalog.titles)


def reasons(data: Dataset) -> dict[str, int]:
    return {row.reason: row.rows for row in data.filters}


def test_an_array_is_read_like_lines(imported: Import) -> None:
    records = [{"item_id": str(item), "title": f"t{item}"} for item in range(N)]
    assert titles(imported({"ratings.csv": RATINGS, "items.json": json.dumps(records)})) == [f"t{i}" for i in range(N)]


def test_lists_in_a_table_and_missing_parts_of_lists_are_no_text(imported: Import) -> None:
    rows = "".join(f"{item},t{item},\"['A', 'B']\",\"[None, 'soft', 'nan']\"\n" for item in range(N))
    data = imported({"ratings.csv": RATINGS, "items.csv": "item_id,title,categories,description\n" + rows})
    assert data.catalog is not None
    assert data.catalog.texts[0] == "t0 A B soft"


@pytest.mark.parametrize(
    "catalog",
    ["item_id,bezeichnung\n" + "".join(f"{i},t{i}\n" for i in range(N)), "item_id,title\n0,NaN\n", "item_id,title\n"],
)
def test_a_catalog_that_says_nothing_is_an_error(imported: Import, catalog: str) -> None:
    with pytest.raises(RobustrecError, match="no title, brand, category, description or picture"):
        imported({"ratings.csv": RATINGS, "items.csv": catalog})


def test_a_catalog_of_external_ids_is_matched_by_the_mapping(imported: Import) -> None:
    """Also one of ids that are numbers, which are not the numbers of the interactions, and of an item not sold yet."""
    records = [{"asin": f"B{item}", "title": f"t{item}"} for item in range(N)] + [{"asin": "B77", "title": "other"}]
    data = imported({"shop.inter": INTER, "i_id_mapping.csv": MAPPING, "items.jsonl": lines(records)})
    assert titles(data) == [f"t{N - 1 - item}" for item in range(N)]
    assert [data.catalog.own_id(item) for item in range(N)] == [f"B{N - 1 - item}" for item in range(N)]
    assert reasons(data)["catalog lines of items without interactions"] == 1


def test_numeric_external_ids_are_matched_by_the_mapping(imported: Import) -> None:
    records = [{"movieId": item, "title": f"t{item}"} for item in range(N)]
    mapping = MAPPING.replace("B", "").replace("\t", ",")
    data = imported({"shop.inter": INTER, "i_id_mapping.csv": mapping, "items.jsonl": lines(records)})
    assert titles(data) == [f"t{N - 1 - item}" for item in range(N)]
    assert data.catalog.own_id(0) == f"{N - 1}"


@pytest.mark.parametrize(
    "mapping", ["hello", "asin\titemID\nB1\tx\n", "asin\titemID\nB1\t1\nB1\t2\n", "asin\titemID\nB1\t1\nB2\t1\n"]
)
def test_a_mapping_that_is_none_is_an_error(imported: Import, mapping: str) -> None:
    with pytest.raises(RobustrecError) as error:
        imported(
            {"shop.inter": INTER, "i_id_mapping.csv": mapping, "items.jsonl": lines([{"asin": "B1", "title": "t"}])}
        )
    assert "i_id_mapping.csv" in error.value.where


@pytest.mark.parametrize(
    ("key", "ids"), [("item_id", range(1, N + 1)), ("movieId", range(1, N + 1)), ("movieId", range(0, 3 * N, 3))]
)
def test_numbers_that_are_not_those_of_the_interactions_are_an_error(imported: Import, key: str, ids: range) -> None:
    with pytest.raises(RobustrecError, match=f"items from 1 to {N}|are not the numbers 0 to"):
        imported({"shop.inter": INTER, "items.jsonl": lines([{key: item, "title": f"t{item}"} for item in ids])})


def test_features_beside_ratings_are_rows_of_ids_from_0(imported: Import, tmp_path: Path) -> None:
    features = np.arange(N * 3, dtype=np.float32).reshape(N, 3)
    data = imported({"ratings.csv": RATINGS, "image_feat.npy": features})
    assert np.array_equal(np.load(data.feature_files["image"]), features)
    assert reasons(data)[f"rows of image_feat.npy taken by item id, since the item ids are 0 to {N - 1}"] == N


@pytest.mark.parametrize(("ratings", "rows"), [(RATINGS, N + 1), (RATINGS.replace(",5\n", ",6\n"), N)])
def test_features_beside_other_ratings_are_left_out_and_counted(imported: Import, ratings: str, rows: int) -> None:
    data = imported({"ratings.csv": ratings, "image_feat.npy": np.ones((rows, 3), np.float32)})
    assert not data.feature_files
    assert (
        reasons(data)["rows of image_feat.npy that were ignored: the item of each row is unknown for a ratings file"]
        == N
    )


def test_rows_that_are_zero_as_float32_are_counted(imported: Import) -> None:
    features = np.ones((N, 3))
    features[2] = 1e-300
    data = imported({"shop.inter": INTER, "image_feat.npy": features})
    assert [rows for reason, rows in reasons(data).items() if "zero" in reason] == [1]


@pytest.mark.parametrize("features", [np.float32(1), np.ones((N, 3), np.longdouble)], ids=["no dimension", "float128"])
def test_features_of_another_kind_are_an_error(imported: Import, features: Any) -> None:
    with pytest.raises(RobustrecError, match="floating-point numbers"):
        imported({"shop.inter": INTER, "image_feat.npy": features})


def test_files_that_are_not_read_are_named(imported: Import) -> None:
    data = imported({"shop.inter": INTER, "ratings.csv": RATINGS, "Image_Feat.npy": np.ones(3), "notes.md": "x"})
    assert reasons(data)["files that are not read: Image_Feat.npy, ratings.csv"] == 2


def test_a_part_of_a_published_split_is_not_all_ratings(imported: Import) -> None:
    with pytest.raises(RobustrecError, match="its training file is not there"):
        imported({"shop.test.csv": RATINGS}, k=1)


def test_a_split_without_rows_and_two_splits_are_errors(imported: Import, tmp_path: Path) -> None:
    with pytest.raises(RobustrecError, match="no rows with a user and an item") as error:
        imported({"a.train.csv": RATINGS, "a.test.csv": "user_id,item_id\n"})
    assert "a.test.csv (format: CSV)" in error.value.where
    for name in ("b.train.csv", "b.test.csv"):
        (tmp_path / "shop" / name).write_text(RATINGS)
    with pytest.raises(RobustrecError, match="several published splits"):
        import_folder(tmp_path / "shop", "shop", tmp_path / "home")
