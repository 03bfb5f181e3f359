"""A training step: the losses of a batch, the learning rate and the optimizer.

A word prediction loss is added to the three losses of BLIP: a linear prediction of the words of the caption from
the fused vector (position 0 of the image-grounded text encoder), with a part of the text masked. With the matching loss
only, the fused vector encodes little more than whether the pair matches, but recommenders use it as a linear feature.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from robustrec.pretraining.architecture import (
    BlipModels,
    caption_logits,
    encode_pictures,
    fused_vectors,
    parameters,
    project_pictures,
    project_texts,
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
from robustrec.pretraining.settings import TrainingSettings
from robustrec.pretraining.tokens import TokenBatch
from robustrec.training import optimizers

TEMPERATURES = (0.01, 0.5)
"""Range of the learned temperature."""
MAX_HIDDEN = 0.8
"""Maximum share of masked words of a text."""


class Losses(NamedTuple):
    """The three losses of BLIP and the word prediction loss, scalars; zero for a loss that a step does not have."""

    contrastive: Tensor
    matching: Tensor
    captioning: Tensor
    words: Tensor


def losses(
    blip: BlipModels, temperature: Tensor, step: Step, training: TrainingSettings, generator: torch.Generator
) -> Losses:
    """Return the losses of one batch.

    Args:
        blip: the models.
        temperature: learned scalar of the contrastive loss.
        step: the batch, on the device of the models.
        training: label smoothing, pairs of the matching loss, pairs and weight of the word prediction loss.
        generator: generator of masked words and hard negatives, on the CPU.
    """
    pictures = encode_pictures(blip.itm, step.pixels)
    image, text = project_pictures(blip.itm, pictures), project_texts(blip.itm, *step.texts)
    # In float32: a temperature of 0.02 increases rounding errors 50 times.
    with torch.autocast(step.pixels.device.type, enabled=False):
        image, text = image.float(), text.float()
        contrastive = contrastive_loss(image, text, step.same, temperature)
        similarities = (image @ text.T / temperature).detach().cpu()
    logits = caption_logits(blip.caption, *step.captions, pictures)
    captioning = caption_loss(logits, *step.captions, training.label_smoothing)
    texts = with_first_token(step.texts, blip.specials.encode)
    words = torch.zeros_like(captioning)
    if training.word_pairs and training.word_weight:
        few = slice(training.word_pairs)
        both = fused_vectors(blip.itm, texts.ids[few], hide_words(texts.mask[few], generator), pictures[few])
        captions = TokenBatch(*(part[few] for part in step.captions))
        words = training.word_weight * words_loss(word_logits(blip, both), *captions, blip.specials)
    matching = torch.zeros_like(captioning)
    if step.hardness is not None:
        negatives = hard_negatives(step.hardness * similarities, step.same.cpu(), generator)
        if len(negatives.rows):  # otherwise all pairs of the batch match
            paired = (part.to(step.pixels.device) for part in matched_pairs(negatives, training.matching_pairs))
            of_picture, of_text, labels = paired
            both = fused_vectors(blip.itm, texts.ids[of_text], texts.mask[of_text], pictures[of_picture])
            matching = training.matching_weight * matching_loss(blip.itm.itm_head(both), labels)
    return Losses(contrastive, matching, captioning, words)


def word_logits(blip: BlipModels, both: Tensor) -> Tensor:
    """Return the word logits [B, V] of fused vectors [B, D], with the weights of the output layer of the captioner.

    They are scaled and shifted so that initially each word has a probability of about 1 / V.
    """
    head = blip.caption.text_decoder.cls.predictions.decoder
    logits: Tensor = both @ head.weight.T * both.shape[1] ** 0.5 + head.bias - math.log(len(head.weight))
    return logits


def hide_words(mask: Tensor, generator: torch.Generator) -> Tensor:
    """Return attention masks [B, T] with random words removed; the share of each text is uniform up to MAX_HIDDEN.

    The fused vector must then encode the content of the picture, too. The first token is kept.
    """
    share = torch.rand(len(mask), 1, generator=generator) * MAX_HIDDEN
    kept = torch.rand(mask.shape, generator=generator) >= share
    kept[:, 0] = True
    return mask * kept.to(mask.device)


def with_first_token(texts: TokenBatch, first: int) -> TokenBatch:
    """Return texts with another first token, [ENC] instead of [CLS]."""
    ids = texts.ids.clone()
    ids[:, 0] = first
    return TokenBatch(ids, texts.mask)


def rate(training: TrainingSettings, number: int) -> float:
    """Return the learning rate of a step: linear warm-up, then a cosine to zero."""
    rise = training.warmup * training.steps
    if number < rise:
        return training.learning_rate * (number + 1) / math.ceil(rise)
    past = (number - rise) / max(training.steps - rise, 1)
    return training.learning_rate * 0.5 * (1 + math.cos(math.pi * past))


def make_optimizer(blip: BlipModels, temperature: nn.Parameter, training: TrainingSettings) -> torch.optim.AdamW:
    """Return AdamW over all weights, shared ones once; weight decay applies to matrices only."""
    every = [parameter for _, parameter in parameters(blip.itm, blip.caption)]
    groups = [
        {"params": [p for p in every if p.ndim > 1], "weight_decay": training.weight_decay},
        {"params": [*(p for p in every if p.ndim <= 1), temperature], "weight_decay": 0.0},
    ]
    return optimizers.AdamW(groups, lr=training.learning_rate, betas=(0.9, 0.98), eps=1e-6)
