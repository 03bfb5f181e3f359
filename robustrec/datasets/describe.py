"""What a data set is made of, in numbers: for `data describe`."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from robustrec.datasets.feature_files import open_features
from robustrec.datasets.interactions import LABEL_NAMES, TRAIN
from robustrec.datasets.registry import Dataset

HEAD_SHARES = (0.01, 0.10, 0.20, 0.50)
CURVE_POINTS = 40


class Spread(BaseModel):
    """Smallest, middle and largest of a count."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    min: int
    median: float
    mean: float
    max: int


class FeatureFile(BaseModel):
    """A feature file: rows are items."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: str
    rows: int
    width: int
    dtype: str


class Description(BaseModel):
    """What `data describe` says.

    Popularity counts interactions of all splits; items are ordered by it, most popular first.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    edition: Literal["full", "sample"]
    synthetic: bool = Field(description="made by robustrec itself; nothing in it was done by a person")
    folder: str
    digest: str
    users: int
    items: int
    interactions: int
    rows: dict[str, int] = Field(description="interactions by split")
    sparsity: float = Field(description="1 - interactions / (users * items)")
    per_user: Spread = Field(description="interactions per user, of users with any")
    per_item: Spread = Field(description="interactions per item, items without any included")
    head_share: dict[str, float] = Field(description="share of the interactions with the top p of the items")
    gini: float = Field(description="0 all items equally popular, 1 all interactions with one item")
    popularity: list[float] = Field(description="mean interactions of items, in 40 bins by falling popularity")
    cold_items: int = Field(description="items without a training interaction")
    held_out_on_cold_items: int = Field(description="validation and test rows about such items")
    texts: int | None = Field(description="items with a text; null: no catalog")
    text_words: float | None = Field(description="median words of a text; null: no texts")
    pictures: int | None = Field(description="items with a picture; null: no pictures")
    clean_catalog: bool = Field(description="the catalog without the merchant noise is known too")
    features: dict[str, FeatureFile]
    user_graph: bool = Field(description="the data set brings users' co-occurrence; else it is counted where needed")
    filters: dict[str, int] = Field(description="rows left out or counted, by reason")


def describe(dataset: Dataset) -> Description:
    """Return the numbers of a data set."""
    data = dataset.interactions
    per_user = np.bincount(data.users, minlength=data.n_users)
    popularity = np.sort(np.bincount(data.items, minlength=data.n_items))[::-1]
    trained = np.bincount(data.pairs(TRAIN)[1], minlength=data.n_items) > 0
    catalog = dataset.catalog
    words = [len(text.split()) for text in catalog.texts if text] if catalog else []
    filters: dict[str, int] = {}
    for row in dataset.filters:
        filters[row.reason] = filters.get(row.reason, 0) + row.rows
    features = {}
    for modality, path in dataset.feature_files.items():
        table = open_features(path, data.n_items)
        features[modality] = FeatureFile(
            file=path.name, rows=table.shape[0], width=table.shape[1], dtype=str(table.dtype)
        )
    return Description(
        name=dataset.name,
        edition="sample" if dataset.edition == "sample" else "full",
        synthetic=dataset.synthetic,
        folder=str(dataset.folder),
        digest=dataset.digest,
        users=data.n_users,
        items=data.n_items,
        interactions=len(data.users),
        rows={name: int((data.labels == label).sum()) for label, name in enumerate(LABEL_NAMES)},
        sparsity=1.0 - len(data.users) / (data.n_users * data.n_items),
        per_user=_spread(per_user[per_user > 0]),
        per_item=_spread(popularity),
        head_share={f"{share:.0%}": head_share(popularity, share) for share in HEAD_SHARES},
        gini=gini(popularity),
        popularity=[float(part.mean()) for part in np.array_split(popularity, min(CURVE_POINTS, data.n_items))],
        cold_items=int((~trained).sum()),
        held_out_on_cold_items=int((~trained[data.items]).sum()),
        texts=None if catalog is None else catalog.n_texts,
        text_words=float(np.median(words)) if words else None,
        pictures=None if catalog is None or catalog.pictures is None else catalog.n_pictures,
        clean_catalog=dataset.clean_catalog is not None,
        features=features,
        user_graph=dataset.user_graph is not None,
        filters=filters,
    )


def head_share(popularity: NDArray[np.int64], share: float) -> float:
    """Return the share of all interactions that fall on the most popular items, rounded up to whole items.

    Args:
        popularity: [I] interactions per item, falling.
        share: of the items, 0 to 1.
    """
    # 0.1 * 30 is a little above 3 in binary; it must not count as a fourth item.
    head = int(np.ceil(round(share * len(popularity), 9)))
    return float(popularity[:head].sum() / popularity.sum())


def gini(counts: NDArray[np.int64]) -> float:
    """Return the Gini coefficient of counts: 0 all equal, (n - 1) / n all with one.

    G = sum_i (2 i - n - 1) x_i / (n sum_i x_i), x ascending, i from 1.
    """
    values = np.sort(counts).astype(np.float64)
    n = len(values)
    return float(((2.0 * np.arange(1, n + 1) - n - 1.0) * values).sum() / (n * values.sum()))


def _spread(counts: NDArray[np.int64]) -> Spread:
    return Spread(
        min=int(counts.min()),
        median=float(np.median(counts)),
        mean=float(counts.mean()),
        max=int(counts.max()),
    )
