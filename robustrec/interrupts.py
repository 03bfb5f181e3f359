"""Exit code 130 on SIGINT and SIGTERM, without other imports, so that it is in place before libraries are loaded."""

from __future__ import annotations

import os
import signal
from types import FrameType


def leave_on_interrupt() -> None:
    """End the process with exit code 130 at once on SIGINT and SIGTERM, where they are not ignored."""
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _leave)


def _leave(_signal: int, _frame: FrameType | None) -> None:
    os._exit(130)
