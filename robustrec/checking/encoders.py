"""Checks of a user-defined encoder on a few synthetic items, for `robustrec doctor --features`."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path

import numpy as np

from robustrec.checking.toy import Check, demand, not_applicable, run_checks
from robustrec.encoders.own import OwnEncoder, Vectors, own_encoder
from robustrec.encoders.own_samples import LONG_TEXT, Sample, encode_samples, other_picture, samples
from robustrec.encoders.purity import TOLERANCE, WAYS, difference, fault_of
from robustrec.errors import RobustrecError
from robustrec.untrusted import UnreadableError, read_json_object

REQUIRED = ("vectors",)
"""The later checks are skipped if one of these fails."""
_OTHER_HASH_SEED = "20331"
_CATALOG = 10_000  # items of the catalog whose time is estimated


@dataclass
class EncoderToy:
    """A user-defined encoder and the items on which it is checked.

    Attributes:
        encoder: the encoder.
        rows: the items, of very different length and size; one without text, one without picture, two equal.
    """

    encoder: OwnEncoder
    rows: tuple[Sample, ...] = field(default_factory=samples)

    def encode(self, rows: Sequence[Sample]) -> Vectors:
        """Return the vectors of rows as an audit would, NaN where a row lacks what the vector needs.

        An error of the encoder ends the check, with its own line.
        """
        try:
            return encode_samples(self.encoder, rows)
        except RobustrecError as error:
            demand(False, f"{error.what} ({error.where})")
            raise

    def places(self, places: Sequence[int]) -> Vectors:
        """Return the vectors of the items at some places."""
        return self.encode([self.rows[place] for place in places])

    @cached_property
    def first(self) -> Vectors:
        """The vectors of all items in one call."""
        return self.encode(self.rows)

    @property
    def tolerance(self) -> float:
        """The largest difference that is allowed, as a share of the largest value."""
        return TOLERANCE[self.encoder.precision]


def check_encoder(name: str) -> tuple[Check, ...]:
    """Check a user-defined encoder against what audits require of it.

    Args:
        name: "package.module:MyEncoder", or the name of an entry point.

    Returns:
        One row per check, in execution order.

    Raises:
        RobustrecError: the encoder cannot be imported or made, or an attribute has a wrong value.
    """
    toy = EncoderToy(own_encoder(name))
    return run_checks(name, checks_of(toy), required=REQUIRED)


def checks_of(toy: EncoderToy) -> dict[str, Callable[[], str]]:
    """Return the checks of an encoder by name, in execution order; see `run_checks`."""
    checks: dict[str, Callable[[EncoderToy], str]] = {
        "vectors": vectors,
        "inputs unchanged": inputs_unchanged,
        **{name: partial(other_way, name=name) for name in WAYS},
        "equal rows": equal_rows,
        "different rows": different_rows,
        "reads what it declares": reads_content,
        "digest": digest,
        "another process": another_process,
        "speed": speed,
    }
    return {name: partial(check, toy) for name, check in checks.items()}


def vectors(toy: EncoderToy) -> str:
    """Check keys, shapes, types and values of the vectors, also without a text or a picture."""
    found = toy.first
    has = {modality: int((~np.isnan(table)).all(axis=1).sum()) for modality, table in found.items()}
    widths = ", ".join(f"{modality} {table.shape[1]}" for modality, table in found.items())
    counted = " and ".join(f"{count} {modality} vectors" for modality, count in has.items())
    return f"{widths}; {counted} of {len(toy.rows)} rows, one without a text and one without a picture"


def inputs_unchanged(toy: EncoderToy) -> str:
    """Check that a call changes neither the lists nor the pictures."""
    reads = toy.encoder.reads
    rows = [row for row in toy.rows if row.text and row.picture is not None][: toy.encoder.batch_size]
    texts = [row.text if "text" in reads else "" for row in rows]
    pictures = [row.copy() if "picture" in reads else None for row in rows]
    given, same = list(texts), list(pictures)
    try:
        toy.encoder.vectors(texts, pictures)
    except RobustrecError as error:
        demand(False, f"{error.what} ({error.where})")
    demand(texts == given, "encode changes the list of texts that it gets; work on a copy")
    kept = len(pictures) == len(same) and all(a is b for a, b in zip(pictures, same, strict=True))
    demand(kept, "encode changes the list of pictures that it gets; work on a copy")
    drawn = any(picture and not row.shows(picture) for row, picture in zip(rows, pictures, strict=True))
    demand(not drawn, "encode changes a picture in place; work on picture.copy()")
    return "encode changes neither the texts nor the pictures that it gets"


def other_way(toy: EncoderToy, name: str) -> str:
    """Check that another way to encode the same rows gives the same vectors."""
    fault, found = fault_of(name, toy.places, len(toy.rows), toy.first, toy.tolerance)
    demand(not fault, fault)
    if toy.encoder.precision == "half" and found.share > TOLERANCE["full"]:
        return (
            f"warning: vectors differ by {found.share:.2g} of the largest value, which half precision may; effects of "
            "small edits below this are rounding errors"
        )
    return f"the same vectors{f' up to rounding ({found.share:.1g} of the largest value)' if found.share else ''}"


def equal_rows(toy: EncoderToy) -> str:
    """Check that equal rows get equal vectors."""
    first, second = next((a, b) for a in range(8) for b in range(a + 1, 8) if toy.rows[a].equals(toy.rows[b]))
    found = difference(*({name: table[[row]] for name, table in toy.first.items()} for row in (first, second)))
    demand(
        found.share <= toy.tolerance,
        f"two rows with the same text and picture get different {found.modality} vectors (they differ by "
        f"{found.share:.2g} of the largest value); a vector must depend on its row only",
    )
    return "two rows with the same text and picture get the same vectors"


def different_rows(toy: EncoderToy) -> str:
    """Check that rows with different content do not all get the same vector."""
    for modality, table in toy.first.items():
        has = table[~np.isnan(table).any(axis=1)]
        demand(bool(np.ptp(has, axis=0).any()), f"all rows get the same {modality} vector")
    return "rows with different content get different vectors"


def reads_content(toy: EncoderToy) -> str:
    """Check that each vector follows the content that it needs; others may move it, as in fused encoders."""
    rows = [row for row in toy.rows if row.text and row.picture is not None]
    changed = {
        "text": [row._replace(text=LONG_TEXT if row.number % 2 else f"blue garden hose {row.number}") for row in rows],
        "picture": [row._replace(picture=other_picture(row)) for row in rows],
    }
    before = toy.encode(rows)
    moved: dict[str, list[str]] = {modality: [] for modality in before}
    for part in toy.encoder.reads:
        after = toy.encode(changed[part])
        for modality, table in before.items():
            if difference({modality: table}, {modality: after[modality]}).share > toy.tolerance:
                moved[modality].append(part)
    for modality, parts in moved.items():
        need = toy.encoder.needs[modality]
        for part in ("text", "picture") if need == "both" else (need,) if need != "any" else ():
            demand(
                part in parts,
                f"another {part} does not change the {modality} vector, although it needs a {part}: check which input "
                "the vector is computed from, and needs",
            )
        demand(bool(parts), f"neither another text nor another picture changes the {modality} vector")
    return "; ".join(f"{modality} vectors follow the {' and the '.join(parts)}" for modality, parts in moved.items())


def digest(toy: EncoderToy) -> str:
    """Check that the digest is the same when it is read again."""
    found = [_digest(toy.encoder), _digest(toy.encoder)]
    if not found[0]:
        raise not_applicable("no digest: vectors are not stored, and every command encodes all items again")
    demand(found[0] == found[1], f"digest changes between two reads: {found[0]!r} and {found[1]!r}")
    return f"{found[0]!r}, the same when it is read again"


def another_process(toy: EncoderToy) -> str:
    """Check that another process, with another hash seed, returns the same digest and vectors."""
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder) / "vectors.json"
        done = subprocess.run(
            [sys.executable, "-m", "robustrec.encoders.own_process", toy.encoder.spec, str(answer)],
            env={**os.environ, "PYTHONHASHSEED": _OTHER_HASH_SEED},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            check=False,
        )
        try:
            found = read_json_object(answer)
        except UnreadableError:
            said = done.stderr.decode("utf-8", "replace").strip().splitlines() or [f"exit code {done.returncode}"]
            demand(False, f"it fails in a second process: {said[-1][:300]}")
            raise
    if "error" in found:
        demand(False, f"it fails in a second process: {found['error']}")
    own, other = _digest(toy.encoder), found["digest"]
    demand(own == other, f"digest is {own!r} here, but {other!r} in a second process; compute it from the weights")
    theirs = {
        modality: np.array([[np.nan if value is None else value for value in row] for row in table], np.float32)
        for modality, table in found["vectors"].items()
    }
    shift = difference(toy.first, theirs)
    demand(
        shift.share <= toy.tolerance,
        f"a second process returns other {shift.modality} vectors (they differ by {shift.share:.2g} of the largest "
        "value): seed or load all weights, and use neither hash() nor the order of a set",
    )
    return "a second process with another hash seed returns the same vectors"


def speed(toy: EncoderToy) -> str:
    """Measure how long the rows take."""
    start = time.perf_counter()
    toy.encode(toy.rows)
    seconds = max(time.perf_counter() - start, 1e-6)
    total = seconds * _CATALOG / len(toy.rows)
    long = f"{total:.0f} s" if total < 90 else f"{total / 60:.0f} min" if total < 5400 else f"{total / 3600:.0f} h"
    rate = len(toy.rows) / seconds
    shown = f"{rate:,.0f}" if rate >= 10 else f"{rate:.2g}"
    return f"{shown} rows a second: about {long} for a catalog of {_CATALOG:,} items"


def _digest(encoder: OwnEncoder) -> str:
    try:
        return encoder.digest()
    except RobustrecError as error:
        demand(False, error.what)
        raise
