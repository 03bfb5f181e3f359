"""The catalog as seen by an edit."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from robustrec.edits.content import Content, content_of, same_picture
from robustrec.edits.languages import Languages
from robustrec.errors import RobustrecError

if TYPE_CHECKING:
    from PIL import Image

    from robustrec.datasets.catalog import Catalog
    from robustrec.datasets.registry import Dataset
    from robustrec.edits.vocabulary import Vocabulary

N_TRENDING = 64
BESTSELLERS = 0.1  # share of the bought items that trends are read from, at least 20
_LOOKED_AT = 48  # items among which one that is alike, or quite unlike, is looked for
_WORD = re.compile(r"[^\W\d_]{3,}(?:[-'’][^\W\d_]+)*")
_WORDS_COMPARED = 64
_HAN_WORD = 6  # characters; a longer run of a text without spaces is several words


@dataclass(frozen=True, eq=False)
class CatalogueView:
    """The catalog as seen by an edit.

    Attributes:
        trending: words of the most bought items, the most telling first, lower case.
        brands: brands, the one with most items first.
        catalog: where other items' texts and pictures come from; None where there are none to take.
        with_picture: rows of the catalogue that have a picture.
        languages: the language packs.
    """

    trending: tuple[str, ...] = field(default_factory=tuple)
    brands: tuple[str, ...] = ()
    catalog: Catalog | None = None
    with_picture: tuple[int, ...] = ()
    languages: Languages = field(default_factory=Languages)

    def words(self, content: Content) -> Vocabulary:
        """Return the language pack that edits of an item take words from."""
        return self.languages.words(content)

    def trending_in(self, pack: Vocabulary) -> tuple[str, ...]:
        """Return the trending words for items of a language: none for another than most items are taken to have."""
        if pack.language != self.languages.default:
            return ()
        return self.trending if pack.spaces else tuple(word for word in self.trending if len(word) <= _HAN_WORD)

    def content(self, row: int) -> Content:
        """Return another item's content.

        Raises:
            RobustrecError: there is no catalogue, or the item's picture cannot be read.
        """
        if self.catalog is None:
            raise RobustrecError(
                "the catalog view is empty", where=f"item {row}", fix="create it with view_of(dataset)"
            )
        return content_of(self.catalog, row)

    def pictures(self, content: Content, generator: np.random.Generator) -> list[int]:
        """Draw rows with pictures and return them, those whose words are most like the item's first."""
        if self.catalog is None or not self.with_picture:
            return []
        n = min(_LOOKED_AT, len(self.with_picture))
        rows = [self.with_picture[place] for place in generator.choice(len(self.with_picture), n, replace=False)]
        own = _words(content.title, content.categories)
        likeness = [_likeness(own, self._words_of(row)) for row in rows]
        return [rows[place] for place in sorted(range(n), key=lambda place: -likeness[place])]

    def others(self, content: Content, rows: Iterable[int]) -> Iterator[Image.Image]:
        """Yield the pictures of the rows that are not the item's own; those that cannot be read are passed over."""
        for row in rows:
            try:
                picture = None if self.catalog is None else self.catalog.picture(row)
            except RobustrecError:
                continue
            if picture is not None and not same_picture(picture, content.picture):
                yield picture

    def photos(self, content: Content) -> Iterator[Image.Image]:
        """Yield the further photos of the item itself; those that cannot be read or show the same are passed over."""
        source = None if self.catalog is None else self.catalog.pictures
        if source is None or content.row is None:
            return
        for number in range(source.n_further(content.row)):
            try:
                picture = source.open_further(content.row, number)
            except RobustrecError:
                continue
            if not same_picture(picture, content.picture):
                yield picture

    def paths(self, content: Content, generator: np.random.Generator) -> list[tuple[str, ...]]:
        """Draw items and return their category paths, those whose words are most like the item's first."""
        items = self.catalog.items if self.catalog is not None else ()
        if not items:
            return []
        n = min(_LOOKED_AT, len(items))
        rows = [int(row) for row in generator.choice(len(items), n, replace=False)]
        if not content.categories:
            return []
        own = _words(content.title, content.categories)
        having = [row for row in rows if (item := items[row]) is not None and item.categories]
        ranked = sorted(having, key=lambda row: -_likeness(own, self._words_of(row)))
        return [item.categories for row in ranked if (item := items[row]) is not None]

    def _words_of(self, row: int) -> frozenset[str]:
        assert self.catalog is not None
        item = self.catalog.items[row] if self.catalog.items else None
        return _words(item.title, item.categories) if item else _words(self.catalog.texts[row], ())


def view_of(dataset: Dataset, languages: Languages | None = None) -> CatalogueView:
    """Return the view of a data set, from its catalogue and its training interactions; the same every time."""
    from robustrec.datasets.interactions import TRAIN

    catalog = dataset.catalog
    if catalog is None:
        return CatalogueView(languages=languages or Languages())
    _, items = dataset.interactions.pairs(TRAIN)
    bought = np.bincount(items, minlength=len(catalog.texts))[: len(catalog.texts)]
    return view_of_catalog(catalog, bought, languages)


def view_of_catalog(
    catalog: Catalog,
    bought: np.ndarray[tuple[int], np.dtype[np.int64]] | None = None,
    languages: Languages | None = None,
) -> CatalogueView:
    """Return the view of a catalogue.

    Args:
        catalog: texts and pictures.
        bought: [I] how often each item was bought; None where nobody knows, then all count alike.
        languages: the language packs; by default the shipped ones.
    """
    times = np.ones(len(catalog.texts), dtype=np.int64) if bought is None else bought
    brands = Counter(item.brand for item in catalog.items if item is not None and item.brand)
    entries = catalog.pictures.entries if catalog.pictures is not None else ()
    return _ViewOfPurchases(
        brands=tuple(sorted(brands, key=lambda brand: (-brands[brand], brand))),
        catalog=catalog,
        with_picture=tuple(row for row, entry in enumerate(entries) if entry is not None),
        languages=languages or Languages(),
        bought=times,
    )


@dataclass(frozen=True, eq=False)
class _ViewOfPurchases(CatalogueView):
    """A view whose trending words are found when an edit asks for them: scikit-learn takes a second to import.

    Attributes:
        bought: [I] how often each item was bought.
    """

    bought: np.ndarray[tuple[int], np.dtype[np.int64]] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))

    def __post_init__(self) -> None:
        """Take away the given words, so that the attribute is looked up below."""
        vars(self).pop("trending")

    def __getattr__(self, name: str) -> tuple[str, ...]:
        """Return the trending words, which are kept."""
        if name != "trending" or self.catalog is None:
            raise AttributeError(name)
        found = vars(self)[name] = _trending(self.catalog, self.bought)
        return found


def _trending(catalog: Catalog, bought: np.ndarray[tuple[int], np.dtype[np.int64]]) -> tuple[str, ...]:
    """Return the words of titles and categories of the bestsellers, by the purchases of the items that say them."""
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

    order = np.argsort(-bought, kind="stable")
    order = order[: max(20, int(np.count_nonzero(bought) * BESTSELLERS))]
    weights: Counter[str] = Counter()
    for row in order.tolist():
        item = catalog.items[row] if catalog.items else None
        said = _words(item.title, item.categories) if item else _words(catalog.texts[row], ())
        for word in said - ENGLISH_STOP_WORDS:
            weights[word] += int(bought[row])
    ranked = sorted((word for word in weights if weights[word]), key=lambda word: (-weights[word], word))
    return tuple(ranked[:N_TRENDING])


def _words(title: str, categories: tuple[str, ...]) -> frozenset[str]:
    found = _WORD.finditer(" ".join((title, *categories)).lower())
    return frozenset(match[0] for match, _ in zip(found, range(_WORDS_COMPARED), strict=False))


def _likeness(a: frozenset[str], b: frozenset[str]) -> float:
    return len(a & b) / len(a | b) if a or b else 0.0
