"""Encoders: a catalogue becomes one feature table per modality, kept in a content-addressed store.

An encoder is a module with two functions: `encode(dataset, progress) -> Encoded`, and `identity() -> dict`,
everything besides the dataset that its output depends on. To add one, write the module and name
its `encode` here.
"""

from __future__ import annotations

ENCODERS: dict[str, str] = {
    "basic": "robustrec.encoders.basic:encode",
    "imported": "robustrec.encoders.imported:encode",
}
"""Name of each encoder -> "module:function"; nothing is imported until the encoder is used."""
