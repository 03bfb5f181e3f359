"""Warnings ignored, or raised, while a block runs."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

_LOCK = threading.RLock()


@contextmanager
def warnings_are(action: Literal["ignore", "error"]) -> Iterator[None]:
    """Apply an action to all warnings while a block runs; the filters are then as before.

    Filters belong to the process: of two threads in `warnings.catch_warnings`, the second can restore what the first
    has set, so that here the second waits.
    """
    with _LOCK, warnings.catch_warnings():
        warnings.simplefilter(action)
        yield
