"""Noise by chunks of rows: the features of a condition without a second table of all rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from robustrec.audits.noise.condition import NoiseCondition, add_noise, meant
from robustrec.audits.noise.draws import noise_generator
from robustrec.models.feature_chunks import row_chunks

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor


@dataclass
class NoisyChunks:
    """The features of a condition, with the noise of `draws.standard_noise` to the bit.

    A CPU draws N(0, 1) in groups of 16 numbers, so parts of a table that are multiples of 16 are what they are when it
    is drawn whole (`tests/audits/test_noise_chunks.py`). Other devices draw tables whole.

    Attributes:
        tables: modality -> float32 [I, D_m] on the CPU.
        condition: the noise.
        seed: seed of the audit.
        draw: number of the draw.
    """

    tables: Mapping[str, Tensor]
    condition: NoiseCondition
    seed: int
    draw: int
    _entries: dict[str, int] = field(default_factory=dict, init=False)
    _unchanged: dict[str, int] = field(default_factory=dict, init=False)

    def chunks(self) -> Iterator[dict[str, Tensor]]:
        """Yield the noisy rows, and count the entries that float32 rounding leaves unchanged."""
        import torch

        touched = [name for name in self.tables if self.condition.touches(name)]
        generators = {name: noise_generator(name, seed=self.seed, draw=self.draw) for name in touched}
        self._entries, self._unchanged = dict.fromkeys(touched, 0), dict.fromkeys(touched, 0)
        for rows in row_chunks(self.tables):
            clean = {name: table[rows] for name, table in self.tables.items()}
            noise = {name: torch.randn(clean[name].shape, generator=generators[name]) for name in touched}
            noisy = add_noise(clean, noise, self.condition)
            for name in touched:
                counted = meant(clean[name], self.condition)
                self._entries[name] += int(counted.sum()) * clean[name].shape[1]
                self._unchanged[name] += int((noisy[name] == clean[name])[counted].sum())
            yield noisy

    def lost(self, modalities: Mapping[str, Tensor]) -> dict[str, float]:
        """Return what `condition.share_lost` returns, of the rows yielded last."""
        return {
            name: self._unchanged[name] / entries
            for name, entries in self._entries.items()
            if entries and name in modalities
        }


def can_chunk(tables: Mapping[str, Tensor]) -> bool:
    """Return whether parts of these tables get the noise that they have in the whole."""
    return all(table.device.type == "cpu" and table.numel() >= 256 for table in tables.values())
