"""What belongs to a process and not to one library in it, as values that can be compared."""

from __future__ import annotations

import locale
import logging
import os
import random
import signal
import sys
import threading
import warnings
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGPIPE)


def process_state() -> dict[str, Any]:
    """Return filters, search path, environment, handlers, locale, thread counts, generators and library settings."""
    import numpy as np
    import torch
    from PIL import Image
    from threadpoolctl import threadpool_info

    chatter = sys.modules.get("transformers.utils.logging")

    backends = torch.backends
    return {
        "warning filters": [tuple(map(str, each)) for each in warnings.filters],
        "showwarning": warnings.showwarning,
        "sys.path": [*sys.path],
        "excepthook": sys.excepthook,
        "recursion limit": sys.getrecursionlimit(),
        "environment": {**os.environ},
        "working folder": os.getcwd(),  # noqa: PTH109
        "signal handlers": [signal.getsignal(number) for number in SIGNALS],
        "locale": locale.setlocale(locale.LC_ALL),
        "log handlers": [[*logging.getLogger(name).handlers] for name in (None, "robustrec")],
        "log levels": [logging.getLogger(name).level for name in (None, "transformers", "robustrec")],
        "transformers": chatter and [chatter.get_verbosity(), chatter.is_progress_bar_enabled()],
        "pillow": [Image.MAX_IMAGE_PIXELS],
        "numpy errors": np.geterr(),
        "numpy generator": [str(part) for part in np.random.get_state()],  # noqa: NPY002
        "python generator": random.getstate(),
        "torch generator": torch.get_rng_state().tolist(),
        "torch threads": [torch.get_num_threads(), torch.get_num_interop_threads()],
        "torch precision": [
            torch.get_float32_matmul_precision(),
            backends.cuda.matmul.allow_tf32,
            backends.cudnn.allow_tf32,
        ],
        "torch determinism": [
            backends.cudnn.benchmark,
            backends.cudnn.deterministic,
            torch.are_deterministic_algorithms_enabled(),
        ],
        "torch defaults": [torch.get_default_dtype(), torch.get_default_device(), torch.is_grad_enabled()],
        "library threads": sorted((each["filepath"], each["num_threads"]) for each in threadpool_info()),
        "threads": sorted(each.name for each in threading.enumerate()),
    }


def changes(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Say what differs, an entry each."""
    found = []
    for name, value in before.items():
        if value != after[name]:
            one, other = (
                set(map(str, each.items() if isinstance(each, dict) else each)) for each in (value, after[name])
            )
            found += [f"{name}: {sorted(one - other)} became {sorted(other - one)}"]
    return found
