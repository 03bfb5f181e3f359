"""Edit `light`: underexposure or overexposure."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from robustrec.edits.content import Content
from robustrec.edits.contract import changes
from robustrec.edits.pictures.canvas import brightness
from robustrec.edits.view import CatalogueView

DARKENED = (84, 68, 53, 40, 28)  # % of the brightness
BRIGHTENED = (118, 138, 162, 192, 230)  # % of the brightness
_CASTS = ((1.0, 0.94, 0.80), (0.86, 0.95, 1.0), (0.94, 1.0, 0.86))  # a lamp, a cloudy window, a neon tube
_LIFT = 6  # levels that stray light adds to black at each severity of overexposure


@changes(
    "image",
    scale="brightness, darkened or overexposed",
    steps=(f"{dark} % or {bright} %" for dark, bright in zip(DARKENED, BRIGHTENED, strict=True)),
)
def light(content: Content, severity: int, generator: np.random.Generator, view: CatalogueView) -> Content:
    """Change the light: too dark with a colour cast, or overexposed."""
    dark, cast = generator.random() < 0.5, _CASTS[generator.integers(0, len(_CASTS))]
    picture = content.picture
    if picture is None:
        return content
    # A flash adds little to a white picture, and no lamp darkens a black one.
    level = brightness(picture)
    dark = level > 245 or (dark and level > 30)
    if dark:
        gain = DARKENED[severity - 1] / 100
        tables = [[round(value * gain * (1 - (1 - tint) * (1 - gain))) for value in range(256)] for tint in cast]
    else:
        gain, lift = BRIGHTENED[severity - 1] / 100, _LIFT * severity
        tables = [[min(255, round(lift + value * gain)) for value in range(256)]] * 3
    return replace(content, picture=picture.point([value for table in tables for value in table]))
