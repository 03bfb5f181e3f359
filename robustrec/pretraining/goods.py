"""The synthetic shops as a source: other goods of the same shop to learn from, the sample edition to measure on.

A shop's goods are numbered; the sample edition holds the first ones. Learning from later numbers leaves every item
of the sample editions unseen, so that what an audit encodes there was never trained on.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from PIL import Image

from robustrec.datasets.catalog import sentence
from robustrec.datasets.shop.build import Item, hidden_attributes, made_item, shop_digest
from robustrec.datasets.shop.shoppers import MARKET
from robustrec.datasets.shop.vocabulary import ATTRIBUTES, vocabulary
from robustrec.encoders.cleaning import clean_text
from robustrec.pretraining.settings import Training
from robustrec.pretraining.sources import CLEAN, SHOWN, Attribute, Source, numbered, small_picture
from robustrec.progress import Progress, silent

WORDINGS = (
    "{style} {colour} {pattern} {kind} made of {material} by {brand}",
    "{colour} {pattern} {kind} in {material}, {style}, by {brand}",
)
"""How a caption puts what is seen on the picture: every attribute but the price, which no picture shows."""
SEEN = tuple(name for name in ATTRIBUTES if name != "price")


def shop_source(shop: str, n_goods: int, training: Training, side: int, progress: Progress = silent) -> Source:
    """Return a shop's goods as a source: the sample edition held out, `n_goods` others to learn from.

    Goods that agree with a held-out item in all that a picture shows are left out of the training rows.

    Args:
        shop: name of the shop.
        n_goods: how many goods beyond the sample edition are drawn.
        training: words that are read.
        side: of the pictures.
        progress: told how the drawing goes.
    """
    words = vocabulary(shop)
    sample = MARKET.n_items
    values = hidden_attributes(words, sample + n_goods)
    items = []
    for number, attributes in enumerate(values):
        items.append(_drawn(made_item(words, number, attributes), side))
        progress(f"drawing goods of {shop}", number + 1, len(values))
    twins = numbered([tuple(attributes[name] for name in SEEN) for attributes in values])
    apart = {*twins[:sample].tolist()}
    train = np.array([row for row in range(sample, len(values)) if twins[row] not in apart], dtype=np.int64)
    captions = tuple(tuple(caption(wording, row, training.caption_words) for row in values) for wording in WORDINGS)
    return Source(
        name=shop,
        record={
            "synthetic": True,
            "edition": "sample",
            "digest": shop_digest(),
            "what": f"held out: the sample edition's {sample} items; training: {len(train)} of {n_goods} other items "
            "of the same shop, without those that equal a held-out item in every visible attribute",
            "items": len(values),
            "trained_on": len(train),
            "held_out": sample,
        },
        texts={
            SHOWN: tuple(clean_text(sentence(item.text), training.words) for item, _ in items),
            CLEAN: tuple(clean_text(sentence(item.clean_text), training.words) for item, _ in items),
        },
        captions=captions,
        pictures={view: np.stack([pictures[view] for _, pictures in items]) for view in (SHOWN, CLEAN)},
        twins=twins,
        train=train,
        held_out=np.arange(sample),
        attributes={name: Attribute(tuple(row[name] for row in values), words.values(name)) for name in SEEN},
    )


def caption(wording: str, attributes: Mapping[str, str], n_words: int) -> str:
    """Return a cleaned caption of an item in one of WORDINGS."""
    return clean_text(wording.format(**attributes), n_words)


def _drawn(item: Item, side: int) -> tuple[Item, dict[str, np.ndarray]]:
    pictures = {SHOWN: item.picture, CLEAN: item.clean_picture}
    return item, {view: small_picture(Image.fromarray(pixels), side) for view, pixels in pictures.items()}
