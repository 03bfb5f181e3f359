from __future__ import annotations

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from tiny_folders import N_ITEMS, Maker, inter_text, picture

from robustrec import digests
from robustrec.datasets import content, registry, shop
from robustrec.datasets.importing import import_folder
from robustrec.datasets.manifest import Manifest, manifest_text, read_manifest
from robustrec.datasets.registry import dataset_names, load_dataset
from robustrec.errors import RobustrecError

SAMPLE = """schema_version = 1
name = "clothing"
edition = "sample"
synthetic = true
seed = "clothing"
[counts]
users = 6
items = 8
interactions = 30
[noise_rates.text]
promotion = 0.4
"""


@pytest.fixture
def toy_shop(monkeypatch: pytest.MonkeyPatch, tiny: Maker) -> list[str]:
    """A shop that is built at once; returns what was built."""
    built: list[str] = []

    def build(name: str, folder: Path, progress: object = None) -> None:
        built.append(name)
        source = tiny(f"built{len(built)}", items=True, pictures="zip")
        for file, target in (("items.jsonl", "items.jsonl"), ("pictures.zip", "pictures.zip")):
            shutil.copyfile(source / file, folder / target)
            shutil.copyfile(source / file, folder / f"clean_{target}")
        (folder / f"{name}.inter").write_text(inter_text())
        (folder / "dataset.toml").write_text(SAMPLE.replace("clothing", name))

    monkeypatch.setattr(shop, "build_shop", build)
    monkeypatch.setattr(shop, "shop_digest", lambda: "abcdef" * 10)
    return built


def test_a_bare_folder_in_the_mmrec_layout(tiny: Maker, home: Path) -> None:
    folder = tiny(items=True, pictures="folder", features=("image", "text"))
    (folder / "u_id_mapping.csv").write_text("user_id\tuserID\n")
    data = load_dataset(str(folder), home=home)
    assert (data.name, data.edition, data.synthetic, data.folder) == ("tiny", "full", False, folder)
    assert data.interactions.n_items == N_ITEMS
    assert list(data.feature_files) == ["image", "text"]
    assert data.clean_catalog is None
    assert data.catalog is not None
    assert data.catalog.texts[1] == "Good 1 soft and red"
    image = data.catalog.picture(2)
    assert image is not None
    assert image.getpixel((0, 0)) == (40, 10, 10)
    assert data.catalog.picture(N_ITEMS - 1) is None
    assert {row.reason: row.rows for row in data.filters} == {
        "items that are missing in the catalog (kept)": 1,
        "items with a picture of that name in another folder than the catalog names (kept)": N_ITEMS - 1,
    }


def test_interactions_alone_are_a_data_set(tiny: Maker, home: Path) -> None:
    data = load_dataset(str(tiny()), home=home)
    assert data.catalog is None
    assert data.feature_files == {}


def test_the_digest_is_of_the_content_wherever_it_lies(tiny: Maker, home: Path, tmp_path: Path) -> None:
    parts = {"items": True, "pictures": "zip", "features": ("image",)}
    first = tiny("one", **parts)
    digest = load_dataset(str(first), home=home).digest
    second = tiny("two", **{**parts, "pictures": "folder"})
    assert load_dataset(str(second), home=home).digest == digest
    assert load_dataset(str(import_folder(first, "three", home)), home=home).digest == digest

    def changed() -> str:
        return load_dataset(str(second), home=home).digest

    seen = {digest}
    (second / "two.inter").write_text(inter_text().replace("5\t1\t5.0\t1004\t2", "5\t2\t5.0\t1004\t2"))
    seen.add(changed())
    (second / "items.jsonl").write_text((second / "items.jsonl").read_text().replace("Good 3", "Best 3"))
    seen.add(changed())
    (second / "pictures" / "5.png").write_bytes(picture((9, 9, 9)))
    seen.add(changed())
    np.save(second / "image_feat.npy", np.ones((N_ITEMS, 3), dtype=np.float32))
    seen.add(changed())
    assert len(seen) == 5


def test_a_second_load_reads_no_pictures(tiny: Maker, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tiny(items=True, pictures="folder", features=("text",))
    monkeypatch.setattr(digests, "_SETTLED_NS", -(10**18))  # files a moment old are trusted
    digest = load_dataset(str(folder), home=home).digest
    calls: list[Path] = []
    monkeypatch.setattr(content, "check_finite", lambda path, table: calls.append(path))
    assert load_dataset(str(folder), home=home).digest == digest
    assert calls == []
    os.utime(folder / "pictures" / "0.png", ns=(1, 1))
    assert load_dataset(str(folder), home=home).digest == digest
    assert len(calls) == 1
    cached = next((home / "digests").iterdir())
    cached.write_text("{")
    assert load_dataset(str(folder), home=home).digest == digest
    assert len(calls) == 2


def test_a_picture_changed_in_place_changes_the_digest(
    tiny: Maker, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Size, time and inode stay as they were; only the time of the change of status tells."""
    folder = tiny(items=True, pictures="folder")
    place = folder / "pictures" / "0.png"
    monkeypatch.setattr(digests, "_SETTLED_NS", -(10**18))
    before, status = load_dataset(str(folder), home=home).digest, place.stat()
    content = place.read_bytes()
    with place.open("r+b") as file:
        file.write(content[:-20] + bytes(byte ^ 1 for byte in content[-20:]))
    os.utime(place, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert load_dataset(str(folder), home=home).digest != before


def test_a_file_of_this_moment_is_not_trusted_later(tiny: Maker, home: Path) -> None:
    """It may change again within the same tick of the clock."""
    load_dataset(str(tiny(items=True, pictures="folder")), home=home)
    assert not (home / "digests").exists()


def test_a_home_that_cannot_be_written_costs_only_time(tiny: Maker, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    folder = str(tiny(items=True))
    assert load_dataset(folder, home=blocked).digest == load_dataset(folder, home=tmp_path / "home").digest


def test_wrong_features_stop_the_load(tiny: Maker, home: Path) -> None:
    folder = tiny(features=("image",))
    np.save(folder / "image_feat.npy", np.ones((N_ITEMS - 1, 3)))
    with pytest.raises(RobustrecError, match="expected 8 feature rows, one per item, but got 7"):
        load_dataset(str(folder), home=home)
    np.save(folder / "image_feat.npy", np.full((N_ITEMS, 3), np.nan))
    for _ in range(2):  # a failure is not remembered as a success
        with pytest.raises(RobustrecError, match="feature value nan of item 0"):
            load_dataset(str(folder), home=home)


def test_auto_takes_full_where_it_is_and_else_the_sample(tiny: Maker, home: Path, toy_shop: list[str]) -> None:
    sample = load_dataset("clothing", home=home)
    assert (sample.edition, sample.synthetic, sample.name) == ("sample", True, "clothing")
    assert sample.folder == home / "samples" / "clothing-abcdefabcdef"
    assert sample.clean_catalog is not None
    assert sample.clean_catalog.n_pictures == N_ITEMS - 1
    with pytest.raises(RobustrecError, match="full edition of 'clothing' is not imported") as caught:
        load_dataset("clothing", home=home, edition="full")
    assert "robustrec data import FOLDER --name clothing" in caught.value.fix

    import_folder(tiny(items=True), "clothing", home)
    full = load_dataset("clothing", home=home)
    assert (full.edition, full.synthetic) == ("full", False)
    assert load_dataset("clothing", home=home, edition="full").digest == full.digest
    assert load_dataset("clothing", home=home, edition="sample").synthetic
    assert toy_shop == ["clothing"]


def test_two_at_once_build_one_sample(home: Path, toy_shop: list[str]) -> None:
    with ThreadPoolExecutor(4) as pool:
        loaded = list(pool.map(lambda _: load_dataset("baby", home=home), range(4)))
    assert toy_shop == ["baby"]
    assert len({data.digest for data in loaded}) == 1


def test_a_build_that_fails_leaves_nothing(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(name: str, folder: Path, progress: object = None) -> None:
        (folder / "half").write_text("x")
        raise KeyboardInterrupt

    monkeypatch.setattr(shop, "build_shop", fail)
    with pytest.raises(KeyboardInterrupt):
        load_dataset("baby", home=home)
    assert [place for place in (home / "samples").iterdir() if place.is_dir()] == []


def test_names_that_are_none(tiny: Maker, home: Path, toy_shop: list[str]) -> None:
    import_folder(tiny(), "mine", home)
    assert dataset_names(home) == ["baby", "clothing", "electronics", "mine", "sports"]
    assert dataset_names(home / "nowhere") == ["baby", "clothing", "electronics", "sports"]
    cases = {
        ("clothng", "auto"): "unknown dataset 'clothng'",
        ("./nowhere", "auto"): "is not a directory",
        ("../../nowhere", "full"): "is not a directory",
        ("mine", "sample"): "has no sample edition",
        ("baby", "ful"): "unknown edition",
    }
    for (name, edition), what in cases.items():
        with pytest.raises(RobustrecError, match=what):
            load_dataset(name, home=home, edition=edition)
    with pytest.raises(RobustrecError) as caught:
        load_dataset("clothng", home=home)
    assert "did you mean 'clothing'" in caught.value.fix


def test_a_path_keeps_its_edition(tiny: Maker, home: Path, toy_shop: list[str]) -> None:
    sample = load_dataset("clothing", home=home).folder
    assert load_dataset(str(sample), home=home).synthetic
    for folder, edition in ((sample, "full"), (tiny(), "sample")):
        with pytest.raises(RobustrecError, match="the folder has the"):
            load_dataset(str(folder), home=home, edition=edition)
    with pytest.raises(RobustrecError, match="synthetic sample"):
        import_folder(sample, "clothing", home)


def test_a_folder_without_a_plain_choice(tiny: Maker, home: Path, tmp_path: Path) -> None:
    folder = tiny()
    (folder / "tiny.inter").rename(folder / "a.inter")
    (folder / "b.inter").write_text(inter_text())
    with pytest.raises(RobustrecError, match=r"several files match: a.inter, b.inter"):
        load_dataset(str(folder), home=home)
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(RobustrecError, match=r"no dataset.toml and no .inter file"):
        load_dataset(str(empty), home=home)


@pytest.mark.parametrize(
    ("edit", "what"),
    [
        (("schema_version = 1", "schema_version = 2"), "schema_version"),
        (('name = "tiny"', 'name = "Tiny/../x"'), "name"),
        (('name = "tiny"', 'nam = "tiny"'), "name"),
        (("[files]", "[files]\nfeatures = 'x'"), "files.features"),
        (("[files]", "[files"), "not valid TOML"),
        (('interactions = "tiny.inter"', 'interactions = "../x.inter"'), "is outside its folder"),
        (('interactions = "tiny.inter"', 'interactions = "gone.inter"'), "cannot read"),
        (("interactions = 30", "interactions = 31"), "expected 31 rows as in dataset.toml, but got 30"),
        (("items = 8", "items = 7"), "itemID 7 is out of range; ids must be below 7"),
    ],
)
def test_a_wrong_dataset_toml(tiny: Maker, home: Path, edit: tuple[str, str], what: str) -> None:
    folder = import_folder(tiny(items=True), "tiny", home)
    text = (folder / "dataset.toml").read_text()
    assert edit[0] in text
    (folder / "dataset.toml").write_text(text.replace(edit[0], edit[1], 1))
    with pytest.raises(RobustrecError) as caught:
        load_dataset("tiny", home=home)
    assert what in str(caught.value)


def test_a_file_cut_at_a_line_end_is_noticed(tiny: Maker, home: Path) -> None:
    folder = import_folder(tiny(), "tiny", home)
    lines = (folder / "tiny.inter").read_text().splitlines(keepends=True)
    (folder / "tiny.inter").write_text("".join(lines[:-1]))
    with pytest.raises(RobustrecError, match=r"expected 30 rows as in dataset.toml, but got 29"):
        load_dataset("tiny", home=home)


def test_the_manifest_survives_writing(tmp_path: Path) -> None:
    manifest = Manifest.model_validate(
        {
            "name": "x",
            "source": 'quotes " and \\ and \x7f and ä\n',
            "counts": {"users": 1, "items": 2, "interactions": 3},
            "files": {"interactions": "x.inter", "items": "ü.jsonl"},
            "filters": [{"reason": "a", "rows": 1}, {"reason": "b", "rows": 0}],
        }
    )
    (tmp_path / "dataset.toml").write_text(manifest_text(manifest))
    assert read_manifest(tmp_path) == manifest


@pytest.mark.parametrize(
    ("text", "where", "words"),
    [
        ('name = "x"\nsorce = "y"', "key sorce", "did you mean 'source'?"),
        (
            'name = "x"\n[files]\ninteractions = "x.inter"\npicture = "p.zip"',
            "key files.picture",
            "did you mean 'pictures'?",
        ),
        ('name = "x"\nedition = "half"', "key edition", "(given: 'half')"),
    ],
)
def test_an_invalid_key_of_the_manifest_is_named_with_a_suggestion(
    tmp_path: Path, text: str, where: str, words: str
) -> None:
    (tmp_path / "dataset.toml").write_text(text)
    with pytest.raises(RobustrecError) as caught:
        read_manifest(tmp_path)
    assert caught.value.where == f"{tmp_path / 'dataset.toml'}, {where}"
    assert words in str(caught.value) + caught.value.fix


def test_the_wait_for_another_builder_ends(home: Path, toy_shop: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    from filelock import FileLock

    monkeypatch.setattr(registry, "BUILD_SECONDS", 0)
    (home / "samples").mkdir(parents=True)
    with (
        FileLock(home / "samples" / ".baby-abcdefabcdef.lock", is_singleton=False),
        pytest.raises(RobustrecError, match="another process has been creating"),
    ):
        load_dataset("baby", home=home)
