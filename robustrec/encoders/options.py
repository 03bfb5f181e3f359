"""Options of encoders."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from robustrec.config import Settings
from robustrec.errors import RobustrecError
from robustrec.invalid import overridden
from robustrec.subject import Record


class EncoderOptions(Record):
    """Options of an encoder: weights, texts, pictures, device.

    All except `device`, `offline`, `batch_size` and `workers` can change the vectors and are part of their identity.
    """

    weights: tuple[str, ...] = Field(
        (),
        description="folder or Hugging Face Hub name of the weights; NETWORK=FOLDER for an encoder with two networks",
    )
    encoder: str | None = Field(
        None, min_length=1, description="imported features: the encoder that made the files, for edited items"
    )
    denoise: Literal["none", "capfilt"] = Field(
        "none", description="capfilt: add sampled captions to the text, and drop text that the matching head rejects"
    )
    threshold: float = Field(0.5, gt=0, lt=1, description="capfilt: minimum matching probability of a text")
    captions: int = Field(1, ge=1, le=8, description="capfilt: number of captions sampled per picture")
    caption_seed: int = Field(0, ge=0, description="capfilt: seed of the caption sampling")
    enc_token: bool = Field(
        True, description="blip: start texts with [ENC], as BLIP's feature extractor does, instead of [CLS]"
    )
    max_words: int = Field(50, ge=1, description="blip, blip2: maximum number of words of a text")
    side: int | None = Field(
        None,
        ge=16,
        le=1024,
        description="blip: height and width of the pictures in pixels; default: that of the weights",
    )
    fit: Literal["file", "squeeze", "pad"] = Field(
        "file",
        description="pictures: file: resized and cropped as the weights say; squeeze: the whole picture without its "
        "aspect ratio; pad: the whole picture with borders",
    )
    pooling: Literal["cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken"] | None = Field(
        None, description="hf-text: pooling of the token vectors; default: that in the folder of the weights"
    )
    prefix: str | None = Field(
        None, max_length=1000, description="hf-text: start of each text; default: the prompt of the weights"
    )
    width: int | None = Field(
        None, ge=1, description="hf-text, hf-dual: first values of a vector that are kept (Matryoshka); default: all"
    )
    fusion: Literal["none", "sum", "concat"] = Field(
        "none", description="hf-dual: one vector of text and picture for both modalities, their sum or concatenation"
    )
    normalise: bool | None = Field(
        None, description="hf-text, hf-image, hf-dual: divide vectors by their norm; default: as the weights are used"
    )
    precision: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto", description="auto: float32 on a CPU, bfloat16 (else float16) on a GPU"
    )
    device: str = Field("auto", description="auto, cpu, cuda or cuda:N")
    offline: bool = Field(False, description="never use the network for weights")
    batch_size: int | None = Field(None, ge=1, description="batch size; default: 8 on a CPU, 128 on a GPU")
    workers: int | None = Field(
        None, ge=1, description="threads that decode pictures; default: one per core, at most 16"
    )


def options_of(settings: Settings) -> EncoderOptions:
    """Return the encoder options in settings: keys of `Settings`, and all others in `set.encoder`.

    Raises:
        RobustrecError: an unknown key under `set.encoder`, or a value of the wrong kind or out of range.
    """
    own = {
        "weights": settings.weights,
        "encoder": settings.encoder,
        "denoise": settings.denoise,
        "device": settings.device,
        "offline": settings.offline,
    }
    return encoder_options({**own, **settings.set.get("encoder", {})})


def encoder_options(values: Mapping[str, Any]) -> EncoderOptions:
    """Return options from plain values.

    Raises:
        RobustrecError: an unknown key, or a value of the wrong kind or out of range.
    """
    given = dict(values)
    if isinstance(given.get("weights"), str):
        given["weights"] = (given["weights"],)
    return overridden(EncoderOptions, given, section="encoder")


def check_no_weights(name: str, options: EncoderOptions) -> None:
    """Check that options have no weights and no denoising, for an encoder that supports neither.

    Raises:
        RobustrecError: an option is given.
    """
    for option, given in (("--weights", " ".join(options.weights)), ("--denoise", options.denoise)):
        if given not in ("", "none"):
            raise RobustrecError(
                f"encoder {name!r} does not support {option} {given}",
                where=f"--features {name}",
                fix="use --features blip --weights FOLDER, or omit it",
            )
