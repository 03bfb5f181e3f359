from __future__ import annotations

import io
import pickle
import struct
import zipfile
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from tiny_folders import picture

from robustrec.datasets import pictures as pictures_module
from robustrec.datasets.items import CatalogItem
from robustrec.datasets.picture_index import index_pictures
from robustrec.datasets.pictures import PictureSource, decode, picture_names
from robustrec.errors import RobustrecError


def zipped(path: Path, contents: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    return path


def foldered(path: Path, contents: dict[str, bytes]) -> Path:
    for name, content in contents.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    return path


def corner(image: Image.Image) -> tuple[int, ...]:
    value = image.getpixel((0, 0))
    assert isinstance(value, tuple)
    return value


@pytest.mark.parametrize("kind", ["zip", "folder"])
def test_pictures_come_as_rgb_or_none(tmp_path: Path, kind: str) -> None:
    contents = {"a.png": picture((1, 2, 3)), "b/c.png": picture((4, 5, 6))}
    path = zipped(tmp_path / "p.zip", contents) if kind == "zip" else foldered(tmp_path / "p", contents)
    source = PictureSource(path, ["b/c.png", None, "a.png"])
    assert picture_names(path) == ["a.png", "b/c.png"]
    image = source.open(0)
    assert image is not None
    assert (image.mode, image.size, corner(image)) == ("RGB", (12, 8), (4, 5, 6))
    assert source.open(1) is None
    assert source.read(2) == contents["a.png"]


MODES = {
    "grey": ("L", 100, {}, (100, 100, 100)),
    "bilevel": ("1", 1, {}, (255, 255, 255)),
    "half transparent": ("RGBA", (255, 0, 0, 128), {}, (255, 127, 127)),
    "fully transparent": ("RGBA", (10, 20, 30, 0), {}, (255, 255, 255)),
    "grey and alpha": ("LA", (0, 0), {}, (255, 255, 255)),
    "transparent colour": ("RGB", (9, 9, 9), {"transparency": (9, 9, 9)}, (255, 255, 255)),
    "palette": ("P", 0, {}, (0, 0, 0)),
    "transparent palette": ("P", 0, {"transparency": 0}, (255, 255, 255)),
    "16 bit": ("I;16", 257 * 200, {}, (200, 200, 200)),
    "CMYK": ("CMYK", (0, 0, 0, 0), {"format": "JPEG"}, (255, 255, 255)),
    "GIF": ("P", 0, {"format": "GIF"}, (0, 0, 0)),
    "BMP": ("RGB", (7, 8, 9), {"format": "BMP"}, (7, 8, 9)),
    "WebP": ("RGB", (7, 8, 9), {"format": "WEBP", "lossless": True}, (7, 8, 9)),
}


@pytest.mark.parametrize("case", MODES)
def test_every_mode_becomes_rgb(case: str) -> None:
    mode, color, save, expected = MODES[case]
    image = decode(picture(color, mode=mode, **save), "here")  # type: ignore[arg-type]
    assert image.mode == "RGB"
    assert corner(image) == expected


def test_orientation_is_applied() -> None:
    upright = Image.new("RGB", (12, 8))
    upright.putpixel((0, 0), (255, 255, 255))
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: rotate by 90 degrees clockwise
    stream = io.BytesIO()
    upright.save(stream, "PNG", exif=exif)
    image = decode(stream.getvalue(), "here")
    assert image.size == (8, 12)
    assert image.getpixel((7, 0)) == (255, 255, 255)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_damaged_exif_does_not_lose_the_picture() -> None:
    stream = io.BytesIO()
    Image.new("RGB", (12, 8), (5, 5, 5)).save(stream, "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\x7fjunk")
    assert decode(stream.getvalue(), "here").size == (12, 8)


@pytest.mark.parametrize("format_", ["PNG", "JPEG", "GIF", "BMP", "WEBP"])
@pytest.mark.parametrize("quick", [False, True])
def test_truncated_pictures_name_item_and_file(tmp_path: Path, format_: str, quick: bool) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (60, 60, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(noise).save(stream, format_)
    whole = stream.getvalue()
    assert decode(whole, "here", quick=quick)
    with pytest.raises(RobustrecError, match=r"damaged|not a picture") as caught:
        decode(whole[: len(whole) // 2], "item 3: cut.png", quick=quick)
    assert caught.value.where == "item 3: cut.png"
    path = zipped(tmp_path / "p.zip", {"3.png": whole[: len(whole) // 2]})
    with pytest.raises(RobustrecError) as caught:
        PictureSource(path, [None, "3.png"]).open(1)
    assert "item 1" in caught.value.where
    assert "3.png" in caught.value.where


@pytest.mark.parametrize(
    "content", [b"", b"hello", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", b"\x89PNG\r\n\x1a\n"]
)
def test_what_is_no_picture(content: bytes) -> None:
    with pytest.raises(RobustrecError, match="not a picture"):
        decode(content, "here")


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few bytes whose header promises any number of pixels."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(10))) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("size", [(8000, 8000), (12000, 12000), (60000, 60000)])
def test_too_many_pixels_are_refused_from_the_header(size: tuple[int, int]) -> None:
    with pytest.raises(RobustrecError, match="picture is too large"):
        decode(bomb(*size), "here")


def test_limits_on_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures_module, "MAX_PICTURE_BYTES", 1000)
    contents = {"big.png": bytes(1001), "fit.png": bytes(1000)}
    for path in (zipped(tmp_path / "p.zip", contents, zipfile.ZIP_DEFLATED), foldered(tmp_path / "p", contents)):
        source = PictureSource(path, ["big.png", "fit.png"])
        assert source.read(1) == bytes(1000)
        with pytest.raises(RobustrecError, match="MiB, but at most"):
            source.read(0)


def test_a_zip_that_lies_about_its_sizes(tmp_path: Path) -> None:
    """A megabyte of zeros that both headers declare as ten bytes is neither inflated nor believed."""
    path = zipped(tmp_path / "p.zip", {"a.png": bytes(2**20)}, zipfile.ZIP_DEFLATED)
    raw = bytearray(path.read_bytes())
    for signature, place in ((b"PK\3\4", 22), (b"PK\1\2", 24)):
        start = raw.index(signature)
        assert struct.unpack_from("<I", raw, start + place)[0] == 2**20
        struct.pack_into("<I", raw, start + place, 10)
    path.write_bytes(bytes(raw))
    with pytest.raises(RobustrecError, match=r"damaged|declares"):
        PictureSource(path, ["a.png"]).read(0)


def test_damaged_encrypted_and_oddly_compressed_zips(tmp_path: Path) -> None:
    content = {"a.png": picture()}
    odd = zipped(tmp_path / "odd.zip", content, zipfile.ZIP_LZMA)
    with pytest.raises(RobustrecError, match="unsupported compression"):
        PictureSource(odd, ["a.png"]).read(0)
    plain = zipped(tmp_path / "plain.zip", content)
    raw = bytearray(plain.read_bytes())
    encrypted = bytearray(raw)
    encrypted[raw.index(b"PK\1\2") + 8] |= 1
    (tmp_path / "encrypted.zip").write_bytes(encrypted)
    with pytest.raises(RobustrecError, match="encrypted"):
        PictureSource(tmp_path / "encrypted.zip", ["a.png"]).read(0)
    flipped = bytearray(raw)
    flipped[60] ^= 0xFF
    (tmp_path / "flipped.zip").write_bytes(flipped)
    with pytest.raises(RobustrecError, match="damaged"):
        PictureSource(tmp_path / "flipped.zip", ["a.png"]).read(0)
    (tmp_path / "cut.zip").write_bytes(raw[:-30])
    for path in (tmp_path / "cut.zip", tmp_path / "none.zip"):
        with pytest.raises(RobustrecError, match="cannot open the pictures"):
            PictureSource(path, ["a.png"]).read(0)
    with pytest.raises(RobustrecError, match="zip entry not found"):
        PictureSource(plain, ["b.png"]).read(0)


def test_paths_cannot_leave_the_folder(tmp_path: Path) -> None:
    secret = tmp_path / "secret.png"
    secret.write_bytes(picture())
    folder = foldered(tmp_path / "p", {"a.png": picture()})
    (folder / "link.png").symlink_to(secret)
    for entry in ("../secret.png", str(secret), "link.png"):
        with pytest.raises(RobustrecError, match="is outside its folder"):
            PictureSource(folder, [entry]).read(0)
    escaping = zipped(tmp_path / "p.zip", {"../evil.png": picture()})
    assert PictureSource(escaping, ["../evil.png"]).read(0) == picture()  # a name in the zip, never a path on disk
    assert not (tmp_path.parent / "evil.png").exists()


@given(content=st.binary(max_size=200), cut=st.integers(0, 400), at=st.integers(0, 400))
@settings(max_examples=200, deadline=None)
def test_any_bytes_decode_or_raise_the_one_error(content: bytes, cut: int, at: int) -> None:
    stream = io.BytesIO()
    Image.new("RGB", (9, 9), (1, 2, 3)).save(stream, "JPEG")
    whole = stream.getvalue()
    for candidate in (content, whole[:at] + content + whole[at + cut :]):
        try:
            assert decode(candidate, "here").mode == "RGB"
        except RobustrecError:
            continue


@pytest.mark.parametrize("kind", ["zip", "folder"])
def test_many_threads_read_what_one_reads(tmp_path: Path, kind: str) -> None:
    contents = {f"{row}.png": picture((row, row, row)) for row in range(40)}
    path = zipped(tmp_path / "p.zip", contents) if kind == "zip" else foldered(tmp_path / "p", contents)
    source = PictureSource(path, list(contents))
    with ThreadPoolExecutor(8) as pool:
        images = list(pool.map(source.open, list(range(40)) * 5))
    assert [corner(image)[0] for image in images if image is not None] == list(range(40)) * 5


def test_a_source_travels_to_another_process(tmp_path: Path) -> None:
    source = PictureSource(zipped(tmp_path / "p.zip", {"a.png": picture()}), ["a.png", None])
    source.read(0)
    again = pickle.loads(pickle.dumps(source))
    assert again.read(0) == picture()
    assert again.entries == ("a.png", None)


def item(image: str = "", *external: str) -> CatalogItem:
    return CatalogItem("", "", (), "", image, external)


def test_which_picture_belongs_to_which_item(tmp_path: Path) -> None:
    names = ["x/1.jpg", "2.jpg", "y/2.jpg", "B7.png", "4.jpg", "notes.txt"]
    path = zipped(tmp_path / "p.zip", dict.fromkeys(names, b"-"))
    rows = [
        item("posters/1.jpg"),
        item("2.jpg"),
        item("z/2.jpg"),
        item("", "B7"),
        None,
        item("lost.jpg"),
        item("", "4"),
    ]
    found = index_pictures(rows, path, guess=True)
    # posters/1.jpg and z/2.jpg name other folders; lost.jpg is none; 4 is the id of an item, not only a number.
    assert found.entries == [None, "2.jpg", None, "B7.png", None, None, "4.jpg"]
    assert (found.lost, found.further, found.unused) == (3, 0, 2)
    assert index_pictures(rows, path, guess=False)[0] == [None, "2.jpg", None, None, None, None, None]
