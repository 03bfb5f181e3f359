"""What a report shows beside its table: edited items, curves, surfaces, and relations over subjects."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from robustrec.subject import Record, Subject


class Look(Record):
    """How an item looks to a shopper."""

    text: str = Field(max_length=4000, description="title, brand and description as the catalogue shows them")
    picture: str | None = Field(
        default=None, max_length=60_000, description="a thumbnail, JPEG in base64; None for an item without a picture"
    )


class FragileItem(Record):
    """One edited item whose recommendations moved most."""

    kind: Literal["fragile_item"] = "fragile_item"
    subject: Subject
    audit: str
    condition: str
    item: str = Field(description="the item's id in the data set")
    before: Look
    after: Look
    n_users: int = Field(ge=0, description="users who should get the item: test users who have it in their test split")
    rank_before: float | None = Field(description="mean rank among those users, from 1")
    rank_after: float | None
    exposure_before: int = Field(ge=0, description="users, of all evaluated ones, in whose list the item stands")
    exposure_after: int = Field(ge=0)
    k: int = Field(ge=1, description="length of the lists that exposure is counted in")


class Curve(Record):
    """A line y(x) with an optional band: a spectral density, a landscape along a direction, noise against drift."""

    kind: Literal["curve"] = "curve"
    subject: Subject
    audit: str
    name: str = Field(description="what it is, e.g. spectral density")
    x_label: str
    y_label: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    low: tuple[float, ...] | None = None
    high: tuple[float, ...] | None = None
    note: str = ""


class Surface(Record):
    """A function z(x, y) on a grid: a landscape in two directions."""

    kind: Literal["surface"] = "surface"
    subject: Subject
    audit: str
    name: str
    x_label: str
    y_label: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    z: tuple[tuple[float, ...], ...] = Field(description="z[j][i] at (x[i], y[j])")
    note: str = ""


Exhibit = Annotated[FragileItem | Curve | Surface, Field(discriminator="kind")]


WITHIN = ", within models"
"""Ends the name of a relation that counts only pairs of subjects of one model."""

SIGNIFICANT = 0.05
"""p-value up to which a relation is called statistically significant."""


class Relation(Record):
    """Rank correlation of two measures over the subjects of a report, and the sentence that follows from it."""

    audit: str
    measure: str = Field(description="e.g. input sharpness, image")
    outcome: str = Field(description="e.g. noise sigma2=1e-06 ndcg@20")
    n_subjects: int = Field(ge=0)
    tau: float | None = Field(default=None, ge=-1, le=1, description="Kendall's τ-b; None where it cannot be told")
    p: float | None = Field(default=None, ge=0, le=1, description="two-sided permutation p-value")
    x: tuple[float, ...] = Field(default=(), description="the measure, subject by subject")
    y: tuple[float, ...] = Field(default=(), description="the outcome, subject by subject")
    labels: tuple[str, ...] = Field(default=(), description="the subjects")
    sentence: str
