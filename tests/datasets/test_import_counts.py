"""What an import leaves out is counted, what matches nothing is an error, and what it advises works when pasted."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_folders import N_ITEMS, Maker, inter_text, picture

from robustrec.cli.main import run
from robustrec.datasets import shop
from robustrec.datasets.describe import describe
from robustrec.datasets.importing import ImportOptions, import_folder
from robustrec.datasets.registry import load_dataset, load_folder
from robustrec.errors import RobustrecError


def counts_of(name: str | Path, home: Path) -> dict[str, int]:
    return describe(load_dataset(str(name), home=home)).filters


def rows(item_ids: list[str]) -> str:
    lines = [f"u{user},{item},{1 + user % 5},{user}" for user in range(len(item_ids)) for item in item_ids]
    return "\n".join(["user,item,rating,timestamp", *lines]) + "\n"


def catalogue(folder: Path, ids: list[Any], key: str = "id") -> None:
    lines = [{key: name, "title": f"Good {row}"} for row, name in enumerate(ids)]
    (folder / "items.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def shop_of(folder: Path, item_ids: list[str]) -> Path:
    folder.mkdir(parents=True)
    (folder / "ratings.csv").write_text(rows(item_ids))
    return folder


IDS = [f"{row:08}" for row in (3, 5, 10, 21, 40, 77)]


@pytest.mark.parametrize("key", ["id", "product_id", "SKU", "itemId", "parent_asin", "item", "asin:token"])
@pytest.mark.parametrize(
    "written", [lambda name: name, int, lambda name: float(int(name)), lambda name: f"{int(name)}.0"]
)
def test_a_catalogue_finds_its_items_by_any_key_and_way_to_write_a_number(
    tmp_path: Path, home: Path, key: str, written: Any
) -> None:
    source = shop_of(tmp_path / "source", IDS)
    catalogue(source, [written(name) for name in IDS], key)
    import_folder(source, "mine", home)
    data = load_dataset("mine", home=home)
    assert data.catalog is not None
    assert data.catalog.titles == tuple(f"Good {row}" for row in range(6))
    loose = "items with a differently written id in the catalog (leading zeros, .0, or upper/lower case)"
    assert counts_of("mine", home) == ({} if written(IDS[0]) == IDS[0] else {loose: 6})


def test_ids_that_could_be_two_items_find_none(tmp_path: Path, home: Path) -> None:
    source = shop_of(tmp_path / "source", ["7", "07", "8", "9", "x", "X"])
    catalogue(source, ["007", "7", "08", "8.0", "9.0"])
    import_folder(source, "mine", home)
    data = load_dataset("mine", home=home)
    assert data.catalog is not None
    assert sorted(data.catalog.titles) == ["Good 1", "Good 4", "item 0", "item 2", "item 4", "item 5"]
    assert counts_of("mine", home)["catalog lines of items without interactions"] == 3
    assert counts_of("mine", home)["items that are missing in the catalog"] == 4


def test_a_catalogue_that_matches_nothing_is_an_error_with_an_id_of_each_side(tmp_path: Path, home: Path) -> None:
    source = shop_of(tmp_path / "source", IDS)
    catalogue(source, ["P1", "P2"])
    with pytest.raises(RobustrecError, match=r"none of the 2 catalog lines.*'P1'.*'00000003'"):
        import_folder(source, "mine", home)
    (source / "items.jsonl").write_text('{"title": "x", "price": 3}\n')
    with pytest.raises(RobustrecError, match="it has no id column"):
        import_folder(source, "mine", home)


@pytest.mark.parametrize(("name", "delimiter"), [("items.csv", ","), ("products.tsv", "\t"), ("shop.item", "\t")])
def test_a_table_is_a_catalogue(tmp_path: Path, home: Path, name: str, delimiter: str) -> None:
    source = shop_of(tmp_path / "source", IDS)
    lines = [("product_id:token", "Product Name", "categories"), *((each, f"Good {each}", "A|B") for each in IDS)]
    (source / name).write_text("\ufeff" + "".join(delimiter.join(line) + "\r\n" for line in lines))
    import_folder(source, "mine", home)
    data = load_dataset("mine", home=home)
    assert data.catalog is not None
    assert data.catalog.texts[0] == "Good 00000003 A B"
    (source / name).write_text(delimiter.join(lines[0]) + "\n" + "x\n")
    with pytest.raises(RobustrecError, match="1 field, but the header has 3") as caught:
        import_folder(source, "other", home)
    assert "line 2" in caught.value.where


@pytest.mark.parametrize("imported", [True, False])
def test_items_that_nobody_has_bought_are_cold_items(tiny: Maker, home: Path, imported: bool) -> None:
    """The catalogue and the features know two items beyond the last that was sold."""
    source = tiny()
    catalogue(source, list(range(N_ITEMS + 2)), "itemID")
    np.save(source / "image_feat.npy", np.ones((N_ITEMS + 2, 3), dtype=np.float32))
    place = import_folder(source, "mine", home) if imported else source
    data = load_folder(place, home=home)
    assert data.interactions.n_items == N_ITEMS + 2
    assert describe(data).cold_items >= 2
    assert counts_of(place, home) == {"item ids without interactions (kept)": 2}
    np.save(source / "image_feat.npy", np.ones((N_ITEMS + 1, 3), dtype=np.float32))
    with pytest.raises(RobustrecError, match=r"expected 10 feature rows, one per item, but got 9"):
        load_folder(source, home=home)
    np.save(source / "image_feat.npy", np.ones((N_ITEMS * 11, 3), dtype=np.float32))
    with pytest.raises(RobustrecError, match="have 88 items, but the interactions have 8"):
        load_folder(source, home=home)


@pytest.mark.parametrize("imported", [True, False])
def test_every_named_feature_file_is_a_modality_and_others_are_counted(tiny: Maker, home: Path, imported: bool) -> None:
    source = tiny(features=("image", "text"))
    table = np.load(source / "image_feat.npy")
    table[[1, 4]] = 0.0
    for name in ("image_feat", "video_feat", "audio_feat", "features", "feat_old", "._audio_feat"):
        np.save(source / f"{name}.npy", table)
    np.save(source / "Reviews-v2_feat.npy", table[:, :1])
    place = import_folder(source, "mine", home) if imported else source
    data = load_folder(place, home=home)
    assert list(data.feature_files) == ["image", "text", "Reviews-v2", "audio", "video"]
    assert {name: np.load(path).shape for name, path in data.feature_files.items()} == {
        "image": table.shape,
        "text": np.load(source / "text_feat.npy").shape,
        "Reviews-v2": (N_ITEMS, 1),
        "audio": table.shape,
        "video": table.shape,
    }
    assert list(describe(data).features) == list(data.feature_files)
    zeros, ignored = "items with all-zero features in {}_feat.npy (kept)", "feature file that is ignored because its"
    assert counts_of(place, home) == {
        **{zeros.format(name): 2 for name in ("image", "Reviews-v2", "audio", "video")},
        **{f"{ignored} name is not NAME_feat.npy: {name}.npy": 1 for name in ("features", "feat_old", "._audio_feat")},
    }


def test_only_the_feature_files_of_a_manifest_are_read(tiny: Maker, home: Path) -> None:
    source = import_folder(tiny(features=("text",)), "first", home)
    shutil.copyfile(source / "text_feat.npy", source / "sound.npy")
    shutil.copyfile(source / "text_feat.npy", source / "video_feat.npy")
    toml = (source / "dataset.toml").read_text()
    (source / "dataset.toml").write_text(toml + '[files.features]\naudio = "sound.npy"\n')
    place = import_folder(source, "second", home)
    data = load_folder(place, home=home)
    assert {name: path.name for name, path in data.feature_files.items()} == {
        "text": "text_feat.npy",
        "audio": "audio_feat.npy",
    }
    assert counts_of(place, home) == {"feature file that dataset.toml does not list: video_feat.npy": 1}
    (source / "dataset.toml").write_text(toml + '[files.features]\n"a b" = "sound.npy"\n')
    with pytest.raises(RobustrecError, match="'a b' cannot be the name of a modality") as caught:
        load_folder(source, home=home)
    assert "files.features" in caught.value.where
    (source / "dataset.toml").write_text(toml + '[files.features]\nimage = "sound.npy"\n')
    with pytest.raises(RobustrecError, match="image features are the key image_feat"):
        load_folder(source, home=home)


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("a b", "must be up to 40 letters, digits, dashes and underscores"),
        ("3d", "the first is a letter"),
        ("b.32", "must be up to 40"),
        ("_x", "must be up to 40"),
        ("tön", "must be up to 40"),
        ("x" * 41, "must be up to 40"),
        ("all", "is a reserved word"),
        ("Items", "is a reserved word"),
        ("type", "is a reserved word"),
        ("Text", "differs from 'text' only in upper/lower case"),
    ],
)
@pytest.mark.parametrize("imported", [True, False])
def test_a_bad_name_of_a_feature_file_is_an_error(
    tiny: Maker, home: Path, name: str, fault: str, imported: bool
) -> None:
    source = tiny(features=("text",))
    path = source / f"{name}_feat.npy"
    np.save(path, np.ones((N_ITEMS, 2), dtype=np.float32))
    with pytest.raises(RobustrecError, match=fault) as caught:
        import_folder(source, "mine", home) if imported else load_folder(source, home=home)
    assert str(path) in caught.value.where
    assert "audio_feat.npy" in caught.value.fix
    assert not (home / "data" / "mine").exists()


def test_the_rows_of_every_feature_file_are_checked(tiny: Maker, home: Path) -> None:
    source = tiny(features=("text",))
    np.save(source / "audio_feat.npy", np.ones((N_ITEMS - 1, 2), dtype=np.float32))
    with pytest.raises(RobustrecError, match="one per item, but got 7") as caught:
        import_folder(source, "mine", home)
    assert "audio_feat.npy" in caught.value.where


def test_all_rows_of_zeros_are_counted(tiny: Maker, home: Path) -> None:
    source = tiny()
    np.save(source / "text_feat.npy", np.zeros((N_ITEMS, 40), dtype=np.float32))
    assert counts_of(source, home) == {"items with all-zero features in text_feat.npy (kept)": N_ITEMS}


def test_pictures_beside_the_ratings_or_in_several_folders_are_found(tmp_path: Path, home: Path) -> None:
    flat, nested = (shop_of(tmp_path / name, IDS) for name in ("flat", "nested"))
    for row, name in enumerate(IDS):
        (flat / f"{name}.png").write_bytes(picture((row, 0, 0)))
        (nested / f"part{row % 2}" / "deep").mkdir(parents=True, exist_ok=True)
        (nested / f"part{row % 2}" / "deep" / f"{name}.png").write_bytes(picture((row, 0, 0)))
    for source in (flat, nested):
        import_folder(source, source.name, home)
        data = load_dataset(source.name, home=home)
        assert data.catalog is not None
        assert data.catalog.n_pictures == 6


# A second try ------------------------------------------------------------------------------------------------------


def test_an_import_that_is_there_already_is_recognised(tiny: Maker, home: Path) -> None:
    """As after a kill between the last step and the message: the rerun is no error and does no work."""
    source = tiny(items=True, pictures="folder", features=("image",))
    target = import_folder(source, "mine", home)
    before = (target / "dataset.toml").stat().st_ino
    assert import_folder(source, "mine", home) == target
    assert (target / "dataset.toml").stat().st_ino == before
    with pytest.raises(RobustrecError, match="already exists"):
        import_folder(source, "mine", home, ImportOptions(skip_unreadable=True))
    (source / "pictures" / "0.png").write_bytes(picture((9, 9, 9)))
    with pytest.raises(RobustrecError, match="already exists"):
        import_folder(source, "mine", home)


@pytest.fixture
def sample(monkeypatch: pytest.MonkeyPatch, tiny: Maker, home: Path) -> Path:
    """A toy of a sample edition, made and loaded once."""

    def build(name: str, folder: Path, progress: object = None) -> None:
        shutil.copytree(
            tiny(f"built-{len(list(home.parent.glob('source/*')))}", items=True), folder, dirs_exist_ok=True
        )
        next(folder.glob("*.inter")).rename(folder / f"{name}.inter")
        head = f'schema_version = 1\nname = "{name}"\nedition = "sample"\nsynthetic = true\nseed = "{name}"\n'
        (folder / "dataset.toml").write_text(head + "[counts]\nusers = 6\nitems = 8\ninteractions = 30\n")

    monkeypatch.setattr(shop, "build_shop", build)
    return load_dataset("baby", home=home).folder


@pytest.mark.parametrize("file", ["items.jsonl", "baby.inter", "dataset.toml", "checksums.json"])
@pytest.mark.parametrize("change", ["changed", "cut", "removed"])
def test_a_changed_sample_is_refused_and_made_again(sample: Path, home: Path, file: str, change: str) -> None:
    digest = load_dataset("baby", home=home).digest
    path = sample / file
    content = path.read_text()
    if change == "changed":
        path.write_text(content.replace("Good 3", "Best 3").replace("5.0", "4.0").replace("8", "9"))
    elif change == "cut":
        path.write_text(content[: len(content) // 2])
    else:
        path.unlink()
    if (change, file) == ("removed", "checksums.json"):  # made by a version that wrote none: made again at once
        assert load_dataset("baby", home=home).digest == digest
        return
    with pytest.raises(RobustrecError, match=r"checksum of .* does not match") as caught:
        load_dataset("baby", home=home)
    command = caught.value.fix.rpartition(": ")[2]
    assert shlex.split(command) == ["rm", "-r", str(sample)]
    shutil.rmtree(sample)
    assert load_dataset("baby", home=home).digest == digest


# Advice ------------------------------------------------------------------------------------------------------------


def _ambiguous(folder: Path) -> None:
    (folder / "a b.csv").write_text(rows(IDS))
    (folder / "c.csv").write_text(rows(IDS))


def _unknown_header(folder: Path) -> None:
    (folder / "r.csv").write_text(rows(IDS).replace("user,item,rating,timestamp", "konto,ware,note,wann"))


def _two_columns(folder: Path) -> None:
    lines = [line.rpartition(",")[0].rpartition(",")[0] for line in rows(IDS).splitlines()[1:]]
    (folder / "r.csv").write_text("\n".join(lines) + "\n")


def _swapped(folder: Path) -> None:
    lines = [f"B00000000{item},A{user},5,1" for user in range(6) for item in range(6)]
    (folder / "r.csv").write_text("\n".join(lines) + "\n")


def _partly_known(folder: Path) -> None:
    (folder / "r.csv").write_text(rows(IDS).replace("user,item,rating,timestamp", "user,ware,note,time"))


def _small_core(folder: Path) -> None:
    (folder / "r.csv").write_text(rows(["1", "2", "3"]))


def _two_catalogues(folder: Path) -> None:
    (folder / "r.csv").write_text(rows(IDS))
    catalogue(folder, IDS)
    (folder / "items.jsonl").rename(folder / "one.jsonl")
    shutil.copyfile(folder / "one.jsonl", folder / "two.jsonl")


def _two_zips(folder: Path) -> None:
    (folder / "r.csv").write_text(rows(IDS))
    for name in ("x", "y"):
        shutil.make_archive(str(folder / name), "zip", _of_pictures(folder.parent / name))


def _of_pictures(folder: Path) -> Path:
    folder.mkdir()
    for name in IDS:
        (folder / f"{name}.png").write_bytes(picture())
    return folder


def _unreadable(folder: Path) -> None:
    (folder / "r.csv").write_text(rows(IDS))
    _of_pictures(folder / "images")
    (folder / "images" / f"{IDS[0]}.png").write_bytes(b"\x89PNG no picture")


def _taken(folder: Path) -> None:
    (folder / "r.csv").write_text(rows(IDS))
    (folder.parent / "home" / "data" / "mine").mkdir(parents=True)


ADVICE = {
    case.__name__.strip("_"): case
    for case in (
        _ambiguous, _unknown_header, _two_columns, _swapped, _partly_known, _small_core, _two_catalogues, _two_zips,
        _unreadable, _taken,
    )
}  # fmt: skip


@pytest.mark.parametrize("case", ADVICE)
def test_the_command_that_an_error_prints_works_when_pasted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    """From another folder, with the options that were given; at most two errors away from a data set."""
    source = tmp_path / "my shop"
    source.mkdir()
    ADVICE[case](source)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    monkeypatch.delenv("ROBUSTREC_HOME", raising=False)
    home = tmp_path / "home"
    words = ["data", "import", str(source), "--name", "mine", "--home", str(home), "--seed", "3"]
    for _ in range(3):
        code = run(words)
        told = capsys.readouterr().err
        if code == 0:
            break
        command = re.search(r"robustrec (data import .*)$", " ".join(told.split("fix")[-1].split()))
        assert command, told
        words = shlex.split(command[1])
        assert words[words.index("--seed") + 1] == "3"
    assert code == 0, told
    assert load_dataset("mine", home=home).interactions.n_items > 0


def test_files_named_by_option_may_be_relative_to_the_folder(tmp_path: Path, home: Path) -> None:
    source = shop_of(tmp_path / "source", IDS)
    (source / "ratings.csv").rename(source / "other.txt.csv")
    import_folder(source, "mine", home, ImportOptions(interactions=Path("other.txt.csv")))
    with pytest.raises(RobustrecError, match="has no files of a known format"):
        import_folder(source, "mine", home, ImportOptions(interactions=tmp_path))


def test_a_recbole_file_is_ratings_and_says_so_where_it_is_not_imported(tmp_path: Path, home: Path) -> None:
    source = tmp_path / "shop"
    source.mkdir()
    text = rows(IDS).replace("user,item,rating,timestamp", "user_id:token,item_id:token,rating:float,timestamp:float")
    (source / "shop.inter").write_text(text.replace(",", "\t"))
    with pytest.raises(RobustrecError, match=r"no \.inter file with userID, itemID and x_label") as caught:
        load_dataset(str(source), home=home)
    assert f"robustrec data import {source} --name shop" in caught.value.fix
    import_folder(source, "mine", home, ImportOptions(min_rating=2, k=1))
    assert counts_of("mine", home)["rows rated below 2"] == 12


def test_mmrec_files_are_not_taken_for_ratings(tiny: Maker, home: Path) -> None:
    source = tiny()
    (source / "tiny.inter").write_text(inter_text().replace("x_label", "x_lable"))
    with pytest.raises(RobustrecError, match="column not found in the header: x_label"):
        import_folder(source, "mine", home)
    (source / "tiny.inter").write_text(inter_text().replace("x_label", "X Label"))
    import_folder(source, "mine", home)
    assert load_dataset("mine", home=home).interactions.labels.tolist().count(2) == 6
