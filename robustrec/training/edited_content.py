"""Training on edited content: in each epoch, a share of the items is represented by edited texts and pictures."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from robustrec.models.contract import Features
from robustrec.seeds import torch_generator
from robustrec.training.content import Treatment

LARGEST_SHARE = 0.25
"""Largest share of a GPU's memory that the pools may take; larger ones stay on the host, and rows are copied."""


class EditedContent(Treatment):
    """Features in which a share of the items has the vectors of edited content, drawn anew for each epoch.

    Each epoch draws which items are edited, and from which of the pools each of them is taken. The draw depends on the
    seed and on the number of the epoch only. Item graphs stay those of the clean features.

    Args:
        pools: modality -> float32 [P, I, D_m], the vectors of edited content; memory maps are read by rows.
        share: of the items that are edited in an epoch, from 0 to 1; the number is rounded.
        seed: of the training.
        device: where the features are.
    """

    def __init__(self, pools: Mapping[str, Tensor], share: float, seed: int, device: torch.device) -> None:
        self.share, self.seed = share, seed
        self.changes_features = share > 0
        self._pools = _placed(pools, device) if self.changes_features else dict(pools)
        self._tables: dict[str, Tensor] = {}

    def of_epoch(self, features: Features, epoch: int, /) -> Features:
        """Return the features of an epoch, in memory that later epochs use again."""
        if not self.changes_features:
            return features
        items, pools = self.drawn(epoch)
        found = dict(features)
        for modality in found.keys() & self._pools.keys():
            clean, edited = features[modality], self._pools[modality]
            if modality not in self._tables:
                self._tables[modality] = torch.empty_like(clean)
            table = self._tables[modality]
            table.copy_(clean)
            rows = edited[pools.to(edited.device), items.to(edited.device)]
            table[items.to(table.device)] = rows.to(table.device, table.dtype)
            found[modality] = table
        return found

    def drawn(self, epoch: int) -> tuple[Tensor, Tensor]:
        """Return the edited items of an epoch and the pool of each, int64 [n] on the CPU, items ascending."""
        n_pools, n_items = next(iter(self._pools.values())).shape[:2]
        generator = torch_generator(self.seed, "edited content", epoch)
        chosen = torch.randperm(n_items, generator=generator)[: round(self.share * n_items)].sort().values
        return chosen, torch.randint(n_pools, (len(chosen),), generator=generator)


def _placed(pools: Mapping[str, Tensor], device: torch.device) -> dict[str, Tensor]:
    """Return the pools on the device if they take little of its memory, else as they are."""
    if device.type != "cuda":
        return dict(pools)
    size = sum(table.numel() * table.element_size() for table in pools.values())
    if size > LARGEST_SHARE * torch.cuda.get_device_properties(device).total_memory:
        return dict(pools)
    return {modality: table.to(device) for modality, table in pools.items()}
