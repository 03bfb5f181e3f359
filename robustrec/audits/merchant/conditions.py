"""Effect of edits on the lists of a subject: all users, edited items, and other users and items.

For each test user there are the lists and metrics before and after, and the exact rank of each of their test items
among all items. Over the draws:

- all users: metrics and stability of the suite, and `exposure@k_all`, the share of places in the top k with edited
  items. The users are the same in every draw, so intervals are over users and draws.
- edited: `rank_edited`, the mean rank of edited test items; `exposure@k_edited`, the share of edited test items in the
  top k of their users; and the headline metric of users with an edited test item. `_head` and `_tail` are the same for
  edited items of the most and the least popular stratum.
- weighted by value, where the suite has a column of values w: `value_exposure@k_edited`, the share of the value of the
  edited test items that is in the top k of the users who want them, Σ w_i [rank <= k] / Σ w_i over users, items and
  draws; `_head`, `_tail` and `_untouched` likewise; and `value_exposure@k_all`, the share of the value of a list's
  first k places that is of edited items. Equal values give `exposure@k_all`, and the exposure of pairs of the others.
- untouched: `rank_untouched`, the mean rank of test items that were not edited, and the headline metric of users
  without an edited test item.

Edited means changed: an edit that moves the brand does not edit an item without a brand. Each draw affects other users;
the values of a user are averaged over the draws that affect them, and intervals are over users, items and draws.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from robustrec.audits.quality import Clean, MetricSuite, PerUser
from robustrec.evaluation.cells import Cells, groups_of
from robustrec.evaluation.ranking import Pairs, Ranking, rank_pairs
from robustrec.evaluation.value import value_share
from robustrec.models.contract import Representation, Scored
from robustrec.results.findings import VALUE_EXPOSURE, Group
from robustrec.runs.prepared import Split

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

PARTS: tuple[Group, ...] = ("edited", "head", "tail", "untouched")
"""Parts of the test items and of their users."""


@dataclass(frozen=True)
class EvaluationTargets:
    """Evaluation data that all subjects and edits share.

    Attributes:
        split: the test users.
        metric_suite: metrics of every list.
        wanted: their test items, without those that are never recommended to them.
        strata: [I] stratum of popularity of each item; 0 is the tail, the highest the head.
        metric: the headline metric.
        k: list length for exposure.
    """

    split: Split
    metric_suite: MetricSuite
    wanted: Pairs
    strata: Ints
    metric: str
    k: int

    @property
    def length(self) -> int:
        """Longest list length."""
        return max(self.metric_suite.length, self.k)

    @property
    def values(self) -> Floats | None:
        """What each item is worth, [I]; None where the suite has no values."""
        return None if self.metric_suite.catalogue is None else self.metric_suite.catalogue.values


def scene_of(split: Split, metric_suite: MetricSuite, strata: Ints, *, metric: str, k: int) -> EvaluationTargets:
    """Return the evaluation targets of a split."""
    relevant = split.relevant[split.users].tocoo()
    masked = split.masked[split.users].tocsr()
    rows, items = relevant.row.astype(np.int64), relevant.col.astype(np.int64)
    open_ = np.asarray(masked[rows, items]).ravel() == 0
    return EvaluationTargets(split, metric_suite, Pairs(rows[open_], items[open_]), strata, metric, k)


class Lists(NamedTuple):
    """A subject's lists at one time.

    Attributes:
        ranking: [n, K], K the length of `targets`.
        per_user: metric -> [n].
        places: [P] ranks of the test items, from 1.
        shown: [I] number of users with each item in their top k.
    """

    ranking: Ranking
    per_user: PerUser
    places: Ints
    shown: Ints


def lists_of(representation: Representation | Scored, targets: EvaluationTargets, clean: Clean | None = None) -> Lists:
    """Rank the test users, compute the metrics, and compare with clean lists if given."""
    split, metric_suite = targets.split, targets.metric_suite
    ranking, places = rank_pairs(representation, split.users, split.mask, targets.wanted, k=targets.length)
    short = Ranking(ranking.users, ranking.items[:, : metric_suite.length])
    per_user = metric_suite.values(short, split, clean.ranking if clean else None)
    shown = ranking.counts(targets.k, len(targets.strata))
    return Lists(ranking, per_user, places, shown)


class Part(NamedTuple):
    """Values of the users of a part in any draw.

    Attributes:
        clean: metric -> [m], averaged over a user's own items and draws.
        perturbed: metric -> [m], likewise.
        shifts: [pairs of all draws] rank change of each test item of the part.
        cells: metric -> values of the mean: equal weights for items and draws of a user, and for users.
    """

    clean: PerUser
    perturbed: PerUser
    shifts: Floats
    cells: dict[str, Cells]


@dataclass
class Tally:
    """Adds up the draws of one subject under one condition.

    Attributes:
        targets: what is measured.
        before: the clean lists.
    """

    targets: EvaluationTargets
    before: Lists
    _all_before: list[Floats] = field(default_factory=list, init=False)
    _all_values: list[tuple[Floats, Floats]] = field(default_factory=list, init=False)
    _all_after: list[PerUser] = field(default_factory=list, init=False)
    _cells: dict[str, list[tuple[Bools, Ints]]] = field(default_factory=dict, init=False)
    _users: dict[str, list[tuple[Bools, Floats]]] = field(default_factory=dict, init=False)

    @property
    def exposure(self) -> str:
        """Name of the share of all places in the top k with edited items."""
        return f"exposure@{self.targets.k}_all"

    def value_exposure(self, group: Group) -> str:
        """Name of the exposure of a group weighted by value."""
        return f"{VALUE_EXPOSURE}@{self.targets.k}_{group}"

    def add(self, after: Lists, edited: Ints) -> None:
        """Add a draw.

        Args:
            after: the lists on the edited features.
            edited: items that the edit changed.
        """
        targets = self.targets
        on = np.zeros(len(targets.strata), dtype=bool)
        on[edited] = True
        self._all_before.append(_held(self.before.ranking, on, targets.k))
        self._all_after.append({**after.per_user, self.exposure: _held(after.ranking, on, targets.k)})
        if targets.values is not None:
            lists = (self.before.ranking.items, after.ranking.items)
            before, now = (value_share(items, on, targets.values, targets.k) for items in lists)
            self._all_values.append((before, now))
        touched = on[targets.wanted.items]
        stratum = targets.strata[targets.wanted.items]
        parts = {
            "edited": touched,
            "head": touched & (stratum == targets.strata.max()),
            "tail": touched & (stratum == 0),
            "untouched": ~touched,
        }
        users = np.zeros(len(targets.split.users), dtype=bool)
        users[targets.wanted.rows[touched]] = True
        for name, chosen in parts.items():
            self._cells.setdefault(name, []).append((chosen, after.places))
        for name, concerned in (("edited", users), ("untouched", ~users)):
            self._users.setdefault(name, []).append((concerned, after.per_user[targets.metric]))

    def of_all(self, stability: Mapping[str, Floats]) -> tuple[PerUser, dict[str, Floats]]:
        """Return (clean [n], perturbed [n_draws, n]) by metric over all users.

        Args:
            stability: what the stability measures of an undisturbed list are.
        """
        clean = {**self.before.per_user, **stability}
        names = (*clean, self.exposure)
        perturbed = {name: np.stack([draw[name] for draw in self._all_after]) for name in names}
        clean[self.exposure], perturbed[self.exposure] = _paired(np.stack(self._all_before), perturbed[self.exposure])
        return clean, perturbed

    def of_values(self) -> tuple[PerUser, dict[str, Floats]]:
        """Return (clean [n], perturbed [n_draws, n]) of the exposure of edited items weighted by value, if measured."""
        if not self._all_values:
            return {}, {}
        name, (before, after) = self.value_exposure("all"), zip(*self._all_values, strict=True)
        clean, perturbed = _paired(np.stack(before), np.stack(after))
        return {name: clean}, {name: perturbed}

    def of_part(self, name: str) -> Part:
        """Return the values of a part of PARTS."""
        targets, before = self.targets, self.before.places
        n = len(targets.split.users)
        count, sums = np.zeros(n), {key: np.zeros(n) for key in ("rank", "rank'", "seen", "seen'")}
        shifts = []
        for chosen, after in self._cells[name]:
            rows = targets.wanted.rows[chosen]
            count += np.bincount(rows, minlength=n)
            for mark, places in (("", before[chosen]), ("'", after[chosen])):
                sums[f"rank{mark}"] += np.bincount(rows, places, minlength=n)
                sums[f"seen{mark}"] += np.bincount(rows, places <= targets.k, minlength=n)
            shifts.append((after[chosen] - before[chosen]).astype(np.float64))
        there = count > 0
        mean = {key: total[there] / count[there] for key, total in sums.items()}
        measures = {f"rank_{name}": "rank"}
        if name != "untouched":
            measures[f"exposure@{targets.k}_{name}"] = "seen"
        clean = {metric: mean[key] for metric, key in measures.items()}
        perturbed = {metric: mean[f"{key}'"] for metric, key in measures.items()}
        return Part(clean, perturbed, np.concatenate(shifts), self._pair_cells(name, measures, count))

    def _pair_cells(self, name: str, measures: Mapping[str, str], count: Floats) -> dict[str, Cells]:
        """Return the cells of a part's measures; `count` [n] are each user's cells."""
        if not count.any():
            return {}
        chosen = [np.flatnonzero(which) for which, _ in self._cells[name]]
        pairs = np.concatenate(chosen)
        users, items = self.targets.wanted.rows[pairs], self.targets.wanted.items[pairs]
        before = self.before.places[pairs]
        after = np.concatenate([places[own] for own, (_, places) in zip(chosen, self._cells[name], strict=True)])
        weights = 1 / count[users] / np.count_nonzero(count)
        cells, draws = {}, _draw_of_each(chosen)
        groups = groups_of(draws, users, items)
        for metric, key in measures.items():
            states = [places if key == "rank" else places <= self.targets.k for places in (before, after)]
            known, changed = (each.astype(np.float64) for each in states)
            cells[metric] = Cells(draws, users, items, weights, known, changed, groups)
        return cells

    def value_cells(self, name: str) -> Cells | None:
        """Return the cells of the exposure of a part weighted by value; None where no item of it is worth anything.

        The weight of a cell is the value of its item: the mean is a ratio of sums over all users and draws.
        """
        values = self.targets.values
        if values is None:
            return None
        wanted = self.targets.wanted
        chosen = [np.flatnonzero(which & (values[wanted.items] > 0)) for which, _ in self._cells[name]]
        pairs = np.concatenate(chosen)
        if not len(pairs):
            return None
        after = np.concatenate([places[own] for own, (_, places) in zip(chosen, self._cells[name], strict=True)])
        known, changed = ((each <= self.targets.k).astype(np.float64) for each in (self.before.places[pairs], after))
        worth = values[wanted.items[pairs]]
        weights = worth / worth.sum()
        return Cells(_draw_of_each(chosen), wanted.rows[pairs], wanted.items[pairs], weights, known, changed)

    def of_users(self, name: str) -> tuple[PerUser, PerUser]:
        """Return (clean [m], perturbed [m]) of the headline metric for users with an edited test item, or without."""
        metric = self.targets.metric
        before = self.before.per_user[metric]
        count, total = self._times_concerned(name), np.zeros(len(before))
        for concerned, after in self._users[name]:
            total += np.where(concerned, after, 0.0)
        there = count > 0
        label = f"{metric}_{name}"
        return {label: before[there]}, {label: total[there] / count[there]}

    def _times_concerned(self, name: str) -> Floats:
        """Return the number of draws of a part for each user, [n]."""
        times: Floats = np.zeros(len(self.targets.split.users))
        for concerned, _ in self._users[name]:
            times += concerned
        return times

    def cells_of_users(self, name: str) -> dict[str, Cells]:
        """Return the values of the means of `of_users`; empty without users.

        Draws that concern a user count alike, and in each the wanted items that do share its weight.
        """
        count = self._times_concerned(name)
        if not count.any():
            return {}
        wanted, metric = self.targets.wanted, self.targets.metric
        found = [np.flatnonzero(concerned) for concerned, _ in self._users[name]]
        columns: list[tuple[Ints, Ints, Floats, Floats]] = []
        for concerned, (chosen, _), (_, after) in zip(found, self._cells[name], self._users[name], strict=True):
            which = np.zeros(len(count), dtype=bool)
            which[concerned] = True
            pairs = np.flatnonzero(chosen & which[wanted.rows])
            rows, items = wanted.rows[pairs], wanted.items[pairs]
            # Users whose only wanted items are never recommended to them share no item with anybody.
            alone = np.setdiff1d(concerned, rows)
            users = np.concatenate([rows, alone])
            own = np.concatenate([items, len(self.targets.strata) + alone])
            weights = 1 / np.bincount(users, minlength=len(count))[users] / count[users]
            columns.append((users, own, weights / np.count_nonzero(count), after[users]))
        users, items, weights, after = (np.concatenate(column) for column in zip(*columns, strict=True))
        draws, before = _draw_of_each([column[0] for column in columns]), self.before.per_user[metric][users]
        return {f"{metric}_{name}": Cells(draws, users, items, weights, before, after)}


def _draw_of_each(chosen: Sequence[NDArray[np.generic]]) -> Ints:
    """Return the number of the draw of each of its entries."""
    return np.repeat(np.arange(len(chosen)), [len(each) for each in chosen])


def _paired(base: Floats, after: Floats) -> tuple[Floats, Floats]:
    """Return (clean [n], perturbed [n_draws, n]) of values that depend on what a draw edits.

    Draws edit other items, which held other places before: shifted to their mean, so that the pairing stays.
    """
    mean = base.mean(axis=0)
    return mean, after - base + mean


def _held(ranking: Ranking, on: Bools, k: int) -> Floats:
    """Return the share of each list's first k places that the marked items hold, [n]."""
    return ranking.share(on, k)
