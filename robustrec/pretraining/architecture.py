"""BLIP with a retrieval and a captioning model (transformers), which share most weights.

As in BLIP (Li et al., ICML 2022, arXiv 2201.12086, section 3.1), text encoder and text decoder share all layers but
self-attention: word and position embeddings, cross-attention and feed-forward layers. Both use one image encoder.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from robustrec.encoders.weights import quiet
from robustrec.errors import RobustrecError
from robustrec.pretraining.settings import Shape
from robustrec.pretraining.tokens import Specials, make_tokenizer, special_ids
from robustrec.seeds import torch_generator

ITM, CAPTION = "itm", "caption"
"""Subfolders of the two models in the folder of an encoder."""


class BlipModels(NamedTuple):
    """The two models, which share weights, and their tokenizer.

    Attributes:
        itm: BlipForImageTextRetrieval.
        caption: BlipForConditionalGeneration.
        tokenizer: a BertTokenizer.
        specials: ids of its special tokens.
        side: height and width of the pictures in pixels.
    """

    itm: Any
    caption: Any
    tokenizer: Any
    specials: Specials
    side: int


def from_scratch(shape: Shape, vocabulary: dict[str, int], seed: int) -> BlipModels:
    """Return a BLIP with seeded random weights.

    Args:
        shape: model sizes.
        vocabulary: token -> id, see `vocabulary`.
        seed: seed of the weights.

    Raises:
        RobustrecError: a size is not a multiple of the other one.
    """
    _check(shape)
    tokenizer = make_tokenizer(vocabulary, shape.positions)
    specials = special_ids(tokenizer, len(vocabulary))
    with quiet():
        from transformers import BlipConfig, BlipForConditionalGeneration, BlipForImageTextRetrieval

        sizes = {
            "hidden_size": shape.width,
            "intermediate_size": 4 * shape.width,
            "num_attention_heads": shape.heads,
            "projection_dim": shape.projection,
            "initializer_range": 0.02,
        }
        text = {
            "vocab_size": len(vocabulary),
            "encoder_hidden_size": shape.width,
            "num_hidden_layers": shape.text_layers,
            "max_position_embeddings": shape.positions,
            "pad_token_id": specials.pad,
            "bos_token_id": specials.decode,
            "eos_token_id": specials.sep,
            "sep_token_id": specials.sep,
        }
        vision = {
            "num_hidden_layers": shape.vision_layers,
            "image_size": shape.image_size,
            "patch_size": shape.patch_size,
        }
        config = BlipConfig(
            text_config={**sizes, **text},
            vision_config={**sizes, **vision},
            projection_dim=shape.projection,
            image_text_hidden_size=shape.projection,
        )
        itm, caption = BlipForImageTextRetrieval(config), BlipForConditionalGeneration(config)
    share(itm, caption)
    initialise(itm, caption, seed)
    return BlipModels(itm, caption, tokenizer, specials, shape.image_size)


def share(itm: Any, caption: Any) -> None:
    """Share the image encoder and all text layers but self-attention of the retrieval model with the captioner."""
    caption.vision_model = itm.vision_model
    decoder = caption.text_decoder.bert
    decoder.embeddings = itm.text_encoder.embeddings
    for own, shared in zip(decoder.encoder.layer, itm.text_encoder.encoder.layer, strict=True):
        own.crossattention = shared.crossattention
        own.intermediate, own.output = shared.intermediate, shared.output
    head = caption.text_decoder.cls.predictions
    head.decoder.weight = decoder.embeddings.word_embeddings.weight
    head.decoder.bias = head.bias


def initialise(itm: Any, caption: Any, seed: int) -> None:
    """Initialize all weights from random streams named by seed and parameter; biases 0, layer norms 1.

    Matrices are normal with variance 1 / inputs, smaller in layers with a residual connection; embeddings have standard
    deviation 0.02; position embeddings of patches are sinusoidal. With 0.02 for all weights, as in BERT, image vectors
    of a small model are nearly equal, and the contrastive loss stays at log B for hundreds of steps.
    """
    with torch.no_grad():
        for name, parameter in parameters(itm, caption):
            if parameter.ndim > 1:
                deviation = _initial_std(name, parameter)
                parameter.normal_(0.0, deviation, generator=torch_generator(seed, "pretrain weights", name))
            else:
                parameter.fill_(1.0 if "norm" in name.lower() and name.endswith("weight") else 0.0)
        places = itm.vision_model.embeddings.position_embedding
        places[0, 1:] = _sinusoidal_positions(places.shape[1] - 1, places.shape[2])
        itm.text_encoder.embeddings.word_embeddings.weight[itm.config.text_config.pad_token_id] = 0.0


def _initial_std(name: str, parameter: Tensor) -> float:
    if "embedding" in name and "patch" not in name:
        return 0.02
    adds = name.endswith(("projection.weight", "fc2.weight", "output.dense.weight"))
    return float(parameter[0].numel() ** -0.5) * (0.4 if adds else 1.0)


def _sinusoidal_positions(n: int, width: int) -> Tensor:
    """Return position embeddings [n, width] of a square grid of patches: sines and cosines of row and column."""
    side = math.isqrt(n)
    row, column = torch.meshgrid(torch.arange(side).float(), torch.arange(side).float(), indexing="ij")
    quarter = -(-width // 4)
    pace = 1.5 * 30.0 ** (-torch.arange(quarter) / quarter)
    parts = [wave(place.flatten()[:, None] * pace) for place in (row, column) for wave in (torch.sin, torch.cos)]
    return 0.5 * torch.cat(parts, dim=1)[:, :width]


def parameters(itm: Any, caption: Any) -> Iterator[tuple[str, nn.Parameter]]:
    """Yield every parameter once; its name starts with the first model that has it."""
    seen: set[int] = set()
    for head, model in ((ITM, itm), (CAPTION, caption)):
        for name, parameter in model.named_parameters():
            if id(parameter) not in seen:
                seen.add(id(parameter))
                yield f"{head}.{name}", parameter


def encode_pictures(model: Any, pixels: Tensor) -> Tensor:
    """Return the image tokens [B, N, D] of pixels [B, 3, S, S]."""
    tokens: Tensor = model.vision_model(pixel_values=pixels).last_hidden_state
    return tokens


def project_pictures(itm: Any, tokens: Tensor) -> Tensor:
    """Return the projected, L2-normalized image vectors [B, P] of image tokens."""
    return nn.functional.normalize(itm.vision_proj(tokens[:, 0]), dim=-1)


def project_texts(itm: Any, ids: Tensor, mask: Tensor) -> Tensor:
    """Return the projected, L2-normalized text vectors [B, P]; texts begin with [CLS]."""
    states = itm.text_encoder(input_ids=ids, attention_mask=mask).last_hidden_state
    return nn.functional.normalize(itm.text_proj(states[:, 0]), dim=-1)


def fused_vectors(itm: Any, ids: Tensor, mask: Tensor, pictures: Tensor) -> Tensor:
    """Return the fused vectors [B, D] of texts and image tokens (position 0); texts begin with [ENC]."""
    states: Tensor = itm.text_encoder(
        input_ids=ids, attention_mask=mask, encoder_hidden_states=pictures
    ).last_hidden_state
    return states[:, 0]


def caption_logits(caption: Any, ids: Tensor, mask: Tensor, pictures: Tensor) -> Tensor:
    """Return the decoder logits [B, T, V] of texts that begin with [DEC], given image tokens."""
    logits: Tensor = caption.text_decoder(input_ids=ids, attention_mask=mask, encoder_hidden_states=pictures).logits
    return logits


def _check(shape: Shape) -> None:
    for whole, part in (("width", "heads"), ("image_size", "patch_size")):
        if getattr(shape, whole) % getattr(shape, part):
            raise RobustrecError(
                f"{whole} {getattr(shape, whole)} is not a multiple of {part} {getattr(shape, part)}",
                where=f"--set model.{whole} and model.{part}",
                fix=f"--set model.{part}=N with N a divisor of {getattr(shape, whole)}",
            )
