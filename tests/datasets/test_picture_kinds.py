"""Pictures of unusual kinds: what they are decoded to, and how they are counted."""

import importlib.util
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, features

from robustrec.datasets import pictures as pictures_module
from robustrec.datasets.catalog import build_catalog
from robustrec.datasets.items import CatalogItem
from robustrec.datasets.picture_kinds import kind_notes, kinds_of
from robustrec.datasets.pictures import PictureSource, decode
from robustrec.errors import RobustrecError


def saved(image: Image.Image, form: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, form, **options)
    return stream.getvalue()


def red(size: tuple[int, int] = (60, 40), mode: str = "RGB") -> Image.Image:
    image = Image.new("RGB", size, (200, 30, 40))
    ImageDraw.Draw(image).rectangle((0, 0, size[0] // 2, size[1] // 2), fill=(20, 160, 60))
    return image.convert(mode)


def transparent() -> bytes:
    image = red(mode="RGBA")
    image.putalpha(Image.new("L", image.size, 0))
    return saved(image, "PNG")


def deep() -> bytes:
    return saved(Image.fromarray(np.full((40, 60), 257 * 100, np.uint16)), "PNG")


def turned() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return saved(red(), "JPEG", exif=exif.tobytes())


def heic() -> bytes:
    heif = pytest.importorskip("pillow_heif")
    stream = io.BytesIO()
    heif.from_pillow(red((64, 48))).save(stream, quality=90)
    return stream.getvalue()


CASES = {
    "transparent": (transparent, ("transparent",), (60, 40), (255, 255, 255)),
    "palette with transparency": (
        lambda: saved(red().quantize(4), "PNG", transparency=red().quantize(4).getpixel((2, 2))),
        ("transparent",), (60, 40), (255, 255, 255),
    ),
    "animated GIF": (
        lambda: saved(red(), "GIF", save_all=True, append_images=[Image.new("RGB", (60, 40), "white")]),
        ("animated",), (60, 40), (20, 160, 60),
    ),
    "animated WebP": (
        lambda: saved(red(), "WEBP", lossless=True, save_all=True, append_images=[Image.new("RGB", (60, 40), "white")]),
        ("animated",), (60, 40), (20, 160, 60),
    ),
    "cmyk": (lambda: saved(red(mode="CMYK"), "JPEG", quality=95), ("cmyk",), (60, 40), (20, 160, 60)),
    "16 bits": (deep, ("deep",), (60, 40), (100, 100, 100)),
    "turned": (turned, ("turned",), (40, 60), None),
    "panorama": (lambda: saved(red((400, 40)), "PNG"), ("panorama",), (400, 40), (20, 160, 60)),
    "tall": (lambda: saved(red((40, 400)), "PNG"), ("panorama",), (40, 400), (20, 160, 60)),
    "heic": (heic, ("heif",), (64, 48), (20, 160, 60)),
    "plain": (lambda: saved(red(), "PNG"), (), (60, 40), (20, 160, 60)),
    "damaged": (lambda: saved(red(), "PNG")[:20], (), None, None),
    "html": (lambda: b"<html>", (), None, None),
}  # fmt: skip
if features.check("avif"):
    CASES["avif"] = (lambda: saved(red((64, 48)), "AVIF", quality=95), ("avif",), (64, 48), (20, 160, 60))


@pytest.mark.parametrize("name", CASES)
def test_pictures_of_every_kind_are_decoded_and_named(name: str) -> None:
    make, kinds, size, corner = CASES[name]
    content = make()
    assert kinds_of(content) == kinds
    if size is None:
        with pytest.raises(RobustrecError):
            decode(content, "here")
        return
    image = decode(content, "here")
    assert (image.mode, image.size) == ("RGB", size)
    if corner is not None:
        got = image.getpixel((2, 2))
        assert isinstance(got, tuple)
        assert max(abs(a - b) for a, b in zip(got, corner, strict=True)) < 12


def test_they_are_counted_over_a_catalog(tmp_path: Path) -> None:
    place = tmp_path / "pictures"
    place.mkdir()
    contents = [transparent(), transparent(), turned(), deep(), saved(red(), "PNG"), b"<html>"]
    for number, content in enumerate(contents):
        (place / f"{number}.png").write_bytes(content)
    entries = [*(f"{number}.png" for number in range(len(contents))), None, "gone.png"]
    expected = (
        "2 transparent pictures: on white",
        "1 picture of 16 bits: scaled to 8 bits",
        "1 picture turned by EXIF: upright",
    )
    for _ in range(2):
        assert kind_notes(PictureSource(place, entries), tmp_path / "cache") == expected


def test_a_heic_picture_without_its_library_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    content = heic()
    real = importlib.util.find_spec
    monkeypatch.setattr(pictures_module, "find_spec", lambda name: None if name == "pillow_heif" else real(name))
    with pytest.raises(RobustrecError, match="HEIC") as caught:
        decode(content, "item 3")
    assert "robustrec[heif]" in caught.value.fix
    assert caught.value.where == "item 3"
    assert kinds_of(content) == ()


def test_decoding_heic_changes_nothing_of_the_process() -> None:
    decode(heic(), "here")
    assert "HEIF" not in Image.OPEN


def test_heic_and_avif_files_belong_to_items_by_their_ids(tmp_path: Path) -> None:
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "B1.heic").write_bytes(heic())
    items = [CatalogItem("cup", "", (), "", "", ("B1",))]
    catalog, _ = build_catalog(items, tmp_path / "p", guess=True)
    picture = catalog.picture(0)
    assert picture is not None
    assert picture.size == (64, 48)


def test_features_say_what_was_made_of_pictures(tmp_path: Path, tiny_folder: Path) -> None:
    import shutil

    from robustrec.datasets.registry import load_dataset
    from robustrec.encoders.features import item_features

    folder = tmp_path / "shop"
    (folder / "pictures").mkdir(parents=True)
    shutil.copy(tiny_folder / "tiny.inter", folder / "shop.inter")
    lines = [f'{{"itemID": {item}, "title": "Cup number {item}", "image": "{item}.png"}}' for item in range(60)]
    (folder / "items.jsonl").write_text("\n".join(lines))
    for item in range(60):
        image = red(mode="RGBA" if item < 7 else "RGB")
        if item < 7:
            image.putalpha(Image.new("L", image.size, 4 * item))
        (folder / "pictures" / f"{item}.png").write_bytes(saved(image, "PNG"))
    features_ = item_features(load_dataset(str(folder), home=tmp_path), "basic", home=tmp_path)
    assert "7 transparent pictures: on white" in features_.notes
