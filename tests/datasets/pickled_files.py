"""Files of one pickled object, as numpy writes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np


def saved(path: Path, table: Any) -> Path:
    """Write a table the way the published script does."""
    np.save(path, table, allow_pickle=True)
    return path


def framed(path: Path, content: bytes, header: str = "{'descr': '|O', 'fortran_order': False, 'shape': (), }") -> Path:
    """Write an .npy file of one object around a pickle."""
    padded = header.ljust(117) + "\n"
    path.write_bytes(b"\x93NUMPY\x01\x00" + len(padded).to_bytes(2, "little") + padded.encode() + content)
    return path
