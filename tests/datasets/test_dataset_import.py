from __future__ import annotations

import csv
import json
import shutil
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_folders import N_ITEMS, Maker, inter_text, picture

from robustrec.datasets.importing import ImportOptions, import_folder
from robustrec.datasets.interactions import TEST, TRAIN, VALIDATION
from robustrec.datasets.ratings import read_ratings
from robustrec.datasets.registry import load_dataset
from robustrec.errors import RobustrecError


def leftovers(home: Path) -> list[str]:
    """What stands in the folder of data sets beside data sets and locks."""
    if not (home / "data").exists():
        return []
    return sorted(place.name for place in (home / "data").iterdir() if place.name[0] == "." and place.suffix != ".lock")


def test_an_mmrec_folder_with_everything(tiny: Maker, home: Path) -> None:
    source = tiny(items=True, pictures="folder", features=("image", "text"))
    (source / "u_id_mapping.csv").write_text("user_id\tuserID\nA\t0\n")
    target = import_folder(source, "mine", home)
    assert target == home / "data" / "mine"
    assert sorted(place.name for place in target.iterdir()) == [
        "dataset.toml",
        "image_feat.npy",
        "items.jsonl",
        "mine.inter",
        "pictures.zip",
        "text_feat.npy",
        "u_id_mapping.csv",
    ]
    data = load_dataset("mine", home=home)
    assert data.edition == "full"
    assert not data.synthetic
    assert data.catalog is not None
    assert data.catalog.n_pictures == N_ITEMS - 1
    with zipfile.ZipFile(target / "pictures.zip") as archive:
        assert archive.namelist() == [f"{row}.png" for row in range(N_ITEMS - 1)]
    assert leftovers(home) == []


def test_only_pictures_of_the_catalogue_are_copied_and_bytes_are_the_same(tiny: Maker, home: Path) -> None:
    source = tiny(items=True, pictures="zip")
    with zipfile.ZipFile(source / "pictures.zip", "a") as archive:
        archive.writestr("stranger.png", picture())
    one, two = (import_folder(source, name, home) / "pictures.zip" for name in ("one", "two"))
    with zipfile.ZipFile(one) as archive:
        assert "stranger.png" not in archive.namelist()
    assert one.read_bytes() == two.read_bytes()


@pytest.mark.parametrize("name", ["", "Mine!", "../x", ".hidden", "a b", "-x", "a/b", "mine\n"])
def test_names_that_are_not_allowed(tiny: Maker, home: Path, name: str) -> None:
    with pytest.raises(RobustrecError, match="invalid data set name"):
        import_folder(tiny(), name, home)
    assert not home.exists()


def test_names_that_differ_only_in_case(tiny: Maker, home: Path) -> None:
    assert load_dataset(import_folder(tiny(), "Mine", home).name, home=home).name == "Mine"
    for name, known in (("mine", "Mine"), ("Baby", "baby")):
        with pytest.raises(RobustrecError, match=f"differs from '{known}' only in"):
            import_folder(home, name, home)


def test_no_overwriting_without_replace(tiny: Maker, home: Path) -> None:
    import_folder(tiny("one"), "mine", home)
    other = tiny("two", items=True)
    with pytest.raises(RobustrecError, match="already exists") as caught:
        import_folder(other, "mine", home)
    assert "--replace" in caught.value.fix
    assert load_dataset("mine", home=home).catalog is None
    import_folder(other, "mine", home, ImportOptions(replace=True))
    assert load_dataset("mine", home=home).catalog is not None
    assert leftovers(home) == []


def test_a_failed_replacement_keeps_the_old_one(tiny: Maker, home: Path) -> None:
    import_folder(tiny("one", items=True), "mine", home)
    before = load_dataset("mine", home=home).digest
    bad = tiny("two", features=("image",))
    np.save(bad / "image_feat.npy", np.full((N_ITEMS, 2), np.inf))
    with pytest.raises(RobustrecError, match="feature value inf"):
        import_folder(bad, "mine", home, ImportOptions(replace=True))
    assert load_dataset("mine", home=home).digest == before
    assert leftovers(home) == []


def test_what_a_killed_import_left_is_cleared_and_restored(tiny: Maker, home: Path) -> None:
    target = import_folder(tiny("one"), "mine", home)
    (target.parent / ".mine.abc123").mkdir()
    target.rename(target.parent / ".mine.old")  # killed between the two renames
    with pytest.raises(RobustrecError, match="already exists"):
        import_folder(tiny("two"), "mine", home)
    assert load_dataset("mine", home=home).name == "mine"
    assert leftovers(home) == []


def test_an_interrupted_import_leaves_nothing(tiny: Maker, home: Path) -> None:
    def interrupt(stage: str, done: int, total: int, note: str = "", /) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        import_folder(tiny(items=True, pictures="zip"), "mine", home, progress=interrupt)
    assert leftovers(home) == []
    assert not (home / "data" / "mine").exists()


def test_two_imports_at_once_leave_one_whole(tiny: Maker, home: Path) -> None:
    sources = [tiny(f"source{number}", items=True, pictures="zip") for number in range(4)]

    def attempt(source: Path) -> bool:
        try:
            import_folder(source, "mine", home)
        except RobustrecError as error:
            return "already exists" not in error.what
        return True

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(attempt, sources)) == 1
    assert load_dataset("mine", home=home).catalog is not None
    assert leftovers(home) == []


def test_a_home_that_cannot_be_written(tiny: Maker, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    with pytest.raises(RobustrecError, match="cannot write"):
        import_folder(tiny(), "mine", blocked)
    with pytest.raises(RobustrecError, match="cannot write"):
        load_dataset("baby", home=blocked)


def test_unreadable_pictures_refuse_or_are_counted(tiny: Maker, home: Path) -> None:
    source = tiny(items=True, pictures="folder")
    whole = (source / "pictures" / "3.png").read_bytes()
    (source / "pictures" / "3.png").write_bytes(whole[:45])
    (source / "pictures" / "5.png").unlink()
    with pytest.raises(RobustrecError, match=r"damaged|not a picture") as caught:
        import_folder(source, "mine", home)
    assert "item 3" in caught.value.where
    assert "--skip-unreadable" in caught.value.fix
    assert not (home / "data" / "mine").exists()
    import_folder(source, "mine", home, ImportOptions(skip_unreadable=True))
    data = load_dataset("mine", home=home)
    assert data.catalog is not None
    assert data.catalog.n_pictures == N_ITEMS - 3
    assert data.catalog.picture(3) is None
    counts = {row.reason: row.rows for row in data.filters}
    assert counts["pictures that cannot be read"] == 1
    assert counts["pictures named in the catalog but not found"] == 1


def test_a_zip_of_other_pictures_is_an_error(tiny: Maker, home: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.zip"
    with zipfile.ZipFile(other, "w") as archive:
        archive.writestr("x.png", picture())
    with pytest.raises(RobustrecError, match="none of the 7 pictures"):
        import_folder(tiny(items=True), "mine", home, ImportOptions(pictures=other))


def test_dropped_users_do_not_shrink_the_tables(tiny: Maker, home: Path) -> None:
    """The last item occurs only with a user without training rows; features still have its row."""
    source = tiny(features=("image",))
    rows = inter_text().replace("\t7\t", "\t6\t").splitlines()
    (source / "tiny.inter").write_text("\n".join([*rows, "6\t7\t1\t1\t2"]) + "\n")
    import_folder(source, "mine", home)
    data = load_dataset("mine", home=home)
    assert (data.interactions.n_users, data.interactions.n_items) == (7, N_ITEMS)
    counts = {row.reason: row.rows for row in data.filters}
    assert counts["validation/test rows of users without training rows"] == 1
    assert counts["item ids without interactions (kept)"] == 1


def test_an_imported_folder_can_be_imported_again(tiny: Maker, home: Path, tmp_path: Path) -> None:
    first = import_folder(tiny(items=True, pictures="zip", features=("text",)), "one", home)
    moved = tmp_path / "elsewhere"
    shutil.copytree(first, moved)
    (moved / "one.inter").rename(moved / "b.inter")
    (moved / "text_feat.npy").rename(moved / "t.npy")
    toml = (moved / "dataset.toml").read_text()
    (moved / "dataset.toml").write_text(toml.replace("one.inter", "b.inter").replace("text_feat.npy", "t.npy"))
    import_folder(moved, "two", home)
    assert load_dataset("two", home=home).digest == load_dataset("one", home=home).digest
    (moved / "dataset.toml").write_text(toml.replace('"items.jsonl"', '"../../items.jsonl"'))
    with pytest.raises(RobustrecError, match="is outside its folder"):
        import_folder(moved, "three", home)


def test_folders_without_interactions(home: Path, tmp_path: Path) -> None:
    with pytest.raises(RobustrecError, match="is not a directory"):
        import_folder(tmp_path / "none", "x", home)
    with pytest.raises(RobustrecError, match=r"no interactions found in the folder: expected one of MMRec"):
        import_folder(tmp_path, "x", home)
    with pytest.raises(RobustrecError, match="not found") as caught:
        import_folder(tmp_path, "x", home, ImportOptions(items=tmp_path / "no.jsonl"))
    assert caught.value.where == "option --items"


# Ratings ------------------------------------------------------------------------------------------------------------


def ratings(folder: Path, rows: list[tuple[Any, ...]], header: str = "", name: str = "ratings.csv") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    lines = [",".join(str(field) for field in row) for row in rows]
    (folder / name).write_text("\n".join(([header] if header else []) + lines) + "\n")
    return folder / name


def block(users: int = 6, items: int = 6) -> list[tuple[Any, ...]]:
    """Everyone rates everything: a 6-core."""
    return [(f"U{u}", f"B00000000{i}", 5 - (u + i) % 3, 1000 + 10 * u + i) for u in range(users) for i in range(items)]


@pytest.mark.parametrize(
    "header",
    ["", "userId,movieId,rating,timestamp", "user_id:token,item_id:token,rating:float,timestamp:float",
     "reviewerID,asin,overall,unixReviewTime", "user,item,stars,time", "\ufeffUser ID,Parent_ASIN,Rating,Timestamp"],
)  # fmt: skip
def test_headers_of_many_kinds(tmp_path: Path, header: str) -> None:
    found = read_ratings(ratings(tmp_path, block(), header), k=5, seed=1)
    assert found.user_ids == [f"U{u}" for u in range(6)]
    assert found.item_ids[:2] == ["B000000000", "B000000001"]
    assert len(found.interactions.users) == 36
    assert found.filters == []
    labels = found.interactions.labels.reshape(6, 6)
    for label, count in ((TRAIN, 4), (VALIDATION, 1), (TEST, 1)):
        assert ((labels == label).sum(axis=1) == count).all()


def test_columns_in_any_order_with_others_between_and_other_separators(tmp_path: Path) -> None:
    path = tmp_path / "r.tsv"
    path.write_text('title\titem\twhen\tuser\n"a\tb"\ti1\tx\tu1\n"c"\ti2\ty\tu1\n')
    found = read_ratings(path, k=1)
    assert (found.user_ids, found.item_ids) == (["u1"], ["i1", "i2"])


def test_filters_are_counted_in_the_order_of_the_spec(tmp_path: Path) -> None:
    rows = [
        *block(),
        ("U0", "B000000000", 5, 1000),  # the first row again
        ("U0", "B000000001", 4, 77),  # the same pair later
        ("", "B000000001", 5, 1),
        ("U1", "", 5, 1),
        ("U1", "B000000001", 5, ""),
        ("U9", "B000000001", 5, 1),  # outside the core
        ("U9", "B000000099", 5, 1),
        ("U2", "B000000002", 1, 5),  # rated low
        ("U2", "B000000002", "", 5),  # not rated
    ]
    found = read_ratings(ratings(tmp_path, rows, "user,item,rating,timestamp"), k=5, min_rating=2)
    assert {row.reason: row.rows for row in found.filters} == {
        "rows without a user or item": 2,
        "rows without a time": 1,
        "rows without a rating": 1,
        "rows rated below 2": 1,
        "repeated rows (same user, item and time)": 1,
        "later rows of the same user and item": 1,
        "rows outside the 5-core": 2,
    }
    assert len(found.interactions.users) == 36
    assert sum(row.rows for row in found.filters) + 36 == len(rows)


def test_ids_are_numbered_in_their_own_order_after_the_filters(tmp_path: Path) -> None:
    rows = [("gone", "B000000003", 5, 1), *reversed(block())]
    found = read_ratings(ratings(tmp_path, rows), k=5)
    assert found.user_ids == ["U0", "U1", "U2", "U3", "U4", "U5"]
    assert found.item_ids[0] == "B000000000"
    assert found.interactions.users[0] == found.interactions.items[0] == 0


def test_seeds_decide_over_the_split(tmp_path: Path) -> None:
    path = ratings(tmp_path, block())
    labels = [read_ratings(path, seed=seed).interactions.labels.tolist() for seed in (1, 1, 2)]
    assert labels[0] == labels[1] != labels[2]


@pytest.mark.parametrize(
    ("content", "options", "what"),
    [
        (b"", {}, "the file is empty"),
        (b"a,b\n1,2\n", {}, "column not found: user, item"),
        (b"foo,bar,baz\nx,y,z\n", {}, "no header"),
        (b"user,rating\nx,1\n", {}, "column not found: item"),
        (b"user,item\nx,y\n", {"min_rating": 3}, "column not found: rating"),
        (b"user,item,rating\nx,y,1\nx\n", {}, "1 field, but expected 3"),
        (b"user,item,rating\nx,y,good\n", {"min_rating": 3}, "rating 'good' is not a number"),
        (b"user,item\nx,y\n", {}, "no interactions left"),
        (b"user,item\n", {}, "no interactions left"),
        (b"user,item\nx,\xff\n", {}, "not UTF-8"),
        (b'user,item\n"x,y\n', {"k": 1}, "cannot read the ratings"),
        (b"user,item\nx\x00,y\n", {"k": 1}, "NUL"),
        (b"B000000001,A1,5,1\nB000000002,A2,5,1\n", {}, "do not look like user,item"),
        (b"u,i\nx,y\n", {"columns": ("a", "b")}, "column not found: user, item"),
        (b"u\n", {"columns": ("user", "item")}, "fewer columns than --columns names"),
        (b"user,item\nx,y\n", {"k": 0}, "k 0"),
        (b"user,item,rating\nx,y,1\n", {"min_rating": float("nan")}, "min_rating nan"),
    ],
)
def test_malformed_ratings(tmp_path: Path, content: bytes, options: dict[str, Any], what: str) -> None:
    path = tmp_path / "ratings.csv"
    path.write_bytes(content)
    with pytest.raises(RobustrecError) as caught:
        read_ratings(path, **options)
    assert what in caught.value.what
    assert caught.value.fix
    with pytest.raises(RobustrecError, match="cannot read the ratings"):
        read_ratings(tmp_path / "none.csv")


def test_named_columns_turn_a_swapped_file_round(tmp_path: Path) -> None:
    rows = [(item, f"A{user}", rating, time) for user, item, rating, time in block()]
    path = ratings(tmp_path, rows)
    found = read_ratings(path, columns=("item", "user", "rating", "timestamp"))
    assert found.user_ids[0] == "AU0"


def test_ratings_with_items_and_pictures(tmp_path: Path, home: Path) -> None:
    source = tmp_path / "source"
    ratings(source, [("x", "B999999999", 5, 1), *block()])
    lines = [{"asin": f"B00000000{row}", "title": f"Good {row}"} for row in (5, 3, 9)]
    (source / "items.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (source / "images").mkdir()
    for row in (0, 3, 9):
        (source / "images" / f"B00000000{row}.png").write_bytes(picture((row, 0, 0)))
    np.save(source / "image_feat.npy", np.ones((7, 2)))
    target = import_folder(source, "mine", home, ImportOptions(seed=4))
    data = load_dataset("mine", home=home)
    assert data.catalog is not None
    assert data.catalog.texts == ("", "", "", "Good 3", "", "Good 5")
    pictures = [data.catalog.picture(row) for row in range(6)]
    assert [image.getpixel((0, 0)) if image else None for image in pictures] == [
        (0, 0, 0), None, None, (3, 0, 0), None, None,
    ]  # fmt: skip
    counts = {row.reason: row.rows for row in data.filters}
    assert counts["catalog lines of items without interactions"] == 1
    assert counts["rows outside the 5-core"] == 1
    assert data.feature_files == {}
    assert any("image_feat.npy" in reason for reason in counts)
    with (target / "i_id_mapping.csv").open(newline="") as file:
        rows = list(csv.reader(file, delimiter="\t"))
    assert rows[:2] == [["asin", "itemID"], ["B000000000", "0"]]
    assert (target / "u_id_mapping.csv").read_text().splitlines()[:2] == ["user_id\tuserID", "U0\t0"]
    assert "5-core" in (target / "dataset.toml").read_text()


# Real data ----------------------------------------------------------------------------------------------------------


def test_movielens_end_to_end(shared_folder: Path, home: Path) -> None:
    import_folder(shared_folder / "data" / "movielens", "movielens", home)
    data = load_dataset("movielens", home=home)
    assert (data.interactions.n_users, data.interactions.n_items) == (671, 3379)
    assert np.bincount(data.interactions.labels).tolist() == [72045, 8640, 8640]
    assert data.filters == ()
    assert data.catalog is not None
    assert data.catalog.n_texts == data.catalog.n_pictures == 3379
    assert data.catalog.titles[0] == "Toy Story (1995)"
    image = data.catalog.picture(3378)
    assert image is not None
    assert image.width == 160
    with zipfile.ZipFile(shared_folder / "data/movielens/posters.zip") as archive:
        assert data.catalog.picture_bytes(1) == archive.read("2.jpg")


@pytest.mark.parametrize(("name", "texts"), [("baby", 3416), ("clothing", None)])
def test_amazon_folders(shared_folder: Path, home: Path, name: str, texts: int | None) -> None:
    import_folder(shared_folder / "data" / name, name, home)
    data = load_dataset(name, home=home)
    assert data.edition == "full"
    assert data.catalog is None if texts is None else data.catalog is not None and data.catalog.n_texts == texts
