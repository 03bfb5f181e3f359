"""MkDocs calls this for every page; Markdown in, Markdown out."""

from __future__ import annotations

from typing import Any

from site_tables import filled


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Return a page with what is generated from the code."""
    return filled(markdown)
