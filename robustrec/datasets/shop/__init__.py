"""The synthetic shop of the sample editions: products with hidden attributes, noise of merchants, users with tastes."""

from __future__ import annotations

from robustrec.datasets.shop.build import build_shop, shop_digest
from robustrec.datasets.shop.vocabulary import ATTRIBUTES, SHOPS

__all__ = ["ATTRIBUTES", "SHOPS", "build_shop", "shop_digest"]
