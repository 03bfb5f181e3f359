"""A MkDocs hook that inserts the generated tables into every page."""

from __future__ import annotations

from typing import Any

from site_tables import filled


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Return a page with its generated tables."""
    return filled(markdown)
