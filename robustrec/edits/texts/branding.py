"""Removal of a brand from a text."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence

from robustrec.edits.texts.markup import inside, spans
from robustrec.edits.texts.wording import is_han

_SHORT = 3  # brands up to this length are looked for in the case they are written in: "On" is not "on"
_LETTER = "[^\\W\u3400-\u9fff\uf900-\ufaff]"  # Han characters may stand beside a brand without a space


def without_brand(text: str, brand: str, prepositions: Sequence[str]) -> str:
    """Return a text without the brand, the preposition that led to it, and the comma or stop it leaves double.

    Tags stay whole: a brand within one is not removed.

    Args:
        text: the text.
        brand: the brand.
        prepositions: words that are removed with the brand after them, such as "by".
    """
    # White space is collapsed first; with runs of it the pattern would take quadratic time.
    tight = " ".join(text.split())
    marked, bare_brand = spans(tight), " ".join(brand.split())
    if marked:
        bare_brand = html.escape(bare_brand, quote=False) if "&" in bare_brand else bare_brand
    before = "" if is_han(bare_brand[:1]) else rf"(?<!{_LETTER})"
    after = "" if is_han(bare_brand[-1:]) else rf"(?!{_LETTER})"
    name = rf"{before}{re.escape(bare_brand)}{after}(?:['’]s(?!\w))?"
    leading = rf"(?:(?<!\w)(?:{'|'.join(map(re.escape, prepositions))}) )?" if prepositions else ""
    flags = re.IGNORECASE if len(brand) > _SHORT else re.NOFLAG
    removed = 0

    def bare(match: re.Match[str]) -> str:
        nonlocal removed
        if inside(match.start("name"), [each for each in marked if each[0] != match.start("name")]):
            return match[0]
        removed += 1
        return f"{match[1] or match['end']} "

    after_all = re.sub(rf"([.,;:!?]?) ?{leading}(?P<name>{name}) ?(?P<end>[.,;:!?]?)", bare, tight, flags=flags)
    return " ".join(after_all.split()).strip(" ,;:|-–") if removed else text
