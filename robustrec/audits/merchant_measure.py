"""What edits do to a subject's lists: to all users, to the edited items, and to everything else.

Of each test user are known the lists and metrics before and after, and of each item in their test split (a wanted item)
the exact place among all items. Over the draws:

- all users: the suite's metrics and stability, and `exposure@k_all`, the share of the places of the lists that edited
  items hold. The same users in every draw, so that intervals are over users and draws.
- edited: `rank_edited`, mean place of wanted edited items; `exposure@k_edited`, share of them in the list of the user
  who should get them; and the headline metric of users who want an edited item. `_head` and `_tail` are the same for
  edited items of the most and the least popular stratum.
- untouched: `rank_untouched`, mean place of wanted items that nobody edited, and the headline metric of users who want
  no edited item: what falls on those who edited nothing.

Edited means changed: an item without a brand is not edited by moving it. In other draws other users are concerned;
each user's values are averaged over the draws that concern them, and intervals are over users.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from robustrec.audits.measure import Clean, PerUser, Yardstick
from robustrec.evaluation.metrics import per_user_metrics
from robustrec.evaluation.ranking import Pairs, Ranking, rank_pairs
from robustrec.evaluation.stability import per_user_stability
from robustrec.models.contract import Representation, Scored
from robustrec.runs.prepared import Split

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

PARTS = ("edited", "head", "tail", "untouched")
"""Parts of the wanted items, and of the users who want them."""


@dataclass(frozen=True)
class Scene:
    """What is the same for all subjects and edits.

    Attributes:
        split: the test users.
        yardstick: what is measured on every list.
        wanted: the items of their test split, without those that are never recommended to them.
        strata: [I] stratum of popularity of each item; 0 is the tail, the highest the head.
        metric: the headline metric.
        k: length of the lists that exposure is counted in.
    """

    split: Split
    yardstick: Yardstick
    wanted: Pairs
    strata: Ints
    metric: str
    k: int

    @property
    def length(self) -> int:
        """The longest list that anything needs."""
        return max(self.yardstick.length, self.k)


def scene_of(split: Split, yardstick: Yardstick, strata: Ints, *, metric: str, k: int) -> Scene:
    """Return the scene of a split."""
    relevant = split.relevant[split.users].tocoo()
    masked = split.masked[split.users].tocsr()
    rows, items = relevant.row.astype(np.int64), relevant.col.astype(np.int64)
    open_ = np.asarray(masked[rows, items]).ravel() == 0
    return Scene(split, yardstick, Pairs(rows[open_], items[open_]), strata, metric, k)


class Lists(NamedTuple):
    """A subject's lists at one time.

    Attributes:
        ranking: [n, K], K the scene's length.
        per_user: metric -> [n].
        places: [P] places of the wanted items, from 1.
        shown: [I] users in whose list of length k each item stands.
    """

    ranking: Ranking
    per_user: PerUser
    places: Ints
    shown: Ints


def lists_of(representation: Representation | Scored, scene: Scene, clean: Clean | None = None) -> Lists:
    """Rank the test users, score the lists and, where there are clean ones, compare them with those."""
    split, yardstick = scene.split, scene.yardstick
    ranking, places = rank_pairs(representation, split.users, split.masked, scene.wanted, k=scene.length)
    per_user = per_user_metrics(ranking, split.relevant, yardstick.metrics)
    if clean is not None:
        short = Ranking(ranking.users, ranking.items[:, : clean.ranking.items.shape[1]])
        per_user |= per_user_stability(clean.ranking, short, yardstick.stability)
    shown = ranking.counts(scene.k, len(scene.strata))
    return Lists(ranking, per_user, places, shown)


class Part(NamedTuple):
    """The users whom a part concerns in any draw.

    Attributes:
        clean: metric -> [m], averaged over a user's own items and draws.
        perturbed: metric -> [m], likewise.
        shifts: [pairs of all draws] how many places each wanted item of the part fell.
    """

    clean: PerUser
    perturbed: PerUser
    shifts: Floats


@dataclass
class Tally:
    """Adds up the draws of one subject under one condition.

    Attributes:
        scene: what is measured.
        before: the clean lists.
    """

    scene: Scene
    before: Lists
    _all_before: list[Floats] = field(default_factory=list, init=False)
    _all_after: list[PerUser] = field(default_factory=list, init=False)
    _cells: dict[str, list[tuple[Bools, Ints]]] = field(default_factory=dict, init=False)
    _users: dict[str, list[tuple[Bools, Floats]]] = field(default_factory=dict, init=False)

    def add(self, after: Lists, edited: Ints) -> None:
        """Add a draw.

        Args:
            after: the lists on the edited features.
            edited: items that the edit changed.
        """
        scene = self.scene
        on = np.zeros(len(scene.strata), dtype=bool)
        on[edited] = True
        everyone = f"exposure@{scene.k}_all"
        self._all_before.append(_held(self.before.ranking, on, scene.k))
        self._all_after.append({**after.per_user, everyone: _held(after.ranking, on, scene.k)})
        touched = on[scene.wanted.items]
        stratum = scene.strata[scene.wanted.items]
        parts = {
            "edited": touched,
            "head": touched & (stratum == scene.strata.max()),
            "tail": touched & (stratum == 0),
            "untouched": ~touched,
        }
        users = np.zeros(len(scene.split.users), dtype=bool)
        users[scene.wanted.rows[touched]] = True
        for name, chosen in parts.items():
            self._cells.setdefault(name, []).append((chosen, after.places))
        for name, concerned in (("edited", users), ("untouched", ~users)):
            self._users.setdefault(name, []).append((concerned, after.per_user[scene.metric]))

    def of_all(self, stability: Mapping[str, Floats]) -> tuple[PerUser, dict[str, Floats]]:
        """Return (clean [n], perturbed [n_draws, n]) by metric over all users.

        Args:
            stability: what the stability measures of an undisturbed list are.
        """
        exposure = f"exposure@{self.scene.k}_all"
        # Draws edit other items, which held other places before: shifted to their mean, so that the pairing stays.
        base = np.stack(self._all_before)
        mean = base.mean(axis=0)
        clean = {**self.before.per_user, **stability, exposure: mean}
        perturbed = {name: np.stack([draw[name] for draw in self._all_after]) for name in clean}
        perturbed[exposure] = perturbed[exposure] - base + mean
        return clean, perturbed

    def of_part(self, name: str) -> Part:
        """Return what became of a part of PARTS."""
        scene, before = self.scene, self.before.places
        n = len(scene.split.users)
        count, sums = np.zeros(n), {key: np.zeros(n) for key in ("rank", "rank'", "seen", "seen'")}
        shifts = []
        for chosen, after in self._cells[name]:
            rows = scene.wanted.rows[chosen]
            count += np.bincount(rows, minlength=n)
            for mark, places in (("", before[chosen]), ("'", after[chosen])):
                sums[f"rank{mark}"] += np.bincount(rows, places, minlength=n)
                sums[f"seen{mark}"] += np.bincount(rows, places <= scene.k, minlength=n)
            shifts.append((after[chosen] - before[chosen]).astype(np.float64))
        there = count > 0
        mean = {key: total[there] / count[there] for key, total in sums.items()}
        measures = {f"rank_{name}": "rank"}
        if name != "untouched":
            measures[f"exposure@{scene.k}_{name}"] = "seen"
        clean = {metric: mean[key] for metric, key in measures.items()}
        perturbed = {metric: mean[f"{key}'"] for metric, key in measures.items()}
        return Part(clean, perturbed, np.concatenate(shifts))

    def of_users(self, name: str) -> tuple[PerUser, PerUser]:
        """Return (clean [m], perturbed [m]) of the headline metric over users who want an edited item, or want none."""
        metric = self.scene.metric
        before = self.before.per_user[metric]
        count, total = np.zeros(len(before)), np.zeros(len(before))
        for concerned, after in self._users[name]:
            count += concerned
            total += np.where(concerned, after, 0.0)
        there = count > 0
        label = f"{metric}_{name}"
        return {label: before[there]}, {label: total[there] / count[there]}


def _held(ranking: Ranking, on: Bools, k: int) -> Floats:
    """Return the share of each list's first k places that the marked items hold, [n]."""
    return ranking.share(on, k)
