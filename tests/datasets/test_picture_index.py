"""An item has its own picture, however its path is written, and never another item's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiny_folders import Maker, picture

from robustrec.datasets.importing import import_folder
from robustrec.datasets.items import CatalogItem
from robustrec.datasets.picture_index import PictureIndex, index_pictures
from robustrec.datasets.registry import load_dataset
from robustrec.errors import RobustrecError


def item(image: str = "", *external: str) -> CatalogItem:
    return CatalogItem("t", "", (), "", image, external)


def index(folder: Path, names: list[str], items: list[CatalogItem | None], root: str = "images", **options: Any) -> Any:
    for name in names:
        (folder / root / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / root / name).write_bytes(b"-")
    return index_pictures(items, folder / root, guess=True, **options)


WRITTEN = {
    "exact": (["men/0.png"], "men/0.png"),
    "from the data folder": (["men/0.png"], "images/men/0.png"),
    "absolute": (["men/0.png"], "/home/x/shop/images/men/0.png"),
    "Windows": (["men/0.png"], "images\\men\\0.png"),
    "a drive": (["men/0.png"], "C:\\shop\\images\\men\\0.png"),
    "dots": (["men/0.png"], "./men//0.png"),
    "upper case": (["men/0.png"], "MEN/0.PNG"),
    "lower case": (["Men/0.JPG"], "men/0.jpg"),
    "encoded": (["red shirt/ä 0.png"], "red%20shirt/%C3%A4%200.png"),
    "encoded file": (["red%20shirt.png"], "red shirt.png"),
    "decomposed letters": (["a\u0308.png"], "\u00e4.png"),
    "address": (["men/0.png"], "https://cdn.example.org/img/men/0.png?width=200"),
    "flat": (["0.png"], "posters/0.png"),
    "no folder": (["men/0.png"], "0.png"),
    "a folder more": (["archive/men/0.png"], "men/0.png"),
    "no suffix": (["men/0"], "men/0"),
    "spaces": (["0.png"], " 0.png "),
}


@pytest.mark.parametrize("case", WRITTEN)
def test_a_path_finds_its_file_however_it_is_written(tmp_path: Path, case: str) -> None:
    names, image = WRITTEN[case]
    others = ["men/9.png", "8.png"] if "/" in names[0] else ["9.png"]
    found = index(tmp_path, [*names, *others], [item(image.strip() if case != "spaces" else image), item(others[0])])
    assert found.entries == [names[0], others[0]]
    assert found.lost == 0


ANOTHERS = {
    "another folder": (["men/0.png", "women/1.png"], ["men/0.png", "women/0.png"], ["men/0.png", None]),
    "only the other folder's is kept": (["men/0.png"], ["women/0.png", "men/0.png"], [None, "men/0.png"]),
    "nobody names it": (["men/0.png", "women/1.png"], ["women/0.png", "women/1.png"], [None, "women/1.png"]),
    "Windows": (["men/0.png"], ["women\\0.png", "men\\0.png"], [None, "men/0.png"]),
    "two of one name": (["men/0.png", "women/0.png", "1.png"], ["0.png", "1.png"], [None, "1.png"]),
    "two paths, one flat file": (["0.png", "1.png"], ["men/0.png", "women/0.png", "1.png"], [None, None, "1.png"]),
    "a file beside folders": (["0.png", "men/1.png"], ["women/0.png", "men/1.png"], [None, "men/1.png"]),
    "two cases": (["a.PNG", "A.png", "b.png"], ["a.png", "b.png"], [None, "b.png"]),
    "another suffix": (["0.png", "1.png"], ["0.gif", "1.png"], [None, "1.png"]),
    "exact beats written otherwise": (["0.png"], ["0.png", "x/0.png"], ["0.png", None]),
}


@pytest.mark.parametrize("case", ANOTHERS)
def test_a_missing_picture_is_never_another_items(tmp_path: Path, case: str) -> None:
    names, images, entries = ANOTHERS[case]
    found = index(tmp_path, names, [item(image, str(place)) for place, image in enumerate(images)], numbered=False)
    assert found.entries == entries
    assert found.lost == entries.count(None)


@given(data=st.data())
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_files_that_go_missing_change_nobody_elses_picture(tmp_path_factory: Any, data: st.DataObject) -> None:
    """Each item names a file of its own; some are removed, all paths are written otherwise: the rest is as before."""
    folders, bases = st.sampled_from(["men", "women", "a/b"]), st.sampled_from(["0", "1", "2", "shirt"])
    names = [f"{each[0]}/{each[1]}.png" for each in data.draw(st.sets(st.tuples(folders, bases), min_size=2))]
    style = data.draw(st.sampled_from([str, str.upper, "images/{}".format, lambda name: name.replace("/", "\\")]))
    kept = data.draw(st.sets(st.sampled_from(names), min_size=1))
    found = index(tmp_path_factory.mktemp("p"), sorted(kept), [item(style(name)) for name in names])
    assert found.entries == [name if name in kept else None for name in names]
    assert found.lost == len(names) - len(kept)


BY_ID = {
    "by number": (["0.png", "1.png"], [("B0",), ("B1",)], ["0.png", "1.png"], 0),
    "padded": (["0000.jpg", "0001.jpg"], [("B0",), ("B1",)], ["0000.jpg", "0001.jpg"], 0),
    "by id": (["B0.jpg", "b1.JPG"], [("B0",), ("B1",)], ["B0.jpg", "b1.JPG"], 0),
    "two files": (["B0.png", "B0.jpg", "B1.png"], [("B0",), ("B1",)], ["B0.jpg", "B1.png"], 1),
    "numbered files": (["B0_10.jpg", "B0_2.jpg", "B1-1.jpg"], [("B0",), ("B1",)], ["B0_2.jpg", "B1-1.jpg"], 1),
    "folders": (["B0/main.jpg", "B0/side.jpg", "B1/main.jpg"], [("B0",), ("B1",)], ["B0/main.jpg", "B1/main.jpg"], 1),
    "an id that looks numbered": (["B0_1.jpg", "B0.jpg"], [("B0",), ("B0_1",)], ["B0.jpg", "B0_1.jpg"], 0),
    "ids before numbers": (["1.png", "2.png"], [("1",), ("2",)], ["1.png", "2.png"], 0),
    "an id of two items": (["B0.png", "B1.png"], [("B0",), ("B0", "B1")], [None, "B1.png"], 0),
    "an address": (["B0.png"], [("B0",), ("B1",)], ["B0.png", None], 0),
}


@pytest.mark.parametrize("case", BY_ID)
def test_items_that_name_no_picture_have_those_of_their_ids(tmp_path: Path, case: str) -> None:
    names, ids, entries, further = BY_ID[case]
    image = "https://example.org/51abc.jpg" if case == "an address" else ""
    found = index(tmp_path, [*names, "stranger.png"], [item(image, *each) for each in ids])
    assert found.entries == entries
    assert found.further == further
    assert found.unused == 1 + (case == "an id of two items")


@pytest.mark.parametrize(
    ("names", "ids", "numbered"),
    [
        (["1.png", "2.png", "3.png"], [("B0",), ("B1",), ("B2",)], True),
        (["0.png", "1.png", "2.png"], [("1",), ("2",), ("3",)], False),
        (["01.png", "02.png", "03.png"], [("0",), ("1",), ("2",)], False),
    ],
)
def test_pictures_numbered_one_off_the_items_are_an_error(
    tmp_path: Path, names: list[str], ids: list[tuple[str, ...]], numbered: bool
) -> None:
    with pytest.raises(RobustrecError, match="the pictures are numbered from"):
        index(tmp_path, names, [item("", *each) for each in ids], numbered=numbered)


def test_pictures_by_ids_that_are_one_more_than_the_numbers_are_found(tmp_path: Path) -> None:
    found = index(tmp_path, ["1.png", "2.png"], [item("", "1"), item("", "2")])
    assert found.entries == ["1.png", "2.png"]


def test_pictures_that_two_numberings_claim_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(RobustrecError, match="by its number, and another item's by the ids"):
        index(tmp_path, ["0.png", "1.png"], [item("", "1"), item("", "0")])


def test_hidden_files_and_those_of_macos_are_no_pictures(tmp_path: Path) -> None:
    found = index(tmp_path, ["B0.png", "._B0.png", "__MACOSX/B0.png", ".thumbs/B0.png"], [item("", "B0")])
    assert found == PictureIndex(["B0.png"], 0, 0, 0)


def test_pictures_of_formats_that_are_not_read_are_counted(tmp_path: Path) -> None:
    assert index(tmp_path / "a", ["B0.png", "B1.tiff"], [item("", "B0"), item("", "B1")]).unused == 1
    with pytest.raises(RobustrecError, match=r"none of the 2 pictures.*B0.jxl"):
        index(tmp_path / "b", ["B0.jxl", "B1.tiff"], [item("", "B0"), item("", "B1")])


def test_pictures_in_another_folder_of_flat_files_are_counted(tmp_path: Path) -> None:
    found = index(tmp_path, ["0.png", "1.png", "2.png"], [item("men/0.png"), item("images/1.png"), item("2.png")])
    assert found.entries == ["0.png", "1.png", "2.png"]
    assert found.elsewhere == 1


def test_pictures_of_which_none_belongs_to_an_item_are_an_error_with_an_example_of_each_side(tmp_path: Path) -> None:
    with pytest.raises(RobustrecError, match=r"none of the 2 pictures matches an item.*'B7'.*'x.png'"):
        index(tmp_path / "a", ["x.png", "y.png"], [item("", "B7"), None])
    with pytest.raises(
        RobustrecError, match=r"none of the 1 pictures named in the catalog was found.*'a.png'.*'x.png'"
    ):
        index(tmp_path / "b", ["x.png"], [item("a.png"), None])
    assert index_pictures([item("a.png")], tmp_path / "b" / "images", guess=False) == PictureIndex([None], 1, 0, 0)
    with pytest.raises(RobustrecError, match="none of the 1 pictures matches"):
        index(tmp_path / "c", ["0.png"], [item("", "B7")], numbered=False)  # numbers of ratings are ours


def test_the_pictures_of_an_import_are_the_items_own(tiny: Maker, home: Path) -> None:
    """From the data folder, one missing, one without a suffix; the catalogue of the fixture names p/ROW.png."""
    source = tiny(items=True, pictures="folder")
    (source / "pictures" / "3.png").unlink()
    (source / "pictures" / "5.png").rename(source / "pictures" / "5")
    (source / "items.jsonl").write_text(
        (source / "items.jsonl").read_text().replace("p/5.png", "pictures/5").replace("p/", "pictures\\\\")
    )
    (source / "pictures" / "stranger.gif").write_bytes(picture())
    import_folder(source, "mine", home)
    data = load_dataset("mine", home=home)
    assert data.catalog is not None
    shown = [data.catalog.picture(row) for row in range(8)]
    assert [image and image.getpixel((0, 0)) for image in shown] == [
        None if row in (3, 7) else (row * 20, 10, 10) for row in range(8)
    ]
    counts = {row.reason: row.rows for row in data.filters}
    assert counts["pictures named in the catalog but not found"] == 1
    assert counts["pictures that match no item"] == 1
