"""Severities are monotone: a higher one goes further from the item as it was."""

import json

import numpy as np
import pytest
from edit_cases import OURS, edit_distance, pixels

from robustrec.edits import PICTURE_EDITS, TEXT_EDITS
from robustrec.edits.content import content_of, text_of
from robustrec.edits.contract import SEVERITIES, apply_edit, touched

# Once the picture is in pieces, or another one, its pixels say little more about how far it is from what it was.
SATURATED = {"collage": 0.8, "wrong_picture": 0.8, "multipack": 0.8, "variant_bundle": 0.8, "lifestyle_background": 0.7}


def distances(name, catalog, view, rows, measure):
    table = []
    for row in rows:
        content = content_of(catalog, row, picture=OURS[name].modality == "image")
        after = [apply_edit(OURS[name], content, severity, np.random.default_rng(row), view) for severity in SEVERITIES]
        if touched(content, after[-1]):
            table.append([measure(content, each) for each in after])
    assert len(table) >= len(rows) // 2
    return np.array(table, dtype=np.float64)


@pytest.mark.parametrize("name", TEXT_EDITS)
def test_texts_move_further_with_severity(name, clothing, view):
    def measure(before, after):
        return edit_distance(text_of(before)[:500], text_of(after)[:900])

    table = distances(name, clothing.catalog, view, range(0, 60, 4), measure)
    mean = table.mean(axis=0)
    assert (np.diff(mean) >= 0).all(), mean
    assert mean[0] > 0
    assert mean[-1] > 1.5 * mean[0]


@pytest.mark.parametrize("name", PICTURE_EDITS)
@pytest.mark.parametrize("shop", ["clothing", "fashion"])
def test_pictures_move_further_with_severity(name, shop, clothing, view, request):
    if name == "hero_swap":
        return  # needs several photos of an item
    catalog, view = (clothing.catalog, view) if shop == "clothing" else request.getfixturevalue("photos")

    def measure(before, after):
        return np.abs(pixels(before) - pixels(after)).mean()

    table = distances(name, catalog, view, range(0, 72, 3), measure)
    mean = table.mean(axis=0)
    least = SATURATED.get(name, 1.0)
    assert (mean[1:] >= least * mean[:-1]).all(), mean
    assert mean[0] > 0
    if name != "wrong_picture":
        assert mean[-1] > mean[0]


@pytest.fixture(scope="module")
def photos(shared_folder, tmp_path_factory):
    """Real product photos of 60 x 80 pixels."""
    import zipfile

    from robustrec.edits.sheet import catalog_of_pictures
    from robustrec.edits.view import view_of_catalog

    folder = tmp_path_factory.mktemp("photos")
    with zipfile.ZipFile(shared_folder / "data" / "fashion" / "images.zip") as archive:
        for entry in archive.namelist()[:120]:
            (folder / entry).write_bytes(archive.read(entry))
    catalog = catalog_of_pictures(folder)
    return catalog, view_of_catalog(catalog)


def test_the_wrong_picture_shows_less_and_less_of_what_the_item_is(clothing, view):
    """Hidden attributes are known on a sample edition: the picture most alike shares more of them."""
    known = [json.loads(line) for line in (clothing.folder / "attributes.jsonl").read_text().splitlines()]
    edit = OURS["wrong_picture"]
    row_of = {clothing.catalog.picture(row).tobytes(): row for row in range(len(known))}
    shared = []
    for row in range(0, 480, 6):
        content = content_of(clothing.catalog, row)
        after = [apply_edit(edit, content, severity, np.random.default_rng(row), view) for severity in SEVERITIES]
        shown = [row_of[each.picture.tobytes()] for each in after]
        assert row not in shown
        names = ("kind", "colour", "pattern", "material", "style")
        shared.append([sum(known[row][name] == known[other][name] for name in names) for other in shown])
    mean = np.mean(shared, axis=0)
    assert mean[0] > 1.5, mean
    assert mean[-1] < 1.0, mean
    assert (np.diff(mean) <= 0.15).all(), mean


def test_a_small_badge_changes_less_than_the_wrong_picture(clothing, view):
    for row in range(20):
        content = content_of(clothing.catalog, row)
        badge, wrong = (
            apply_edit(OURS[name], content, severity, np.random.default_rng(row), view)
            for name, severity in (("promo_badge", 1), ("wrong_picture", 1))
        )
        assert np.abs(pixels(content) - pixels(badge)).mean() < np.abs(pixels(content) - pixels(wrong)).mean()


def test_one_generator_state_makes_severity_the_only_difference(clothing, view):
    """The badge is of the same word, colour and place at every severity; a larger one covers a smaller one."""
    content = content_of(clothing.catalog, 5)
    covered = []
    for severity in SEVERITIES:
        after = apply_edit(OURS["promo_badge"], content, severity, np.random.default_rng(9), view)
        covered.append((pixels(content) != pixels(after)).any(axis=2))
    centre = [np.argwhere(mask).mean(axis=0) for mask in covered]
    assert all((np.sign(place - 31.5) == np.sign(centre[0] - 31.5)).all() for place in centre[:4])


def test_nearly_every_item_of_a_sample_edition_has_what_the_edits_change(clothing, view):
    """Brands are missing from some on purpose."""
    contents = [content_of(clothing.catalog, row) for row in range(40)]
    for name, edit in OURS.items():
        after = [apply_edit(edit, each, 3, np.random.default_rng(0), view) for each in contents]
        share = np.mean([touched(*pair) for pair in zip(contents, after, strict=True)])
        if name == "hero_swap":
            assert share == 0
            continue
        assert share > (0.7 if name.startswith("brand") else 0.95), name
