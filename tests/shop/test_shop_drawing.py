"""Shapes, surfaces, noises on pictures, and the file formats."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from robustrec.datasets.shop import ATTRIBUTES, SHOPS
from robustrec.datasets.shop.draws import Draws
from robustrec.datasets.shop.formats import png_bytes
from robustrec.datasets.shop.glyphs import written
from robustrec.datasets.shop.merchant_pictures import badged, badly_lit, compressed, watermarked
from robustrec.datasets.shop.pictures import DRAWINGS, clean_picture
from robustrec.datasets.shop.shapes import SIDE, arc, grown, polygon_mask, smooth, stroke, union_mask
from robustrec.datasets.shop.surfaces import BACKDROPS, PATTERNS, TEXTURES
from robustrec.datasets.shop.vocabulary import vocabulary

COORDINATE = st.integers(-40, SIDE + 40)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(COORDINATE, COORDINATE), min_size=3, max_size=6))
def test_polygons_are_filled_by_the_even_odd_rule(points):
    # The naive way: for each pixel centre, count the edges that a ray to the right crosses.
    mask = polygon_mask(points)
    pixels = np.random.default_rng(0).integers(0, SIDE, (60, 2))
    for column, row in pixels.tolist():
        x, y, inside, close = column + 0.5, row + 0.5, False, False
        for (x0, y0), (x1, y1) in zip(points, [*points[1:], points[0]], strict=True):
            if (y0 <= y) != (y1 <= y):
                crossing = x0 + (y - y0) * (x1 - x0) / (y1 - y0)
                close |= abs(crossing - x) < 1 / 8
                inside ^= crossing > x
        assert close or mask[row, column] == inside


def test_areas_are_those_of_geometry():
    assert polygon_mask([(10, 20), (30, 20), (30, 50), (10, 50)]).sum() == 20 * 30
    assert abs(polygon_mask(arc(128, 128, 90, 60)).sum() / (np.pi * 90 * 60) - 1) < 0.01
    line = union_mask(stroke([(40, 128), (200, 128)], 20))
    assert abs(line.sum() / (160 * 20 + np.pi * 100) - 1) < 0.01
    assert polygon_mask([(-90, -90), (-10, -90), (-10, -10)]).sum() == 0
    assert grown(polygon_mask([(10, 20), (30, 20), (30, 50), (10, 50)]), 3).sum() == 26 * 36


def test_cut_corners_stay_inside():
    square = [(10.0, 10.0), (50.0, 10.0), (50.0, 50.0), (10.0, 50.0)]
    outer, inner = polygon_mask(square), polygon_mask(smooth(square))
    assert inner.sum() < outer.sum()
    assert not (inner & ~outer).any()


@pytest.mark.parametrize("shop", SHOPS)
def test_every_word_can_be_drawn(shop):
    words = vocabulary(shop)
    assert {kind.drawing for kind in words.kinds.values()} <= set(DRAWINGS)
    assert set(words.patterns) <= set(PATTERNS)
    assert set(words.materials.values()) <= set(TEXTURES)
    assert set(words.styles.values()) <= set(BACKDROPS)
    for word in (*words.merchant.badges, *words.merchant.watermarks):
        assert written(word).any()
        assert 2 * written(word).shape[1] + 12 <= 128
    for mark in words.brands.values():
        assert len(mark) == 7
        assert all(len(row) == 7 and set(row) <= {"#", "."} for row in mark)


@pytest.mark.parametrize("shop", SHOPS)
def test_a_picture_shows_every_attribute_but_the_price(shop):
    words = vocabulary(shop)
    base = {name: words.values(name)[0] for name in ATTRIBUTES}
    shown = clean_picture(words, base, Draws("pose"))
    for name in ATTRIBUTES:
        other = clean_picture(words, base | {name: words.values(name)[1]}, Draws("pose"))
        changed = (other != shown).any(axis=2).mean()
        assert (changed > 0.005) == (name != "price"), name


def test_no_two_kinds_of_a_shop_have_one_outline():
    for shop in SHOPS:
        words = vocabulary(shop)
        attributes = {name: words.values(name)[0] for name in ATTRIBUTES}
        pictures = [
            clean_picture(words, attributes | {"kind": kind}, Draws("pose")).astype(int) for kind in words.kinds
        ]
        for i, one in enumerate(pictures):
            for other in pictures[:i]:
                assert (np.abs(one - other).max(axis=2) > 60).mean() > 0.08


def grey(level=128):
    return np.full((128, 128, 3), level, dtype=np.uint8)


def test_compression_keeps_flat_pictures_nearly_and_levels_details():
    for level in (0, 1, 2):
        flat = compressed(grey(), level).astype(int)
        assert np.abs(flat - 128).max() <= 6
    noisy = np.random.default_rng(1).integers(90, 166, (128, 128, 3)).astype(np.uint8)
    details = [np.abs(np.diff(compressed(noisy, level).astype(int), axis=1)).mean() for level in (0, 1, 2)]
    assert details[0] > details[1] > details[2]
    assert np.abs(np.diff(noisy.astype(int), axis=1)).mean() > details[0]


def test_poor_light_darkens():
    assert badly_lit(grey(), Draws("light")).mean() < 0.8 * 128


def test_badges_and_watermarks_change_only_their_places():
    picture = grey()
    badge = (badged(picture, "SALE", Draws("badge")) != picture).any(axis=2)
    assert 0 < badge.sum() <= 30 * 60
    assert not badge[32:].any()
    veil = (watermarked(picture, "SHOP", Draws("veil")) != picture).any(axis=2)
    assert 0.05 < veil.mean() < 0.4


def test_pictures_are_read_back_as_they_were_written():
    pixels = np.random.default_rng(0).integers(0, 256, (128, 128, 3)).astype(np.uint8)
    with Image.open(io.BytesIO(png_bytes(pixels))) as picture:
        assert picture.mode == "RGB"
        assert np.array_equal(np.asarray(picture), pixels)
    with pytest.raises(ValueError, match="one stored block"):
        png_bytes(np.zeros((256, 256, 3), dtype=np.uint8))
