"""The sample editions are the same to the byte on every machine."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from robustrec.datasets.shop import SHOPS, build_shop, shop_digest
from robustrec.errors import RobustrecError

# sha256 over the files' names and digests. They change when the shop or its vocabulary does, and never otherwise:
# a difference between machines is a fault. The failing test prints the new number.
DIGESTS = {
    "baby": "b9b27e2fedfcd296ec4d99fe36a07eaab4c667f3d7404adf696bf91909b677ea",
    "sports": "a81ed9e453161077905fe14ed0ab1b4898c51a77e3076a99d3f8974d3265a58f",
    "clothing": "52f29586537dcc854d451b33d634ae0003af50df54b84243e0fe1e0eeb3a2f9c",
    "electronics": "869a97774518856d4707992effc7dc506d09667efa98ce75791fe64f158126d0",
}
FILES = {
    "attributes.jsonl",
    "clean_items.jsonl",
    "clean_pictures.zip",
    "dataset.toml",
    "items.jsonl",
    "pictures.zip",
}


def folder_digest(folder: Path) -> str:
    digest = hashlib.sha256()
    for file in sorted(folder.iterdir()):
        digest.update(f"{file.name} {hashlib.sha256(file.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()


def test_every_edition_has_its_committed_digest(edition):
    assert folder_digest(edition.folder) == DIGESTS[edition.name]


def test_another_process_with_another_hash_seed_and_locale_builds_the_same(editions, tmp_path):
    edition = editions("clothing")
    program = (
        "import sys; from pathlib import Path; from robustrec.datasets.shop import build_shop;"
        "build_shop('clothing', Path(sys.argv[1]))"
    )
    seed = "2" if os.environ.get("PYTHONHASHSEED") == "1" else "1"
    environment = {**os.environ, "PYTHONHASHSEED": seed, "LC_ALL": "C", "PYTHONUTF8": "0", "TZ": "Asia/Tokyo"}
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=True, env=environment)
    assert folder_digest(tmp_path) == folder_digest(edition.folder)


def test_an_edition_has_all_its_files(edition):
    assert {file.name for file in edition.folder.iterdir()} == FILES | {f"{edition.name}.inter"}


def test_the_description_says_sample_and_counts(edition):
    table = tomllib.loads((edition.folder / "dataset.toml").read_text(encoding="utf-8"))
    assert (table["schema_version"], table["name"]) == (1, edition.name)
    assert table["edition"] == "sample"
    assert table["synthetic"] is True
    assert table["counts"] == {"users": 1200, "items": 480, "interactions": len(edition.interactions())}
    assert set(table["noise_rates"]) == {"text", "picture"}


def test_pictures_depend_on_no_compression_library(edition):
    with zipfile.ZipFile(edition.folder / "pictures.zip") as archive:
        for member in archive.infolist():
            assert member.compress_type == zipfile.ZIP_STORED
            assert member.date_time == (1980, 1, 1, 0, 0, 0)
        data = archive.read("0.png")
    start = data.index(b"IDAT") + 4
    assert data[start : start + 3] == b"\x78\x01\x01"  # zlib without compression, one last block, stored


def test_the_digest_names_the_code_and_the_vocabulary():
    assert len(shop_digest()) == 64
    assert shop_digest() == shop_digest()


@pytest.mark.parametrize("name", ["clothes", "", "Clothing", "../clothing"])
def test_an_unknown_shop_is_refused(name, tmp_path):
    with pytest.raises(RobustrecError, match="unknown sample edition") as caught:
        build_shop(name, tmp_path)
    assert all(shop in caught.value.fix for shop in SHOPS)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_is_an_error_in_three_parts(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(RobustrecError, match="cannot write"):
        build_shop("baby", tmp_path / "file")
