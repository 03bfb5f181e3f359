"""Interactions, splits, catalogs and the data set registry; `shop/` generates the sample editions."""
