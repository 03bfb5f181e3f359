"""Metadata of the Amazon releases: what is taken of an item, and what is counted instead."""

from __future__ import annotations

import json

import pytest

from robustrec.datasets.formats.amazon import MetadataCounts, RawItem, parse_record, raw_item, read_metadata
from robustrec.errors import RobustrecError
from robustrec.untrusted import UnreadableError
from robustrec.untrusted.literals import parse_literal


def item(record: dict) -> RawItem:
    return raw_item("B1", record, MetadataCounts())


def test_the_picture_is_the_large_one_of_the_main_image():
    images = [
        {"variant": "PT01", "large": "http://x/side", "hi_res": "http://x/side-large", "thumb": None},
        {"variant": "MAIN", "large": "http://x/main", "hi_res": "http://x/main-large", "thumb": "http://x/small"},
    ]
    assert item({"images": images}).picture == "http://x/main"
    images[1]["large"] = None
    assert item({"images": images}).picture == "http://x/main-large"
    assert item({"imageURL": ["http://x/small"], "imageURLHighRes": ["http://x/large"]}).picture == "http://x/large"
    assert item({"imageURL": ["http://x/small"], "imageURLHighRes": []}).picture == "http://x/small"
    assert item({"imUrl": "http://x/2014"}).picture == "http://x/2014"
    assert item({"images": "none", "imUrl": None}).picture == ""


def test_texts_of_each_release():
    old = item({"title": "A &amp; B", "brand": "C", "categories": [["Baby", "Bibs"], ["Gifts"]], "description": "d\ne"})
    assert old == RawItem("B1", "A &amp; B", "C", ("Baby", "Bibs"), "d e", "")
    middle = item({"title": "A", "brand": "", "category": ["Baby", "Bibs"], "description": ["d", "", "e"]})
    assert middle == RawItem("B1", "A", "", ("Baby", "Bibs"), "d e", "")
    new = item({"title": "A", "store": "C", "categories": [], "description": [], "main_category": "Baby"})
    assert new == RawItem("B1", "A", "C", (), "", "")
    assert item({"title": None, "description": "nan"}) == RawItem("B1", "", "", (), "", "")


def test_fields_that_are_not_text_are_counted():
    counts = MetadataCounts()
    found = raw_item("B1", {"title": {"a": 1}, "description": "x" * 200_000, "brand": "C"}, counts)
    assert found == RawItem("B1", "", "C", (), "", "")
    assert counts.fields == 2
    script = "var aPageStart = (new Date()).getTime(); //--&gt;"
    assert raw_item("B1", {"title": script}, counts).title == ""
    assert counts.scripts == 1


def test_lines_that_are_not_wanted_unreadable_or_repeated_are_counted(tmp_path):
    lines = [
        json.dumps({"asin": "B1", "title": "one"}),
        repr({"asin": "B2", "title": "it's two"}),
        json.dumps({"asin": "B1", "title": "again"}),
        "{'asin': 'B3', 'title': __import__('os').system('true')}",
        json.dumps({"asin": "B9", "title": "other"}),
        '{"title": "without an id"}',
        "{'asin': 'B2', 'title': ",
    ]
    (tmp_path / "meta_X.json").write_text("\ufeff" + "\n\n".join(lines) + "\n", encoding="utf-8")
    counts = MetadataCounts()
    found = {each.item: each.title for each in read_metadata(tmp_path / "meta_X.json", {"B1", "B2", "B3"}, counts)}
    assert found == {"B1": "one", "B2": "it's two"}
    assert (counts.lines, counts.others, counts.repeated, counts.unreadable) == (7, 2, 1, 2)
    # A variant of a parent is about the item that the interactions have.
    (tmp_path / "meta_Y.jsonl").write_text(json.dumps({"parent_asin": "B7", "asin": "B1", "title": "variant"}))
    assert [each.item for each in read_metadata(tmp_path / "meta_Y.jsonl", {"B1"}, counts)] == ["B1"]
    assert [each.item for each in read_metadata(tmp_path / "meta_Y.jsonl", {"B7", "B1"}, counts)] == ["B7"]


def test_a_file_of_something_else_is_refused(tmp_path):
    (tmp_path / "meta_X.json").write_text("user,item\n" * 30)
    with pytest.raises(RobustrecError, match="the first 20 lines are not metadata"):
        list(read_metadata(tmp_path / "meta_X.json", {"B1"}, MetadataCounts()))


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os')",
        "[x for x in ()]",
        "{'a': lambda: 0}",
        "f'{1}'",
        "b'x'",
        "1 + 1",
        "1 if 1 else 2",
        "-" * 5000 + "1",
        "[" * 5000,
        "(" * 40 + ")" * 40,
        "'a' if",
        "{'a': 1",
        "9" * 5000,
        "[" + "0," * 200_000 + "]",
        "'" + "x" * 2_000_000 + "'",
        "{[]: 1}",
        "",
    ],
)
def test_texts_that_are_not_literals_are_refused(text):
    with pytest.raises(UnreadableError):
        parse_literal(text)


def test_literals_of_python_2_and_3():
    assert parse_literal("{u'a': 'it\\'s', 'b': [1, -2.5, None, True, (\"x\", 'y')]}") == {
        "a": "it's",
        "b": [1, -2.5, None, True, ("x", "y")],
    }
    assert parse_literal(r"'\d'") == r"\d"  # no warning of an odd escape
    assert parse_record(b"{'asin': 'B1'}") == {"asin": "B1"}
    for line in (b"[1]", b"{1: 2}", b"\xff\xfe", b"nothing", b'{"a": NaN}'):
        with pytest.raises(UnreadableError):
            parse_record(line)
