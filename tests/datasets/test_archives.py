"""Zips and tars: the same data set as their folder, and nothing outside a folder, no link, device or archive inside."""

from __future__ import annotations

import io
import json
import shutil
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from tiny_folders import N_ITEMS, Maker, inter_text, picture

from robustrec.cli.main import run
from robustrec.datasets.archives import import_archive
from robustrec.datasets.class_folders import with_classes
from robustrec.datasets.importing import import_folder
from robustrec.datasets.registry import load_dataset
from robustrec.errors import RobustrecError
from robustrec.untrusted import UnreadableError, archives
from robustrec.untrusted.archives import unpack

FORMATS = {"zip": "zip", "tar": "tar", "tar.gz": "gztar", "tar.bz2": "bztar", "tar.xz": "xztar"}


def zipped(path: Path, entries: dict[str, bytes], mode: int = 0) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            info = zipfile.ZipInfo(name)
            info.external_attr, info.compress_type = mode << 16, zipfile.ZIP_DEFLATED
            archive.writestr(info, content)
    return path


def tarred(path: Path, entries: dict[str, bytes], change: Callable[[tarfile.TarInfo], None] = lambda _: None) -> Path:
    with tarfile.open(path, "w:gz" if path.suffix == ".tgz" else "w") as archive:
        for name, content in entries.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            change(info)
            archive.addfile(info, io.BytesIO(content))
    return path


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("nested", [False, True])
def test_an_archive_is_the_data_set_of_its_folder(
    tiny: Maker, home: Path, tmp_path: Path, suffix: str, nested: bool
) -> None:
    """With the files at its top or in a folder, as both are packed."""
    folder = tiny(items=True, pictures="folder", features=("image",))
    (folder / ".DS_Store").write_bytes(b"x")
    packed = Path(shutil.make_archive(str(tmp_path / "packed"), FORMATS[suffix], folder.parent if nested else folder))
    import_folder(folder, "folder", home)
    target = import_archive(packed, "packed", home)
    first, second = (load_dataset(name, home=home) for name in ("folder", "packed"))
    assert first.digest == second.digest
    assert second.catalog is not None
    assert second.catalog.n_pictures == N_ITEMS - 1
    assert f"in packed.{suffix}" in (target / "dataset.toml").read_text()
    assert import_archive(packed, "packed", home) == target  # nothing changed, nothing to do


def test_the_command_takes_archives(
    tiny: Maker, home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    packed = shutil.make_archive(str(tmp_path / "packed"), "gztar", tiny(items=True))
    assert run(["data", "import", packed, "--name", "mine", "--home", str(home), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["texts"] == N_ITEMS - 1


def test_errors_name_the_archive_and_a_command_that_can_be_pasted(home: Path, tmp_path: Path) -> None:
    """Never the temporary folder, which is gone."""
    path = zipped(tmp_path / "shop.zip", {"a/one.csv": b"user,item\n1,2\n", "a/two.csv": b"user,item\n1,2\n"})
    with pytest.raises(RobustrecError) as caught:
        import_archive(path, "shop", home)
    error = caught.value
    assert "several files match" in error.what
    assert "robustrec-archive-" not in f"{error.what}{error.where}{error.fix}"
    assert error.fix.endswith(f"robustrec data import {path} --name shop --home {home} --interactions one.csv")


@pytest.mark.parametrize(
    "name", ["../evil.csv", "/etc/evil.csv", "a/../../evil.csv", "..\\evil.csv", "C:\\evil.csv", "a\nb.csv", "x" * 300]
)
@pytest.mark.parametrize("pack", [zipped, tarred])
def test_a_path_outside_the_folder_is_refused(
    tmp_path: Path, name: str, pack: Callable[[Path, dict[str, bytes]], Path]
) -> None:
    path = pack(tmp_path / ("a.zip" if pack is zipped else "a.tar"), {"ratings.csv": b"u,i\n", name: b"x"})
    target = tmp_path / "inside" / "target"
    target.mkdir(parents=True)
    with pytest.raises(UnreadableError, match=r"outside the archive|is not a path"):
        unpack(path, target)
    assert not list(tmp_path.rglob("evil*"))


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_in_a_tar_are_refused(tmp_path: Path, kind: bytes) -> None:
    def change(info: tarfile.TarInfo) -> None:
        info.type, info.linkname, info.size = kind, "/etc/passwd", 0

    with pytest.raises(UnreadableError, match="is a link, a device"):
        unpack(tarred(tmp_path / "a.tar", {"x.csv": b""}, change), tmp_path / "out")


def test_links_in_a_zip_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UnreadableError, match="is a link or a device"):
        unpack(zipped(tmp_path / "a.zip", {"x.csv": b"/etc/passwd"}, stat.S_IFLNK | 0o777), tmp_path / "out")


@pytest.mark.parametrize("inner", ["pictures.zip", "a/b.tar.gz", "c.7z", "D.RAR"])
def test_an_archive_inside_is_refused(home: Path, tmp_path: Path, inner: str) -> None:
    path = zipped(tmp_path / "a.zip", {"a.inter": inter_text().encode(), inner: b"PK"})
    with pytest.raises(RobustrecError, match="an archive inside the archive"):
        import_archive(path, "a", home)
    assert not (home / "data" / "a").exists()


def test_two_entries_of_one_path_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UnreadableError, match="two entries have the path"):
        unpack(zipped(tmp_path / "a.zip", {"A.csv": b"1", "a.csv": b"2"}), tmp_path / "out")


@pytest.mark.parametrize("pack", [zipped, tarred])
def test_too_many_bytes_or_files_are_refused_while_unpacking(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pack: Callable[[Path, dict[str, bytes]], Path]
) -> None:
    """What is written counts, not what the archive says of itself."""
    path = pack(tmp_path / ("a.zip" if pack is zipped else "a.tgz"), {f"{row}.csv": bytes(400_000) for row in range(9)})
    monkeypatch.setattr(archives, "LEAST_LIMIT", 1_000_000)
    monkeypatch.setattr(archives, "MOST_RATIO", 2)
    with pytest.raises(UnreadableError, match="the content is larger than"):
        unpack(path, tmp_path / "out")
    written = sum(file.stat().st_size for file in (tmp_path / "out").iterdir())
    assert written <= 1_000_000
    monkeypatch.setattr(archives, "LEAST_LIMIT", 1 << 30)
    monkeypatch.setattr(archives, "MOST_ENTRIES", 2)
    with pytest.raises(UnreadableError, match="more than 2 files"):
        unpack(path, tmp_path / "other")


def test_a_long_header_of_a_tar_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "a.tgz"
    with tarfile.open(path, "w:gz", format=tarfile.PAX_FORMAT) as archive:
        info = tarfile.TarInfo("x.csv")
        info.pax_headers = {"comment": "x" * (2 << 20)}
        archive.addfile(info)
    with pytest.raises(UnreadableError, match="header is too large"):
        unpack(path, tmp_path / "out")


@pytest.mark.parametrize("name", ["a.zip", "a.tar", "a.tgz", "a.tar.xz"])
@pytest.mark.parametrize("content", [b"", b"nothing", b"PK\x03\x04", b"\x1f\x8b\x08\x00"])
def test_damaged_archives_are_refused(home: Path, tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(RobustrecError):
        import_archive(path, "a", home)


@pytest.mark.parametrize("suffix", ["zip", "tar.gz"])
def test_truncated_archives_are_refused(tiny: Maker, home: Path, tmp_path: Path, suffix: str) -> None:
    packed = Path(shutil.make_archive(str(tmp_path / "packed"), FORMATS[suffix], tiny(items=True)))
    content = packed.read_bytes()
    for part in range(1, 8):
        packed.write_bytes(content[: len(content) * part // 8])
        with pytest.raises(RobustrecError):
            import_archive(packed, "a", home)
    assert not (home / "data" / "a").exists()


def images(folder: Path, names: list[str]) -> Path:
    for row, name in enumerate(names):
        path = folder / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture((row * 20, 10, 10)))
    return folder


def test_folders_of_classes_are_a_catalog(tiny: Maker, home: Path) -> None:
    """Pictures by class, named by item, and no catalog: the class is the category of the item."""
    names = [f"train/{'Summer_Dress' if row % 2 else 'boots'}/{row}.png" for row in range(N_ITEMS)]
    import_folder(images(tiny(), names), "mine", home)
    data = load_dataset("mine", home=home)
    assert data.catalog is not None
    assert data.catalog.n_pictures == N_ITEMS
    assert [data.catalog.texts[row] for row in (0, 1)] == ["boots", "Summer Dress"]
    reasons = {row.reason: row.rows for row in data.filters}
    assert reasons["items whose category is the name of the folder of their picture"] == N_ITEMS


@pytest.mark.parametrize(
    "names",
    [
        [f"{row}.png" for row in range(N_ITEMS)],  # one folder
        [f"shoes/{row}.png" for row in range(N_ITEMS)],  # one class says nothing
        [f"{row // 4:02}/{row}.png" for row in range(N_ITEMS)],  # numbered folders
        [f"{'train' if row % 2 else 'val'}/{row}.png" for row in range(N_ITEMS)],  # a split
    ],
)
def test_other_folders_are_no_classes(tiny: Maker, home: Path, names: list[str]) -> None:
    import_folder(images(tiny(), names), "mine", home)
    data = load_dataset("mine", home=home)
    assert data.catalog is not None
    assert (data.catalog.n_pictures, data.catalog.n_texts) == (N_ITEMS, 0)


def test_folders_named_by_the_first_letters_of_ids_are_no_classes() -> None:
    assert with_classes([None] * 4, ["B0a/B0a1.jpg", "B0a/B0a2.jpg", "B0b/B0b1.jpg", "B0b/B0b2.jpg"])[1] == []
