"""Evaluation of a BLIP on held-out items: retrieval, matching and captioning, each with its chance level.

Proportions have 95% Wilson intervals. Each item is a query among the held-out items of its source; an item that is
equal to it in text or in visible attributes is relevant too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import binomtest
from torch import Tensor

from robustrec.encoders.weights import quiet
from robustrec.pretraining.architecture import (
    BlipModels,
    caption_logits,
    encode_pictures,
    fused_vectors,
    project_pictures,
    project_texts,
)
from robustrec.pretraining.batches import TokenizedSource, normalised
from robustrec.pretraining.losses import caption_loss
from robustrec.pretraining.sources import Attribute, group_numbers
from robustrec.pretraining.tokens import padded
from robustrec.progress import Progress, silent
from robustrec.seeds import numpy_generator

POOL = 1000
"""Maximum number of held-out items of a source in the evaluation."""
CAPTION_TOKENS = 32
_ROWS = 64
LEVEL = 0.95


class Share(NamedTuple):
    """A share of n trials, its interval, and its chance level."""

    value: float
    low: float
    high: float
    n: int
    chance: float


class HeldOutRows(NamedTuple):
    """Encoded held-out rows of a source in one view.

    Attributes:
        rows: [n] rows of the source.
        tokens: [n, N, D] image tokens.
        pictures: [n, P] L2-normalized image vectors.
        texts: [n, P] L2-normalized text vectors.
        ids: [n] token ids of the texts.
    """

    rows: NDArray[np.int64]
    tokens: Tensor
    pictures: Tensor
    texts: Tensor
    ids: list[list[int]]


def share(hits: Sequence[bool] | NDArray[np.bool_], chance: float) -> Share:
    """Return the share of hits with its Wilson interval (Wilson, 1927)."""
    n = len(hits)
    interval = binomtest(int(np.sum(hits)), n).proportion_ci(LEVEL, method="wilson")
    return Share(float(np.mean(hits)), float(interval.low), float(interval.high), n, chance)


def evaluation_rows(data: TokenizedSource, seed: int, most: int = POOL) -> NDArray[np.int64]:
    """Return the held-out rows of the evaluation: all, or `most` random ones."""
    rows = data.source.held_out
    if len(rows) <= most:
        return rows
    return np.sort(numpy_generator(seed, "pretrain pool", data.source.name).choice(rows, most, replace=False))


@torch.no_grad()
def encode_held_out(
    blip: BlipModels, data: TokenizedSource, rows: NDArray[np.int64], view: str, progress: Progress = silent
) -> HeldOutRows:
    """Encode rows of a source with image and text encoder, both in the same view."""
    device = next(blip.itm.parameters()).device
    tokens, pictures, texts = [], [], []
    ids = [data.texts[view][row] for row in rows]
    for at in range(0, len(rows), _ROWS):
        pixels = normalised(data.source.pictures[view][rows[at : at + _ROWS]]).to(device)
        tokens.append(encode_pictures(blip.itm, pixels))
        pictures.append(project_pictures(blip.itm, tokens[-1]))
        batch = padded(ids[at : at + _ROWS], blip.specials.pad)
        texts.append(project_texts(blip.itm, batch.ids.to(device), batch.mask.to(device)))
        progress(f"evaluating held-out items of {data.source.name}", min(at + _ROWS, len(rows)), len(rows))
    return HeldOutRows(rows, torch.cat(tokens), torch.cat(pictures), torch.cat(texts), ids)


def relevant_pairs(data: TokenizedSource, held: HeldOutRows) -> Tensor:
    """Return bool [n, n]: pairs of held-out items of one group or with equal texts."""
    numbers = data.source.groups[held.rows]
    spelled = group_numbers([tuple(row) for row in held.ids])
    return torch.from_numpy((numbers[:, None] == numbers) | (spelled[:, None] == spelled))


def hits_at(similarities: Tensor, relevant: Tensor, k: int) -> NDArray[np.bool_]:
    """Return for each query [n] whether a relevant candidate is among the k most similar ones.

    Args:
        similarities: [n, n] query by candidate.
        relevant: bool [n, n], relevant candidates of each query.
        k: length of the list.
    """
    best = similarities.masked_fill(~relevant, float("-inf")).max(dim=1).values
    ahead = ((similarities >= best[:, None]) & ~relevant).sum(dim=1)  # ties count as misses
    found: NDArray[np.bool_] = (ahead < k).numpy()
    return found


def retrieval(held: HeldOutRows, relevant: Tensor) -> dict[str, Share]:
    """Return R@1 and R@10 in both directions by the contrastive similarity."""
    similarities = (held.pictures @ held.texts.T).cpu()
    n = len(held.rows)
    own = relevant.sum(dim=1).numpy()
    out: dict[str, Share] = {}
    for name, table in (("image_to_text", similarities), ("text_to_image", similarities.T)):
        for k in (1, 10):
            chance = float(np.mean([_chance_of_one(n, int(m), k) for m in own]))
            out[f"{name}_r@{k}"] = share(hits_at(table, relevant, min(k, n)), chance)
    return out


def _chance_of_one(n: int, m: int, k: int) -> float:
    """Return the probability that k random candidates of n include one of m."""
    return 1.0 if k > n - m else 1.0 - math.comb(n - m, k) / math.comb(n, k)


@torch.no_grad()
def matching(blip: BlipModels, held: HeldOutRows, relevant: Tensor, seed: int) -> dict[str, Share]:
    """Return the accuracy of the matching head on balanced pairs, with random and with hard negative texts.

    The hard negative of a picture is the most similar text that is not relevant, by contrastive similarity.
    """
    similarities = (held.pictures @ held.texts.T).cpu().masked_fill(relevant, float("-inf"))
    has_other = (~relevant).any(dim=1)
    random = numpy_generator(seed, "pretrain matching")
    noise = torch.from_numpy(random.random(similarities.shape)).masked_fill(relevant, -1.0)
    rows = torch.nonzero(has_other).flatten()
    if len(rows) == 0:
        return {}
    right = _matches(blip, held, rows, rows)
    out = {}
    for name, table in (("random", noise), ("hard", similarities)):
        wrong = _matches(blip, held, rows, table[rows].argmax(dim=1))
        out[f"matching_accuracy_{name}"] = share(np.concatenate([right, ~wrong]), 0.5)
    return out


def _matches(blip: BlipModels, held: HeldOutRows, pictures: Tensor, texts: Tensor) -> NDArray[np.bool_]:
    """Return [n] whether the matching head accepts each pair of picture and text."""
    out = []
    for at in range(0, len(pictures), _ROWS):
        batch = padded(
            [held.ids[int(t)] for t in texts[at : at + _ROWS]], blip.specials.pad, first=blip.specials.encode
        )
        tokens = held.tokens[pictures[at : at + _ROWS]]
        logits = blip.itm.itm_head(
            fused_vectors(blip.itm, batch.ids.to(tokens.device), batch.mask.to(tokens.device), tokens)
        )
        out.append((logits[:, 1] > logits[:, 0]).cpu().numpy())
    return np.concatenate(out)


@torch.no_grad()
def write_captions(blip: BlipModels, data: TokenizedSource, rows: NDArray[np.int64], view: str) -> list[list[int]]:
    """Return greedy captions of pictures as token ids without special tokens."""
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
    blip: BlipModels, data: TokenizedSource, rows: NDArray[np.int64], captions: Sequence[list[int]]
) -> dict[str, Share]:
    """Return the share of captions that name the right value of an attribute and no other, for each attribute.

    The chance level is the share of the most frequent value.
    """
    wrong = wrong_attributes(blip, data, rows, captions)
    return {
        f"caption_{name}": share([name not in names for names in wrong], _most_frequent(attribute, rows))
        for name, attribute in data.source.attributes.items()
    }


def wrong_attributes(
    blip: BlipModels, data: TokenizedSource, rows: NDArray[np.int64], captions: Sequence[list[int]]
) -> list[list[str]]:
    """Return for each caption [n] the attributes of which it does not name exactly the right value."""
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
def caption_matches_picture(blip: BlipModels, data: TokenizedSource, held: HeldOutRows, seed: int) -> Share:
    """Return how often the caption of an item is more likely with its picture than with that of another item."""
    n = len(held.rows)
    other = (np.arange(n) + numpy_generator(seed, "pretrain captions").integers(1, n, size=n)) % n
    kept = data.source.groups[held.rows] != data.source.groups[held.rows[other]]
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
