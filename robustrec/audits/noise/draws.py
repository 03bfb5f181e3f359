"""Draws of N(0, 1) for item features, the same for every subject, strength and scope."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from robustrec.seeds import torch_generator

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch
    from torch import Tensor

KEPT_BYTES = 512 * 2**20
"""Bytes of draws that are kept in memory; further draws are drawn again at each use."""


def standard_noise(tables: Mapping[str, Tensor], *, seed: int, draw: int) -> dict[str, Tensor]:
    """Draw N(0, 1) for every entry of every table, on the device of the table.

    The same seed and draw give the same noise for every subject, strength and scope, so that comparisons are paired.
    Devices of one type draw the same; draws on CUDA differ from those on a CPU, and the report records the device.

    Args:
        tables: modality -> float32 [I, D_m].
        seed: seed of the audit.
        draw: number of the draw.
    """
    return {modality: _drawn(table, modality, seed, draw) for modality, table in tables.items()}


def noise_generator(modality: str, *, seed: int, draw: int, device: torch.device | str = "cpu") -> torch.Generator:
    """Return the generator that draws the noise of a modality."""
    return torch_generator(seed, "noise", modality, draw, device=device)


def _drawn(table: Tensor, modality: str, seed: int, draw: int) -> Tensor:
    import torch

    generator = noise_generator(modality, seed=seed, draw=draw, device=table.device)
    return torch.randn(table.shape, generator=generator, device=table.device)


@dataclass
class NoiseDraws:
    """Keeps draws of one seed, so that all subjects, strengths and scopes take the same tables.

    Attributes:
        kept_bytes: bytes kept at most. The first draws are kept, as a search takes all draws in order at each strength.
    """

    kept_bytes: int = KEPT_BYTES
    _seed: int | None = field(default=None, init=False)
    _kept: dict[tuple[str, tuple[int, ...], int], Tensor] = field(default_factory=dict, init=False, repr=False)

    def of(self, tables: Mapping[str, Tensor], *, seed: int, draw: int) -> dict[str, Tensor]:
        """Return `standard_noise` of the tables; it must not be written to.

        Args:
            tables: modality -> float32 [I, D_m].
            seed: seed of the audit; the draws of another seed are forgotten.
            draw: number of the draw.
        """
        if seed != self._seed:
            self._seed = seed
            self._kept.clear()
        return {modality: self._of_table(table, modality, seed, draw) for modality, table in tables.items()}

    def _of_table(self, table: Tensor, modality: str, seed: int, draw: int) -> Tensor:
        key = modality, tuple(table.shape), draw
        found = self._kept.get(key)
        if found is None:
            found = _drawn(table, modality, seed, draw)
            held = sum(each.nbytes for each in self._kept.values())
            # A GPU draws faster than its memory is worth.
            if not found.is_cuda and held + found.nbytes <= self.kept_bytes:
                self._kept[key] = found
        return found
