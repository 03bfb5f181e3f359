"""Saving of both models in the format of transformers, in half precision."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save

from robustrec.encoders.weights import quiet
from robustrec.files import write_atomically
from robustrec.pretraining.architecture import CAPTION, ITM, BlipModels


def save_models(blip: BlipModels, folder: Path) -> None:
    """Write both models in the layout of `save_pretrained`, weights in half precision, tokenizer and picture processor.

    transformers loads them as float32, as config.json says. Shared weights are in both folders.

    Args:
        blip: the models, on any device.
        folder: an existing folder.
    """
    from transformers import BlipImageProcessorPil

    processor = BlipImageProcessorPil(size={"height": blip.side, "width": blip.side})
    for name, model in ((ITM, blip.itm), (CAPTION, blip.caption)):
        place = folder / name
        with quiet():
            model.config.architectures = [type(model).__name__]
            model.config.dtype = torch.float32
            model.config.save_pretrained(place)
            if getattr(model, "generation_config", None) is not None:
                model.generation_config.save_pretrained(place)
            _save_tokenizer(blip.tokenizer, place)
            processor.save_pretrained(place)
        tied = {*getattr(model, "all_tied_weights_keys", {})}
        halves = {
            key: value.detach().cpu().half().contiguous()
            for key, value in model.state_dict().items()
            if key not in tied
        }
        write_atomically(place / "model.safetensors", save(halves, {"format": "pt"}))


def _save_tokenizer(tokenizer: Any, place: Path) -> None:
    try:
        tokenizer.save_pretrained(place)
    except Exception as error:  # tokenizers raises a bare Exception that names the number in words only
        number = re.search(r"os error (\d+)", str(error))
        if number is None:
            raise
        raise OSError(int(number[1]), os.strerror(int(number[1]))) from error


def round_to_half(blip: BlipModels) -> None:
    """Round all weights to half precision in place, so that the evaluated weights are the saved ones."""
    with torch.no_grad():
        for model in (blip.itm, blip.caption):
            for parameter in model.parameters():
                parameter.copy_(parameter.half().float())
