"""What a network with frozen weights offers an encoder, and what all of them share: pictures, tokens, precision."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import torch
from PIL import Image
from torch import Tensor

from robustrec.datasets import pictures as decoding
from robustrec.encoders.cleaning import clean_words
from robustrec.encoders.model_folders import check_model_folder
from robustrec.encoders.options import EncoderOptions
from robustrec.encoders.weights import UsedWeights
from robustrec.errors import RobustrecError
from robustrec.files import digest_sources
from robustrec.hardware import pick_device


class Texts(NamedTuple):
    """Texts as a network reads them.

    Attributes:
        cleaned: the texts after cleaning.
        ids: token ids, cut at the longest the network reads; empty where a text says nothing.
        cut: whether anything was left out at the end.
        unknown: percentage of the token ids that stand for "unknown".
    """

    cleaned: list[str]
    ids: list[list[int]]
    cut: list[bool]
    unknown: list[int]


class Part(NamedTuple):
    """One row as a network takes it.

    Attributes:
        text: cleaned text.
        ids: its token ids; () for none.
        pictures: the row's picture as `Network.prepare` left it; () for networks without pictures.
        seen: whether the row has a picture of its own (else it is a blank one).
    """

    text: str
    ids: Sequence[int]
    pictures: tuple[Tensor, ...]
    seen: bool


class Network(Protocol):
    """A network with frozen weights; made without loading anything, and loaded when it is first used.

    Attributes:
        name: key in `robustrec.encoders.frozen.NETWORKS`.
        reads: "text", "picture" or both.
        facts: names of what `vectors` counts for each row.
        source: what its weights are called.
        used: its weights, and those of a network that it uses, by name and digest.
        identity: everything its vectors depend on besides a row's content, as JSON values.
        batch_size: rows at once.
    """

    name: str
    reads: tuple[str, ...]
    facts: tuple[str, ...]
    source: str
    used: tuple[UsedWeights, ...]
    identity: Mapping[str, Any]
    batch_size: int

    def tokens(self, texts: Sequence[str]) -> Texts:
        """Return texts as the network reads them."""

    def prepare(self, image: Image.Image | None) -> tuple[Tensor, ...]:
        """Return a picture as uint8 tensors [S, S, 3]; None gives a blank one. Called from several threads."""

    def vectors(self, parts: Sequence[Part]) -> tuple[dict[str, Tensor], dict[str, list[int]]]:
        """Return output -> float32 [n, D] on the device, and fact -> one number a row."""

    def notes(self, facts: Mapping[str, Tensor]) -> list[str]:
        """Return what the user should know of the facts it counted, [n] each."""


class PictureShape(NamedTuple):
    """How a network wants its pictures: a square, and a mean and a scale for each channel.

    Attributes:
        side: side in pixels.
        mean: what is subtracted from values in 0..1.
        std: what they are divided by.
        scale: what pixels are multiplied by first, usually 1/255.
        resample: PIL's number of the resampling filter.
    """

    side: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    scale: float
    resample: int

    def prepare(self, image: Image.Image | None) -> Tensor:
        """Return a picture as uint8 [S, S, 3], squeezed to the square; None gives one of the mean colour."""
        square = (self.side, self.side)
        if image is None:
            colour = tuple(round(value / self.scale) for value in self.mean)
            image = Image.new("RGB", square, (colour[0], colour[1], colour[2]))
        picture = image.convert("RGB").resize(square, Image.Resampling(self.resample))
        # A copy: the buffer of a PIL picture must not be written to, which torch warns of.
        return torch.frombuffer(bytearray(picture.tobytes()), dtype=torch.uint8).view(self.side, self.side, 3)

    def normalised(self, pictures: Sequence[Tensor], device: torch.device, dtype: torch.dtype) -> Tensor:
        """Return prepared pictures as one batch [n, 3, S, S] on the device, scaled and normalised there."""
        stacked = torch.stack(list(pictures))
        if device.type == "cuda":
            stacked = stacked.pin_memory().to(device, non_blocking=True)
        values = stacked.permute(0, 3, 1, 2).to(torch.float32) * self.scale
        mean = torch.tensor(self.mean, device=device).view(1, 3, 1, 1)
        std = torch.tensor(self.std, device=device).view(1, 3, 1, 1)
        return ((values - mean) / std).to(dtype)


class Tokens(NamedTuple):
    """A batch of texts: ids and mask, int64 [n, T] on the device."""

    ids: Tensor
    mask: Tensor


def padded(tokens: Sequence[Sequence[int]], pad: int, device: torch.device) -> Tokens:
    """Return token ids as a batch padded to its longest row."""
    longest = max(map(len, tokens))
    ids = torch.tensor([[*row, *([pad] * (longest - len(row)))] for row in tokens])
    mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in tokens])
    return Tokens(ids.to(device), mask.to(device))


def tokenise(tokenizer: Any, texts: Sequence[str], longest: int) -> Texts:
    """Return texts as token ids with the special tokens around them, cut at `longest` ids.

    A text without a single token of its own gives no ids.
    """
    if not texts:
        return Texts([], [], [], [])
    specials = tokenizer.num_special_tokens_to_add()
    rows = tokenizer(list(texts), truncation=True, max_length=longest + 1, verbose=False)["input_ids"]
    cut = [len(row) > longest for row in rows]
    # Cut by hand, one token later than asked for: so it shows which texts were longer.
    ids = [_cut(tokenizer, row, longest) if long else list(row) for row, long in zip(rows, cut, strict=True)]
    said = [row if len(row) > specials else [] for row in ids]
    unknown = [100 * row.count(tokenizer.unk_token_id) // (len(row) - specials) if row else 0 for row in said]
    return Texts(list(texts), said, cut, unknown)


def _cut(tokenizer: Any, row: Sequence[int], longest: int) -> list[int]:
    """Return a row of token ids that is one too long without its last token before the closing special one.

    A tokenizer that truncates on the left loses the first token after the opening special one.
    """
    if tokenizer.truncation_side == "left":
        return [row[0], *row[len(row) - longest + 1 :]]
    return [*row[: longest - 1], row[-1]]


def tokenise_cleaned(tokenizer: Any, texts: Sequence[str], max_words: int, longest: int) -> Texts:
    """Return texts cleaned as BLIP wants them, cut to a number of words and to a number of token ids."""
    words = [clean_words(text) for text in texts]
    found = tokenise(tokenizer, [" ".join(each[:max_words]) for each in words], longest)
    return found._replace(cut=[cut or len(each) > max_words for cut, each in zip(found.cut, words, strict=True)])


def picture_shape(folder: Path, side: int | None = None) -> PictureShape:
    """Return how the picture processor of a model folder shapes pictures.

    Raises:
        RobustrecError: there is no processor, or one that does not squeeze pictures to a square.
    """
    from transformers.models.blip.image_processing_pil_blip import BlipImageProcessorPil

    check_model_folder(folder)
    try:
        processor = BlipImageProcessorPil.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise _no_processor(folder, str(error).splitlines()[0]) from error
    size = dict(processor.size)
    if not processor.do_resize or not size.get("height") or size.get("height") != size.get("width"):
        raise _no_processor(folder, f"pictures are not resized to a square: size {size}")
    return PictureShape(
        side or int(size["height"]),
        tuple(map(float, processor.image_mean)) if processor.do_normalize else (0.0, 0.0, 0.0),
        tuple(map(float, processor.image_std)) if processor.do_normalize else (1.0, 1.0, 1.0),
        float(processor.rescale_factor) if processor.do_rescale else 1.0,
        int(processor.resample),
    )


class Place(NamedTuple):
    """Where and how precisely a network runs."""

    device: torch.device
    dtype: torch.dtype
    batch_size: int


def place_of(options: EncoderOptions) -> Place:
    """Return device, precision and batch size that the options come to on this machine.

    Raises:
        RobustrecError: the device is not there, or has no such precision.
    """
    device = pick_device(options.device)
    half = torch.bfloat16 if device.type == "cuda" and torch.cuda.is_bf16_supported() else torch.float16
    name = options.precision
    if name != "auto":
        dtype: torch.dtype = getattr(torch, name)
    else:
        dtype = half if device.type == "cuda" else torch.float32
    if device.type == "cpu" and dtype == torch.float16:
        raise RobustrecError(
            "float16 on a CPU is not supported", where="--set encoder.precision=float16", fix="use float32 or bfloat16"
        )
    return Place(device, dtype, options.batch_size or (8 if device.type == "cpu" else 128))


def base_identity(module: str, place: Place) -> dict[str, Any]:
    """Return what every network's vectors depend on: sources, precision, libraries."""
    here = Path(__file__)
    sources = [Path(module), here, *(here.with_name(f"{name}.py") for name in ("attention", "cleaning", "pipeline"))]
    libraries = ("torch", "transformers", "tokenizers", "pillow")
    return {
        "code": digest_sources(*sources, Path(str(decoding.__file__))),
        "precision": str(place.dtype).removeprefix("torch."),
        "libraries": {name: ".".join(version(name).split(".")[:2]) for name in libraries},
    }


def _no_processor(folder: Path, why: str) -> RobustrecError:
    return RobustrecError(
        f"no usable picture processor: {why}",
        where=str(folder / "preprocessor_config.json"),
        fix="put the model's preprocessor_config.json there, with size = {height: S, width: S}",
    )
