"""Exposure of one item, edited alone, to the users of a search and to others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from robustrec.audits.by_subject import AuditedSubject
from robustrec.audits.worst.config import WorstAudit
from robustrec.evaluation.kinds import parse_metric
from robustrec.evaluation.metrics import per_user_metrics
from robustrec.evaluation.ranking import EMPTY, Ranking, rank
from robustrec.models.contract import Representation, Scored, represent
from robustrec.seeds import numpy_generator

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Vectors = Mapping[str, Tensor]
"""Modality -> [D] vector of an item, of the modalities that an edit moves."""

_AT_ONCE = 1024  # users


class Seen(NamedTuple):
    """An item after an edit.

    Attributes:
        shown: [n] which of the test users have it in their first k places.
        smooth: mean over the users of the search of the logistic function of its margin to the last of their places.
        metric: [n] the headline metric of every user.
        counts: [I] how many held-out users have each item in their first k places.
    """

    shown: Bools
    smooth: float
    metric: Floats
    counts: NDArray[np.int64]


def of_search(n_users: int, seed: int) -> Bools:
    """Return which test users choose the edits, [n]: a random half; the others measure what the chosen edits do."""
    chosen = np.zeros(n_users, dtype=bool)
    chosen[numpy_generator(seed, "worst", "users of the search").permutation(n_users)[: n_users // 2]] = True
    return chosen


@dataclass(eq=False)
class Exposures:
    """Measures a subject with one item edited and all others clean, item graphs rebuilt.

    Attributes:
        audited: the subject.
        config: the settings.
        searching: [n] users of the search.
        reached: whether any edit that was ranked changed a score of any test user. Lists that stay as they
            are do not show that none did.
    """

    audited: AuditedSubject
    config: WorstAudit
    searching: Bools
    reached: bool = field(default=False, init=False)
    _clean: dict[int, Seen] = field(default_factory=dict, init=False, repr=False)

    @property
    def tables(self) -> dict[str, Tensor]:
        """The clean features that the scores depend on."""
        return self.audited.trained.scored_tables

    @cached_property
    def _start(self) -> tuple[Representation | Scored, Ranking]:
        """The clean representation, and lists with a place more than k, so that each knows the best item left out."""
        representation = self.audited.trained.represent()
        return representation, self._ranked(representation, max(self._length, self.config.exposure + 1))

    @property
    def _length(self) -> int:
        """Length of the lists: the exposure and the metric may have different ones."""
        return max(self.config.exposure, parse_metric(self.config.metric).k)

    @cached_property
    def _scale(self) -> float:
        """How much better the first of k places is than the last, averaged over the users of the search, over 4."""
        representation, ranking = self._start
        if isinstance(representation, Scored):
            return 1.0
        lists = ranking.items[self.searching]
        full = (lists[:, : self.config.exposure] != EMPTY).all(axis=1)
        if not full.any():
            return 1.0
        users = self._users(representation)[torch.from_numpy(np.flatnonzero(full)).to(representation.items.device)]
        ends = torch.from_numpy(lists[full][:, [0, self.config.exposure - 1]].astype(np.int64)).to(users.device)
        scores = (representation.items[ends] * users[:, None]).sum(dim=2)
        return max(float((scores[:, 0] - scores[:, 1]).mean()) / 4, 1e-9)

    def _users(self, representation: Representation) -> Tensor:
        ids = self.audited.work.context.prepared.test.users[self.searching]
        return representation.users[torch.from_numpy(ids).to(representation.users.device)]

    def _ranked(self, representation: Representation | Scored, k: int) -> Ranking:
        context = self.audited.work.context
        split = context.prepared.test
        context.costs.count_lists()
        return rank(representation, split.users, split.mask, k=k)

    def clean(self, item: int) -> Seen:
        """Return an item before any edit."""
        if item not in self._clean:
            self._clean[item] = self._seen(item, *self._start)
        return self._clean[item]

    def edited(self, item: int, vectors: Vectors) -> Seen:
        """Return an item with other vectors; without any, it is the clean one and nothing is ranked."""
        vectors = {name: vector for name, vector in vectors.items() if name in self.tables}
        if not vectors:
            return self.clean(item)
        features = dict(self.audited.tables)
        for name, vector in vectors.items():
            features[name] = features[name].clone()
            features[name][item] = vector.to(features[name])
        representation = self.audited.trained.represent(features)
        self.reached = self.reached or self._differs(representation)
        return self._seen(item, representation, self._ranked(representation, self._length))

    def _differs(self, representation: Representation | Scored) -> bool:
        """Return whether any score of a test user is another than on the clean features."""
        clean, users = self._start[0], self.audited.work.context.prepared.test.users
        if isinstance(clean, Representation) and isinstance(representation, Representation):
            return not (
                torch.equal(clean.items, representation.items) and torch.equal(clean.users, representation.users)
            )
        if isinstance(clean, Representation) or isinstance(representation, Representation):
            return True
        parts = np.array_split(users, max(1, -(-len(users) // _AT_ONCE)))
        return any(not torch.equal(clean.score(part), representation.score(part)) for part in parts)

    def _seen(self, item: int, representation: Representation | Scored, ranking: Ranking) -> Seen:
        k = self.config.exposure
        shown = (ranking.items[:, :k] == item).any(axis=1)
        smooth = float(shown[self.searching].mean())
        if isinstance(representation, Representation):
            with torch.no_grad():
                smooth = float(self._smooth(item, representation))
        wanted = self.audited.work.context.prepared.test.wanted
        metric = per_user_metrics(ranking, wanted, (self.config.metric,))[self.config.metric]
        held_out = Ranking(ranking.users[~self.searching], ranking.items[~self.searching])
        return Seen(shown, smooth, metric, held_out.counts(k, wanted.shape[1]))

    def _limits(self, item: int) -> tuple[Tensor, Tensor]:
        """Return the users of the search with a full list [m], and the clean score of the k-th of the others [m]."""
        representation, ranking = self._start
        assert isinstance(representation, Representation)
        lists = ranking.items[self.searching]
        k = self.config.exposure
        last = np.where((lists[:, :k] == item).any(axis=1), lists[:, k], lists[:, k - 1]).astype(np.int64)
        rows = torch.from_numpy(np.flatnonzero(last != EMPTY)).to(representation.items.device)
        others = representation.items[torch.from_numpy(last[last != EMPTY]).to(rows.device)]
        return rows, (others * self._users(representation)[rows]).sum(dim=1)

    def margins(self, item: int, representation: Representation) -> Tensor:
        """Return the score of an item minus that of the last place, in units of the spread of a list, [m]."""
        rows, limits = self._limits(item)
        return (self._users(representation)[rows] @ representation.items[item] - limits) / self._scale

    def _smooth(self, item: int, representation: Representation) -> Tensor:
        margins = self.margins(item, representation)
        return torch.sigmoid(margins).mean() if len(margins) else margins.sum()

    def gradient(self, item: int, rows: Vectors, *, linear: bool = False) -> dict[str, Tensor] | None:
        """Return the gradient of the smooth exposure in the vectors of an item, modality -> [D]; None if there is none.

        Args:
            item: the item.
            rows: its vectors.
            linear: take the mean margin instead, whose gradient does not vanish far from the last place.
        """
        model = self.audited.trained.model
        if model is None:
            return None
        leaves = {name: row.detach().clone().requires_grad_() for name, row in rows.items()}
        features = dict(self.audited.tables)
        for name, leaf in leaves.items():
            place = torch.tensor([item], device=leaf.device)
            features[name] = features[name].index_copy(0, place, leaf[None])
        self.audited.work.context.costs.gradients += 1
        with torch.enable_grad():
            representation = represent(model, features, None)
            margins = self.margins(item, representation)
            value = margins.mean() if linear else torch.sigmoid(margins).mean()
            if not len(margins) or not value.requires_grad:
                return None
            found = torch.autograd.grad(value, list(leaves.values()), allow_unused=True)
        return {
            name: torch.zeros_like(leaf) if each is None else each.detach()
            for (name, leaf), each in zip(leaves.items(), found, strict=True)
        }
