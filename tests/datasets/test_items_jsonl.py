from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from robustrec.datasets.catalog import build_catalog, sentence
from robustrec.datasets.formats import json_lines
from robustrec.datasets.items import items_text, read_items
from robustrec.errors import RobustrecError


def write(folder: Path, *records: Any) -> Path:
    path = folder / "items.jsonl"
    path.write_text("".join((record if isinstance(record, str) else json.dumps(record)) + "\n" for record in records))
    return path


def text_of(folder: Path, **record: Any) -> str:
    row = read_items(write(folder, {"itemID": 0, **record}), 1).rows[0]
    assert row is not None
    return sentence(row)


def test_sentence_is_title_brand_first_category_path_description(tmp_path: Path) -> None:
    text = text_of(
        tmp_path,
        title="Soft  Bib",
        brand="Acme",
        categories=[["Baby", "Feeding & Bibs"], ["Gifts"]],
        description="Keeps\nclean.\tTwo ",
        price=3.5,
        extra={"any": ["thing"]},
    )
    assert text == "Soft Bib Acme Baby Feeding & Bibs Keeps clean. Two"


@pytest.mark.parametrize("categories", [["A", "B C"], [["A", "B C"], ["D"]], "A|B C", [["A", None, "B C"]]])
def test_forms_of_categories(tmp_path: Path, categories: Any) -> None:
    assert text_of(tmp_path, title="t", categories=categories) == "t A B C"


def test_genres_tags_and_overview_stand_in(tmp_path: Path) -> None:
    record = {"title": "Heat", "genres": "Crime|Drama", "tags": "heist", "overview": "A thief."}
    assert text_of(tmp_path, **record) == "Heat Crime Drama heist A thief."
    assert text_of(tmp_path, **record, categories=["Film"], description="Own.") == "Heat Film Own."


@pytest.mark.parametrize(
    "record", [{}, {"title": None, "brand": "", "categories": [], "description": " \n"}, {"tags": ""}]
)
def test_missing_texts_are_nothing(tmp_path: Path, record: dict[str, Any]) -> None:
    assert text_of(tmp_path, **record) == ""


def test_numbers_and_lists_of_texts_are_texts(tmp_path: Path) -> None:
    assert text_of(tmp_path, title=1984, description=["One.", "Two."]) == "1984 One. Two."


def test_half_a_surrogate_pair_cannot_break_an_encoder(tmp_path: Path) -> None:
    text = text_of(tmp_path, title=None, description="x") + text_of(tmp_path, title="a\ud800b")
    assert text.encode("utf-8")


def test_missing_items_are_none_and_have_a_name(tmp_path: Path) -> None:
    table = read_items(write(tmp_path, {"itemID": 2, "title": "Two"}, "", {"itemID": 0}), 4)
    assert [row is None for row in table.rows] == [False, True, False, True]
    catalog, index = build_catalog(table.rows, None)
    assert catalog.titles == ("item 0", "item 1", "Two", "item 3")
    assert catalog.texts == ("", "", "Two", "")
    assert (catalog.n_texts, catalog.n_pictures, index.lost) == (1, 0, 0)
    assert catalog.picture(2) is None
    assert catalog.picture_bytes(2) is None


WRONG = {
    "invalid JSON": ('{"itemID": 0,', "invalid JSON"),
    "truncated": ('{"itemID": 0, "title": "Ba', "invalid JSON"),
    "not an object": ("[1, 2]", "expected a JSON object, but got list"),
    "no itemID": ('{"title": "x"}', "itemID is missing"),
    "null itemID": ('{"itemID": null}', "itemID None is not an integer"),
    "text itemID": ('{"itemID": "zero"}', "itemID 'zero' is not an integer"),
    "true": ('{"itemID": true}', "is not an integer"),
    "negative": ('{"itemID": -1}', "itemID -1 is out of range; there are 5 items"),
    "out of range": ('{"itemID": 5}', "itemID 5 is out of range; there are 5 items"),
    "object for a title": ('{"itemID": 1, "title": {}}', "expected a string, but got dict"),
    "number for categories": ('{"itemID": 1, "categories": 4}', "expected labels, but got int"),
    "deeply nested": ('{"itemID": ' + "[" * 100_000, "invalid JSON"),
    "endless number": ('{"itemID": ' + "9" * 10_000 + "}", "invalid JSON"),
    "long text": ('{"itemID": 1, "title": "' + "x" * 100_001 + '"}', "100001 characters"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_lines_name_file_and_line(tmp_path: Path, case: str) -> None:
    line, what = WRONG[case]
    path = write(tmp_path, {"itemID": 4}, line)
    with pytest.raises(RobustrecError) as caught:
        read_items(path, 5)
    assert what in caught.value.what
    assert f"{path}: line 2" in caught.value.where
    assert caught.value.fix


def test_repeated_items_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(RobustrecError, match="duplicate item 1"):
        read_items(write(tmp_path, {"itemID": 1}, {"itemID": 1}), 3)


def test_long_lines_and_other_encodings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "items.jsonl"
    path.write_bytes('{"itemID": 0, "title": "Café"}\n'.encode("latin-1"))
    with pytest.raises(RobustrecError, match="invalid JSON"):
        read_items(path, 1)
    monkeypatch.setattr(json_lines, "MAX_LINE_BYTES", 40)
    with pytest.raises(RobustrecError, match="the line is longer than 40 bytes"):
        read_items(write(tmp_path, {"itemID": 0, "title": "x" * 60}), 1)
    with pytest.raises(RobustrecError, match="cannot read"):
        read_items(tmp_path / "none.jsonl", 1)


def test_external_ids_find_their_item_and_strangers_are_counted(tmp_path: Path) -> None:
    path = write(tmp_path, {"asin": "B1", "title": "one"}, {"movieId": 7, "title": "seven"}, {"asin": "B9"}, {})
    table = read_items(path, 3, ids={"B1": 2, "7": 0})
    assert [row.title if row else None for row in table.rows] == ["seven", None, "one"]
    assert table.unknown == 2


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)
keys = st.sampled_from(
    ["itemID", "title", "brand", "categories", "description", "image", "genres", "tags", "asin", "x"]
)


@given(records=st.lists(st.dictionaries(keys, json_values, max_size=6), max_size=4), tail=st.binary(max_size=12))
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_catalog_parses_or_raises_the_one_error(tmp_path: Path, records: list[dict[str, Any]], tail: bytes) -> None:
    path = write(tmp_path, *records)
    path.write_bytes(path.read_bytes() + tail)
    try:
        rows = read_items(path, 3).rows
    except RobustrecError:
        return
    catalog, _ = build_catalog(rows, None)
    assert all(text == " ".join(text.split()) for text in catalog.texts)
    again = read_items(write(tmp_path, items_text(rows).rstrip("\n")), 3).rows
    assert build_catalog(again, None)[0].texts == catalog.texts


def test_real_catalogs(shared_folder: Path) -> None:
    rows = read_items(shared_folder / "data/movielens/items.jsonl", 3379).rows
    assert rows[0] is not None
    assert sentence(rows[0]).startswith(
        "Toy Story (1995) Adventure Animation Children Comedy Fantasy Pixar Led by Woody"
    )
    baby, _ = build_catalog(read_items(shared_folder / "data/baby/items.jsonl", 7050).rows, None)
    assert sum(title != f"item {row}" for row, title in enumerate(baby.titles)) == 3416


def priced(folder: Path, *values: Any) -> list[float | None]:
    """Return the prices of a catalog whose column "amount" has these values."""
    lines = [{"itemID": row, "title": "t", "amount": value, "price": 7} for row, value in enumerate(values)]
    rows = read_items(write(folder, *lines), len(values), columns={"price": "amount"}).rows
    return [row.price if row else None for row in rows]


def test_prices_are_numbers_and_missing_ones_are_unknown(tmp_path: Path) -> None:
    assert priced(tmp_path, 3, 2.5, "1234.50", " 8 ", 0) == [3.0, 2.5, 1234.5, 8.0, 0.0]
    assert priced(tmp_path, 1, None, "", "NaN", "n/a") == [1.0, None, None, None, None]


@pytest.mark.parametrize(
    "value", ["$5", "1,234", "1e3", "-1", -1, "inf", "0x10", "1_000", "\u0663", True, [3], 1e13, "9" * 400, 10**400]
)
def test_other_prices_are_errors_with_the_line(tmp_path: Path, value: Any) -> None:
    with pytest.raises(RobustrecError, match="is not a number from 0") as caught:
        priced(tmp_path, 1, value)
    assert "line 2, key price" in caught.value.where


def test_prices_are_read_where_asked_for_and_stored(tmp_path: Path) -> None:
    path = write(tmp_path, {"itemID": 0, "title": "t", "price": "$5"}, {"itemID": 1, "title": "t", "price": 5})
    assert [row and row.price for row in read_items(path, 2).rows] == [None, None]
    assert [row and row.price for row in read_items(path, 2, stored=True).rows] == [None, 5.0]
    rows = read_items(path, 2, stored=True).rows
    path.write_text(items_text(rows))
    assert read_items(path, 2, stored=True).rows == rows
    assert '"price": 5.0' in items_text(rows)
    assert build_catalog(rows, None)[0].texts == ("t", "t"), "a price never reaches an encoder"


def test_a_named_column_stands_for_one_with_the_name_of_its_kind(tmp_path: Path) -> None:
    path = write(tmp_path, {"itemID": 0, "title": "internal code", "shown": "Cup"})
    (row,) = read_items(path, 1, columns={"title": "shown"}).rows
    assert row is not None
    assert row.title == "Cup"
