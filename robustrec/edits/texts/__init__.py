"""Merchant edits of titles and descriptions, one module per edit."""
