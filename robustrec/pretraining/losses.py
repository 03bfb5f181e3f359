"""The three losses of BLIP (Li et al., arXiv 2201.12086, section 3.2), a word prediction loss, and hard negatives.

B pairs in a batch, T tokens, V vocabulary, P projection width. `same` [B, B] marks pictures and texts that match: the
diagonal, and items of one group or with equal texts (`same_pairs`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

IGNORED = -100


class Negatives(NamedTuple):
    """Negative pairs of a batch.

    Attributes:
        rows: [n] pairs that have a negative, n <= B.
        texts: [n] row of the negative text for the picture of each of `rows`.
        pictures: [n] row of the negative picture for the text of each of `rows`.
    """

    rows: Tensor
    texts: Tensor
    pictures: Tensor


def same_pairs(*numbers: Tensor) -> Tensor:
    """Return bool [B, B]: whether two pairs have the same number in any of the given numberings [B]."""
    return torch.stack([row[:, None] == row[None, :] for row in numbers]).any(dim=0)


def contrastive_loss(pictures: Tensor, texts: Tensor, same: Tensor, temperature: Tensor) -> Tensor:
    """Return the image-text contrastive loss with in-batch negatives, a scalar.

    The mean over both directions of the cross entropy between softmax(cosine / temperature) and the target, which is
    uniform over the matching entries. There is no momentum encoder and no queue.

    Args:
        pictures: [B, P], L2-normalized.
        texts: [B, P], L2-normalized.
        same: [B, B], see the module.
        temperature: scalar > 0.
    """
    logits = pictures @ texts.T / temperature
    target = same.to(logits.dtype)
    target = target / target.sum(dim=1, keepdim=True)
    forth = -(target * functional.log_softmax(logits, dim=1)).sum(dim=1)
    back = -(target * functional.log_softmax(logits.T, dim=1)).sum(dim=1)
    return (forth + back).mean() / 2


def hard_negatives(similarities: Tensor, same: Tensor, generator: torch.Generator) -> Negatives:
    """Draw a negative text for each picture and a negative picture for each text, by similarity.

    They are drawn from softmax(similarities) of the row (texts) or the column (pictures) without matching entries.

    Args:
        similarities: [B, B] logits of the contrastive loss, picture by text, on the CPU; zeros draw uniformly.
        same: [B, B], see the module; symmetric, on the CPU.
        generator: generator of the draws.
    """
    rows = torch.nonzero(~same.all(dim=1)).flatten()
    drawn = [
        torch.multinomial(
            torch.softmax(logits.masked_fill(same, float("-inf"))[rows], dim=1), 1, generator=generator
        ).flatten()
        for logits in (similarities, similarities.T)
    ]
    return Negatives(rows, *drawn)


def matched_pairs(negatives: Negatives, n: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return picture row, text row and label (1 match, 0 not) of the pairs for the matching head, [m] each.

    Each of the first n pairs with negatives gives three: the pair, its picture with a negative text, and its text with
    a negative picture.

    Args:
        negatives: result of `hard_negatives`.
        n: maximum number of pairs.
    """
    rows, texts, pictures = (places[:n] for places in negatives)
    labels = torch.cat([torch.ones_like(rows), torch.zeros_like(rows), torch.zeros_like(rows)])
    return torch.cat([rows, rows, pictures]), torch.cat([rows, texts, rows]), labels


def matching_loss(logits: Tensor, matched: Tensor) -> Tensor:
    """Return the mean cross entropy of the two-way matching head, a scalar.

    Args:
        logits: [n, 2], class 1 is "match".
        matched: [n] 1 for matching picture and text, else 0.
    """
    return functional.cross_entropy(logits, matched)


def caption_loss(logits: Tensor, tokens: Tensor, mask: Tensor, smoothing: float) -> Tensor:
    """Return the captioning loss, a scalar: cross entropy of the next token, without padding.

    Args:
        logits: [B, T, V] of a causal decoder that read `tokens`.
        tokens: [B, T], starting with the first token of a caption.
        mask: [B, T] 1 for tokens, 0 for padding.
        smoothing: label smoothing (0.1 in BLIP).
    """
    wanted = tokens.masked_fill(mask == 0, IGNORED)[:, 1:]
    return functional.cross_entropy(
        logits[:, :-1].flatten(0, 1), wanted.flatten(), ignore_index=IGNORED, label_smoothing=smoothing
    )


def words_loss(logits: Tensor, tokens: Tensor, mask: Tensor, special: Sequence[int]) -> Tensor:
    """Return the word prediction loss, a scalar: binary cross entropy over the vocabulary, per word of the captions.

    Args:
        logits: [B, V].
        tokens: [B, T] tokens of the captions.
        mask: [B, T] 1 for tokens, 0 for padding.
        special: ids of special tokens.
    """
    said = torch.zeros_like(logits).scatter_(1, tokens, mask.to(logits.dtype))
    said[:, list(special)] = 0
    missed = functional.binary_cross_entropy_with_logits(logits, said, reduction="sum")
    return missed / said.sum().clamp(min=1)
