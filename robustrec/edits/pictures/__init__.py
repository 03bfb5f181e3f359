"""Merchant edits of pictures, one module per edit."""
