"""Training from existing BLIP weights: the folder of an encoder or of transformers, or a Hugging Face Hub name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from robustrec.encoders.options import EncoderOptions
from robustrec.encoders.weights import Weights, digest_weights, load_model, load_tokenizer, locate, quiet
from robustrec.errors import RobustrecError
from robustrec.pretraining.architecture import CAPTION, ITM, BlipModels, share
from robustrec.pretraining.tokens import special_ids
from robustrec.seeds import torch_generator


def start_weights(place: str, *, offline: bool) -> Weights:
    """Return the location of the retrieval model of `--from`; a model of the hub is downloaded to its cache.

    Raises:
        RobustrecError: it is neither a folder with a model nor a name in the hub or its cache.
    """
    return locate("blip", EncoderOptions(weights=(place,), offline=offline), first="blip", part=ITM)


def start_digest(weights: Weights, cache: Path) -> dict[str, str]:
    """Return name and digest of the initial weights, for the card."""
    captioner = captioner_folder(weights)
    digests = [digest_weights(folder, cache) for folder in (weights.folder, captioner) if folder is not None]
    return {"weights": weights.name, "digest": " ".join(digests)}


def captioner_folder(weights: Weights) -> Path | None:
    """Return the folder of the captioner in the folder of an encoder; None if there is only a retrieval model."""
    beside = weights.folder.parent / CAPTION
    return beside if weights.folder.name == ITM and (beside / "config.json").is_file() else None


def from_weights(weights: Weights, seed: int, side: int | None) -> BlipModels:
    """Return both models from a retrieval model, and from the captioner in the same folder if there is one.

    Shared weights are those of the retrieval model. Without a captioner, the self-attention of the decoder starts as
    that of the text encoder, and its output layer is random.

    Args:
        weights: result of `start_weights`.
        seed: seed of random weights.
        side: height and width of the pictures; position embeddings are interpolated. None: that of the weights.

    Raises:
        RobustrecError: the weights are damaged or not a BLIP, or the side is not a multiple of the patch size.
    """
    from transformers import BlipForConditionalGeneration, BlipForImageTextRetrieval

    itm = load_model(BlipForImageTextRetrieval, weights)
    beside = captioner_folder(weights)
    if side is not None and side != itm.config.vision_config.image_size:
        resize(itm, side)
    if beside is not None:
        caption = load_model(BlipForConditionalGeneration, Weights(beside, weights.name))
        if caption.config.text_config.to_dict() != itm.config.text_config.to_dict():
            raise RobustrecError(
                "the captioner and the retrieval model have different shapes",
                where=f"--from {weights.name}: {ITM}/ and {CAPTION}/",
                fix="give the folder of the retrieval model only",
            )
    else:
        caption = _new_captioner(itm, seed)
    caption.config.vision_config.image_size = itm.config.vision_config.image_size
    share(itm, caption)
    text = itm.config.text_config
    tokenizer = load_tokenizer(weights, text.vocab_size)
    specials = special_ids(tokenizer, text.vocab_size)
    for config in (itm.config.text_config, caption.config.text_config):
        config.bos_token_id, config.eos_token_id, config.sep_token_id = specials.decode, specials.sep, specials.sep
    return BlipModels(itm, caption, tokenizer, specials, int(itm.config.vision_config.image_size))


def _new_captioner(itm: Any, seed: int) -> Any:
    from transformers import BlipForConditionalGeneration

    with quiet():
        caption = BlipForConditionalGeneration(itm.config)
    decoder: Any = caption.text_decoder
    with torch.no_grad():
        for own, encoder in zip(decoder.bert.encoder.layer, itm.text_encoder.encoder.layer, strict=True):
            own.attention.load_state_dict(encoder.attention.state_dict())
        for name, parameter in decoder.cls.predictions.transform.named_parameters():
            if parameter.ndim > 1:
                parameter.normal_(0.0, 0.02, generator=torch_generator(seed, "pretrain captioner", name))
            else:
                parameter.fill_(1.0 if name == "LayerNorm.weight" else 0.0)
        decoder.cls.predictions.bias.zero_()
    return caption


def resize(itm: Any, side: int) -> None:
    """Change the image size of a retrieval model; position embeddings are interpolated.

    Raises:
        RobustrecError: the side is not a multiple of the patch size.
    """
    vision = itm.config.vision_config
    if side % vision.patch_size:
        raise RobustrecError(
            f"image size {side} is not a multiple of the patch size {vision.patch_size}",
            where="--image-size",
            fix=f"--image-size {side // vision.patch_size * vision.patch_size or vision.patch_size}",
        )
    embeddings = itm.vision_model.embeddings
    embeddings.position_embedding = nn.Parameter(
        _interpolated(embeddings.position_embedding.data, side // vision.patch_size)
    )
    embeddings.num_patches = (side // vision.patch_size) ** 2
    embeddings.num_positions = embeddings.num_patches + 1
    embeddings.image_size = vision.image_size = side


def _interpolated(places: Tensor, cells: int) -> Tensor:
    """Return position embeddings [1, 1 + cells², D] interpolated from another grid; the first is that of [CLS]."""
    first, rest = places[:, :1], places[:, 1:]
    before = round(rest.shape[1] ** 0.5)
    grid = rest.reshape(1, before, before, -1).permute(0, 3, 1, 2)
    scaled = nn.functional.interpolate(grid, size=(cells, cells), mode="bicubic", align_corners=False)
    return torch.cat([first, scaled.permute(0, 2, 3, 1).reshape(1, cells * cells, -1)], dim=1)
