"""A user-defined encoder as a network: one output for each modality that it makes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from platform import python_version
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from robustrec.datasets import pictures as decoding
from robustrec.encoders.cleaning import valid_unicode
from robustrec.encoders.networks import NetworkInput, TokenizedTexts
from robustrec.encoders.options import EncoderOptions
from robustrec.encoders.own import NO_DIGEST, own_encoder
from robustrec.encoders.weights import UsedWeights
from robustrec.files import digest_sources

_MOST_WORDS = 10_000


class OwnNetwork:
    """A user-defined encoder; see `robustrec.encoders.networks.Network`.

    Its inputs are the text as it is, and the picture as an RGB copy of its full size.

    Args:
        name: name of the encoder in `--features`.
        options: the batch size.

    Attributes:
        needs: output -> what a row must have for it, see `robustrec.encoders.own.NEEDS`.
        kept: whether its vectors may be stored, because a digest says what they depend on.
    """

    facts: tuple[str, ...] = ()

    def __init__(self, name: str, options: EncoderOptions) -> None:
        self.encoder = own_encoder(name)
        self.name = self.encoder.name
        self.reads = self.encoder.reads
        self.needs = self.encoder.needs
        self.source = name
        digest = self.encoder.digest()
        self.kept = bool(digest)
        self.used: tuple[UsedWeights, ...] = (UsedWeights(name, self.encoder.name, digest or NO_DIGEST),)
        self.batch_size = options.batch_size or self.encoder.batch_size
        libraries = {"python": python_version(), "numpy": np.__version__, "pillow": version("pillow")}
        self.identity: Mapping[str, Any] = {
            "code": self.encoder.code,
            "digest": digest or NO_DIGEST,
            "widths": dict(self.encoder.widths),
            "reads": list(self.reads),
            "needs": dict(self.needs),
            "precision": self.encoder.precision,
            "libraries": {each: ".".join(number.split(".")[:2]) for each, number in libraries.items()},
            "inputs": digest_sources(Path(__file__), Path(str(decoding.__file__))),
        }

    def tokens(self, texts: Sequence[str]) -> TokenizedTexts:
        """Return the texts; the number of words is in place of token ids, so that batches have similar lengths."""
        clean = [valid_unicode(text) for text in texts]
        ids = [[0] * min(len(text.split()), _MOST_WORDS) for text in clean]
        return TokenizedTexts(clean, ids, [False] * len(clean), [0] * len(clean))

    def prepare(self, image: Image.Image | None) -> tuple[Tensor, ...]:
        """Return a picture as uint8 [H, W, 3]; nothing for None."""
        if image is None:
            return ()
        picture = image.convert("RGB")
        flat = torch.frombuffer(bytearray(picture.tobytes()), dtype=torch.uint8)
        return (flat.view(picture.height, picture.width, 3),)

    def vectors(self, parts: Sequence[NetworkInput]) -> tuple[dict[str, Tensor], dict[str, list[int]]]:
        """Return modality -> float32 [n, D]; zeros for rows without what the vector needs.

        Raises:
            RobustrecError: the encoder fails, or a vector is not finite.
        """
        texts = [part.text if part.ids else "" for part in parts]
        pictures = [_picture(part) for part in parts]
        has = {
            modality: [self.encoder.has_content(modality, *row) for row in zip(texts, pictures, strict=True)]
            for modality in self.encoder.widths
        }
        rows = [row for row in range(len(parts)) if any(each[row] for each in has.values())]
        tables = {modality: torch.zeros(len(parts), width) for modality, width in self.encoder.widths.items()}
        found = self.encoder.vectors([texts[row] for row in rows], [pictures[row] for row in rows]) if rows else {}
        for modality, table in found.items():
            for place, row in enumerate(rows):
                if not has[modality][row]:
                    continue
                if not np.isfinite(table[place]).all():
                    raise self.encoder.wrong(
                        f"encode returned a {modality} vector with NaN or infinity for the text {texts[row][:60]!r}"
                    )
                tables[modality][row] = torch.from_numpy(table[place])
        return tables, {}

    def notes(self, facts: Mapping[str, Tensor]) -> list[str]:
        """Return a note if the encoder has no digest."""
        del facts
        if self.kept:
            return []
        return [f"{self.name} has no digest: its vectors are not stored, and every command encodes the items again"]


def _picture(part: NetworkInput) -> Image.Image | None:
    return Image.fromarray(part.pictures[0].numpy()) if part.seen and part.pictures else None
