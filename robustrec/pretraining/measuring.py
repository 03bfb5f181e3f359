"""Results of the model card on held-out items, by source and view, and examples of captions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robustrec.pretraining.architecture import BlipModels
from robustrec.pretraining.batches import TokenizedSource
from robustrec.pretraining.heldout import (
    Share,
    caption_attributes,
    caption_matches_picture,
    encode_held_out,
    evaluation_rows,
    matching,
    relevant_pairs,
    retrieval,
    write_captions,
    wrong_attributes,
)
from robustrec.progress import Progress, silent

EXAMPLES = 3
"""Number of right and of wrong captions of each source in the card."""


def measure(
    blip: BlipModels, sources: Sequence[TokenizedSource], seed: int, *, most: int = 1000, progress: Progress = silent
) -> dict[str, Any]:
    """Return source -> view -> metric -> share, as plain values.

    Args:
        blip: the trained models.
        sources: sources with held-out items.
        seed: seed of negative pairs and of the selection of items.
        most: maximum number of held-out items of a source.
        progress: reports the number of evaluated items.
    """
    out: dict[str, Any] = {}
    for data in sources:
        rows = evaluation_rows(data, seed, most)
        views = {view: _one_view(blip, data, rows, view, seed, progress) for view in data.source.texts}
        out[data.source.name] = {
            "pool": len(rows),
            "views": {
                view: {name: found._asdict() for name, found in shares.items()} for view, shares in views.items()
            },
        }
    return out


def _one_view(
    blip: BlipModels, data: TokenizedSource, rows: NDArray[np.int64], view: str, seed: int, progress: Progress
) -> dict[str, Share]:
    held = encode_held_out(blip, data, rows, view, progress)
    relevant = relevant_pairs(data, held)
    shares = {**retrieval(held, relevant), **matching(blip, held, relevant, seed)}
    if len(rows) > 1:
        shares["caption_fits_own_picture"] = caption_matches_picture(blip, data, held, seed)
    if data.source.attributes:
        shares |= caption_attributes(blip, data, rows, write_captions(blip, data, rows, view))
    return shares


def examples(blip: BlipModels, sources: Sequence[TokenizedSource], view: str) -> list[dict[str, Any]]:
    """Return generated and expected captions of held-out pictures, some right and some wrong."""
    out: list[dict[str, Any]] = []
    for data in sources:
        rows = data.source.held_out[: 40 * EXAMPLES]
        captions = write_captions(blip, data, rows, view)
        wanted = {True: EXAMPLES, False: EXAMPLES}
        for row, caption, wrong in zip(rows, captions, wrong_attributes(blip, data, rows, captions), strict=True):
            if wanted[not wrong] > 0:
                wanted[not wrong] -= 1
                out.append(
                    {
                        "source": data.source.name,
                        "item": int(row),
                        "written": blip.tokenizer.decode(caption),
                        "expected": blip.tokenizer.decode(data.captions[0][row], skip_special_tokens=True),
                        "wrong": wrong,
                    }
                )
    return out


def total(found: dict[str, Any], metric: str, view: str) -> tuple[float, float, int]:
    """Return a metric over all sources that have it: mean over items, mean chance, number of trials."""
    rows = [views["views"][view][metric] for views in found.values() if metric in views["views"].get(view, {})]
    n = sum(row["n"] for row in rows)
    if n == 0:
        return float("nan"), float("nan"), 0
    return sum(row["value"] * row["n"] for row in rows) / n, sum(row["chance"] * row["n"] for row in rows) / n, n
