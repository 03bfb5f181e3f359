"""Damaged suites, settings, waivers, manifests and pictures: an error in three parts or the content."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path

import pytest
from fuzzing import fuzzed, mutations, told
from PIL import Image

from robustrec.audits.suites import Suite, parse_suite
from robustrec.config import resolve
from robustrec.datasets.manifest import read_manifest
from robustrec.datasets.pictures import decode
from robustrec.errors import RobustrecError
from robustrec.files import path_inside, shipped
from robustrec.results.waivers import read_waivers

SUITES = [shipped("audits", f"{name}.toml").read_bytes() for name in ("quick", "merchant", "full")]
SETTINGS = b"""[tool.robustrec]
model = ["slmrec", "vbpr"]
seeds = 2
home = "somewhere"
fail_on = "error"
[tool.robustrec.set.training]
learning_rate = 0.01
max_epochs = 20
"""
WAIVERS = b'[[waivers]]\ngate = "stands noise"\nreason = "ticket 7"\nexpires = 2126-01-01\nmodel = "slmrec"\n'
MANIFEST = b"""schema_version = 1
name = "shop"
source = "a shop"
[counts]
users = 80
items = 60
interactions = 720
[files]
interactions = "shop.inter"
items = "items.jsonl"
pictures = "pictures.zip"
[[filters]]
reason = "rows twice"
rows = 3
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


@fuzzed(mutations(SUITES))
def test_suites(place, content):
    (place / "suite.toml").write_bytes(content)
    code, _ = told(["config", "show", "--suite", str(place / "suite.toml"), "--json"])
    assert code in (0, 2)
    with contextlib.suppress(RobustrecError, UnicodeDecodeError):
        suite = parse_suite(content.decode(), source="suite.toml")
        assert Suite.model_validate_json(suite.model_dump_json(), strict=True) == suite


@fuzzed(mutations([SETTINGS]))
def test_settings(place, content):
    (place / "pyproject.toml").write_bytes(content)
    with contextlib.suppress(RobustrecError):
        assert 1 <= resolve({}, environment={}, folder=place).settings.seeds <= 1000


@fuzzed(mutations([WAIVERS]))
def test_waivers(place, content):
    (place / "waivers.toml").write_bytes(content)
    with contextlib.suppress(RobustrecError):
        assert read_waivers(place / "waivers.toml")


@fuzzed(mutations([MANIFEST]))
def test_manifests(place, content):
    (place / "dataset.toml").write_bytes(content)
    with contextlib.suppress(RobustrecError):
        files = read_manifest(place).files
        for name in files.model_dump().values() if files else ():
            with contextlib.suppress(RobustrecError):
                assert path_inside(place, name).is_relative_to(place.resolve())


def _pictures() -> list[bytes]:
    made = []
    for mode, form in [
        *(
            ("RGB", "JPEG"),
            ("L", "JPEG"),
            ("CMYK", "JPEG"),
            ("RGBA", "PNG"),
            ("P", "PNG"),
            ("1", "PNG"),
            ("I;16", "PNG"),
        ),
        *(("LA", "PNG"), ("P", "GIF"), ("RGB", "WEBP"), ("RGBA", "WEBP"), ("RGB", "BMP"), ("1", "BMP")),
    ]:
        stream = io.BytesIO()
        Image.linear_gradient("L").resize((24, 20)).convert(mode).save(stream, form)
        made.append(stream.getvalue())
    return made


@fuzzed(mutations(_pictures()))
def test_pictures(content):
    with contextlib.suppress(RobustrecError):
        picture = decode(content, "item 0")
        assert picture.mode == "RGB"
        assert picture.width * picture.height <= 200_000_000
