"""Interface of networks with frozen weights, and their shared parts: pictures, tokens, precision."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import torch
from PIL import Image
from torch import Tensor

from robustrec.datasets import pictures as decoding
from robustrec.encoders.cleaning import clean_words
from robustrec.encoders.options import EncoderOptions
from robustrec.encoders.preprocessing import Fit, PictureRule, picture_rule
from robustrec.encoders.weights import UsedWeights
from robustrec.errors import RobustrecError
from robustrec.files import digest_sources
from robustrec.hardware import pick_device


class TokenizedTexts(NamedTuple):
    """Texts with their token ids.

    Attributes:
        cleaned: the texts after cleaning.
        ids: token ids, truncated to the maximum length; empty for an empty text.
        cut: whether the text was truncated.
        unknown: percentage of unknown tokens.
    """

    cleaned: list[str]
    ids: list[list[int]]
    cut: list[bool]
    unknown: list[int]


class NetworkInput(NamedTuple):
    """Input of a network for one row.

    Attributes:
        text: cleaned text.
        ids: its token ids; () for none.
        pictures: result of `Network.prepare` for the picture; () for networks without pictures.
        seen: whether the row has a picture; otherwise it is a blank one.
        state: row of the result of `picture_states`, for networks that have it; None: compute it from `pictures`.
    """

    text: str
    ids: Sequence[int]
    pictures: tuple[Tensor, ...]
    seen: bool
    state: Tensor | None = None


class Network(Protocol):
    """A network with frozen weights, which are loaded at the first use.

    One that reads texts with pictures may have `picture_states`: prepared pictures -> what they give without a text,
    [n, ...]. It is then computed once for the rows of a call that have the same picture.

    Attributes:
        name: key in `robustrec.encoders.frozen.NETWORKS`.
        reads: "text", "picture" or both.
        facts: names of the counts per row that `vectors` returns.
        source: name of its weights.
        used: its weights, and those of a network that it uses, by name and digest.
        identity: all inputs of the vectors besides the content of a row, as JSON values.
        batch_size: rows per batch.
    """

    name: str
    reads: tuple[str, ...]
    facts: tuple[str, ...]
    source: str
    used: tuple[UsedWeights, ...]
    identity: Mapping[str, Any]
    batch_size: int

    def tokens(self, texts: Sequence[str]) -> TokenizedTexts:
        """Return texts with their token ids."""

    def prepare(self, image: Image.Image | None) -> tuple[Tensor, ...]:
        """Return a picture as uint8 tensors [S, S, 3], a blank one for None; must be thread-safe."""

    def vectors(self, parts: Sequence[NetworkInput]) -> tuple[dict[str, Tensor], dict[str, list[int]]]:
        """Return output -> float32 [n, D] on the device, and fact -> one number a row."""

    def notes(self, facts: Mapping[str, Tensor]) -> list[str]:
        """Return notes for the user on the counts, [n] each."""


class Tokens(NamedTuple):
    """A batch of texts: ids and mask, int64 [n, T] on the device."""

    ids: Tensor
    mask: Tensor


def padded(tokens: Sequence[Sequence[int]], pad: int, device: torch.device, *, length: int | None = None) -> Tokens:
    """Return token ids as a batch padded to a length, or to its longest row."""
    longest = max(map(len, tokens)) if length is None else length
    ids = torch.tensor([[*row, *([pad] * (longest - len(row)))] for row in tokens])
    mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in tokens])
    return Tokens(ids.to(device), mask.to(device))


def tokenise(tokenizer: Any, texts: Sequence[str], longest: int) -> TokenizedTexts:
    """Return texts as token ids with special tokens, truncated to `longest` ids; an empty text has no ids."""
    if not texts:
        return TokenizedTexts([], [], [], [])
    specials = tokenizer.num_special_tokens_to_add()
    rows = tokenizer(list(texts), truncation=True, max_length=longest + 1, verbose=False)["input_ids"]
    cut = [len(row) > longest for row in rows]
    # One more token than `longest`, to detect truncated texts.
    ids = [_cut(tokenizer, row, longest) if long else list(row) for row, long in zip(rows, cut, strict=True)]
    said = [row if len(row) > specials else [] for row in ids]
    unknown = [100 * row.count(tokenizer.unk_token_id) // (len(row) - specials) if row else 0 for row in said]
    return TokenizedTexts(list(texts), said, cut, unknown)


def _cut(tokenizer: Any, row: Sequence[int], longest: int) -> list[int]:
    """Return a row of token ids truncated by one, keeping special tokens, on the truncation side of the tokenizer."""
    if tokenizer.truncation_side == "left":
        return [row[0], *row[len(row) - longest + 1 :]]
    return [*row[: longest - 1], row[-1]]


def cleaned_tokens(
    texts: Sequence[str], max_words: int, tokenise: Callable[[Sequence[str]], TokenizedTexts]
) -> TokenizedTexts:
    """Return texts cleaned for BLIP, truncated to a number of words, and then as `tokenise` truncates them."""
    words = [clean_words(text) for text in texts]
    found = tokenise([" ".join(each[:max_words]) for each in words])
    return found._replace(cut=[cut or len(each) > max_words for cut, each in zip(found.cut, words, strict=True)])


def blip_pictures(folder: Path, fit: Fit, side: int | None = None) -> PictureRule:
    """Return how pictures are prepared for a BLIP or BLIP-2: resized to a square.

    Args:
        folder: the model folder.
        fit: how pictures are fitted into the square.
        side: side of the square in pixels; None: as in the folder.

    Raises:
        RobustrecError: there is no processor, or it does not resize pictures to a square.
    """
    rule = picture_rule(folder, fit=fit, default="Blip")
    if rule.size != rule.input or rule.input[0] != rule.input[1]:
        raise RobustrecError(
            "no usable picture processor: pictures are not resized to a square",
            where=str(folder / "preprocessor_config.json"),
            fix="add the preprocessor_config.json of the model, with size = {height: S, width: S}",
        )
    return rule if side is None else replace(rule, input=(side, side), size=(side, side))


class Placement(NamedTuple):
    """Device, precision and batch size of a network."""

    device: torch.device
    dtype: torch.dtype
    batch_size: int


def placement_of(options: EncoderOptions) -> Placement:
    """Return device, precision and batch size for options on this machine.

    Raises:
        RobustrecError: the device is not available, or does not support the precision.
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
    return Placement(device, dtype, options.batch_size or (8 if device.type == "cpu" else 128))


def base_identity(module: str, placement: Placement) -> dict[str, Any]:
    """Return the inputs of the vectors of every network: sources, precision, library versions."""
    here = Path(__file__)
    sources = [
        Path(module),
        here,
        *(here.with_name(f"{name}.py") for name in ("attention", "cleaning", "pipeline", "preprocessing")),
    ]
    libraries = ("torch", "transformers", "tokenizers", "pillow")
    return {
        "code": digest_sources(*sources, Path(str(decoding.__file__))),
        "precision": str(placement.dtype).removeprefix("torch."),
        "libraries": {name: ".".join(version(name).split(".")[:2]) for name in libraries},
    }
