"""The content of an item is its text and picture in parts; the view is what the catalogue tells a merchant."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
from edit_cases import noise_picture

from robustrec.datasets.catalog import Catalog, build_catalog
from robustrec.datasets.interactions import Interactions
from robustrec.datasets.items import CatalogItem, read_items
from robustrec.datasets.registry import Dataset, load_dataset
from robustrec.datasets.shop import SHOPS, build
from robustrec.edits import view as view_module
from robustrec.edits.content import Content, changed, content_of, same_picture, text_of
from robustrec.edits.view import CatalogueView, view_of, view_of_catalog
from robustrec.errors import RobustrecError


@pytest.mark.parametrize("shop", SHOPS)
def test_an_unedited_item_of_a_sample_edition_has_its_catalogue_text(shop, tmp_path, monkeypatch):
    blank = np.zeros((64, 64, 3), dtype=np.uint8)  # drawing takes all the time, and this is about texts
    monkeypatch.setattr(build, "clean_picture", lambda *_: blank)
    monkeypatch.setattr(build, "merchant_picture", lambda *_: blank)
    dataset = load_dataset(shop, home=tmp_path, edition="sample")
    for catalog in (dataset.catalog, dataset.clean_catalog):
        contents = [content_of(catalog, row, picture=False) for row in range(len(catalog.texts))]
        assert [text_of(content) for content in contents] == list(catalog.texts)
        assert [content.title for content in contents] == list(catalog.titles)
        assert all(content.picture is None for content in contents)


def test_an_unedited_item_of_movielens_has_its_catalogue_text_and_picture(shared_folder):
    folder = shared_folder / "data" / "movielens"
    items = read_items(folder / "items.jsonl", 3379).rows
    catalog, index = build_catalog(items, folder / "posters.zip")
    assert index.lost == 0
    for row, text in enumerate(catalog.texts):
        assert text_of(content_of(catalog, row, picture=False)) == text
    film = content_of(catalog, 0)
    assert film.title == "Toy Story (1995)"
    assert film.categories[:2] == ("Adventure", "Animation")
    assert film.picture.tobytes() == catalog.picture(0).tobytes()
    view = view_of_catalog(catalog)
    assert "comedy" in view.trending
    assert len(view.with_picture) == 3379


def test_the_picture_comes_with_the_content(clothing):
    content = content_of(clothing.catalog, 7)
    assert same_picture(content.picture, clothing.catalog.picture(7))


def test_items_the_catalogue_lacks_and_catalogues_of_bare_texts():
    catalog, _ = build_catalog([None, CatalogItem("Cup", "Acme", ("Kitchen",), "A cup.", "", ())], None)
    assert content_of(catalog, 0) is not content_of(catalog, 0)
    assert text_of(content_of(catalog, 0)) == catalog.texts[0] == ""
    assert text_of(content_of(catalog, 1)) == catalog.texts[1] == "Cup Acme Kitchen A cup."
    replaced = replace(catalog, texts=("", "A cup, edited"))
    assert text_of(content_of(replaced, 1)) == "A cup, edited"
    bare = Catalog(("a red cup", ""), ("cup", "item 1"), None)
    assert [text_of(content_of(bare, row)) for row in (0, 1)] == ["a red cup", ""]


def test_changes_are_reported_by_modality():
    picture = noise_picture(5, 5)
    before = Content("a b", "", (), "", picture)
    assert changed(before, before) == ()
    assert changed(before, Content("a  b", "", (), "", picture.copy())) == (), "an encoder sees no difference"
    assert changed(before, Content("a", "b", (), "c", picture)) == ("text",)
    assert changed(before, Content("a b", "", (), "", noise_picture(5, 5, seed=1))) == ("image",)
    assert changed(before, Content("c", "", (), "", None)) == ("image", "text")
    assert not same_picture(picture, picture.convert("L"))


def dataset_of(catalog, users, items, labels):
    pairs = (np.array(column, dtype=np.int64) for column in (users, items))
    interactions = Interactions(*pairs, np.array(labels, dtype=np.int8), 9, 9)
    return Dataset("toy", "full", interactions, catalog, None, {}, (), "digest", None, False)


def test_trends_are_the_words_of_the_bestsellers_in_training():
    titles = ["Red lamp with the shade", "Blue lamp", "Green rug", "Cup", *["Thing"] * 40]
    items = [CatalogItem(title, "Acme" if row < 2 else "", (), "soft", "", ()) for row, title in enumerate(titles)]
    catalog, _ = build_catalog(items, None)
    bought = [0, 0, 0, 1, 1, 2, 3, 3, 3, 3]
    labels = [0, 0, 0, 0, 0, 0, 1, 1, 2, 2]
    view = view_of(dataset_of(catalog, range(10), bought, labels))
    # Red, lamp and shade by three purchases, lamp by two more; "with" and "the" are no search words, and cups were
    # not bought in training.
    assert view.trending == ("lamp", "red", "shade", "blue", "green", "rug")
    assert view.brands == ("Acme",)
    assert view.with_picture == ()


def test_the_view_is_deterministic_and_can_be_pickled(clothing, view):
    again = pickle.loads(pickle.dumps(view_of(clothing)))
    assert (again.trending, again.brands, again.with_picture) == (view.trending, view.brands, view.with_picture)
    assert len(view.trending) == 64
    assert len(view.brands) == 10
    assert len(view.with_picture) == 480
    draws = [each.pictures(content_of(clothing.catalog, 3), np.random.default_rng(1)) for each in (view, again)]
    assert draws[0] == draws[1]
    assert len(set(draws[0])) == 48


def test_pictures_are_offered_by_the_words_they_share(clothing, view):
    content = content_of(clothing.catalog, 3, picture=False)
    rows = view.pictures(content, np.random.default_rng(1))
    kind = clothing.catalog.items[3].categories
    same = [clothing.catalog.items[row].categories == kind for row in rows]
    assert all(same[: sum(same)]) or np.mean(np.flatnonzero(same)) < 12


def test_a_view_without_a_catalog():
    assert view_of(dataset_of(None, [0], [0], [0])).trending == ()
    empty = CatalogueView()
    assert empty.pictures(Content("a", "", (), "", None), np.random.default_rng(0)) == []
    with pytest.raises(RobustrecError, match="view is empty"):
        empty.content(0)
    catalog, _ = build_catalog([CatalogItem("Cup", "", (), "", "", ())], None)
    view = view_of_catalog(catalog)
    assert view.content(0).title == "Cup"
    assert view.trending == ("cup",)


def test_trending_words_are_found_once_and_only_when_asked_for(monkeypatch):
    """They take scikit-learn, which the default audit has no other use for."""
    calls = []
    monkeypatch.setattr(view_module, "_trending", lambda catalog, bought: (calls.append(bought.tolist()), ("cup",))[1])
    catalog, _ = build_catalog([CatalogItem("Cup", "", (), "", "", ())], None)
    view = view_of_catalog(catalog, np.array([3]))
    assert view.brands == ()
    assert not calls
    assert view.trending == view.trending == ("cup",)
    assert calls == [[3]]
    assert pickle.loads(pickle.dumps(view)).trending == ("cup",)
    assert not hasattr(view, "trends")
