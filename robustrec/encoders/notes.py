"""Notes on items with missing content, with their number and how they are encoded."""

from __future__ import annotations

from collections.abc import Sequence

_NAMED = 3  # number of unreadable pictures that are listed


def items(count: int, what: str = "item") -> str:
    """Return "1 item" or "3 items"."""
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def picture_notes(missing: int, unreadable: Sequence[tuple[int, str]], rule: str) -> tuple[str, ...]:
    """Return the notes on pictures.

    Args:
        missing: number of items without a picture.
        unreadable: items with an unreadable picture, and the reasons.
        rule: what is used instead of the picture.
    """
    notes: list[str] = []
    if missing:
        notes.append(f"{items(missing)} without a picture: {rule}")
    if unreadable:
        named = "; ".join(f"item {item}: {what}" for item, what in unreadable[:_NAMED])
        more = f"; and {len(unreadable) - _NAMED} more" if len(unreadable) > _NAMED else ""
        notes.append(f"{items(len(unreadable))} with an unreadable picture: {rule} ({named}{more})")
    return tuple(notes)
