"""Batched encoding of rows by a network: texts are sorted by length, pictures are decoded in threads.

The vector of a row depends on the other rows of its batch by at most 1e-5 in float32, and by rounding in half
precision.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import torch
from torch import Tensor

from robustrec.encoders.networks import Network, NetworkInput
from robustrec.encoders.rows import ContentChangedError, RowContent
from robustrec.errors import RobustrecError
from robustrec.progress import Progress

PRESENT, ABSENT, UNREADABLE, CUT = 0, 1, 2, 3
"""Status of the text (PRESENT, ABSENT, CUT) or picture (PRESENT, ABSENT, UNREADABLE) of a row."""
_PREFETCHED_BATCHES = 3  # batches of pictures that are decoded in advance; limits memory
_MOST_WORKERS = 16
_TEXTS_AT_ONCE = 4096


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


class _PendingBatch(NamedTuple):
    batch: list[int]
    outputs: dict[str, Tensor]
    facts: dict[str, list[int]]
    messages: dict[int, str]


def encode_chunks(
    network: Network, rows: Sequence[RowContent], progress: Progress | None, *, workers: int | None
) -> Iterator[Chunk]:
    """Yield the vectors of all rows in batches of similar text length.

    Args:
        network: the network.
        rows: the rows.
        progress: reports the number of rows, items per second and the remaining time.
        workers: number of threads that decode pictures.

    Raises:
        RobustrecError: the device runs out of memory, or a vector is not finite.
    """
    texts = _texts(network, rows)
    batches = _batches(network, texts)
    report = _ProgressReporter(network, len(rows), progress)
    pool = ThreadPoolExecutor(workers or min(_MOST_WORKERS, os.cpu_count() or 1), "pictures")
    try:
        waiting: deque[list[Future[_Picture]]] = deque()
        running: _PendingBatch | None = None
        coming = iter(batches)
        for batch in batches:
            while len(waiting) < _PREFETCHED_BATCHES and (later := next(coming, None)) is not None:
                waiting.append([pool.submit(_picture, network, rows[place]) for place in later])
            pictures = [future.result() for future in waiting.popleft()]
            launched = _launch(network, batch, [texts[place] for place in batch], pictures)
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
        return _Picture(network.prepare(None), UNREADABLE, error.what)
    return _Picture(network.prepare(image), PRESENT if image is not None else ABSENT, "")


def _launch(network: Network, batch: list[int], texts: list[_Text], pictures: list[_Picture]) -> _PendingBatch:
    parts = [
        NetworkInput(text.text, text.ids, picture.tensors, picture.fact == PRESENT)
        for text, picture in zip(texts, pictures, strict=True)
    ]
    try:
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
