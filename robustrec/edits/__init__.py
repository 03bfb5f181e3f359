"""Merchant edits of titles, descriptions and pictures, with seeds and severities; importable without torch.

An edit is a pure function `(content, severity, generator, view) -> content`, declared with `contract.changes`. To add
one, write a module in `texts/` or `pictures/` and name its function here; users name theirs by an entry point of the
group "robustrec.edits" or as "package.module:function".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from robustrec.plugins import distinct_names

if TYPE_CHECKING:
    from robustrec.edits.contract import Edit

ALL = "all"
"""Name for all built-in edits."""

JOIN = "+"
"""Separator of the edits in a combination, which are applied in order to the same item."""

TEXT_EDITS = (
    "promo_phrase",
    "keyword_stuffing",
    "brand_first",
    "brand_last",
    "truncation",
    "typos",
    "synonym_swap",
    "season_swap",
    "attribute_contradiction",
    "emoji_capitals",
    "language_mix",
    "empty_description",
    "title_reorder",
    "seo_bullets",
    "paraphrase",
    "category_mistag",
    "multipack_title",
)
PICTURE_EDITS = (
    "promo_badge",
    "text_banner",
    "watermark",
    "collage",
    "crop",
    "background_swap",
    "recolour",
    "low_resolution",
    "compression",
    "blur",
    "light",
    "mirrored",
    "wrong_picture",
    "infographic",
    "size_chart",
    "lifestyle_background",
    "hero_swap",
    "multipack",
    "variant_bundle",
    "frame",
    "upscaling",
)


FAULTS = ("wrong_picture",)
"""Edits that are upload faults: measured as edits are, but no part of a mean over edits."""

EDITS: dict[str, str] = distinct_names(
    "edit",
    [
        *((name, f"robustrec.edits.texts.{name}:{name}") for name in TEXT_EDITS),
        *((name, f"robustrec.edits.pictures.{name}:{name}") for name in PICTURE_EDITS),
    ],
)
"""Name of each built-in edit -> "module:function", imported at the first use."""


def edit(name: str, *, where: str = "--edit") -> Edit:
    """Return an edit by name: built in, an entry point of the group "robustrec.edits", or "module:function".

    Args:
        name: the name.
        where: option, or file and key, of the name, for messages.

    Raises:
        RobustrecError: the edit is unknown, cannot be imported, is not unique, or is invalid: no declaration, wrong
            signature, wrong result, or not pure.
    """
    from robustrec.edits.resolve import resolved

    return resolved(name, where=where)


def edit_names() -> list[str]:
    """Return the names of built-in edits, then those of entry points."""
    from robustrec.edits.resolve import entry_point_names

    return [*EDITS, *entry_point_names()]
