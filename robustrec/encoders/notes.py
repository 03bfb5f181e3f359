"""Notes on items that lack something, counted, with the rule by which they were encoded."""

from __future__ import annotations

from collections.abc import Sequence

_NAMED = 3  # unreadable pictures named; the rest are counted


def items(count: int, what: str = "item") -> str:
    """Return "1 item" or "3 items"."""
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def picture_notes(missing: int, unreadable: Sequence[tuple[int, str]], rule: str) -> tuple[str, ...]:
    """Return the notes on pictures.

    Args:
        missing: items without a picture.
        unreadable: items with one that cannot be read, and why.
        rule: what stands for the picture.
    """
    notes: list[str] = []
    if missing:
        notes.append(f"{items(missing)} without a picture: {rule}")
    if unreadable:
        named = "; ".join(f"item {item}: {what}" for item, what in unreadable[:_NAMED])
        more = f"; and {len(unreadable) - _NAMED} more" if len(unreadable) > _NAMED else ""
        notes.append(f"{items(len(unreadable))} with an unreadable picture: {rule} ({named}{more})")
    return tuple(notes)
