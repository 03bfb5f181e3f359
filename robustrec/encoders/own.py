"""User-defined encoders, named as "package.module:MyEncoder" or as an entry point; importable without torch.

The class has `name`, `digest`, `widths` and `encode(texts, pictures)`; see docs/own-encoders.md.
"""

from __future__ import annotations

import atexit
import inspect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from robustrec.encoders import ENCODERS
from robustrec.errors import RobustrecError, described
from robustrec.modalities import MODALITIES, modality_fault
from robustrec.models.own import code_digest, source_line
from robustrec.plugins import Plugins

PLUGINS = Plugins("robustrec.encoders", "encoder", "Class", ENCODERS)
READS = ("text", "picture")
NEEDS = (*READS, "any", "both")
"""What a row must have for a vector: a text, a picture, any of them, or both."""
PRECISIONS = ("full", "half")
BATCH_SIZE = 16
NO_DIGEST = "no digest"
"""Digest, in reports, of an encoder that gives none."""

Vectors = dict[str, NDArray[np.float32]]


@dataclass(frozen=True)
class OwnEncoder:
    """A user-defined encoder, made and checked; nothing is encoded yet.

    Attributes:
        spec: its name in `--features`.
        place: "module:Class" of its sources.
        made: the object.
        name: name in tables.
        widths: modality -> number of columns of its vectors.
        reads: "text", "picture" or both.
        needs: modality -> what a row must have for this vector, of NEEDS; without it, the row gets the mean vector.
        batch_size: largest number of rows of a call.
        precision: "full" (float32), or "half".
        remote: whether it sends the content to another machine.
        code: digest of its Python sources.
    """

    spec: str
    place: str
    made: Any
    name: str
    widths: Mapping[str, int]
    reads: tuple[str, ...]
    needs: Mapping[str, str]
    batch_size: int
    precision: str
    remote: bool
    code: str

    def digest(self) -> str:
        """Return its own digest of weights and settings; "" if it has none.

        Raises:
            RobustrecError: it fails, or is not a text.
        """
        with self.blamed("digest"):
            found = getattr(self.made, "digest", None)
        if found is not None and not isinstance(found, str):
            raise self.wrong(f"digest must be a text, but got {found!r}")
        return (found or "").strip()

    def vectors(self, texts: list[str], pictures: list[Image.Image | None]) -> Vectors:
        """Return modality -> float32 [n, width], copied and checked.

        Args:
            texts: [n] texts, "" for none; the encoder gets this list.
            pictures: [n] RGB pictures, None for none; the encoder gets this list.

        Raises:
            RobustrecError: the encoder fails, or returns something else.
        """
        with self.blamed(f"encode of {len(texts)} rows"):
            found = self.made.encode(texts, pictures)
        if not isinstance(found, Mapping) or set(found) != set(self.widths):
            got = f"{sorted(map(str, found))}" if isinstance(found, Mapping) else f"a {type(found).__name__}"
            raise self.wrong(f"encode must return a dict with the keys {sorted(self.widths)}, but got {got}")
        return {modality: self._table(modality, found[modality], len(texts)) for modality in self.widths}

    def rows(
        self, texts: Sequence[str], pictures: Sequence[Image.Image | None], *, at_once: int | None = None
    ) -> Vectors:
        """Return modality -> float32 [n, width], finite, and NaN in rows without what the vector needs.

        Rows that lack what every vector needs are not encoded.

        Args:
            texts: [n] texts, "" for none.
            pictures: [n] RGB pictures, None for none.
            at_once: largest number of rows of a call; default: its batch size.

        Raises:
            RobustrecError: the encoder fails, or returns something else, or a vector is not finite.
        """
        texts = [text if text.strip() else "" for text in texts]
        content = [(bool(text), picture is not None) for text, picture in zip(texts, pictures, strict=True)]
        has = {
            modality: np.array([has_needed(need, text=text, picture=picture) for text, picture in content], bool)
            for modality, need in self.needs.items()
        }
        chosen: list[int] = np.flatnonzero(np.any(list(has.values()), axis=0)).tolist()
        tables = {modality: np.full((len(texts), width), np.nan, np.float32) for modality, width in self.widths.items()}
        size = at_once or self.batch_size
        for batch in (chosen[start : start + size] for start in range(0, len(chosen), size)):
            found = self.vectors([texts[row] for row in batch], [pictures[row] for row in batch])
            for modality, table in tables.items():
                table[batch] = found[modality]
        for modality, table in tables.items():
            table[~has[modality]] = np.nan
            broken = np.flatnonzero(~np.isfinite(table).all(axis=1) & has[modality])
            if broken.size:
                shown = texts[broken[0]][:60]
                raise self.wrong(f"encode returned a {modality} vector with NaN or infinity for the text {shown!r}")
        return tables

    def wrong(self, what: str) -> RobustrecError:
        """Return the error of an encoder that does not meet the requirements."""
        return _wrong(self.spec, f"the encoder {self.spec!r}: {what}")

    @contextmanager
    def blamed(self, what: str) -> Iterator[None]:
        """Turn what the encoder raises inside the block into an error with its own line.

        Raises:
            RobustrecError: it raised something, or wanted to end the process, whatever the exit code.
        """
        try:
            yield
        except (RobustrecError, KeyboardInterrupt):
            raise
        except BaseException as error:  # whatever ends the process must not look like a breached gate
            raise RobustrecError(
                f"{described(error)}{source_line(self.place, error)}",
                where=f"--features {self.spec}, {what}",
                fix=_advice(self.spec),
            ) from error

    def _table(self, modality: str, values: Any, n: int) -> NDArray[np.float32]:
        with self.blamed(f"the {modality} vectors that encode returned"):
            table = np.asarray(values)
        wanted = (n, self.widths[modality])
        if table.shape != wanted:
            raise self.wrong(f"encode must return {modality} vectors of shape {wanted}, but got {table.shape}")
        if table.dtype.kind != "f":
            raise self.wrong(f"encode must return {modality} vectors of floats, but got {table.dtype}")
        with np.errstate(over="ignore"):
            return np.array(table, dtype=np.float32)


def has_needed(need: str, *, text: bool, picture: bool) -> bool:
    """Return whether a row with or without text and picture has what a vector needs, one of NEEDS."""
    return {"text": text, "picture": picture, "any": text or picture, "both": text and picture}[need]


def is_own(name: str) -> bool:
    """Return whether a name is that of a user-defined encoder; nothing is imported."""
    return ":" in name or name in PLUGINS.points()


@cache
def own_encoder(spec: str) -> OwnEncoder:
    """Import, make and check a user-defined encoder, once; the working folder is searched too, last of all.

    Raises:
        RobustrecError: it cannot be imported or made, or lacks something.
    """
    where = f"--features {spec}"
    loaded = PLUGINS.load(spec, where=where)
    if loaded is None:
        raise RobustrecError(
            f"{spec!r} is not MODULE:NAME", where=where, fix="for example: --features my_shop.encoders:MyEncoder"
        )
    found, place = loaded
    module = place.partition(":")[0]
    try:
        made = found() if inspect.isclass(found) else found
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise RobustrecError(
            f"the encoder {spec!r} cannot be made without arguments: {described(error)}{source_line(place, error)}",
            where=where,
            fix=_advice(spec),
        ) from error
    home = found.__module__ if inspect.isclass(found) else type(made).__module__
    encoder = _checked(spec, place, made, code_digest({module, home}))
    if callable(close := getattr(made, "close", None)):
        atexit.register(_closed, close)
    return encoder


def _closed(close: Any) -> None:
    with suppress(Exception):  # the results are written
        close()


def _checked(spec: str, place: str, made: Any, code: str) -> OwnEncoder:
    """Return the encoder with the values of its attributes.

    Raises:
        RobustrecError: an attribute is missing or has a wrong value.
    """

    def demand(holds: bool, otherwise: str) -> None:
        if not holds:
            raise _wrong(spec, f"the encoder {spec!r}: {otherwise}")

    demand(callable(getattr(made, "encode", None)), f"{type(made).__name__} has no method encode(texts, pictures)")
    name = getattr(made, "name", None)
    demand(isinstance(name, str) and bool(name.strip()), f"name must be a text, but got {name!r}")
    widths = getattr(made, "widths", None)
    demand(
        isinstance(widths, Mapping) and bool(widths) and all(_whole(width) for width in widths.values()),
        f"widths must be a dict of modality -> number of columns, but got {widths!r}",
    )
    widths = {each: int(width) for each, width in widths.items()}  # type: ignore[union-attr]
    for each in widths:
        fault = modality_fault(str(each), (*MODALITIES, *map(str, widths)))
        demand(not fault, f"widths has {each!r}, which cannot be the name of a modality: it {fault}")
    reads = getattr(made, "reads", READS)
    listed = isinstance(reads, tuple | list) and bool(reads) and all(each in READS for each in reads)
    demand(listed, f"reads must be a tuple of {' and '.join(map(repr, READS))}, but got {reads!r}")
    reads = tuple(each for each in READS if each in reads)
    batch_size = getattr(made, "batch_size", BATCH_SIZE)
    demand(_whole(batch_size), f"batch_size must be a whole number of at least 1, but got {batch_size!r}")
    precision, remote = getattr(made, "precision", "full"), getattr(made, "remote", False)
    demand(precision in PRECISIONS, f"precision must be {' or '.join(map(repr, PRECISIONS))}, but got {precision!r}")
    demand(isinstance(remote, bool), f"remote must be True or False, but got {remote!r}")
    needs = getattr(made, "needs", {})
    demand(
        isinstance(needs, Mapping)
        and all(each in widths and need in NEEDS for each, need in needs.items())
        and all(need in ("any", *reads) or (need == "both" and len(reads) == 2) for need in needs.values()),
        f"needs must be a dict of modality -> one of {', '.join(NEEDS)}, and only what it reads, but got {needs!r}",
    )
    needs = {each: needs.get(each, _default_need(each, reads)) for each in widths}
    return OwnEncoder(spec, place, made, name, widths, reads, needs, batch_size, precision, remote, code)  # type: ignore[arg-type]


def _whole(value: object) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool) and int(value) >= 1


def _default_need(modality: str, reads: Sequence[str]) -> str:
    if len(reads) == 1:
        return reads[0]
    return {"image": "picture", "text": "text"}.get(modality, "any")


def _advice(spec: str) -> str:
    return f"see docs/own-encoders.md, and check it with: robustrec doctor --features {spec}"


def _wrong(spec: str, what: str) -> RobustrecError:
    return RobustrecError(what, where=f"--features {spec}", fix=_advice(spec))
