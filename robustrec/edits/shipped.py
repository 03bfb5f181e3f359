"""Which language packs are shipped; a plan needs their names and not their content."""

from __future__ import annotations

from pathlib import Path

PACKS = Path(__file__).parent / "packs"
SHIPPED = tuple(sorted(path.stem for path in PACKS.glob("*.toml")))
"""Languages of the shipped packs, by ISO 639 code."""
