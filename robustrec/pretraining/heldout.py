"""What a trained BLIP can do on items it has not seen: find, match and describe them. Each number with its chance.

Proportions come with Wilson's 95% interval. Every item is a query in the pool of the held-out items of its own
source; a twin (same in all that text or picture tells) counts as found.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from robustrec.encoders.weights import quiet
from robustrec.pretraining.architecture import (
    Blip,
    caption_logits,
    fused,
    project_pictures,
    project_texts,
    read_pictures,
)
from robustrec.pretraining.batches import Tokenised, normalised
from robustrec.pretraining.losses import caption_loss
from robustrec.pretraining.sources import Attribute, numbered
from robustrec.pretraining.tokens import padded
from robustrec.progress import Progress, silent
from robustrec.seeds import numpy_generator

POOL = 1000
"""Held-out items of a source that are measured on at most."""
CAPTION_TOKENS = 32
_ROWS = 64
Z = 1.959963984540054


class Share(NamedTuple):
    """A share of n trials, its interval, and what chance alone would give."""

    value: float
    low: float
    high: float
    n: int
    chance: float


class Held(NamedTuple):
    """Held-out rows of a source in one view, encoded.

    Attributes:
        rows: [n] rows of the source.
        tokens: [n, N, D] picture tokens.
        pictures: [n, P] picture vectors of norm 1.
        texts: [n, P] text vectors of norm 1.
        ids: [n] token ids of the texts.
    """

    rows: NDArray[np.int64]
    tokens: Tensor
    pictures: Tensor
    texts: Tensor
    ids: list[list[int]]


def share(hits: Sequence[bool] | NDArray[np.bool_], chance: float) -> Share:
    """Return the share of hits with Wilson's interval (Wilson 1927)."""
    n = len(hits)
    value = float(np.mean(hits))
    middle = (value + Z * Z / (2 * n)) / (1 + Z * Z / n)
    half = Z * math.sqrt(value * (1 - value) / n + Z * Z / (4 * n * n)) / (1 + Z * Z / n)
    return Share(value, middle - half, middle + half, n, chance)


def pool_rows(data: Tokenised, seed: int, most: int = POOL) -> NDArray[np.int64]:
    """Return the held-out rows that are measured on: all, or a seeded choice of `most`."""
    rows = data.source.held_out
    if len(rows) <= most:
        return rows
    return np.sort(numpy_generator(seed, "pretrain pool", data.source.name).choice(rows, most, replace=False))


@torch.no_grad()
def encode_held(blip: Blip, data: Tokenised, rows: NDArray[np.int64], view: str, progress: Progress = silent) -> Held:
    """Return rows of a source encoded by both towers; text and picture in the same view."""
    device = next(blip.itm.parameters()).device
    tokens, pictures, texts = [], [], []
    ids = [data.texts[view][row] for row in rows]
    for at in range(0, len(rows), _ROWS):
        pixels = normalised(data.source.pictures[view][rows[at : at + _ROWS]]).to(device)
        tokens.append(read_pictures(blip.itm, pixels))
        pictures.append(project_pictures(blip.itm, tokens[-1]))
        batch = padded(ids[at : at + _ROWS], blip.specials.pad)
        texts.append(project_texts(blip.itm, batch.ids.to(device), batch.mask.to(device)))
        progress(f"measuring on held-out items of {data.source.name}", min(at + _ROWS, len(rows)), len(rows))
    return Held(rows, torch.cat(tokens), torch.cat(pictures), torch.cat(texts), ids)


def twins_of(data: Tokenised, held: Held) -> Tensor:
    """Return bool [n, n]: which held-out items may pass for each other, by what they are or by the same text."""
    numbers = data.source.twins[held.rows]
    spelled = numbered([tuple(row) for row in held.ids])
    return torch.from_numpy((numbers[:, None] == numbers) | (spelled[:, None] == spelled))


def found_within(similarities: Tensor, twins: Tensor, k: int) -> NDArray[np.bool_]:
    """Return for each query [n] whether one of its own is among the k most similar candidates.

    Args:
        similarities: [n, n] query by candidate.
        twins: [n, n] which candidates are its own.
        k: length of the list.
    """
    best = similarities.masked_fill(~twins, float("-inf")).max(dim=1).values
    ahead = ((similarities >= best[:, None]) & ~twins).sum(dim=1)  # a tie with a stranger counts against it
    found: NDArray[np.bool_] = (ahead < k).numpy()
    return found


def retrieval(held: Held, twins: Tensor) -> dict[str, Share]:
    """Return R@1 and R@10 in both directions, by the contrastive towers alone."""
    similarities = (held.pictures @ held.texts.T).cpu()
    n = len(held.rows)
    own = twins.sum(dim=1).numpy()
    out: dict[str, Share] = {}
    for name, table in (("image_to_text", similarities), ("text_to_image", similarities.T)):
        for k in (1, 10):
            chance = float(np.mean([_chance_of_one(n, int(m), k) for m in own]))
            out[f"{name}_r@{k}"] = share(found_within(table, twins, min(k, n)), chance)
    return out


def _chance_of_one(n: int, m: int, k: int) -> float:
    """Return the probability that k of n candidates drawn blindly hold one of m."""
    return 1.0 if k > n - m else 1.0 - math.comb(n - m, k) / math.comb(n, k)


@torch.no_grad()
def matching(blip: Blip, held: Held, twins: Tensor, seed: int) -> dict[str, Share]:
    """Return the accuracy of the matching head at 0.5 on balanced pairs, with random and with hard wrong texts.

    The hard wrong text of a picture is the one most similar to it in the contrastive space, of all in the pool.
    """
    similarities = (held.pictures @ held.texts.T).cpu().masked_fill(twins, float("-inf"))
    has_other = (~twins).any(dim=1)
    random = numpy_generator(seed, "pretrain matching")
    noise = torch.from_numpy(random.random(similarities.shape)).masked_fill(twins, -1.0)
    rows = torch.nonzero(has_other).flatten()
    if len(rows) == 0:
        return {}
    right = _matches(blip, held, rows, rows)
    out = {}
    for name, table in (("random", noise), ("hard", similarities)):
        wrong = _matches(blip, held, rows, table[rows].argmax(dim=1))
        out[f"matching_accuracy_{name}"] = share(np.concatenate([right, ~wrong]), 0.5)
    return out


def _matches(blip: Blip, held: Held, pictures: Tensor, texts: Tensor) -> NDArray[np.bool_]:
    """Return [n] whether the matching head takes each picture and text for a pair."""
    out = []
    for at in range(0, len(pictures), _ROWS):
        batch = padded(
            [held.ids[int(t)] for t in texts[at : at + _ROWS]], blip.specials.pad, first=blip.specials.encode
        )
        tokens = held.tokens[pictures[at : at + _ROWS]]
        logits = blip.itm.itm_head(fused(blip.itm, batch.ids.to(tokens.device), batch.mask.to(tokens.device), tokens))
        out.append((logits[:, 1] > logits[:, 0]).cpu().numpy())
    return np.concatenate(out)


@torch.no_grad()
def write_captions(blip: Blip, data: Tokenised, rows: NDArray[np.int64], view: str) -> list[list[int]]:
    """Return greedy captions of pictures as token ids, special tokens left out."""
    device = next(blip.itm.parameters()).device
    special = {*blip.specials}
    out: list[list[int]] = []
    for at in range(0, len(rows), _ROWS):
        pixels = normalised(data.source.pictures[view][rows[at : at + _ROWS]]).to(device)
        with quiet():
            ids = blip.caption.generate(
                pixel_values=pixels, max_new_tokens=CAPTION_TOKENS, do_sample=False, num_beams=1
            )
        out += [[token for token in row if token not in special] for row in ids.tolist()]
    return out


def caption_attributes(
    blip: Blip, data: Tokenised, rows: NDArray[np.int64], captions: Sequence[list[int]]
) -> dict[str, Share]:
    """Return how often captions name the right value of each known attribute, and no other one.

    Chance is the share of the most frequent value: what a captioner that never looks could reach.
    """
    wrong = wrong_attributes(blip, data, rows, captions)
    return {
        f"caption_{name}": share([name not in names for names in wrong], _most_frequent(attribute, rows))
        for name, attribute in data.source.attributes.items()
    }


def wrong_attributes(
    blip: Blip, data: Tokenised, rows: NDArray[np.int64], captions: Sequence[list[int]]
) -> list[list[str]]:
    """Return for each caption [n] the attributes of which it does not name the right value and no other."""
    spelled = {
        name: {value: blip.tokenizer(value, add_special_tokens=False)["input_ids"] for value in attribute.values}
        for name, attribute in data.source.attributes.items()
    }
    return [
        [
            name
            for name, values in spelled.items()
            if {value for value, ids in values.items() if _contains(caption, ids)}
            != {data.source.attributes[name].of[row]}
        ]
        for row, caption in zip(rows, captions, strict=True)
    ]


def _most_frequent(attribute: Attribute, rows: NDArray[np.int64]) -> float:
    values = [attribute.of[row] for row in rows]
    return max(values.count(value) for value in attribute.values) / len(values)


def _contains(caption: Sequence[int], ids: Sequence[int]) -> bool:
    return any(list(caption[at : at + len(ids)]) == list(ids) for at in range(len(caption) - len(ids) + 1))


@torch.no_grad()
def caption_prefers_own(blip: Blip, data: Tokenised, held: Held, seed: int) -> Share:
    """Return how often an item's own caption is likelier under its picture than under another item's."""
    n = len(held.rows)
    other = (np.arange(n) + numpy_generator(seed, "pretrain captions").integers(1, n, size=n)) % n
    kept = data.source.twins[held.rows] != data.source.twins[held.rows[other]]
    places = np.flatnonzero(kept) if kept.any() else np.arange(n)
    hits = []
    for at in places:
        row = [data.captions[0][held.rows[at]]] * 2
        batch = padded(row, blip.specials.pad, first=blip.specials.decode)
        tokens = held.tokens[[int(at), int(other[at])]]
        ids, mask = batch.ids.to(tokens.device), batch.mask.to(tokens.device)
        logits = caption_logits(blip.caption, ids, mask, tokens)
        own, foreign = (caption_loss(logits[i : i + 1], ids[i : i + 1], mask[i : i + 1], 0.0) for i in (0, 1))
        hits.append(bool(own < foreign))
    return share(hits, 0.5)
