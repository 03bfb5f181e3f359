"""A user-defined encoder as a network: one output for each modality that it makes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from platform import python_version
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from robustrec.datasets import pictures as decoding
from robustrec.encoders.cleaning import valid_unicode
from robustrec.encoders.networks import NetworkInput, TokenizedTexts
from robustrec.encoders.options import EncoderOptions
from robustrec.encoders.own import NO_DIGEST, Vectors, own_encoder
from robustrec.encoders.purity import TOLERANCE, WAYS, difference, fault_of
from robustrec.encoders.rows import RowContent
from robustrec.encoders.weights import UsedWeights
from robustrec.errors import RobustrecError
from robustrec.files import digest_sources

CHECKED = 8
"""Largest number of rows of a catalog that are encoded in several ways before the others."""
_TRIED = 64  # rows of which these are chosen
_STORED_TOLERANCE = {"full": 1e-3, "half": 0.05}  # as TOLERANCE, for other hardware and numbers of threads
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
        pictures = [_picture(part) for part in parts]
        tables = self.encoder.rows([part.text for part in parts], pictures, at_once=self.batch_size)
        return {name: torch.from_numpy(np.nan_to_num(table)) for name, table in tables.items()}, {}

    def check(self, rows: Sequence[RowContent]) -> tuple[list[RowContent], Vectors]:
        """Check that vectors depend neither on batch, order nor earlier calls.

        Args:
            rows: up to CHECKED of them with content are encoded, of different length.

        Returns:
            The rows that were encoded, and modality -> their vectors, NaN for a row without what the vector needs.

        Raises:
            RobustrecError: they do, or the encoder fails.
        """
        chosen = list(islice(_readable(rows, self.reads), CHECKED))
        if not chosen:
            return [], {}

        def encode(places: Sequence[int]) -> Vectors:
            return self.encoder.rows(
                [chosen[place].text for place in places], [chosen[place].copy() for place in places]
            )

        before, tolerance = encode(range(len(chosen))), TOLERANCE[self.encoder.precision]
        for name in WAYS:
            fault, _ = fault_of(name, encode, len(chosen), before, tolerance)
            if fault:
                raise self.encoder.wrong(f"{fault}; otherwise every edit would seem to have an effect")
        return [each.row for each in chosen], before

    def check_stored(self, stored: Vectors, now: Vectors) -> None:
        """Check that stored vectors are what the encoder returns now.

        Args:
            stored: modality -> float32 [n, D].
            now: the same rows, NaN for a row without what the vector needs.

        Raises:
            RobustrecError: they differ.
        """
        found = difference(now, stored)
        if found.share > _STORED_TOLERANCE[self.encoder.precision]:
            raise self.encoder.wrong(
                f"it returns other {found.modality} vectors than those stored under the same digest (they differ by "
                f"{found.share:.2g} of the largest value): change digest whenever weights, settings or libraries change"
            )

    def notes(self, facts: Mapping[str, Tensor]) -> list[str]:
        """Return notes if the encoder has no digest, or works in half precision."""
        del facts
        found = []
        if not self.kept:
            found.append(f"{self.name} has no digest: its vectors are not stored, and every command encodes again")
        if self.encoder.precision == "half":
            limit = TOLERANCE["half"]
            found.append(f"{self.name} has half precision: a vector may differ by up to {limit:.0%} between batches")
        return found


class _Readable(NamedTuple):
    row: RowContent
    text: str
    picture: Image.Image | None

    def copy(self) -> Image.Image | None:
        """Return a copy of the picture."""
        return None if self.picture is None else self.picture.copy()


def _readable(rows: Sequence[RowContent], reads: Sequence[str]) -> Iterator[_Readable]:
    """Yield rows with content, spread over the lengths of the texts."""
    ordered = sorted(rows, key=lambda row: len(row.text))
    spread = [np.linspace(0, len(ordered) - 1, count, dtype=int).tolist() for count in (CHECKED, _TRIED)]
    for place in dict.fromkeys([*spread[0], *spread[1]]) if ordered else ():
        row, picture = ordered[place], None
        if "picture" in reads:
            with suppress(RobustrecError):
                picture = row.picture()
        text = valid_unicode(row.text) if "text" in reads else ""
        if text.strip() or picture is not None:
            yield _Readable(row, text, None if picture is None else picture.convert("RGB"))


def _picture(part: NetworkInput) -> Image.Image | None:
    return Image.fromarray(part.pictures[0].numpy()) if part.seen and part.pictures else None
