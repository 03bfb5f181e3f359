"""What each edit of a picture does, on pictures where the answer is known."""

from dataclasses import replace

import numpy as np
import pytest
from edit_cases import applied, noise_picture, pixels, product, shirt
from PIL import Image, ImageOps

from robustrec.datasets.catalog import build_catalog
from robustrec.datasets.items import CatalogItem
from robustrec.edits.contract import SEVERITIES, touched
from robustrec.edits.pictures import cutout as cutouts
from robustrec.edits.pictures.canvas import border_colour, hue, share, thumbnail
from robustrec.edits.pictures.cutout import cutout
from robustrec.edits.pictures.lettering import letters, plain
from robustrec.edits.pictures.promo_badge import SIDES
from robustrec.edits.pictures.text_banner import HEIGHTS
from robustrec.edits.pictures.watermark import MARKS
from robustrec.edits.view import view_of_catalog


def differing(before, after):
    return (pixels(before) != pixels(after)).any(axis=2)


@pytest.mark.parametrize("size", [(200, 200), (300, 120), (90, 400), (64, 64)])
def test_a_badge_lies_in_a_corner_and_is_as_large_as_said(size):
    content = shirt(Image.new("RGB", size, (128, 160, 90)))
    for severity, side in zip(SEVERITIES, SIDES, strict=True):
        for seed in range(6):
            mask = differing(content, applied("promo_badge", content, severity, seed=seed))
            rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
            width = columns[-1] - columns[0] + 1
            assert abs(width - min(size) * side / 100) <= 2
            assert columns[0] < 0.1 * min(size) or columns[-1] > size[0] - 0.1 * min(size)
            assert rows[0] < 0.2 * min(size) or rows[-1] > size[1] - 0.2 * min(size)


def test_a_banner_is_a_band_with_letters_in_it():
    content = shirt(Image.new("RGB", (200, 300), (128, 160, 90)))
    for severity, height in zip(SEVERITIES, HEIGHTS, strict=True):
        after = applied("text_banner", content, severity)
        mask = differing(content, after)
        rows = mask.all(axis=1)
        assert rows.sum() == share(300, height)
        assert rows[0] or rows[-1]
        assert not mask[~rows].any()
        band = pixels(after)[rows]
        white = (band > 250).all(axis=2).mean()
        assert 0.01 < white < 0.5, "letters"


def test_a_watermark_is_seen_on_dark_and_on_bright_and_is_half_transparent():
    for ground, direction in ((20, 1), (235, -1)):
        content = shirt(Image.new("RGB", (240, 240), (ground,) * 3))
        for severity, mark in zip(SEVERITIES, MARKS, strict=True):
            change = pixels(applied("watermark", content, severity)) - pixels(content)
            assert (change * direction >= 0).all()
            assert 0.5 * mark.opacity <= np.abs(change).max() / 2.2 <= 1.1 * mark.opacity


def test_the_watermark_says_the_brand_in_letters_the_font_has():
    assert plain("Café Łódź “No.1”™ 🔥") == "Cafe odz No.1TM"
    content = shirt(Image.new("RGB", (120, 120), (200, 200, 200)))
    other = replace(content, brand="Zephyrine")
    hebrew = replace(content, brand="חולצה")
    results = [[applied("watermark", each, 3, seed=seed) for seed in range(6)] for each in (content, other, hebrew)]
    same = [(pixels(a) == pixels(b)).all() for a, b in zip(*results[:2], strict=True)]
    assert any(same)
    assert not all(same), "about half of the marks are brands"


def test_letters_fill_their_box():
    for text, box, lines in (
        ("SALE", (100, 40), 1),
        ("BUY 2 GET 1 FREE", (100, 60), 3),
        ("x", (1, 1), 1),
        ("A", (2000, 2000), 1),
    ):
        ink = letters(text, *box, lines=lines)
        assert ink.mode == "L"
        assert ink.width <= box[0]
        assert ink.height <= box[1]
        assert ink.width >= 0.8 * box[0] or ink.height >= 0.8 * box[1]
        assert ink.getextrema()[1] > 60
    assert letters("BUY 2 GET 1 FREE", 100, 60, lines=3).height > letters("BUY 2 GET 1 FREE", 100, 60).height


def catalog_of(folder, colours):
    folder.mkdir(exist_ok=True)
    for number, colour in enumerate(colours):
        product(colour).save(folder / f"{number}.png")
    items = [CatalogItem(f"thing {number}", "", (), "", f"{number}.png", ()) for number in range(len(colours))]
    return build_catalog(items, folder)[0]


def test_a_collage_shows_the_own_picture_smaller_and_others_beside_it(tmp_path):
    view = view_of_catalog(catalog_of(tmp_path / "p", [(0, 0, 250), (0, 250, 0)]))
    content = shirt(product((250, 0, 0), side=120))
    for severity in (3, 4, 5):
        after = pixels(applied("collage", content, severity, view=view))
        foreign = (after[:, :, 0] < 100).mean()
        assert foreign > 0.02, "another good"
        columns, rows = {3: (2, 2), 4: (3, 2), 5: (3, 3)}[severity]
        first = Image.fromarray(after[: 120 // rows, : 120 // columns].astype(np.uint8))
        expected = ImageOps.fit(content.picture, first.size, Image.Resampling.BICUBIC)
        assert np.abs(np.asarray(first).astype(int) - np.asarray(expected)).mean() < 12
    inset = differing(content, applied("collage", content, 1, view=view))
    assert not inset[:60, :].any()
    assert not inset[:, :60].any()


def test_a_crop_is_a_part_enlarged():
    ramp = np.tile(np.arange(200, dtype=np.uint8)[:, None, None], (1, 200, 3))
    content = shirt(Image.fromarray(ramp))
    for severity, percent in zip(SEVERITIES, (88, 75, 62, 48, 35), strict=True):
        values = pixels(applied("crop", content, severity))[:, 0, 0]
        assert (np.diff(values) >= 0).all()
        assert abs((values[-1] - values[0]) - 200 * percent / 100) <= 3


@pytest.mark.parametrize("ground", [255, 235, 40])
def test_another_background_leaves_the_good_alone(ground):
    content = shirt(product((200, 30, 40), ground=ground))
    for seed in range(6):
        changes = []
        for severity in SEVERITIES:
            after = applied("background_swap", content, severity, seed=seed)
            change = np.abs(pixels(after) - pixels(content)).mean(axis=2)
            assert change[25:55, 25:55].max() <= 2, "the good"
            changes.append(np.concatenate([change[:12].ravel(), change[-12:].ravel()]).mean())
        assert changes[-1] > 25
        # A mix in proportion, up to rounding.
        np.testing.assert_allclose(np.array(changes) / changes[-1], [0.2, 0.4, 0.6, 0.8, 1.0], atol=0.06)


def test_the_good_is_cut_out_and_specks_are_not():
    picture = product(side=120)
    picture.paste((0, 200, 0), (4, 4, 8, 8))
    mask = np.asarray(cutout(picture))
    assert mask[60, 60] == 255
    assert mask[5:7, 5:7].max() < 40
    assert mask[:20, 40:].max() == 0
    assert abs((mask > 127).mean() - 0.25) < 0.02
    targets = np.asarray(cutout(noise_picture(100, 60)))
    assert targets.shape == (60, 100)
    assert targets[30, 50] == 255, "where no good is found, the middle is one"


@pytest.mark.parametrize("colour", [(200, 30, 40), (40, 60, 190), (120, 120, 124), (18, 18, 18)])
def test_recolouring_turns_the_good_and_leaves_background_and_skin(colour):
    picture = product(colour)
    skin = (224, 172, 140)
    if colour == (40, 60, 190):
        picture.paste(skin, (36, 20, 44, 28))
    content = shirt(picture)
    for seed in range(4):
        after = pixels(applied("recolour", content, 5, seed=seed))
        assert np.abs(after[:15] - 255).max() == 0, "the background"
        middle = after[40, 40]
        assert np.abs(middle - colour).max() > 30
        if colour == (40, 60, 190):
            assert np.abs(after[24, 40] - skin).max() <= 6
        if max(colour) < 30:
            continue
        luminance = [float(np.dot(rgb, (0.299, 0.587, 0.114))) for rgb in (middle, colour)]
        assert abs(luminance[0] - luminance[1]) < 45


def test_low_resolution_leaves_as_many_pixels_as_said():
    stripes = np.zeros((240, 240, 3), dtype=np.uint8)
    stripes[:, ::2] = 255
    content = shirt(Image.fromarray(stripes))
    assert pixels(content).std() > 120
    assert pixels(applied("low_resolution", content, 3)).std() < 40, "stripes of a pixel are gone"
    large = shirt(noise_picture(1024, 512))
    after = applied("low_resolution", large, 5)
    small = after.picture.resize((38, 19), Image.Resampling.BOX)
    again = np.asarray(small.resize((1024, 512), Image.Resampling.BICUBIC)).astype(int)
    assert np.abs(again - pixels(after)).mean() < 6


def test_compression_makes_blocks_and_keeps_the_colours():
    content = shirt(noise_picture(96, 96))
    for severity in SEVERITIES:
        after = pixels(applied("compression", content, severity))
        assert np.abs(after.mean(axis=(0, 1)) - pixels(content).mean(axis=(0, 1))).max() < 12
    steps = np.abs(np.diff(after, axis=1)).mean(axis=(0, 2))
    inside, borders = steps[[k for k in range(95) if k % 8 != 7]].mean(), steps[7::8].mean()
    assert borders > 1.5 * inside


def test_blur_keeps_the_mean_and_loses_the_edges():
    content = shirt(noise_picture(100, 100))
    spread = [pixels(applied("blur", content, severity)).std() for severity in SEVERITIES]
    assert spread == sorted(spread, reverse=True)
    assert abs(pixels(applied("blur", content, 5)).mean() - pixels(content).mean()) < 3


def test_light_goes_down_or_up_but_never_nowhere():
    grey = shirt(Image.new("RGB", (30, 30), (120, 120, 120)))
    means = {round(float(pixels(applied("light", grey, 5, seed=seed)).mean())) for seed in range(12)}
    assert min(means) < 40
    assert max(means) == 255
    for value, rises in ((0, True), (255, False)):
        plain_ = shirt(Image.new("RGB", (9, 9), (value,) * 3))
        for seed in range(6):
            after = applied("light", plain_, 1, seed=seed)
            assert touched(plain_, after)
            assert (pixels(after).mean() > value) == rises


def test_a_mirror_shows_left_as_right():
    content = shirt(noise_picture(80, 60))
    assert applied("mirrored", content, 1).picture.tobytes() == ImageOps.mirror(content.picture).tobytes()
    alike = shirt(Image.new("RGB", (20, 20), "red"))
    assert applied("mirrored", alike, 1) is alike
    transpose = pixels(applied("mirrored", shirt(product()), 5))
    assert (transpose[0, 0] == 255).all(), "corners take the colour of the border"


def test_the_wrong_picture_is_another_items_in_the_own_size(tmp_path):
    colours = [(0, 0, 250), (0, 250, 0), (250, 0, 250)]
    catalog = catalog_of(tmp_path / "p", colours)
    view = view_of_catalog(catalog)
    own = replace(shirt(), picture=catalog.picture(1), title="thing 1")
    for severity in SEVERITIES:
        for seed in range(5):
            after = applied("wrong_picture", own, severity, seed=seed, view=view)
            shown = tuple(int(value) for value in pixels(after)[40, 40])
            assert shown in (colours[0], colours[2])
    wide = shirt(noise_picture(300, 40))
    after = applied("wrong_picture", wide, 3, view=view)
    assert after.picture.size == (300, 40)
    assert (pixels(after)[:, :100] == 255).all(), "padded with the colour of its border, not stretched"
    alone = view_of_catalog(catalog_of(tmp_path / "q", colours[:1]))
    only = replace(own, picture=alone.catalog.picture(0))
    assert applied("wrong_picture", only, 5, view=alone) is only, "there is no other"


def test_unreadable_pictures_of_others_are_passed_over(tmp_path):
    catalog = catalog_of(tmp_path / "p", [(0, 0, 250), (0, 250, 0)])
    (tmp_path / "p" / "0.png").write_bytes(b"no picture")
    view = view_of_catalog(catalog)
    for seed in range(4):
        after = applied("wrong_picture", shirt(), 3, seed=seed, view=view)
        assert tuple(pixels(after)[40, 40]) == (0, 250, 0)


def test_measures():
    assert share(1, 10) == 1
    assert share(200, 10) == 20
    assert border_colour(product(ground=240)) == (240, 240, 240)
    assert hue(0.0, 1.0, 1.0) == (255, 0, 0)
    assert hue(1 / 3, 1.0, 0.5) == (0, 128, 0)
    assert thumbnail(noise_picture(400, 100), 64).size == (64, 16)
    assert thumbnail(noise_picture(10, 5), 64).size == (10, 5)
    assert thumbnail(noise_picture(5000, 1), 64).size == (64, 1)


def test_a_mask_is_found_once_for_all_severities_and_callers_cannot_change_it(monkeypatch):
    found = []
    honest = cutouts._foreground

    def counted(table):
        found.append(table.shape)
        return honest(table)

    monkeypatch.setattr(cutouts, "_foreground", counted)
    cutouts._mask.cache_clear()
    picture, other = noise_picture(60, 40), noise_picture(40, 60)
    first = cutout(picture)
    wanted = first.tobytes()
    first.paste(0, (0, 0, 60, 40))
    assert cutout(picture.copy()).tobytes() == wanted
    assert len(found) == 1
    cutout(other)
    assert len(found) == 2
