"""Exhibits of a report: edited items, curves, surfaces, and rank correlations over subjects."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from robustrec.results.conditions import Condition
from robustrec.subject import Record, Subject


class Look(Record):
    """Content of an item before or after an edit."""

    text: str = Field(max_length=4000, description="title, brand and description of the item in the catalogue")
    picture: str | None = Field(
        default=None, max_length=60_000, description="thumbnail, JPEG in base64; None for an item without a picture"
    )


class FragileItem(Record):
    """An edited item with a large loss of rank."""

    kind: Literal["fragile_item"] = "fragile_item"
    subject: Subject
    audit: str
    condition: Condition
    item: str = Field(description="number of the item in the data set")
    own_id: str | None = Field(
        default=None, description="id of the item in your own data; None in reports of earlier versions"
    )
    before: Look
    after: Look
    n_users: int = Field(ge=0, description="number of users with this item in their test split")
    rank_before: float | None = Field(description="mean rank of the item for these users, from 1")
    rank_after: float | None
    exposure_before: int = Field(ge=0, description="number of evaluated users with the item in their top k")
    exposure_after: int = Field(ge=0)
    k: int = Field(ge=1, description="list length k for exposure")
    loss: float | None = Field(
        default=None,
        description="loss by which the most fragile items and the example user are chosen: Σ over these users of "
        "1/log2(1 + rank), before minus after; None in reports of earlier versions",
    )


class ListedItem(Record):
    """An item in the list of one user, before or after an edit."""

    item: str = Field(description="number of the item in the data set")
    own_id: str | None = Field(default=None, description="id of the item in your own data")
    title: str = Field(max_length=200)
    rank_before: int | None = Field(ge=1, description="None if it is beyond the recorded list")
    rank_after: int | None = Field(ge=1, description="the same after the edit")
    edited: bool = Field(description="whether the item was edited")
    wanted: bool = Field(description="whether it is a test item of the user")
    picture: str | None = Field(default=None, max_length=60_000, description="thumbnail, WebP in base64")


class ExampleUser(Record):
    """The list of one user before and after an edit: an example, chosen by a rule, and no average."""

    kind: Literal["example_user"] = "example_user"
    subject: Subject
    audit: str
    condition: Condition
    user: str = Field(description="number of the user in the data set")
    rule: str = Field(description="how the user was chosen, in words")
    item: str = Field(description="number of the test item by which the user was chosen")
    metric: str = Field(description="metric of the user, for example ndcg@20")
    before_value: float
    after_value: float
    known: int = Field(ge=1, description="length of the recorded lists: a rank of None is beyond it")
    order_kept: bool = Field(
        description="whether the items that were not edited keep their order in the recorded lists: if not, the scores "
        "of this model depend on the features of other items"
    )
    before: tuple[ListedItem, ...] = Field(description="first items of the list before the edit")
    after: tuple[ListedItem, ...] = Field(description="first items of the list after it")


class EditedLook(Record):
    """An item after an edit at one severity."""

    severity: int = Field(ge=1, le=5)
    text: str | None = Field(default=None, max_length=4000, description="None if the edit leaves the text as it is")
    picture: str | None = Field(
        default=None,
        max_length=60_000,
        description="thumbnail, WebP in base64; None if the edit leaves the picture as it is or takes it away",
    )


class EditedItem(Record):
    """One item under one edit, at up to three severities."""

    kind: Literal["edited_item"] = "edited_item"
    audit: str
    edit: str = Field(description="name of the edit")
    item: str = Field(description="number of the item in the data set")
    own_id: str | None = Field(default=None, description="id of the item in your own data")
    title: str = Field(max_length=200)
    text: str = Field(max_length=4000, description="text before the edit")
    picture: str | None = Field(default=None, max_length=60_000, description="thumbnail before it, WebP in base64")
    looks: tuple[EditedLook, ...] = Field(description="severities at which the edit changes the item")


class Displaced(Record):
    """An item that loses places to an edited one."""

    item: str = Field(description="number of the item in the data set")
    own_id: str | None = Field(
        default=None, description="id of the item in your own data; None in reports of earlier versions"
    )
    title: str = Field(max_length=200)
    n_users: int = Field(ge=1, description="number of held-out users whose top k it leaves, net of those it enters")


class FoundEdits(Record):
    """The edits of an item that a search found, and the item after them."""

    edits: str = Field(description="names and severities, for example crop 3 + promo_phrase 1")
    draws: tuple[int, ...] = Field(default=(), description="number of the random draw of each edit, from 0")
    look: Look | None = Field(default=None, description="content after the edits; None if no edit was found")
    exposure: int = Field(ge=0, description="number of held-out users with the item in their top k")
    displaced: tuple[Displaced, ...] = Field(default=(), description="items that lose the most places to it")


SafeState = Literal["holds", "one training", "not shown", "loses"]


class TriedEdit(Record):
    """One edit of an item alone, and whether it is safe for its exposure."""

    edit: str = Field(description="name and severity")
    change: float | None = Field(description="relative change of exposure among held-out users")
    low: float | None = Field(description="lower bound of its confidence interval over users")
    on_search: float | None = Field(description="relative change among the users of the search")
    state: SafeState = Field(
        description="holds: the bound is above the tolerance for held-out users and for every audited training seed; "
        "one training: the same, but one seed was audited, so it is not shown to hold after another training; "
        "not shown: a loss above the tolerance cannot be excluded; loses: a loss above the tolerance on either half"
    )


class SearchedItem(Record):
    """An item whose worst and best edits were searched."""

    kind: Literal["searched_item"] = "searched_item"
    subject: Subject
    audit: str
    condition: Condition
    item: str = Field(description="number of the item in the data set")
    own_id: str | None = Field(
        default=None, description="id of the item in your own data; None in reports of earlier versions"
    )
    target: bool = Field(description="whether the suite names it, instead of a random choice")
    before: Look
    exposure: int = Field(ge=0, description="number of held-out users with the unedited item in their top k")
    random: float = Field(ge=0, description="the same after a random combination of edits, mean")
    n_users: int = Field(ge=1, description="number of held-out users")
    k: int = Field(ge=1, description="list length k for exposure")
    worst: FoundEdits
    best: FoundEdits
    tolerance: float = Field(description="share of its exposure that an item may lose under an edit called safe")
    tried: tuple[TriedEdit, ...] = Field(description="single edits at the largest severity, the safest first")


class Curve(Record):
    """A line y(x) with an optional band: a spectral density, a landscape along a direction, noise against drift."""

    kind: Literal["curve"] = "curve"
    subject: Subject
    audit: str
    name: str = Field(description="name of the plot, for example spectral density")
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


class Shift(Record):
    """Share of all positions in the lists that an item, brand or category holds, before and after."""

    name: str = Field(max_length=400, description="id of the item, or name of the brand or category")
    before: float = Field(ge=0)
    after: float = Field(ge=0)


class ExposureShift(Record):
    """Items, brands or categories with the largest loss and gain of positions, the largest loss first."""

    kind: Literal["exposure_shift"] = "exposure_shift"
    subject: Subject
    audit: str
    condition: Condition
    group: Literal["item", "brand", "category"]
    k: int = Field(ge=1, description="list length")
    shifts: tuple[Shift, ...]


Exhibit = Annotated[
    FragileItem | SearchedItem | ExampleUser | EditedItem | Curve | Surface | ExposureShift, Field(discriminator="kind")
]


WITHIN = ", within models"
"""Suffix of a relation over pairs of subjects of the same model."""

SIGNIFICANT = 0.05
"""Largest p-value of a statistically significant relation."""


class Relation(Record):
    """Rank correlation of a measure with drift over the subjects of a report, and its sentence."""

    audit: str
    measure: str = Field(description="measure, for example input sharpness, image")
    within_models: bool = Field(
        default=False, description="whether only pairs of subjects of the same model are counted"
    )
    scale_dependent: bool = Field(
        default=False, description="whether the measure depends on the scale of the scores or parameters"
    )
    outcome: str = Field(description="outcome, for example noise sigma2=1e-06 ndcg@20")
    n_subjects: int = Field(ge=0)
    tau: float | None = Field(
        default=None, ge=-1, le=1, description="Kendall's τ-b; None if it is not defined or there are too few subjects"
    )
    p: float | None = Field(default=None, ge=0, le=1, description="two-sided permutation p-value")
    x: tuple[float, ...] = Field(default=(), description="values of the measure, one per subject")
    y: tuple[float, ...] = Field(default=(), description="values of the outcome, one per subject")
    labels: tuple[str, ...] = Field(default=(), description="labels of the subjects")
    left_out: tuple[str, ...] = Field(default=(), description="labels of the content-free subjects, which do not count")
    sentence: str
