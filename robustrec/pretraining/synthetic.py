"""Synthetic shops as sources: the sample edition is held out, training uses additional products of the same shop.

The products of a shop are numbered, and the sample edition has the first ones. Training on later numbers keeps all
items of the sample editions unseen, so that an audit on a sample encodes items that were not trained on.
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
from robustrec.pretraining.settings import TrainingSettings
from robustrec.pretraining.sources import CLEAN, SHOWN, Attribute, Source, group_numbers, resized_picture
from robustrec.progress import Progress, silent

WORDINGS = (
    "{style} {colour} {pattern} {kind} made of {material} by {brand}",
    "{colour} {pattern} {kind} in {material}, {style}, by {brand}",
)
"""Caption templates with all visible attributes, which are all but the price."""
VISIBLE = tuple(name for name in ATTRIBUTES if name != "price")


def synthetic_source(
    shop: str, n_products: int, training: TrainingSettings, side: int, progress: Progress = silent
) -> Source:
    """Return a shop as a source: the sample edition is held out, `n_products` additional products are for training.

    Products with the visible attributes of a held-out item are not in the training rows.

    Args:
        shop: name of the shop.
        n_products: number of products beyond the sample edition.
        training: limits on words.
        side: height and width of the pictures in pixels.
        progress: reports the number of drawn products.
    """
    words = vocabulary(shop)
    sample = MARKET.n_items
    values = hidden_attributes(words, sample + n_products)
    items = []
    for number, attributes in enumerate(values):
        items.append(_drawn(made_item(words, number, attributes), side))
        progress(f"drawing products of {shop}", number + 1, len(values))
    groups = group_numbers([tuple(attributes[name] for name in VISIBLE) for attributes in values])
    apart = {*groups[:sample].tolist()}
    train = np.array([row for row in range(sample, len(values)) if groups[row] not in apart], dtype=np.int64)
    captions = tuple(tuple(caption(wording, row, training.caption_words) for row in values) for wording in WORDINGS)
    return Source(
        name=shop,
        record={
            "synthetic": True,
            "edition": "sample",
            "digest": shop_digest(),
            "what": f"held out: the sample edition's {sample} items; training: {len(train)} of {n_products} other "
            "items of the same shop, without those that equal a held-out item in every visible attribute",
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
        groups=groups,
        train=train,
        held_out=np.arange(sample),
        attributes={name: Attribute(tuple(row[name] for row in values), words.values(name)) for name in VISIBLE},
    )


def caption(wording: str, attributes: Mapping[str, str], n_words: int) -> str:
    """Return a cleaned caption of an item in one of WORDINGS."""
    return clean_text(wording.format(**attributes), n_words)


def _drawn(item: Item, side: int) -> tuple[Item, dict[str, np.ndarray]]:
    pictures = {SHOWN: item.picture, CLEAN: item.clean_picture}
    return item, {view: resized_picture(Image.fromarray(pixels), side) for view, pixels in pictures.items()}
