"""Training on edited content: in each epoch, a share of the items is represented by edited texts and pictures."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional

from robustrec.models.contract import Batch, Features, Graphs, Recommender, represent
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
        share: of the items that are edited in an epoch, from 0 to 1; the number is rounded, and at least 1 of a share
            above 0.
        seed: of the training.
        device: where the features are.

    Attributes:
        views: the features of the epoch before and after its edits.
    """

    changes_steps = False
    views: tuple[Features, Features]

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
        self.views = features, found
        return found

    def drawn(self, epoch: int) -> tuple[Tensor, Tensor]:
        """Return the edited items of an epoch and the pool of each, int64 [n] on the CPU, items ascending."""
        n_pools, n_items = next(iter(self._pools.values())).shape[:2]
        generator = torch_generator(self.seed, "edited content", epoch)
        chosen = torch.randperm(n_items, generator=generator)[: max(1, round(self.share * n_items))].sort().values
        return chosen, torch.randint(n_pools, (len(chosen),), generator=generator)


class Consistency(Treatment):
    """Agreement of the scores of a batch on clean and on edited content: adds λ mean_b (m_b(X) - m_b(X'))² to the loss.

    m_b = ⟨u, i⟩ - ⟨u, j⟩ is the margin of a pair of the batch, user u with positive i and negative j, by the scores
    that rank items (without dropout and without what a model draws for an epoch). X are the features before the edits
    of the epoch, X' those after them; treatments that act later change neither. The gradient goes through both views.
    The item graphs are those of the clean features in both.

    Args:
        content: makes the edits.
        weight: λ.
        model: the recommender.
        graphs: item graphs of the model.
    """

    def __init__(self, content: EditedContent, weight: float, model: Recommender, graphs: Graphs | None) -> None:
        self.content, self.weight, self.model, self.graphs = content, weight, model, graphs

    def term(self, _features: Features, batch: Batch, /) -> Tensor:
        """Return λ times the mean squared difference of the margins in the views of the epoch."""
        clean, edited = (margins(self.model, view, self.graphs, batch) for view in self.content.views)
        return self.weight * (clean - edited).square().mean()


def margins(model: Recommender, features: Features, graphs: Graphs | None, batch: Batch) -> Tensor:
    """Return the scores of a batch's positives minus those of its negatives, [B], with their graph."""
    users, items = represent(model, features, graphs)
    positives, negatives = functional.embedding(batch.positives, items), functional.embedding(batch.negatives, items)
    return (functional.embedding(batch.users, users) * (positives - negatives)).sum(1)


def _placed(pools: Mapping[str, Tensor], device: torch.device) -> dict[str, Tensor]:
    """Return the pools on the device if they take little of its memory, else as they are."""
    if device.type != "cuda":
        return dict(pools)
    size = sum(table.numel() * table.element_size() for table in pools.values())
    if size > LARGEST_SHARE * torch.cuda.get_device_properties(device).total_memory:
        return dict(pools)
    return {modality: table.to(device) for modality, table in pools.items()}
