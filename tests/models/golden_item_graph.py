"""Published numbers."""

from __future__ import annotations

from goldens import Golden

CASES: dict[str, Golden] = {}
