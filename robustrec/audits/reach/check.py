"""The reach check: a large perturbation of each modality must change the lists, before and after the audits.

Research code often scores from tensors cached by the last training step. An audit of such a model would report a drift
of zero for every perturbation. Here this is an error.

The check uses what audits measure: scores relative to the other items of the same user, and the lists. A shift of all
items of a user changes no list and does not count. There are two perturbations. Noise with the norm of a typical row
detects caches keyed by the content or shape of the features. An exchange of rows in the middle of the catalogue keeps
the first rows, mean, norm and other summaries of the features, so it detects caches keyed by a summary. Then a few
items get noise one at a time: the item itself must be among those whose scores change most, or its content is pooled
with that of other items. After the audits, the check scores clean features again and adds new noise to the same table
in place. This detects caches that fill up over many calls, and caches keyed by the address of a table.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array
from torch import Tensor

from robustrec.errors import RobustrecError
from robustrec.evaluation.ranking import rank
from robustrec.models.contract import Features, Representation, Scored
from robustrec.seeds import torch_generator

# A score counts as moved when it changes by more than this share of the scores' own spread; rounding stays far below.
MOVED = 1e-3
# Where rows are exchanged no length is chosen, so a score counts as moved once it is beyond rounding.
ROUNDING = 1e-5
# How many times as long as a typical row the noise is, until some list changes.
LOUDER = (1.0, 10.0, 100.0)
SAMPLED_USERS = 256
LIST_LENGTH = 20
# Share of the users whose first places all hold equal scores from which on lists say nothing.
ALL_TIED = 0.5
# Rows that differ by less than this share of their norm are not worth exchanging.
DISTINCT = 0.05
# Rows taken to float64 at once.
ROWS = 4096
# Items that get noise alone; how many of them must be among the first of all, this share, by how far they move.
ALONE, OWN, AMONG_FIRST = 4, 2, 0.02
# In a catalogue of at most SMALL items, an item need not be among the first if it moves by this share of the furthest.
SMALL, LOCAL = 100, 0.1
# Two items move alike when their changes differ by less than this share for every user.
ALIKE = 1e-3


class Ranked(NamedTuple):
    """Users and lists of the check, as the audits rank them.

    Attributes:
        users: int64 [n].
        masked: [U, I] pairs that are never recommended.
        k: length of the lists.
    """

    users: NDArray[np.int64]
    masked: csr_array
    k: int


class Reach(NamedTuple):
    """Effect of a large perturbation of one modality.

    Attributes:
        modality: its name.
        reached: whether any score moved relative to the user's other items, and any list changed.
        claimed: whether the subject declares that the modality affects its scores.
        change: largest such change of a score, in standard deviations of the clean scores.
        users: share of the users whose list changed.
        fault: why the modality is not reached; empty if it is.
    """

    modality: str
    reached: bool
    claimed: bool
    change: float
    users: float
    fault: str = ""


class Ties(NamedTuple):
    """Ties in the clean lists, which are broken by item id.

    Attributes:
        boundary: share of the users whose last place ties with the first item left out.
        whole: share of the users whose places all tie, and with the first item left out too.
    """

    boundary: float
    whole: float


class _Look(NamedTuple):
    """Scores minus the mean of each user, float64 [n, I], and ordered lists [m, k]."""

    scores: Tensor
    lists: NDArray[np.int64]


class ReachCheck:
    """The reach check of one subject, before its audits and after them.

    Args:
        represent: the subject's representation of given features, as the audits call it.
        tables: the modalities it reads, float32 [I, D_m].
        seed: seed of the perturbations.
        claimed: the modalities that affect its scores, as declared by the subject; None for all it reads.
        ranked: users and lists; None for a sample of all users without masking.

    Raises:
        RobustrecError: a table has only zeros, scores are not finite, all items tie, or the same features
            scored twice give different scores.
    """

    def __init__(
        self,
        represent: Callable[[Features], Representation | Scored],
        tables: dict[str, Tensor],
        *,
        seed: int,
        claimed: Collection[str] | None = None,
        ranked: Ranked | None = None,
    ) -> None:
        self.represent, self.tables, self.seed = represent, tables, seed
        self.reaches: tuple[Reach, ...] = ()
        self.claimed = tuple(tables) if claimed is None else tuple(claimed)
        refuse_zero_tables(tables)
        first = represent(tables)
        self.ranked = ranked or _everybody(first)
        raw = self._raw(first)
        self.clean, self.raw = self._look(first, raw, "clean"), raw.double()
        self.spread = float(self.clean.scores.std())
        if self.spread <= 1e-12 * max(1.0, float(raw.abs().max())):
            raise _useless("all scores are equal: each user has the same score for all items")
        self.ties = self._ties(raw)
        if self.ties.whole > ALL_TIED:
            raise _useless(
                f"all scores in the top k are tied for {self.ties.whole:.0%} of the users, so item "
                "ids decide their lists"
            )
        if not self._same(represent(tables)):
            raise RobustrecError(
                "two calls with the same features give different scores",
                where="model.represent",
                fix="make represent a pure function, without dropout or random noise outside training",
            )

    def before(self) -> tuple[Reach, ...]:
        """Perturb one modality at a time, by noise and by an exchange of rows, and return the effects."""
        self.reaches = tuple(self._reach(modality) for modality in self.tables)
        return self.reaches

    def after(self) -> str:
        """Score clean and noisy features again; return the fault, or an empty text.

        The noise differs from that of `before`, and is added in place.
        """
        held = {modality: table.clone() for modality, table in self.tables.items()}
        if not self._same(self.represent(held)):
            return (
                "after the audits, clean features give different scores than before: the model "
                "keeps state between calls"
            )
        for modality in self.claimed:
            for factor in LOUDER:
                held[modality].add_(self._noise(modality, "after", factor))
                change, users = self._compared(held, f"noise on the {modality} features")
                held[modality].copy_(self.tables[modality])
                if change <= MOVED or users:
                    break
            if change <= MOVED or not users:
                return (
                    f"after the audits, new noise as large as the {modality} features changed"
                    f" {'no score' if change <= MOVED else 'no list'}, but before the audits it did: scores come from"
                    " a cache"
                )
        return ""

    def _reach(self, modality: str) -> Reach:
        change, users = 0.0, 0.0
        for factor in LOUDER:
            noisy = {**self.tables, modality: self._noise(modality, "reach", factor).add_(self.tables[modality])}
            moved, users = self._compared(noisy, f"noise on the {modality} features")
            change = max(change, moved) if factor == LOUDER[0] else change
            if users or change <= MOVED:
                break
        fault = ""
        claimed = modality in self.claimed
        noise = f"added noise as large as the {modality} features"
        if change <= MOVED:
            fault = f"{noise} changed no score by more than {change:.1e} standard deviations of the scores"
        elif not claimed:
            pass  # a score that moves is enough to contradict the subject
        elif not users:
            fault = f"noise up to {LOUDER[-1]:g} times as large as the {modality} features changed scores but no list"
        elif not self._follows_exchange(modality):
            fault = (
                f"{noise} changed scores, but exchanging {modality} features between items did not: scores depend on"
                " a summary of the features, or a cache uses one"
            )
        else:
            fault = self._follows_others(modality)
        return Reach(modality, not fault, claimed, change, users, fault)

    def _follows_exchange(self, modality: str) -> bool:
        """Return whether scores change if items in the middle of the catalogue exchange their rows."""
        table = self.tables[modality]
        quarter = len(table) // 4
        rows = torch.arange(quarter, len(table) - quarter)
        order = rows[torch.randperm(len(rows), generator=torch_generator(self.seed, "exchange", modality))]
        exchanged = table.clone()
        exchanged[order.to(table.device)] = table[order.roll(1).to(table.device)]
        if float((exchanged - table).norm()) <= DISTINCT * float(table[quarter : len(table) - quarter].norm()):
            return True
        change, _ = self._compared({**self.tables, modality: exchanged}, f"exchanged {modality} features")
        return change > ROUNDING

    def _follows_others(self, modality: str) -> str:
        """Say why scores of single items do not follow their own features; empty where those of two items do.

        With noise on one item alone, that item moves furthest where its content is its own. Where content is pooled
        over items, any item may.
        """
        there = self.tables[modality].ne(0).any(dim=1).nonzero().squeeze(1).cpu()
        own, moved = 0, False
        if len(there) < ALONE:
            return ""
        chosen = [int(there[(2 * place + 1) * len(there) // (2 * ALONE)]) for place in range(ALONE)]
        noise = self._noise(modality, "alone", LOUDER[1])[chosen]  # a copy of these rows
        for item, own_noise in zip(chosen, noise, strict=True):
            change = self._alone(modality, item, own_noise)
            size = change.abs().mean(dim=0)
            if float(size.max()) == 0:
                continue
            moved = True
            ahead = int((size > size[item]).sum())
            alike = (change - change[:, item : item + 1]).abs().amax(dim=0) <= ALIKE * change[:, item].abs().max()
            first = ahead < max(2.0, AMONG_FIRST * len(size)) or _local(size, item)
            own += first and int(alike.sum()) == 1
            if own == OWN:
                return ""
        if moved:
            return (
                f"noise on the {modality} features of single items changed the scores of other items as much: content"
                " is pooled over items"
            )
        return (
            f"noise on the {modality} features of single items changed no score: scores come from an earlier call, or"
            " from a part of the catalogue"
        )

    def _alone(self, modality: str, item: int, noise: Tensor) -> Tensor:
        """Return the change of the scores [n, I] with noise [D] on one item."""
        alone = self.tables[modality].clone()
        alone[item] += noise
        return self._raw(self.represent({**self.tables, modality: alone})).double() - self.raw

    def _noise(self, modality: str, name: str, factor: float) -> Tensor:
        table = self.tables[modality]
        generator = torch_generator(self.seed, name, modality, int(factor), device=table.device)
        drawn = torch.randn(table.shape, generator=generator, device=table.device)
        return drawn.mul_(factor * typical_entry(table))

    def _compared(self, features: dict[str, Tensor], what: str) -> tuple[float, float]:
        """Return the largest change of a score in clean standard deviations, and the share of changed lists."""
        representation = self.represent(features)
        seen = self._look(representation, self._raw(representation), what)
        change = float((seen.scores - self.clean.scores).abs().max()) / self.spread
        return change, float((seen.lists != self.clean.lists).any(axis=1).mean())

    def _same(self, representation: Representation | Scored) -> bool:
        # Sums on a GPU may come in another order; that is rounding, not a model that draws fresh noise.
        scores = _centred(self._raw(representation))
        scale = float(self.clean.scores.abs().max())
        return bool(torch.allclose(self.clean.scores, scores, rtol=1e-5, atol=1e-5 * scale))

    def _look(self, representation: Representation | Scored, raw: Tensor, what: str) -> _Look:
        if not bool(torch.isfinite(raw).all()):
            on = "" if what == "clean" else f" under {what}"
            raise _useless(f"scores are not finite{on}")
        ranked = self.ranked
        # A function is called as audits call it, since it may keep scores by the users asked for.
        users = ranked.users if isinstance(representation, Scored) else _sampled(ranked.users)
        return _Look(_centred(raw), rank(representation, users, ranked.masked, k=ranked.k).items.astype(np.int64))

    def _raw(self, representation: Representation | Scored) -> Tensor:
        return sampled_scores(representation, self.ranked.users)

    def _ties(self, raw: Tensor) -> Ties:
        # Of the raw scores: centring could make two of them equal or different that are not.
        masked = torch.from_numpy(self.ranked.masked[_sampled(self.ranked.users)].toarray() != 0)
        places = min(self.ranked.k + 1, raw.shape[1])
        best = raw.cpu().masked_fill(masked, -torch.inf).topk(places, dim=1).values
        best = best[torch.isfinite(best[:, -1])]
        if not len(best):
            return Ties(0.0, 0.0)
        boundary = float((best[:, -2] == best[:, -1]).double().mean()) if places > self.ranked.k else 0.0
        return Ties(boundary, float((best[:, 0] == best[:, -1]).double().mean()))


def _local(size: Tensor, item: int) -> bool:
    """Tell whether noise on an item of a small catalogue moved it and left at least half of all items as they were.

    A recommender that reads features through nearest items only (FREEDOM) moves those furthest that lose a neighbour.
    Pooled content moves every item.
    """
    largest = float(size.max())
    moved = int((size > ROUNDING * largest).sum())
    return len(size) <= SMALL and moved <= len(size) / 2 and float(size[item]) >= LOCAL * largest


def check_reach(
    represent: Callable[[Features], Representation | Scored],
    tables: dict[str, Tensor],
    *,
    seed: int,
    claimed: Collection[str] | None = None,
) -> tuple[Reach, ...]:
    """Run the first half of a `ReachCheck`, with the same arguments and errors."""
    return ReachCheck(represent, tables, seed=seed, claimed=claimed).before()


def sampled_scores(representation: Representation | Scored, users: NDArray[np.int64]) -> Tensor:
    """Return the scores [n, I] of at most twice SAMPLED_USERS of the users, in the dtype of the model."""
    sampled = _sampled(users)
    if isinstance(representation, Scored):
        return representation.score(sampled)
    vectors = representation.users.detach()
    return vectors[torch.from_numpy(sampled).to(vectors.device)] @ representation.items.detach().T


def refuse_zero_tables(tables: dict[str, Tensor]) -> None:
    """Refuse features that are all zero.

    Raises:
        RobustrecError: all rows of a modality are zero.
    """
    for modality, table in tables.items():
        if not bool(table.any()):
            raise RobustrecError(
                f"all {len(table)} rows of the {modality} features are zero, so there is nothing to perturb",
                where=f"item features, modality {modality!r}",
                fix=f"remove the {modality} feature file and import the data again, or choose another encoder with"
                " --features",
            )


def typical_entry(table: Tensor) -> float:
    """Return the mean norm of the nonzero rows divided by the square root of their width."""
    norms = torch.cat([rows.double().norm(dim=1) for rows in torch.split(table, ROWS)])
    return float(norms[norms > 0].mean()) / math.sqrt(table.shape[1])


def _sampled(users: NDArray[np.int64]) -> NDArray[np.int64]:
    return users[:: max(1, len(users) // SAMPLED_USERS)]


def _everybody(representation: Representation | Scored) -> Ranked:
    scored = isinstance(representation, Scored)
    n_users = representation.n_users if scored else len(representation.users)  # type: ignore[union-attr]
    n_items = representation.n_items if scored else len(representation.items)  # type: ignore[union-attr]
    return Ranked(np.arange(n_users), csr_array((n_users, n_items)), min(LIST_LENGTH, max(1, n_items // 2)))


def _centred(scores: Tensor) -> Tensor:
    exact = scores.double()
    return exact - exact.mean(dim=1, keepdim=True)


def _useless(what: str) -> RobustrecError:
    return RobustrecError(
        what, where="model.represent", fix="train the model again and check its validation metric: robustrec train"
    )
