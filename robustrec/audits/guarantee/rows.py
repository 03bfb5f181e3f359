"""Findings of the guarantee audit: the bounded share of items, the bound of a further item, the certified places."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from robustrec.audits.guarantee.config import GuaranteeAudit
from robustrec.audits.guarantee.sample import NAME
from robustrec.evaluation.shares import conformal_bound, members_for, members_needed, share_bounds
from robustrec.results.conditions import Condition
from robustrec.results.findings import Finding
from robustrec.results.hidden import HIDDEN
from robustrec.results.numbers import percent
from robustrec.subject import Subject

NOT_LINEAR = "no certificate: the scores are not linear in the features of each item"
NO_ITEM = "no item that holds a place is changed by this edit"


@dataclass(frozen=True)
class Measured:
    """What was measured under one condition.

    Attributes:
        losses: [n] share of its places that each sampled item lost.
        places: [n] number of places of each.
        radii: certified radius of every place, item by item; None without a certificate.
        moved: [n] ‖δ‖ of each edit.
        modality: what the edit changes: text, image or both.
        hidden: share of the changed pixels that the encoder does not see; None if not known, or if none changed.
    """

    losses: NDArray[np.float64]
    places: NDArray[np.int64]
    radii: Sequence[NDArray[np.float64]] | None
    moved: NDArray[np.float64]
    modality: str
    hidden: float | None


@dataclass(frozen=True)
class Rows:
    """Makes the findings of one subject under one condition.

    Attributes:
        subject: of the findings.
        condition: of the findings.
        config: settings of the audit.
        level: confidence of the statements.
        n_users: number of audited users.
    """

    subject: Subject
    condition: Condition
    config: GuaranteeAudit
    level: float
    n_users: int

    def of(self, measured: Measured) -> list[Finding]:
        """Return the findings of a condition; without a sampled item they have no number, and the reason."""
        k = self.config.k
        if not len(measured.losses):
            return [self._row(f"losing@{k}", None, "share of items", note=NO_ITEM)]
        return [
            self._losing(measured),
            self._next_item(measured),
            self._row(f"places_kept@{k}", _share(measured.losses, measured.places), "share of places"),
            *self._certificate(measured),
            *self._displacement(measured),
            *self._hidden(measured),
        ]

    def without_place(self, holders: NDArray[np.int64]) -> Finding:
        """Return the share of all items that hold no place on clean features; they are no part of the population."""
        share, k = float((holders == 0).mean()), self.config.k
        return self._row(f"without_place@{k}", share, "share of items", note="they cannot lose a place")

    def _losing(self, measured: Measured) -> Finding:
        n, over = len(measured.losses), int((measured.losses > self.config.max_loss).sum())
        bounds = share_bounds(over, n, self.level)
        return self._row(
            f"losing@{self.config.k}",
            over / n,
            "share of items",
            note=self._needed(over, n, bounds.high),
            sampled=n,
            counted=over,
            ci_low=bounds.low,
            ci_high=bounds.high,
        )

    def _needed(self, over: int, n: int, bound: float) -> str:
        """Return how many items a bound of `claim` takes, where the sample does not support it."""
        claim, found = self.config.claim, []
        if n < self.config.items:
            found.append(f"the population has only {n} items, fewer than the {self.config.items} of the sample")
        if bound > claim and self.condition.severity:
            if needed := members_needed(over / n, claim, self.level):
                more = ", which is more than there are" if n < self.config.items else ""
                found.append(
                    f"a bound of {100 * claim:g} % needs {needed:,} items if {percent(over / n)} of them do so{more}"
                )
            else:
                found.append(f"no larger sample shows at most {100 * claim:g} % while {percent(over / n)} of it do so")
        return "; ".join(found)

    def _next_item(self, measured: Measured) -> Finding:
        bound, n = conformal_bound(measured.losses, self.level), len(measured.losses)
        if math.isfinite(bound):
            return self._row(f"loss_bound@{self.config.k}", bound, "share of places")
        needed = members_for(self.level)
        note = f"{n} items bound the loss of no further one; at {100 * self.level:g} % this takes {needed}"
        return self._row(f"loss_bound@{self.config.k}", None, "share of places", note=note)

    def _certificate(self, measured: Measured) -> list[Finding]:
        k = self.config.k
        if measured.radii is None:
            return [self._row(f"places_certified@{k}", None, "share of places", note=NOT_LINEAR)]
        certified = [
            float((radius > moved).mean()) for radius, moved in zip(measured.radii, measured.moved, strict=True)
        ]
        every = np.concatenate(list(measured.radii))
        median = float(np.median(every))
        return [
            self._row(f"places_certified@{k}", _share(1 - np.array(certified), measured.places), "share of places"),
            self._row(
                f"certified_radius@{k}",
                median if math.isfinite(median) else None,
                "feature norm",
                note="" if math.isfinite(median) else "no displacement of the features takes half of the places",
            ),
        ]

    def _displacement(self, measured: Measured) -> list[Finding]:
        return [self._row("displacement", float(np.median(measured.moved)), "feature norm")]

    def _hidden(self, measured: Measured) -> list[Finding]:
        if measured.hidden is None:
            return []
        row = self._row(HIDDEN, measured.hidden, "share of changed pixels")
        return [row.model_copy(update={"modality": measured.modality})]

    def _row(self, metric: str, value: float | None, unit: str, *, note: str = "", **fields: float | int) -> Finding:
        n_draws = 0 if self.condition.severity == 0 or metric.startswith("without_place") else 1
        return Finding.model_validate(
            {
                "subject": self.subject,
                "audit": NAME,
                "condition": self.condition,
                "metric": metric,
                "quantity": "value",
                "clean": value,
                "n_users": self.n_users,
                "n_draws": n_draws,
                "unit": unit,
                "note": note,
                **fields,
            }
        )


def _share(losses: NDArray[np.float64], places: NDArray[np.int64]) -> float:
    """Return the share of all places that are not lost."""
    return 1.0 - float((losses * places).sum() / places.sum())
