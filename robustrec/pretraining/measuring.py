"""All numbers of the model card that come from held-out items, by source and view, and examples to look at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robustrec.pretraining.architecture import Blip
from robustrec.pretraining.batches import Tokenised
from robustrec.pretraining.heldout import (
    Share,
    caption_attributes,
    caption_prefers_own,
    encode_held,
    matching,
    pool_rows,
    retrieval,
    twins_of,
    write_captions,
    wrong_attributes,
)
from robustrec.progress import Progress, silent

EXAMPLES = 3
"""Captions of each source that the card quotes as right, and as wrong."""


def measure(
    blip: Blip, sources: Sequence[Tokenised], seed: int, *, most: int = 1000, progress: Progress = silent
) -> dict[str, Any]:
    """Return source -> view -> metric -> share, as plain values.

    Args:
        blip: trained.
        sources: whose held-out items are measured on.
        seed: of wrong pairs, and of the choice where there are more items than `most`.
        most: held-out items of a source that are measured on at most.
        progress: told how it goes.
    """
    out: dict[str, Any] = {}
    for data in sources:
        rows = pool_rows(data, seed, most)
        views = {view: _one_view(blip, data, rows, view, seed, progress) for view in data.source.texts}
        out[data.source.name] = {
            "pool": len(rows),
            "views": {
                view: {name: found._asdict() for name, found in shares.items()} for view, shares in views.items()
            },
        }
    return out


def _one_view(
    blip: Blip, data: Tokenised, rows: NDArray[np.int64], view: str, seed: int, progress: Progress
) -> dict[str, Share]:
    held = encode_held(blip, data, rows, view, progress)
    twins = twins_of(data, held)
    shares = {**retrieval(held, twins), **matching(blip, held, twins, seed)}
    if len(rows) > 1:
        shares["caption_fits_own_picture"] = caption_prefers_own(blip, data, held, seed)
    if data.source.attributes:
        shares |= caption_attributes(blip, data, rows, write_captions(blip, data, rows, view))
    return shares


def examples(blip: Blip, sources: Sequence[Tokenised], view: str) -> list[dict[str, Any]]:
    """Return captions the model writes for held-out pictures beside what should be there, right ones and wrong ones."""
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
