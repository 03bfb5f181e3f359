"""What an edit does to one user, and to one item at several severities: examples, chosen by rules."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image

from robustrec.audits.merchant.audit import MerchantCondition
from robustrec.audits.merchant.conditions import EvaluationTargets, Ints, Lists
from robustrec.audits.merchant.fall import Fall
from robustrec.audits.merchant.rows import AUDIT
from robustrec.datasets.catalog import Catalog
from robustrec.edits.content import Content, content_of, text_of
from robustrec.errors import RobustrecError
from robustrec.evaluation.ranking import EMPTY
from robustrec.results.exhibits import EditedItem, EditedLook, ExampleUser, ListedItem
from robustrec.runs.treatments import EditApplier, Treatment
from robustrec.subject import Subject

SHOWN = 10
"""Items of a list that are shown."""

RULE = (
    "the test item with the largest loss over all models and edits of the audit, and of its users the one with the "
    "largest loss of discounted gain, 1/log2(1 + rank)"
)
_SIDE, _QUALITY = 96, 60
_TEXT, _TITLE = 4000, 200


class Example(NamedTuple):
    """A user whose test item fell, with lists before and after.

    Attributes:
        loss: of the item, see `Fall`; examples of items with a larger loss are preferred.
        condition: of the edit.
        item: the item.
        user: number of the user.
        places: rank of the item for the user, before and after.
        values: metric of the user, before and after.
        before: items of the list.
        after: items of the list on the edited features.
        edited: items of both that were edited.
        wanted: items of both that are test items of the user.
    """

    loss: float
    condition: MerchantCondition
    item: int
    user: int
    places: tuple[int, int]
    values: tuple[float, float]
    before: tuple[int, ...]
    after: tuple[int, ...]
    edited: tuple[int, ...]
    wanted: tuple[int, ...]


def example_of(targets: EvaluationTargets, fall: Fall, before: Lists, after: Lists, edited: Ints) -> Example:
    """Return the example of an item that fell: the user of RULE, the first of several."""
    here = np.flatnonzero(targets.wanted.items == fall.item)
    gains = [1.0 / np.log2(1.0 + lists.places[here]) for lists in (before, after)]
    pair = int(here[np.argmax(gains[0] - gains[1])])
    row = int(targets.wanted.rows[pair])
    lists = [[int(item) for item in each.ranking.items[row] if item != EMPTY] for each in (before, after)]
    listed = sorted({*lists[0], *lists[1], fall.item})
    own = set(targets.wanted.items[targets.wanted.rows == row].tolist())
    values = (float(before.per_user[targets.metric][row]), float(after.per_user[targets.metric][row]))
    return Example(
        fall.loss,
        fall.condition,
        fall.item,
        int(targets.split.users[row]),
        (int(before.places[pair]), int(after.places[pair])),
        values,
        tuple(lists[0]),
        tuple(lists[1]),
        tuple(np.intersect1d(listed, edited).tolist()),
        tuple(item for item in listed if item in own),
    )


def example_user(subject: Subject, example: Example, applier: EditApplier, metric: str) -> ExampleUser:
    """Return the lists of an example with titles and thumbnails of the unedited items."""
    ranks = [{item: place for place, item in enumerate(items, start=1)} for items in (example.before, example.after)]
    exact = dict(zip((0, 1), example.places, strict=True))

    def rank(item: int, when: int) -> int | None:
        return ranks[when].get(item, exact[when] if item == example.item else None)

    def listed(items: Iterable[int]) -> tuple[ListedItem, ...]:
        return tuple(
            ListedItem(
                item=str(item),
                own_id=applier.catalog.own_id(item),
                title=title_of(applier.catalog, item),
                rank_before=rank(item, 0),
                rank_after=rank(item, 1),
                edited=item in example.edited,
                wanted=item in example.wanted,
                picture=small_picture(_picture(applier.catalog, item)),
            )
            for item in items
        )

    kept = [
        [item for item in items if item in other and item not in example.edited]
        for items, other in ((example.before, ranks[1]), (example.after, ranks[0]))
    ]
    return ExampleUser(
        subject=subject,
        audit=AUDIT,
        condition=example.condition.condition,
        user=str(example.user),
        rule=RULE,
        item=str(example.item),
        metric=metric,
        before_value=example.values[0],
        after_value=example.values[1],
        known=max(1, len(example.before), len(example.after)),
        order_kept=kept[0] == kept[1],
        before=listed(example.before[:SHOWN]),
        after=listed(example.after[:SHOWN]),
    )


def edited_items(
    item: int, treatments: Sequence[Treatment], severities: Sequence[int], applier: EditApplier
) -> Iterator[EditedItem]:
    """Yield an item under each treatment, at the lowest, middle and highest severity, in the first random draw."""
    positive = sorted(each for each in severities if each > 0)
    chosen = sorted({positive[0], positive[len(positive) // 2], positive[-1]}) if positive else []
    catalog = applier.catalog
    whole = content_of(catalog, item, picture=False)
    for treatment in treatments if chosen else ():
        before = applier.before(treatment, item)
        yield EditedItem(
            audit=AUDIT,
            edit=treatment.name,
            item=str(item),
            own_id=catalog.own_id(item),
            title=title_of(catalog, item),
            text=text_of(whole)[:_TEXT],
            picture=small_picture(before.picture or _picture(catalog, item)),
            looks=tuple(
                _look(before, after, severity)
                for severity in chosen
                if (after := applier.after(treatment, before, item, severity, 0)) is not before
            ),
        )


def _look(before: Content, after: Content, severity: int) -> EditedLook:
    text = text_of(after)[:_TEXT]
    picture = None if after.picture is before.picture else small_picture(after.picture)
    return EditedLook(severity=severity, text=None if text == text_of(before)[:_TEXT] else text, picture=picture)


def title_of(catalog: Catalog, item: int) -> str:
    """Return a short name of an item: its title, else the start of its text, else its id."""
    return (catalog.titles[item] or catalog.texts[item] or catalog.own_id(item))[:_TITLE]


def _picture(catalog: Catalog, item: int) -> Image.Image | None:
    try:
        return content_of(catalog, item).picture
    except RobustrecError:
        return None


def small_picture(picture: Image.Image | None) -> str | None:
    """Return a picture as WebP in base64, its longest side 96 pixels at most; None without one."""
    if picture is None:
        return None
    small = picture.convert("RGB")
    small.thumbnail((_SIDE, _SIDE), Image.Resampling.BICUBIC)
    buffer = io.BytesIO()
    small.save(buffer, "WEBP", quality=_QUALITY, method=4)
    return base64.b64encode(buffer.getvalue()).decode("ascii")
