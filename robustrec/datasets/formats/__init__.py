"""Readers of file formats: interactions as rows of texts, catalogs as records, both streamed and with their places."""
