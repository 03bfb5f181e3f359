"""BLIP's three losses as pure functions (Li et al. 2022, section 3.2), one of our own, and the hard negatives.

B pairs in a batch, T tokens, V vocabulary, P projection width. `same` [B, B] says which pictures and texts of the
batch belong together: the diagonal, and goods that cannot be told apart or have the same text (`same_pairs`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

IGNORED = -100


class Negatives(NamedTuple):
    """Which pairs of the batch are set against each other.

    Attributes:
        rows: [n] pairs that have a negative at all, n <= B.
        texts: [n] the pair whose text is the wrong one for the picture of `rows`.
        pictures: [n] the pair whose picture is the wrong one for the text of `rows`.
    """

    rows: Tensor
    texts: Tensor
    pictures: Tensor


def same_pairs(*numbers: Tensor) -> Tensor:
    """Return bool [B, B]: true where any of the given numberings [B] gives two pairs the same number."""
    return torch.stack([row[:, None] == row[None, :] for row in numbers]).any(dim=0)


def contrastive_loss(pictures: Tensor, texts: Tensor, same: Tensor, temperature: Tensor) -> Tensor:
    """Return the image-text contrastive loss with in-batch negatives, a scalar.

    The mean over both directions of the cross entropy between softmax(cosine / temperature) and the target, which is
    spread evenly over what belongs together. No momentum encoder and no queue: the batch is the pool.

    Args:
        pictures: [B, P] of norm 1.
        texts: [B, P] of norm 1.
        same: [B, B] see the module.
        temperature: scalar > 0.
    """
    logits = pictures @ texts.T / temperature
    target = same.to(logits.dtype)
    target = target / target.sum(dim=1, keepdim=True)
    forth = -(target * functional.log_softmax(logits, dim=1)).sum(dim=1)
    back = -(target * functional.log_softmax(logits.T, dim=1)).sum(dim=1)
    return (forth + back).mean() / 2


def hard_negatives(similarities: Tensor, same: Tensor, generator: torch.Generator) -> Negatives:
    """Draw a wrong text for each picture and a wrong picture for each text, the likelier the more alike they look.

    Drawn from softmax(similarities) along the row (texts) or the column (pictures) without what belongs together.

    Args:
        similarities: [B, B] logits of the contrastive loss, picture by text, on the CPU; zeros draw evenly.
        same: [B, B] see the module, symmetric, on the CPU.
        generator: draws the negatives.
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
    """Return picture row, text row and label (1 match, 0 not) of the pairs the matching head sees, [m] each.

    The first n pairs that have negatives: each with its own text, with a wrong text, and its text with a wrong picture.

    Args:
        negatives: of `hard_negatives`.
        n: most pairs.
    """
    rows, texts, pictures = (places[:n] for places in negatives)
    labels = torch.cat([torch.ones_like(rows), torch.zeros_like(rows), torch.zeros_like(rows)])
    return torch.cat([rows, rows, pictures]), torch.cat([rows, texts, rows]), labels


def matching_loss(logits: Tensor, matched: Tensor) -> Tensor:
    """Return the mean cross entropy of the two-way matching head, a scalar.

    Args:
        logits: [n, 2], class 1 is "match".
        matched: [n] 1 where picture and text belong together, else 0.
    """
    return functional.cross_entropy(logits, matched)


def caption_loss(logits: Tensor, tokens: Tensor, mask: Tensor, smoothing: float) -> Tensor:
    """Return the captioning loss: each token predicted from those before it, padding left out, a scalar.

    Args:
        logits: [B, T, V] of a causal decoder that read `tokens`.
        tokens: [B, T] beginning with the token that opens a caption.
        mask: [B, T] 1 for tokens, 0 for padding.
        smoothing: share of the target spread over the vocabulary (0.1 in BLIP).
    """
    wanted = tokens.masked_fill(mask == 0, IGNORED)[:, 1:]
    return functional.cross_entropy(
        logits[:, :-1].flatten(0, 1), wanted.flatten(), ignore_index=IGNORED, label_smoothing=smoothing
    )


def words_loss(logits: Tensor, tokens: Tensor, mask: Tensor, special: Sequence[int]) -> Tensor:
    """Return the loss of telling which words a caption has, a scalar: per word it has, the summed binary cross entropy.

    Args:
        logits: [B, V] of each word of the vocabulary.
        tokens: [B, T] of the captions.
        mask: [B, T] 1 for tokens, 0 for padding.
        special: ids that are no words.
    """
    said = torch.zeros_like(logits).scatter_(1, tokens, mask.to(logits.dtype))
    said[:, list(special)] = 0
    missed = functional.binary_cross_entropy_with_logits(logits, said, reduction="sum")
    return missed / said.sum().clamp(min=1)
