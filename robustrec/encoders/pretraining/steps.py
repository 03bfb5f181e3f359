"""One step of training: the three losses of a batch, and the rate and gradient that follow from them."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from robustrec.encoders.pretraining.architecture import (
    Blip,
    caption_logits,
    fused,
    parameters,
    project_pictures,
    project_texts,
    read_pictures,
)
from robustrec.encoders.pretraining.batches import Step
from robustrec.encoders.pretraining.losses import (
    caption_loss,
    contrastive_loss,
    hard_negatives,
    matched_pairs,
    matching_loss,
)
from robustrec.encoders.pretraining.settings import Training
from robustrec.encoders.pretraining.tokens import Batch

TEMPERATURES = (0.01, 0.5)
"""Between these the learned temperature is kept."""


class Losses(NamedTuple):
    """The three losses, scalars."""

    contrastive: Tensor
    matching: Tensor
    captioning: Tensor


def losses(blip: Blip, temperature: Tensor, step: Step, training: Training, generator: torch.Generator) -> Losses:
    """Return the losses of one batch.

    Args:
        blip: both heads.
        temperature: learned scalar of the contrastive loss.
        step: the batch, on the model's device.
        training: label smoothing.
        generator: draws the hard negatives, on the CPU.
    """
    pictures = read_pictures(blip.itm, step.pixels)
    seen, told = project_pictures(blip.itm, pictures), project_texts(blip.itm, *step.texts)
    with torch.autocast(step.pixels.device.type, enabled=False):  # a temperature of 0.02 magnifies rounding by 50
        seen, told = seen.float(), told.float()
        contrastive = contrastive_loss(seen, told, step.same, temperature)
        similarities = (seen @ told.T / temperature).detach().cpu()
    logits = caption_logits(blip.caption, *step.captions, pictures)
    captioning = caption_loss(logits, *step.captions, training.label_smoothing)
    if step.hardness is None:
        return Losses(contrastive, torch.zeros_like(captioning), captioning)
    negatives = hard_negatives(step.hardness * similarities, step.same.cpu(), generator)
    if len(negatives.rows) == 0:  # the whole batch says the same
        return Losses(contrastive, torch.zeros_like(captioning), captioning)
    paired = (part.to(step.pixels.device) for part in matched_pairs(negatives, training.matching_pairs))
    of_picture, of_text, labels = paired
    texts = encoded(step.texts, blip.specials.encode)
    both = fused(blip.itm, texts.ids[of_text], texts.mask[of_text], pictures[of_picture])
    return Losses(contrastive, matching_loss(blip.itm.itm_head(both), labels), captioning)


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
