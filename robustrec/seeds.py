"""Named random streams from one seed, so that adding a stream never shifts another."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


def derive_seed(seed: int, *names: str | int) -> int:
    """Return a 63-bit seed for a named purpose: the first bytes of sha256 over the seed and the names."""
    text = "\x1f".join(str(part) for part in (seed, *names))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little") >> 1


def torch_generator(seed: int, *names: str | int, device: torch.device | str = "cpu") -> torch.Generator:
    """Return a torch generator on `device` for a named purpose."""
    import torch

    generator = torch.Generator(device=device)
    generator.manual_seed(derive_seed(seed, *names))
    return generator


def numpy_generator(seed: int, *names: str | int) -> np.random.Generator:
    """Return a numpy generator (PCG64) for a named purpose."""
    return np.random.Generator(np.random.PCG64(derive_seed(seed, *names)))
