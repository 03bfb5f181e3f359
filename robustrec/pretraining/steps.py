"""One step of training: the losses of a batch, and the rate and gradient that follow from them.

To BLIP's three losses a fourth is added: which words the caption has, told linearly from the fused vector (position 0
of the image-grounded text encoder) while part of the text is hidden. The matching loss alone leaves in that vector
only what says "match"; yet it is the vector that recommenders read, and they read it linearly.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from robustrec.pretraining.architecture import (
    Blip,
    caption_logits,
    fused,
    parameters,
    project_pictures,
    project_texts,
    read_pictures,
)
from robustrec.pretraining.batches import Step
from robustrec.pretraining.losses import (
    caption_loss,
    contrastive_loss,
    hard_negatives,
    matched_pairs,
    matching_loss,
    words_loss,
)
from robustrec.pretraining.settings import Training
from robustrec.pretraining.tokens import Batch

TEMPERATURES = (0.01, 0.5)
"""Between these the learned temperature is kept."""
MOST_HIDDEN = 0.8
"""Largest share of a text's words that is hidden."""


class Losses(NamedTuple):
    """BLIP's three losses and the words told by the fused vector, scalars; zero where a step does without."""

    contrastive: Tensor
    matching: Tensor
    captioning: Tensor
    words: Tensor


def losses(blip: Blip, temperature: Tensor, step: Step, training: Training, generator: torch.Generator) -> Losses:
    """Return the losses of one batch.

    Args:
        blip: both heads.
        temperature: learned scalar of the contrastive loss.
        step: the batch, on the model's device.
        training: label smoothing, pairs of the matching loss, pairs and weight of the words.
        generator: draws the words that are hidden and the hard negatives, on the CPU.
    """
    pictures = read_pictures(blip.itm, step.pixels)
    seen, told = project_pictures(blip.itm, pictures), project_texts(blip.itm, *step.texts)
    with torch.autocast(step.pixels.device.type, enabled=False):  # a temperature of 0.02 magnifies rounding by 50
        seen, told = seen.float(), told.float()
        contrastive = contrastive_loss(seen, told, step.same, temperature)
        similarities = (seen @ told.T / temperature).detach().cpu()
    logits = caption_logits(blip.caption, *step.captions, pictures)
    captioning = caption_loss(logits, *step.captions, training.label_smoothing)
    texts = encoded(step.texts, blip.specials.encode)
    words = torch.zeros_like(captioning)
    if training.word_pairs and training.word_weight:
        few = slice(training.word_pairs)
        both = fused(blip.itm, texts.ids[few], partly_hidden(texts.mask[few], generator), pictures[few])
        captions = Batch(*(part[few] for part in step.captions))
        words = training.word_weight * words_loss(word_logits(blip, both), *captions, blip.specials)
    matching = torch.zeros_like(captioning)
    if step.hardness is not None:
        negatives = hard_negatives(step.hardness * similarities, step.same.cpu(), generator)
        if len(negatives.rows):  # else the whole batch says the same
            paired = (part.to(step.pixels.device) for part in matched_pairs(negatives, training.matching_pairs))
            of_picture, of_text, labels = paired
            both = fused(blip.itm, texts.ids[of_text], texts.mask[of_text], pictures[of_picture])
            matching = training.matching_weight * matching_loss(blip.itm.itm_head(both), labels)
    return Losses(contrastive, matching, captioning, words)


def word_logits(blip: Blip, both: Tensor) -> Tensor:
    """Return for fused vectors [B, D] the logit [B, V] of each word, by the weights that the captioner ends with.

    Scaled and shifted so that at the start every word has a chance of about 1 / V, whatever the width.
    """
    head = blip.caption.text_decoder.cls.predictions.decoder
    logits: Tensor = both @ head.weight.T * both.shape[1] ** 0.5 + head.bias - math.log(len(head.weight))
    return logits


def partly_hidden(mask: Tensor, generator: torch.Generator) -> Tensor:
    """Return masks of texts [B, T] with words hidden: of each text a share that is drawn, from none to most.

    So that the fused vector cannot leave to the text what the picture shows. The first token is never hidden.
    """
    share = torch.rand(len(mask), 1, generator=generator) * MOST_HIDDEN
    kept = torch.rand(mask.shape, generator=generator) >= share
    kept[:, 0] = True
    return mask * kept.to(mask.device)


def encoded(texts: Batch, first: int) -> Batch:
    """Return texts with [ENC] in the place of [CLS]."""
    ids = texts.ids.clone()
    ids[:, 0] = first
    return Batch(ids, texts.mask)


def rate(training: Training, number: int) -> float:
    """Return the learning rate of a step: a straight rise over the warm-up, then a cosine to zero."""
    rise = training.warmup * training.steps
    if number < rise:
        return training.learning_rate * (number + 1) / math.ceil(rise)
    past = (number - rise) / max(training.steps - rise, 1)
    return training.learning_rate * 0.5 * (1 + math.cos(math.pi * past))


def make_optimizer(blip: Blip, temperature: nn.Parameter, training: Training) -> torch.optim.AdamW:
    """Return AdamW over every shared weight once; matrices decay, vectors and the temperature do not."""
    every = [parameter for _, parameter in parameters(blip.itm, blip.caption)]
    groups = [
        {"params": [p for p in every if p.ndim > 1], "weight_decay": training.weight_decay},
        {"params": [*(p for p in every if p.ndim <= 1), temperature], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=training.learning_rate, betas=(0.9, 0.98), eps=1e-6)
