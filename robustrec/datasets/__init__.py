"""Interactions, splits, catalogs and the registry of data sets; `shop/` makes the sample editions."""
