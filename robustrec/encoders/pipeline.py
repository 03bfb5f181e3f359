"""Batched encoding of rows by a network: texts are sorted by length, pictures are decoded in threads.

The vector of a row depends on the other rows of its batch by at most 1e-5 in float32, and by rounding in half
precision. Rows of a call that have the same stored picture, such as one item with several edits of its text, can share
its decoding, and what a network makes of it without a text. Nothing is kept from one call to the next, so that the last
bits of a vector do not depend on what was encoded before.
"""

from __future__ import annotations

import os
import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import torch
from torch import Tensor

from robustrec.encoders.networks import Network, NetworkInput
from robustrec.encoders.rows import ContentChangedError, RowContent, StoredPicture, has_picture_file
from robustrec.errors import RobustrecError
from robustrec.progress import Progress

PRESENT, ABSENT, UNREADABLE, CUT = 0, 1, 2, 3
"""Status of the text (PRESENT, ABSENT, CUT) or picture (PRESENT, ABSENT, UNREADABLE) of a row."""
_PREFETCHED_BATCHES = 3  # batches of pictures that are decoded in advance; limits memory
_MOST_WORKERS = 16
_TEXTS_AT_ONCE = 4096
_MOST_HELD = 2**28
"""Memory limit of what is held of pictures that come again, in bytes; others are computed again."""


class Chunk(NamedTuple):
    """Encoded rows.

    Attributes:
        rows: [n] positions in the list of rows.
        outputs: output name -> float32 [n, D] on the CPU.
        facts: name -> int16 [n]: "text" and "picture" with the values above, "unknown" (percentage of unknown tokens of
            the text), and those of the network.
        messages: position -> reason why its picture is unreadable.
    """

    rows: list[int]
    outputs: dict[str, Tensor]
    facts: dict[str, Tensor]
    messages: dict[int, str]


class _Text(NamedTuple):
    text: str
    ids: Sequence[int]
    fact: int
    unknown: int


class _Picture(NamedTuple):
    tensors: tuple[Tensor, ...]
    fact: int
    message: str
    key: str | None = None  # digest of its file


class _PendingBatch(NamedTuple):
    batch: list[int]
    outputs: dict[str, Tensor]
    facts: dict[str, list[int]]
    messages: dict[int, str]


def encode_chunks(
    network: Network,
    rows: Sequence[RowContent],
    progress: Progress | None,
    *,
    workers: int | None,
    share_pictures: bool = False,
) -> Iterator[Chunk]:
    """Yield the vectors of all rows in batches of similar text length.

    Args:
        network: the network.
        rows: the rows.
        progress: reports the number of rows, items per second and the remaining time.
        workers: number of threads that decode pictures.
        share_pictures: whether rows share what is made of a stored picture that they have in common. Not for batches
            that may be encoded in several calls, whose last bits would then depend on the calls.

    Raises:
        RobustrecError: the device runs out of memory, or a vector is not finite.
    """
    texts = _texts(network, rows)
    batches = _batches(network, texts)
    report = _ProgressReporter(network, len(rows), progress)
    again = _Repeated(rows if share_pictures else ())
    pool = ThreadPoolExecutor(workers or min(_MOST_WORKERS, os.cpu_count() or 1), "pictures")
    try:
        waiting: deque[list[Future[_Picture]]] = deque()
        running: _PendingBatch | None = None
        coming = iter(batches)
        for batch in batches:
            while len(waiting) < _PREFETCHED_BATCHES and (later := next(coming, None)) is not None:
                waiting.append([again.decoded(pool, network, rows[place]) for place in later])
            pictures = [future.result() for future in waiting.popleft()]
            launched = _launch(network, batch, [texts[place] for place in batch], pictures, again)
            # One batch later, so that a GPU computes this batch while the vectors of the previous one are copied.
            if running is not None:
                yield _finished(network, running)
                report.add(len(running.batch))
            running = launched
        if running is not None:
            yield _finished(network, running)
            report.add(len(running.batch))
    finally:
        pool.shutdown(cancel_futures=True)


def batches_of(network: Network, rows: Sequence[RowContent]) -> list[list[int]]:
    """Return the batches in which `encode_chunks` takes rows, as positions: the longest texts first."""
    return _batches(network, _texts(network, rows))


def _batches(network: Network, texts: Sequence[_Text]) -> list[list[int]]:
    order = sorted(range(len(texts)), key=lambda place: (-len(texts[place].ids), place))
    return [order[start : start + network.batch_size] for start in range(0, len(order), network.batch_size)]


def _texts(network: Network, rows: Sequence[RowContent]) -> list[_Text]:
    if "text" not in network.reads:
        return [_Text("", (), PRESENT, 0)] * len(rows)
    found: list[_Text] = []
    for start in range(0, len(rows), _TEXTS_AT_ONCE):
        texts = network.tokens([row.text for row in rows[start : start + _TEXTS_AT_ONCE]])
        for text, ids, cut, unknown in zip(*texts, strict=True):
            found.append(_Text(text, ids, (CUT if cut else PRESENT) if ids else ABSENT, unknown))
    return found


def _picture(network: Network, row: RowContent) -> _Picture:
    if "picture" not in network.reads:
        return _Picture((), PRESENT, "")
    try:
        image = row.picture()
    except ContentChangedError:
        raise
    except RobustrecError as error:
        return _Picture(network.prepare(None), UNREADABLE, error.what, _picture_key(row))
    return _Picture(network.prepare(image), PRESENT if image is not None else ABSENT, "", _picture_key(row))


class _Repeated:
    """Stored pictures that several rows of a call have: decoded once, and their states computed once.

    What is held of a picture is dropped with the last row that has it.
    """

    def __init__(self, rows: Sequence[RowContent]) -> None:
        counts = Counter(key for row in rows if (key := _picture_key(row)) is not None)
        self._to_decode = {key: count for key, count in counts.items() if count > 1}
        self._to_compute = dict(self._to_decode)
        self._futures: dict[str, Future[_Picture]] = {}
        self._states: dict[str, Tensor] = {}
        self._bytes = 0

    def decoded(self, pool: ThreadPoolExecutor, network: Network, row: RowContent) -> Future[_Picture]:
        """Return the picture of a row, decoded by the pool."""
        key = _picture_key(row)
        if key not in self._to_decode:
            return pool.submit(_picture, network, row)
        future = self._futures.get(key) or pool.submit(_picture, network, row)
        self._to_decode[key] -= 1
        if self._to_decode[key]:
            self._futures[key] = future
        else:
            self._futures.pop(key, None)
        return future

    def states(self, network: Network, pictures: Sequence[_Picture]) -> Sequence[Tensor | None]:
        """Return the state of each picture of a batch; None each if no picture comes again or the network has none."""
        compute = getattr(network, "picture_states", None)
        if compute is None or not any(picture.key in self._to_compute for picture in pictures):
            return [None] * len(pictures)
        names = [picture.key or str(place) for place, picture in enumerate(pictures)]
        fresh = {name: place for place, name in enumerate(names) if name not in self._states}
        found = {name: self._states[name] for name in names if name not in fresh}
        if fresh:
            computed: Tensor = compute([pictures[place].tensors for place in fresh.values()])
            found |= dict(zip(fresh, computed, strict=True))
        for name in names:
            if name in self._to_compute:
                self._hold(name, found[name])
        return [found[name] for name in names]

    def _hold(self, key: str, state: Tensor) -> None:
        """Count a row with a picture; hold the state until no row with it is left."""
        self._to_compute[key] -= 1
        size = state.numel() * state.element_size()
        if not self._to_compute[key]:
            self._bytes -= size if self._states.pop(key, None) is not None else 0
        elif key not in self._states and self._bytes + size <= _MOST_HELD:
            self._states[key] = state.clone()  # a part of a batch would keep the whole of it
            self._bytes += size


def _picture_key(row: RowContent) -> str | None:
    """Return what a picture is known by: the digest of its file; None for edited pictures, or without a file."""
    return row.picture.digest if isinstance(row.picture, StoredPicture) and has_picture_file(row) else None


def _launch(
    network: Network,
    batch: list[int],
    texts: list[_Text],
    pictures: list[_Picture],
    again: _Repeated,
) -> _PendingBatch:
    try:
        parts = [
            NetworkInput(text.text, text.ids, picture.tensors, picture.fact == PRESENT, state)
            for text, picture, state in zip(texts, pictures, again.states(network, pictures), strict=True)
        ]
        outputs, counted = network.vectors(parts)
    except torch.cuda.OutOfMemoryError as error:
        raise RobustrecError(
            f"out of memory for a batch of {len(batch)} rows",
            where=f"encoding with {network.name}",
            fix=f"--set encoder.batch_size={max(1, len(batch) // 2)}",
        ) from error
    facts = {
        "text": [text.fact for text in texts],
        "unknown": [text.unknown for text in texts],
        "picture": [picture.fact for picture in pictures],
        **counted,
    }
    messages = {place: picture.message for place, picture in zip(batch, pictures, strict=True) if picture.message}
    return _PendingBatch(batch, outputs, facts, messages)


def _finished(network: Network, running: _PendingBatch) -> Chunk:
    outputs = {name: table.to("cpu") for name, table in running.outputs.items()}
    for name, table in outputs.items():
        if not torch.isfinite(table).all():
            raise RobustrecError(
                f"{network.name} returned a vector with NaN or infinity (output {name})",
                where=f"weights {network.source}, precision {network.identity.get('precision')}",
                fix="--set encoder.precision=float32; if that does not help, the weights are damaged",
            )
    facts = {name: torch.tensor(values, dtype=torch.int16) for name, values in running.facts.items()}
    return Chunk(running.batch, outputs, facts, running.messages)


class _ProgressReporter:
    """Reports the number of rows, rows per second and the remaining time."""

    def __init__(self, network: Network, total: int, progress: Progress | None) -> None:
        self.stage, self.total, self.progress = f"encoding with {network.name}", total, progress
        self.done, self.start = 0, time.monotonic()
        if progress is not None and total:
            progress(self.stage, 0, total)

    def add(self, rows: int) -> None:
        self.done += rows
        if self.progress is not None:
            rate = self.done / max(time.monotonic() - self.start, 1e-9)
            left = (self.total - self.done) / rate
            self.progress(self.stage, self.done, self.total, f"{rate:.3g} items/s, {_duration(left)} left")


def _duration(seconds: float) -> str:
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    return f"{whole // 60} min {whole % 60} s" if whole < 3600 else f"{whole // 3600} h {whole % 3600 // 60} min"
