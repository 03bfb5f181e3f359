"""Removal of a brand from a text."""

from __future__ import annotations

import re

_SHORT = 3  # brands up to this length are looked for in the case they are written in: "On" is not "on"


def without_brand(text: str, brand: str) -> str:
    """Return a text without the brand, the "by" or "from" that led to it, and the comma or stop it leaves double."""
    # White space is collapsed first; with runs of it the pattern would take quadratic time.
    tight = " ".join(text.split())
    name = rf"(?<!\w){re.escape(' '.join(brand.split()))}(?!\w)(?:['’]s(?!\w))?"
    pattern = rf"([.,;:!?]?) ?(?:(?<!\w)(?:by|from|von) )?{name} ?([.,;:!?]?)"
    flags = re.IGNORECASE if len(brand) > _SHORT else re.NOFLAG
    bare, n = re.subn(pattern, lambda match: f"{match[1] or match[2]} ", tight, flags=flags)
    return " ".join(bare.split()).strip(" ,;:|-–") if n else text
